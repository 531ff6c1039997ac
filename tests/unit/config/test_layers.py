"""Flag over environment over profile over file over default."""

from __future__ import annotations

import pytest
from doubles.configurations import EXAMPLE, SMALL, loaded, told
from doubles.registry import RefusedDouble, RegistryDouble

from openbell.config.environment import variables
from openbell.config.origins import nested, settings_in_force

pytestmark = pytest.mark.unit

LEVEL = "telemetry: {log_level: WARNING}\nprofiles: {p: {telemetry: {log_level: ERROR}}}\n"


def level(**how: object) -> tuple[str, str]:
    found = loaded(SMALL + LEVEL, **how)  # type: ignore[arg-type]  # keyword arguments of loaded
    settings = settings_in_force(found, RegistryDouble())
    [setting] = [one for one in settings if one.key == "telemetry.log_level"]
    assert setting.value == found.deployment.telemetry.log_level
    return str(setting.value), setting.origin


def test_each_layer_wins_over_those_below_and_is_named() -> None:
    env = {"OPENBELL_TELEMETRY__LOG_LEVEL": "CRITICAL"}
    flag = {"telemetry.log_level": "DEBUG"}
    assert level() == ("WARNING", "openbell.yaml:8")
    assert level(profile="p") == ("ERROR", "profile p openbell.yaml:9")
    assert level(profile="p", env=env) == ("CRITICAL", "environment OPENBELL_TELEMETRY__LOG_LEVEL")
    assert level(profile="p", env=env, overrides=flag) == ("DEBUG", "flag telemetry.log_level")
    [default] = [
        one
        for one in settings_in_force(loaded(SMALL), RegistryDouble())
        if one.key == "telemetry.log_level"
    ]
    assert (default.value, default.origin) == ("INFO", "default")


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ({}, "dev"),
        ({"env": {"OPENBELL_PROFILE": "prod"}}, "prod"),
        ({"env": {"OPENBELL_PROFILE": ""}}, "dev"),
        ({"env": {"OPENBELL_PROFILE": "nope"}, "profile": "prod"}, "prod"),
        ({"profile": "dev"}, "dev"),
    ],
)
def test_the_profile_is_chosen_by_flag_then_environment_then_file(
    how: dict[str, object], name: str
) -> None:
    deployment = loaded(EXAMPLE, **how).deployment  # type: ignore[arg-type]  # keyword arguments
    assert deployment.profile == name
    expected = "file:///var/lib/lake" if name == "prod" else "/etc/openbell/data/lake"
    assert deployment.storage["primary"].settings["uri"] == expected


def test_without_any_profile_the_name_is_default() -> None:
    assert loaded(SMALL).deployment.profile == "default"


def test_a_profile_that_was_asked_for_must_exist() -> None:
    assert told(EXAMPLE, profile="prd") == [
        "flag --profile: profile: profile 'prd' does not exist (there are: prod)"
    ]
    assert "there are: none" in told(SMALL, profile="x")[0]


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        ("3", "profiles.p: must be a mapping"),
        ("{version: 2}", "profiles.p.version: may not stand in a profile"),
        ("{profiles: {}}", "profiles.p.profiles: may not stand in a profile"),
        ("{zzz: 1}", "zzz: is not a section that is known"),
    ],
)
def test_what_a_profile_may_not_hold(profile: str, problem: str) -> None:
    assert problem in told(SMALL + f"profiles: {{p: {profile}}}\n", profile="p")[0]


def test_names_in_the_environment_match_whatever_their_case() -> None:
    text = SMALL.replace("made_up", "Made_Up")
    found = loaded(text, env={"OPENBELL_PROVIDERS__MADE_UP__SEED": "7"}).deployment
    assert found.providers["Made_Up"].settings == {"seed": "7"}


