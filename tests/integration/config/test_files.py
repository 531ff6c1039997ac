"""Configurations and secrets on disk."""

from __future__ import annotations

import os
from pathlib import Path

import jsonschema
import pytest
from doubles.configurations import EXAMPLE, SMALL, told
from doubles.registry import RegistryDouble

from openbell.config.demo import DEMO_DATASET, DEMO_JOB, demo_document, demo_text
from openbell.config.json_schema import json_schema
from openbell.config.load import load_deployment
from openbell.config.reader import read_text
from openbell.config.text import LARGEST_FILE_BYTES
from openbell.model.pipelines import Deployment
from openbell.plugin_host import load_plugins
from openbell.sdk.errors import SettingsError

pytestmark = pytest.mark.integration


def read(path: Path) -> Deployment:
    return load_deployment(path, registry=RegistryDouble(), env={})


def refused(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        read(path)
    return str(caught.value).replace(str(path), "F")


def test_a_file_is_read_and_its_places_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(EXAMPLE)
    found = read(tmp_path / "c.yaml")
    assert found.storage["primary"].settings["uri"] == str(tmp_path / "data/lake")
    assert found.source == str(tmp_path / "c.yaml")


@pytest.mark.parametrize("name", ["c.json", "c.conf"])
def test_json_is_known_by_its_name_or_its_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"version": 2,\n\t"features": {"write_enabled": false}}')
    assert read(tmp_path / name).features.write_enabled is False


def test_text_that_only_begins_like_json_is_yaml(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("{version: 2, features: {export_enabled: false}}")
    assert read(tmp_path / "c.yaml").features.export_enabled is False


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "F: the configuration is empty (begin with: version: 2)"),
        (b" \n\n", "F: the configuration is empty (begin with: version: 2)"),
        (b"# nothing\n", "F:1:1: the configuration says nothing (begin with: version: 2)"),
        (b"- 1\n", "F:1:1: must be a mapping of keys (begin with: version: 2)"),
        (b"version: 2\nx: \xff\n", "F:2:4: byte 0xff is not UTF-8 (save the file as UTF-8)"),
        ("version: 2\n".encode("utf-16"), "F:1: the file is not UTF-8 but UTF-16 or UTF-32"),
    ],
)
def test_content_that_is_no_configuration_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    assert refused(tmp_path / "c.yaml") == problem


def test_json_with_an_error_tells_its_place(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"version": 2,\n "x" 1}')
    assert refused(tmp_path / "c.json") == "F:2:6: ':' is expected"


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert read(tmp_path / "c.yaml").profile == "default"


def test_places_that_are_no_file_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == (
        "F: the configuration is a directory (name the configuration file in it)"
    )
    assert refused(tmp_path / "no.yaml") == "F: the configuration does not exist"
    (tmp_path / "file").write_text("x")
    assert refused(tmp_path / "file" / "c.yaml").startswith("F: the configuration cannot be read")
    assert "cannot be read" in refused(Path("a\0b"))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "c.yaml").open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)
    assert refused(tmp_path / "c.yaml").startswith("F: the configuration is larger than 16 MiB")


VENDOR = SMALL.replace("type: synthetic", 'type: vendor, api_key: "${secret:key}"')


@pytest.mark.parametrize("variable", ["CREDENTIALS_DIRECTORY", "OPENBELL_SECRETS_DIR"])
def test_secrets_come_from_a_directory(tmp_path: Path, variable: str) -> None:
    (tmp_path / "key").write_text("hunter2\n")
    (tmp_path / "c.yaml").write_text(VENDOR)
    env = {variable: str(tmp_path)}
    found = load_deployment(tmp_path / "c.yaml", registry=RegistryDouble(), env=env)
    assert found.providers["made_up"].settings == {"api_key": "hunter2"}
    assert found.secrets == ("hunter2",)
    assert "hunter2" not in repr(found)


def test_no_problem_shows_a_secret(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2")
    text = SMALL.replace("type: lake", 'type: warehouse, uri: "${secret:key}"')
    found = told(text, env={"OPENBELL_SECRETS_DIR": str(tmp_path)})
    assert found == ["openbell.yaml:5:35: storage.primary.uri: '********' is no place"]


def test_systemds_credentials_win(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
    (tmp_path / "c.yaml").write_text(VENDOR)
    env = {
        "CREDENTIALS_DIRECTORY": str(tmp_path / "one"),
        "OPENBELL_SECRETS_DIR": str(tmp_path / "two"),
    }
    found = load_deployment(tmp_path / "c.yaml", registry=RegistryDouble(), env=env)
    assert found.secrets == ("one",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "secret 'key' does not exist (did you mean 'keys'?)"),
        (b"", "secret 'key' is empty"),
        (b"\xff", "secret 'key' cannot be read: it is not UTF-8 text"),
        (b"x" * (1024 * 1024 + 1), "secret 'key' is larger than 1 MiB"),
    ],
)
def test_a_secret_that_cannot_be_used_names_its_key(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    (tmp_path / "keys").write_text("x")
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    found = told(VENDOR, env={"OPENBELL_SECRETS_DIR": str(tmp_path)})
    assert found == [f"openbell.yaml:3:36: providers.made_up.api_key: {problem}"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_secret_without_permission_says_so(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(0)
    assert "Permission denied" in told(VENDOR, env={"OPENBELL_SECRETS_DIR": str(tmp_path)})[0]


def test_the_demo_loads_with_the_installed_plugins(tmp_path: Path) -> None:
    found = load_deployment(demo_document(tmp_path), registry=load_plugins(), env={})
    assert list(found.pipelines) == [DEMO_JOB]
    assert list(found.datasets) == [DEMO_DATASET]
    assert found.storage["primary"].settings["uri"] == str(tmp_path / "lake")
    assert demo_text().startswith("#")
    assert found.refused == {}


@pytest.mark.parametrize("text", [EXAMPLE, demo_text()], ids=["example", "demo"])
def test_the_installed_plugins_schema_accepts_what_loads(text: str) -> None:
    schema = json_schema(load_plugins())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(read_text(text, "f").plain())] == []


def test_the_example_loads_with_the_installed_plugins(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(EXAMPLE)
    found = load_deployment(tmp_path / "c.yaml", registry=load_plugins(), env={})
    assert set(found.pipelines) == {"synthetic_live", "synthetic_backfill", "eod_equities"}
    assert found.refused == {}
