"""`mdp template`: what there is, what it takes, what it makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.command import mdp

pytestmark = pytest.mark.integration

CONFIG = """\
version: 2
providers: {made: {type: synthetic}}
storage: {primary: {type: lake, uri: ./lake}}
datasets: {bars: {provider: made, symbols: [A], interval: 1d, calendar: XLON}}
"""


def test_the_templates_are_listed() -> None:
    found = mdp("template", "list", "-o", "json").json
    assert {"market_data_daily", "ml_training"} <= {entry["template"] for entry in found}
    assert all(entry["summary"] for entry in found)
    assert "market_data_intraday  one dataset again" in mdp("template", "list").out


def test_a_template_explains_its_parameters() -> None:
    shown = mdp("template", "show", "market_data_daily")
    assert "once after every session" in shown.err
    assert "dataset" in shown.out
    found = mdp("template", "show", "market_data_daily", "-o", "json").json
    by_name = {param["parameter"]: param for param in found["params"]}
    assert by_name["dataset"]["default"] == "required"
    assert by_name["close_offset"]["default"] == "30m"


def test_a_template_that_does_not_exist_is_told_with_the_nearest() -> None:
    done = mdp("template", "show", "market_data_dayly")
    assert done.code == 4
    assert "did you mean 'market_data_daily'?" in done.err


def test_a_template_is_rendered_as_the_pipeline_it_makes(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG)
    asked = ("template", "render", "market_data_daily", "--name", "eod", "-p", "dataset=bars")
    found = mdp(*asked, "-p", "rules=[ohlc]", "-c", tmp_path / "c.yaml", "-o", "json").json
    made = found["pipelines"]["eod"]
    assert made["schedule"] == ["XLON close + 30m"]
    assert made["nodes"]["check"]["rules"] == ["ohlc"]
    yaml = mdp(*asked, "-c", tmp_path / "c.yaml").out
    (tmp_path / "whole.yaml").write_text(CONFIG + yaml)
    assert mdp("validate", "-c", tmp_path / "whole.yaml").code == 0


@pytest.mark.parametrize(
    ("given", "code", "problem"),
    [
        ((), 78, "with.dataset: is required"),
        (("-p", "datset=x"), 78, "did you mean 'dataset'?"),
        (("-p", "dataset=x"), 78, "is not known without a configuration; give it"),
        (("-p", "dataset"), 2, "write -p KEY=VALUE"),
        (("-p", "dataset=[", "-p", "calendar=XNYS"), 78, "flag -p dataset"),
    ],
)
def test_what_is_given_wrong_is_told(
    *,
    given: tuple[str, ...],
    code: int,
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = mdp("template", "render", "market_data_daily", *given)
    assert done.code == code
    assert problem in done.err
