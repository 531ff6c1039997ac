"""Schedules in a configuration are read when it is loaded."""

from __future__ import annotations

import pytest
from doubles.configurations import SMALL, loaded, told

pytestmark = pytest.mark.unit

JOB = "jobs:\n  j:\n    dataset: bars\n    mode: backfill\n    schedule:\n"


def test_several_schedules_are_kept_as_they_are_written() -> None:
    text = SMALL + JOB + "      - XNYS close + 30m  # each day\n      - cron '0 7 * * 1-5' UTC\n"
    found = loaded(text).deployment.pipelines["j"]
    expressions = [use.expression for use in found.schedule]
    assert expressions == ["XNYS close + 30m", "cron '0 7 * * 1-5' UTC"]


def test_a_wrong_one_is_told_with_its_line_its_column_and_its_character() -> None:
    text = SMALL + JOB + "      - XNYS close\n      - NYSE clse + 30m\n"
    line = text.splitlines().index("      - NYSE clse + 30m") + 1
    (problem,) = told(text)
    assert f":{line}:9: jobs.j.schedule[1]: 'clse' is no event of XNYS at character 6" in problem
    assert "did you mean 'close'?" in problem


def test_two_that_mean_the_same_are_told() -> None:
    text = SMALL + JOB + "      - XNYS close + 60m\n      - NYSE  close + 1h\n"
    (problem,) = told(text)
    assert "'NYSE  close + 1h' means the same as 'XNYS close + 60m'" in problem


def test_calendars_of_the_configuration_and_their_events_are_known() -> None:
    define = (
        "calendars:\n  define:\n    CME_Equity: {base: CMES, events: {settle: '15:00'}}\n"
        + JOB
        + "      - CME_Equity settle + 15m\n"
    )
    (use,) = loaded(SMALL + define).deployment.pipelines["j"].schedule
    assert use.expression == "CME_Equity settle + 15m"
    (problem,) = told(SMALL + define.replace("settle + 15m", "setle + 15m"))
    assert "did you mean 'settle'?" in problem
