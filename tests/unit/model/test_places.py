from __future__ import annotations

from pathlib import Path

import pytest

from openbell.model.places import config_file, socket_to_call, socket_to_serve, state_dir

pytestmark = pytest.mark.unit

HOME = {"HOME": "/home/me"}


@pytest.mark.parametrize(
    ("given", "env", "found"),
    [
        ("/given", {**HOME, "OPENBELL_STATE_DIR": "/named"}, "/given"),
        (None, {**HOME, "OPENBELL_STATE_DIR": "/named", "STATE_DIRECTORY": "/unit"}, "/named"),
        (None, {**HOME, "STATE_DIRECTORY": "/unit:/other", "XDG_STATE_HOME": "/xdg"}, "/unit"),
        (None, {**HOME, "XDG_STATE_HOME": "/xdg"}, "/xdg/openbell"),
        (None, HOME, "/home/me/.local/state/openbell"),
    ],
)
def test_the_state_directory_is_the_first_that_is_named(
    given: str | None, env: dict[str, str], found: str
) -> None:
    assert state_dir(env, given) == Path(found)


@pytest.mark.parametrize(
    ("env", "there", "found"),
    [
        ({"OPENBELL_SOCKET": "/named", "RUNTIME_DIRECTORY": "/run/x"}, set(), "/named"),
        ({"RUNTIME_DIRECTORY": "/run/x"}, {"/run/openbell/openbell.sock"}, "/run/x/openbell.sock"),
        ({}, {"/run/openbell/openbell.sock"}, "/run/openbell/openbell.sock"),
        (
            {"XDG_RUNTIME_DIR": "/run/user/7"},
            {"/run/user/7/openbell/openbell.sock"},
            "/run/user/7/openbell/openbell.sock",
        ),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, set(), "/state/openbell.sock"),
    ],
)
def test_a_client_calls_the_first_socket_that_is_named_or_there(
    env: dict[str, str], there: set[str], found: str
) -> None:
    def exists(path: Path) -> bool:
        return str(path) in there

    assert socket_to_call(env, Path("/state"), exists=exists) == Path(found)
    assert socket_to_call(env, Path("/state"), "/given", exists=exists) == Path("/given")


def test_a_daemon_without_a_named_socket_listens_in_its_state_directory() -> None:
    assert socket_to_serve({}, Path("/state")) == Path("/state/openbell.sock")
    assert socket_to_serve({"OPENBELL_SOCKET": "/s"}, Path("/state")) == Path("/s")


@pytest.mark.parametrize(
    ("given", "env", "there", "found"),
    [
        ("mine.yaml", {"OPENBELL_CONFIG": "/named"}, set(), "mine.yaml"),
        (None, {"OPENBELL_CONFIG": "/named"}, {"openbell.yaml"}, "/named"),
        (None, {}, {"openbell.yaml", "/etc/openbell/openbell.yaml"}, "openbell.yaml"),
        (
            None,
            {"CONFIGURATION_DIRECTORY": "/unit"},
            {"/unit/openbell.yaml"},
            "/unit/openbell.yaml",
        ),
        (None, {}, {"/etc/openbell/openbell.yaml"}, "/etc/openbell/openbell.yaml"),
    ],
)
def test_the_configuration_is_the_first_that_is_named_or_there(
    given: str | None, env: dict[str, str], there: set[str], found: str
) -> None:
    assert config_file(env, given, exists=lambda path: str(path) in there) == Path(found)


def test_without_any_configuration_there_is_none() -> None:
    assert config_file({}, exists=lambda _: False) is None