def test_lists_and_mappings_in_the_environment_are_yaml() -> None:
    env = {
        "OPENBELL_DATASETS__BARS__SYMBOLS": "[ON, 'X']",
        "OPENBELL_PROVIDERS": "ignored",
        "OPENBELL_SECRETS_DIR": "/nowhere",
        "OPENBELL_TELEMETRY__METRICS__PORT": "8080",
        "OPENBELL_FEATURES__WRITE_ENABLED": "False",
        "OTHER__X": "1",
    }
    found = loaded(SMALL, env=env).deployment
    assert found.datasets["bars"].symbols == ("ON", "X")
    assert found.telemetry.metrics_port == 8080
    assert found.features.write_enabled is False


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        (
            {"OPENBELL_DEAMON__MAX_WORKERS": "1"},
            (
                "environment OPENBELL_DEAMON__MAX_WORKERS: deamon: is not a section that is known "
                "(did you mean 'daemon'?)"
            ),
        ),
        (
            {"OPENBELL_DAEMON__MAX_WORKERS": "many"},
            (
                "environment OPENBELL_DAEMON__MAX_WORKERS: daemon.max_workers: must be a whole "
                "number, not 'many'"
            ),
        ),
        (
            {"OPENBELL_DATASETS__BARS__SYMBOLS": "[A"},
            "environment OPENBELL_DATASETS__BARS__SYMBOLS:1:3: while parsing a flow",
        ),
        (
            {"OPENBELL_DATASETS__BARS__SYMBOLS__0": "A"},
            "datasets.bars.symbols: must be a list, not a mapping",
        ),
    ],
)
def test_a_wrong_variable_is_named(env: dict[str, str], problem: str) -> None:
    assert any(problem in one for one in told(SMALL, env=env))


def test_a_wrong_flag_is_named() -> None:
    assert told(SMALL, overrides={"daemon.max_workers": "0"}) == [
        "flag daemon.max_workers: daemon.max_workers: must be at least 1, not '0'"
    ]
    assert "must be a mapping" in told(SMALL, overrides={"daemon": "[1]"})[0]


def test_variables_that_are_no_settings_are_left_alone() -> None:
    assert variables({"OPENBELL_SHARED": "x", "OPENBELL___X": "", "PATH": "y"}) == {}


def test_the_view_nests_what_is_in_force() -> None:
    view = nested(settings_in_force(loaded(EXAMPLE), RegistryDouble()))
    assert view["datasets"]["eod_bars"]["symbols"] == ["AAPL", "MSFT"]
    assert view["calendars"]["overlays"][0]["date"] == "2025-01-09"
    assert view["pipelines"]["eod_equities"]["nodes"]["check"]["needs"] == ["fetch"]
    assert view["pipelines"]["eod_equities"]["nodes"]["fetch"]["retry"]["max_attempts"] == 3
    assert view["storage"]["primary"]["write"]["batch_size"] == 1000
    assert "profiles" not in view


def test_the_view_shows_what_a_refused_plugin_was_given() -> None:
    registry = RegistryDouble(refused=(RefusedDouble("provider-x", "openbell-provider-x", "no"),))
    del registry.providers["synthetic"]
    found = loaded(SMALL.replace("type: synthetic", "type: synthetic, seed: 7"), registry=registry)
    assert nested(settings_in_force(found, registry))["providers"]["made_up"]["seed"] == 7


def test_secrets_are_masked_in_the_view() -> None:
    text = SMALL.replace(
        "type: synthetic", "type: vendor, api_key: hunter2, headers: {x: 'Bearer hunter3'}"
    ).replace("type: lake", "type: warehouse, uri: 'pg://hunter2@host'")
    found = loaded(text)
    shown = nested(settings_in_force(found, RegistryDouble()))
    assert "hunter" not in str(shown)
    assert shown["storage"]["primary"]["password"] == ""
    assert found.deployment.secrets == ("Bearer hunter3", "hunter2")
    assert found.deployment.providers["made_up"].settings["api_key"] == "hunter2"
    assert "hunter" not in repr(found.deployment)
