"""Schedules in a configuration are read when it is loaded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from doubles.configurations import FILE, SMALL, loaded, told
from doubles.registry import RegistryDouble

from openbell.config.json_schema import json_schema
from openbell.config.origins import nested, settings_in_force
from openbell.config.reader import read_text
from openbell.model.pipelines import Pipeline
from openbell.model.schedules import MissedRule, ScheduleUse

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


FLOW = "pipelines:\n  p:\n    params: {depth: 1}\n    nodes: {fetch: {op: ingest, dataset: bars}}\n"


def pipeline(more: str) -> Pipeline:
    return loaded(SMALL + FLOW + more).deployment.pipelines["p"]


def the_use(entry: str) -> ScheduleUse:
    (use,) = pipeline(f"    schedule: {entry}\n").schedule
    return use


def the_problem(more: str) -> str:
    (problem,) = told(SMALL + FLOW + more)
    return problem


def test_a_single_text_and_a_single_mapping_are_schedules_as_well() -> None:
    assert the_use("XNYS close + 30m") == ScheduleUse(expression="XNYS close + 30m")
    assert the_use("{when: XNYS close + 30m}") == ScheduleUse(expression="XNYS close + 30m")


def test_all_that_can_be_said_of_a_schedule_is_kept() -> None:
    use = the_use(
        "[{when: cron '30 2 * * *' Europe/London, dst: {missing: skip, duplicate: last}, "
        "active: {from: 2026-12-01, until: 2027-01-31T00:00+01:00}, jitter: 30s, "
        "on_missed: {catch: latest, most: 7, spread: 500}, params: {depth: 2}}]"
    )
    assert use == ScheduleUse(
        expression="cron '30 2 * * *' Europe/London",
        dst_missing="skip",
        dst_duplicate="last",
        active_from=datetime(2026, 12, 1, tzinfo=UTC),
        active_until=datetime(2027, 1, 30, 23, tzinfo=UTC),
        jitter_s=30.0,
        on_missed=MissedRule(catching="latest", most=7, spread_s=500.0),
        params={"depth": 2},
    )


@pytest.mark.parametrize("word", ["run_all", "latest", "coalesce", "skip"])
def test_one_word_says_which_missed_fires_run(word: str) -> None:
    use = the_use(f"{{when: XNYS close, on_missed: {word}}}")
    assert use.on_missed == MissedRule(catching=word)  # type: ignore[arg-type]


def test_a_deadline_says_which_missed_fires_run() -> None:
    use = the_use("{when: XNYS close, on_missed: {if_before: XLON open, spread: 0}}")
    expected = MissedRule(catching="if_before", if_before="XLON open", spread_s=0.0)
    assert use.on_missed == expected


def test_what_a_pipeline_says_of_missed_fires_holds_for_schedules_that_say_nothing() -> None:
    found = pipeline(
        "    on_missed: latest\n    overlap: skip\n"
        "    schedule: [XNYS open, {when: XNYS close, on_missed: skip}]\n"
    )
    assert [use.on_missed.catching for use in found.schedule] == ["latest", "skip"]
    assert found.overlap == "skip"


def test_jobs_have_the_same_keys() -> None:
    text = SMALL + JOB.replace("    schedule:\n", "    overlap: allow\n    on_missed: coalesce\n")
    found = loaded(text + "    schedule: {when: XNYS open, params: {from: 2026-01-02}}\n")
    job = found.deployment.pipelines["j"]
    assert (job.overlap, job.schedule[0].on_missed.catching) == ("allow", "coalesce")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        pytest.param(
            "{when: XNYS clse}",
            "pipelines.p.schedule[0].when: 'clse' is no event of XNYS at character 6",
            id="a wrong expression",
        ),
        pytest.param(
            "{when: XNYS session at 09:00 Mars/Base}",
            "time zone 'Mars/Base' is unknown at character 23",
            id="an unknown zone",
        ),
        pytest.param(
            "{when: XNYS open, active: {from: 2026-12-02, until: 2026-12-01}}",
            "active.until: ends before it begins (from must be before until)",
            id="an end before the start",
        ),
        pytest.param(
            "{when: XNYS open, active: {from: 2026-12-02, until: 2026-12-02}}",
            "active.until: never begins",
            id="an end at the start",
        ),
        pytest.param(
            "{when: XNYS open, active: {from: 2026-12-02T10:00}}",
            "'2026-12-02T10:00' has no time zone; write it as 2026-01-31",
            id="an instant without a zone",
        ),
        pytest.param(
            "{when: XNYS open, active: {from: tomorrow}}",
            "'tomorrow' is no instant",
            id="no instant",
        ),
        pytest.param(
            "{when: XNYS open, active: {from: 2026}}", "must be an instant, not 2026", id="a number"
        ),
        pytest.param(
            "{when: XNYS open, jitter: -30}",
            "jitter: must be longer than nothing and at most 366 days, not -30",
            id="a negative jitter",
        ),
        pytest.param(
            "{when: XNYS open, jitter: 25h}", "jitter: must be at most 24h", id="a long jitter"
        ),
        pytest.param(
            "{when: XNYS open, on_missed: {if_before: XLON opne}}",
            "on_missed.if_before: 'opne' is no event of XLON at character 6 of 'XLON opne'",
            id="a wrong deadline",
        ),
        pytest.param(
            "{when: XNYS open, on_missed: {if_before: XLON open, catch: skip}}",
            "on_missed.catch: says with if_before already which missed fires run",
            id="two policies",
        ),
        pytest.param(
            "{when: XNYS open, on_missed: none}",
            "must be one of run_all, latest, coalesce, skip, or a mapping, not 'none'",
            id="an unknown policy",
        ),
        pytest.param(
            "{when: XNYS open, on_missed: {most: 0}}",
            "on_missed.most: must be at least 1",
            id="a cap of nothing",
        ),
        pytest.param(
            "{when: XNYS open, dst: {missing: both}}",
            "dst.missing: must be 'shift' or 'skip', not 'both'",
            id="an unknown policy for clocks",
        ),
        pytest.param(
            "{when: XNYS open, params: {dept: 2}}",
            "params.dept: parameter 'dept' does not exist (did you mean 'depth'?)",
            id="an unknown parameter",
        ),
        pytest.param("{when: XNYS open, wen: 1}", "did you mean 'when'?", id="an unknown key"),
        pytest.param("{jitter: 1s}", "schedule[0].when: is required", id="no expression"),
        pytest.param("[7]", "schedule[0]: must be a mapping, not 7", id="a number in the list"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_told_with_its_place(entry: str, problem: str) -> None:
    line = len((SMALL + FLOW).splitlines()) + 1
    found = the_problem(f"    schedule: {entry}\n")
    assert found.startswith(f"{FILE}:{line}:") or f":{line}:" in found
    assert problem in found


def test_a_wrong_deadline_of_the_whole_pipeline_is_told_once() -> None:
    found = the_problem("    on_missed: {if_before: XLON}\n    schedule: [XNYS open, XNYS close]\n")
    assert "pipelines.p.on_missed.if_before: an event of XLON is missing at character 5" in found


def test_policies_for_clocks_are_a_part_of_the_meaning() -> None:
    cron = "cron '30 2 * * *' Europe/London"
    beside = f"{{when: {cron}, dst: {{missing: skip}}}}"
    assert len(pipeline(f'    schedule: ["{cron}", {beside}]\n').schedule) == 2
    problem = the_problem(f'    schedule: ["{cron} missing skip", {beside}]\n')
    assert "means the same as" in problem


@pytest.mark.parametrize(
    ("schedule", "is_valid"),
    [
        pytest.param("XNYS close", True, id="a text"),
        pytest.param({"when": "XNYS close", "on_missed": "latest"}, True, id="a mapping"),
        pytest.param(["XNYS close", {"when": "every 5m", "jitter": "5s"}], True, id="a list"),
        pytest.param({"wen": "XNYS close"}, False, id="an unknown key"),
        pytest.param({"when": "XNYS close", "on_missed": "never"}, False, id="an unknown word"),
        pytest.param(7, False, id="a number"),
    ],
)
def test_the_json_schema_knows_the_short_forms(schedule: Any, *, is_valid: bool) -> None:
    document = read_text(SMALL + FLOW, FILE).plain()
    document["pipelines"]["p"]["schedule"] = schedule
    validator = jsonschema.Draft202012Validator(json_schema(RegistryDouble()))
    assert validator.is_valid(document) is is_valid


def test_the_view_shows_schedules_as_they_are_written() -> None:
    for entry in ("XNYS close", "[XNYS close, {when: XNYS open}]", "{when: XNYS open}"):
        text = SMALL + FLOW + f"    schedule: {entry}\n"
        found = nested(settings_in_force(loaded(text), RegistryDouble()))
        shown = found["pipelines"]["p"]["schedule"]
        if entry.startswith("["):
            assert shown[0] == "XNYS close"
            assert (shown[1]["when"], shown[1]["jitter"]) == ("XNYS open", 0.0)
        elif entry.startswith("{"):
            assert shown["when"] == "XNYS open"
        else:
            assert shown == "XNYS close"
