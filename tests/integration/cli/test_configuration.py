from __future__ import annotations

import json
from pathlib import Path

import pytest
from doubles.command import mdp

pytestmark = pytest.mark.integration

GOOD = """\
version: 2
providers:
  made: {type: synthetic, seed: 42}
storage:
  primary: {type: lake, uri: "./lake"}
datasets:
  smoke: {provider: made, schema: bars_ohlcv, symbols: [AAPL], interval: 1d, calendar: XNYS}
jobs:
  fill: {dataset: smoke, mode: backfill, from: 2024-01-02, to: 2024-01-31}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OPENBELL_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "openbell.yaml"
    path.write_text(GOOD)
    return path


def test_a_good_configuration_is_found_and_summed_up(config: Path) -> None:
    done = mdp("validate", "-o", "json")

    assert done.code == 0
    assert (done.json["pipelines"], done.json["datasets"]) == (1, 1)


def test_every_problem_is_told_with_its_place(config: Path) -> None:
    config.write_text(GOOD.replace("symbols:", "symbol:").replace("mode: backfill", "mode: fill"))

    done = mdp("validate", "--config", config)

    assert done.code == 78
    assert done.out == ""
    assert f"{config}:7" in done.err
    assert f"{config}:9" in done.err


def test_without_a_configuration_the_command_says_what_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBELL_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    done = mdp("validate")

    assert done.code == 4
    assert "name one with --config FILE" in done.err


def test_config_view_says_where_values_come_from(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBELL_PROVIDERS__MADE__SEED", "7")
    plain = mdp("config", "view", "-o", "json")
    origins = mdp("config", "view", "--show-origin", "--set", "telemetry.log_level=DEBUG")

    assert int(plain.json["providers"]["made"]["seed"]) == 7
    lines = {line.split()[0]: line for line in origins.out.splitlines()}
    assert "OPENBELL_PROVIDERS__MADE__SEED" in lines["providers.made.seed"]
    assert "telemetry.log_level" in lines["telemetry.log_level"].split(maxsplit=1)[1]
    assert "openbell.yaml:3" in lines["providers.made.type"]


def test_the_schema_is_json(config: Path, tmp_path: Path) -> None:
    printed = mdp("schema")
    written = mdp("schema", "--out", tmp_path / "schema.json")

    assert printed.json["title"]
    assert written.out == ""
    assert json.loads((tmp_path / "schema.json").read_text()) == printed.json


def test_doctor_lists_checks_and_fails_on_a_wrong_configuration(config: Path) -> None:
    good = mdp("doctor", "--socket", "/nowhere/openbell.sock", "-o", "json")
    config.write_text("version: 3\n")
    bad = mdp("doctor", "--socket", "/nowhere/openbell.sock")

    results = {check["check"]: check["result"] for check in good.json}
    assert good.code == 0
    assert (results["configuration"], results["daemon"]) == ("ok", "warn")
    assert bad.code == 3
    assert "not in order: configuration" in bad.err


def test_doctor_sees_a_socket_path_that_is_too_long(config: Path) -> None:
    done = mdp("doctor", "--socket", "/tmp/" + "x" * 120)
    assert done.code == 3
    assert "125 bytes long, 107 fit" in done.out


def test_plugins_lists_what_is_installed() -> None:
    done = mdp("plugins", "-o", "json")

    found = {plugin["name"]: plugin for plugin in done.json}
    assert found["provider-synthetic"]["state"] == "loaded"
    assert found["storage-lake"]["registers"] == {"backend": ["lake"]}


def test_a_wrong_override_is_a_usage_error(config: Path) -> None:
    done = mdp("validate", "--set", "nonsense")
    assert done.code == 2
    assert "hint: write --set KEY=VALUE" in done.err


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("data", "read", "nope"), 4, "dataset 'nope' is not configured; there are: smoke"),
        (("data", "read", "smoke"), 4, "run its job first"),
        (("data", "read", "smoke", "--from", "soon"), 2, "neither a day nor an instant"),
        (("data", "stats", "smoke", "--storage", "x"), 4, "storage 'x' is not configured"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_reading_what_is_not_there_says_so(
    config: Path, *, args: tuple[str, ...], code: int, says: str
) -> None:
    done = mdp(*args)
    assert done.code == code
    assert says in done.err
    assert done.out == ""


def test_reading_can_be_switched_off(config: Path) -> None:
    config.write_text(GOOD + "features: {export_enabled: false}\n")
    done = mdp("data", "read", "smoke")
    assert done.code == 77
    assert "export_enabled" in done.err
