"""What a look ahead finds in schedules, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from doubles.lookahead import NEW_YORK, START, WEEK, WEEKDAYS, deployment, look, only, pipeline
from doubles.sessions import NAMES, made

from openbell.model.pipelines import (
    Node,
    Pacing,
    Pipeline,
    ProviderUse,
    Rehearsal,
)
from openbell.model.schedules import ScheduleUse
from openbell.schedule import conflicts_runs
from openbell.schedule.conflicts import calendars_of
from openbell.schedule.conflicts_values import RunLength, length_of, p95, span_text

pytestmark = pytest.mark.unit


def test_two_writers_of_one_dataset_at_overlapping_times_are_told() -> None:
    found = only(
        *look(
            pipeline("eod", "XNYS close + 30m", expected_s=900),
            pipeline("again", "XNYS close + 37m", source="london", into="raw", expected_s=60),
        )
    )
    assert (found.kind, found.severity, found.pipelines) == (
        "writers",
        "conflict",
        ("again", "eod"),
    )
    assert found.about == {"storage": "primary", "dataset": "raw"}
    assert found.count == 22
    assert [str(day) for day in found.first] == [
        *("2026-06-01", "2026-06-02", "2026-06-03", "2026-06-04", "2026-06-05")
    ]
    assert "both write raw in primary for up to 1m" in found.message
    assert found.fix == "let eod run `after: [again]`, or shift it to 'XNYS close + 35m'"


@pytest.mark.parametrize(
    "other",
    [
        pipeline("other", "XNYS close + 45m", expected_s=60),
        pipeline("other", "XNYS close + 30m", into="elsewhere"),
        pipeline("other", "XNYS close + 30m", to="archive"),
        pipeline("other", "XNYS close + 30m", after=("eod",), give_up_s=3600.0),
        pipeline("other"),
        Pipeline(
            name="other",
            schedule=(ScheduleUse(expression="XNYS close + 30m"),),
            nodes=(Node(name="publish", op="write", needs={"gone": ()}, settings={}),),
        ),
    ],
)
def test_writers_that_are_kept_apart_are_no_conflict(other: Pipeline) -> None:
    found = look(pipeline("eod", "XNYS close + 30m", expected_s=900), other)
    assert [one for one in found if one.kind == "writers"] == []


def test_of_an_unknown_duration_only_equal_instants_meet() -> None:
    eod = pipeline("eod", "XNYS close + 30m")
    same = only(*look(eod, pipeline("same", "XNYS close + 30m")))
    assert "its duration is unknown" in same.message
    assert "at the same moment" in same.message
    assert look(eod, pipeline("same", "XNYS close + 30m1s")) == []


def test_two_that_cannot_be_moved_by_an_expression_are_told_to_wait() -> None:
    both = [pipeline(name, "cron '0 6 * * *' UTC") for name in ("one", "two")]
    assert only(*look(*both)).fix == "let two run `after: [one]`"


def test_a_consumer_that_is_early_in_some_weeks_is_told_with_the_weeks() -> None:
    found = only(
        *look(
            pipeline("uk", "XLON close + 15m", source="london", expected_s=600),
            pipeline("report", "XNYS close + 40m", into="report", after=("uk",)),
        )
    )
    assert (found.kind, found.severity, found.pipelines) == ("early", "conflict", ("report", "uk"))
    assert (found.about, found.count) == ({"producer": "uk"}, 5)
    assert [str(day) for day in found.weeks] == ["2026-06-08"]
    assert [str(day) for day in found.first] == list(WEEK)
    assert "due up to 45m before uk is there (uk: 10m as declared) in 5 of 22" in found.message
    assert "by the clock of uk: 'XLON close + 25m'" in found.fix
    assert "shift report to 'XNYS close + 1h25m'" in found.fix
    assert "`give_up: 45m`" in found.fix


@pytest.mark.parametrize(
    ("give_up_s", "schedule", "severity", "words"),
    [
        (3600.0, "XNYS close + 40m", "note", "it waits, and does not give up"),
        (60.0, "XNYS close + 40m", "conflict", "it gives up after 1m"),
        (None, "XNYS close", "note", "it waits, as on most days"),
    ],
)
def test_a_consumer_that_means_to_wait_is_only_noted(
    give_up_s: float | None, schedule: str, severity: str, words: str
) -> None:
    found = only(
        *look(
            pipeline("uk", "XLON close + 15m", source="london", expected_s=600),
            pipeline(
                "report",
                schedule,
                into="report",
                needs_dataset={"london": "session"},
                give_up_s=give_up_s,
            ),
        )
    )
    assert (found.kind, found.severity, found.about) == ("early", severity, {"dataset": "london"})
    assert words in found.message


def test_only_the_sessions_in_which_a_consumer_gives_up_are_dated() -> None:
    found = only(
        *look(
            pipeline("uk", "XLON close + 15m", source="london", expected_s=600),
            pipeline(
                "report",
                "XNYS close",
                into="report",
                needs_dataset={"london": "session"},
                give_up_s=2520.0,
            ),
        )
    )
    assert (found.severity, found.count) == ("conflict", len(WEEK))
    assert [str(day) for day in found.first] == list(WEEK)
    assert "it gives up after 42m, in 5 of them" in found.message


def test_a_cron_that_runs_for_the_session_before_on_some_days_is_a_conflict() -> None:
    found = only(
        *look(
            pipeline("uk", "XLON close + 15m", source="london", expected_s=600),
            pipeline(
                "report",
                "cron '30 17 * * 1-5' UTC",
                source="london",
                into="report",
                after=("uk",),
                give_up_s=86_400.0,
            ),
        )
    )
    assert (found.kind, found.severity, found.count) == ("early", "conflict", 5)
    assert "on some of them it runs for the session before instead" in found.message
    assert "give_up" not in found.fix


def test_a_cron_of_the_morning_after_is_in_time() -> None:
    report = pipeline(
        "report", "cron '0 6 * * 2-6' UTC", source="london", into="report", after=("uk",)
    )
    uk = pipeline("uk", "XLON close + 15m", source="london", expected_s=600)
    assert look(uk, report) == []


def test_sessions_that_nobody_produces_are_told() -> None:
    holidays = made(
        [day for day in WEEKDAYS if day != "2026-06-19"], first="2026-05-01", last="2026-08-08"
    )
    found = only(
        *look(
            pipeline("ny", "XNYS close", expected_s=60),
            pipeline("report", "XLON close + 2h", source="london", into="x", after=("ny",)),
            tables={"XNYS": holidays, "XLON": NEW_YORK},
        )
    )
    assert (found.kind, found.severity, found.count) == ("never_produced", "conflict", 1)
    assert found.first == (date(2026, 6, 19),)
    assert "it waits for ever" in found.message
    assert "'XLON close + 2h & XNYS session'" in found.fix


def test_a_producer_that_has_no_calendar_leaves_one_way_out() -> None:
    report = pipeline("report", "XNYS close", into="x", after=("ny",), give_up_s=60.0)
    producer = pipeline("ny", "cron '0 19 1-7 * *' UTC", expected_s=60)
    found = {one.kind: one for one in look(producer, report)}
    assert found["never_produced"].fix == "schedule both by one calendar"
    assert "it waits until it gives up" in found["never_produced"].message


def test_producers_that_nobody_schedules_are_not_judged() -> None:
    report = pipeline("report", "XNYS close", into="x", after=("ny", "refused"))
    assert look(pipeline("ny"), report) == []


def test_whoever_waits_through_another_is_no_second_writer() -> None:
    first = pipeline("a", "XNYS close", expected_s=60)
    second = pipeline("b", "XNYS close + 5m", into="x", after=("a",))
    third = pipeline("c", "XNYS close", after=("b",), give_up_s=1e6)
    assert {one.kind for one in look(first, second, third)} == {"early"}


def test_a_pool_that_is_too_small_is_told_once_with_its_peak() -> None:
    those = [
        pipeline(f"p{n}", f"XNYS close + {n}m", into=f"x{n}", pool="db", expected_s=120)
        for n in range(3)
    ]
    found = only(*look(*those, pools={"db": 1, "spare": 1}))
    assert (found.kind, found.about, found.count) == ("pool", {"pool": "db"}, 22)
    assert found.pipelines == ("p0", "p1", "p2")
    assert "up to 2 runs want a slot of pool db at once; it has 1" in found.message
    assert found.fix == "set `pools: {db: 2}`, or shift p1 to 'XNYS close + 6m'"
    assert look(*those, pools={"db": 2}) == []


def test_pipelines_without_expressions_to_shift_may_wait_for_each_other() -> None:
    those = [pipeline(n, "cron '0 6 * * *' UTC", into=n, pool="db") for n in ("a", "b")]
    found = only(*look(*those, pools={"db": 1}))
    assert found.fix == "set `pools: {db: 2}`, or let some of them run `after` the others"


def test_runs_of_one_pipeline_follow_each_other_unless_they_may_overlap() -> None:
    slow = {"source": "raw", "pool": "db", "expected_s": 900.0}
    assert look(pipeline("p", "every 6h", "every 10m", **slow), pools={"db": 1}) == []
    over = look(pipeline("p", "every 10m", **slow, overlap="allow"), pools={"db": 1})
    assert only(*over).kind == "pool"


def test_more_requests_than_a_budget_gives_are_told() -> None:
    vendor = ProviderUse(name="vendor", type="x", pacing=Pacing(requests_per_minute=30, burst=10))
    other = ProviderUse(name="other", type="x", pacing=Pacing(requests_per_minute=1))
    providers = {"vendor": vendor, "other": other}
    slow = pipeline("slow", "XNYS close", source="wide", expected_s=60)
    found = only(*look(slow, providers=providers))
    assert (found.kind, found.about, found.count) == ("budget", {"provider": "vendor"}, 22)
    assert "waits up to 2m40s" in found.message
    assert "an estimate" in found.message
    assert look(pipeline("slow", "XNYS close", source="wide"), providers=providers) == []
    often = pipeline("often", "XNYS every 2m in [open, open + 1h]", source="wide")
    assert only(*look(often, providers=providers)).kind == "budget"
    silent = pipeline("silent", "at 2020-01-01T00:00Z", source="wide")
    assert [one.kind for one in look(silent, providers=providers)] == ["fires"]


def test_fires_past_a_horizon_are_told() -> None:
    short = made(WEEKDAYS[:30], first="2026-05-01", last="2026-06-20")
    found = only(*look(pipeline("eod", "XNYS close"), tables={"XNYS": short}))
    assert (found.kind, found.about, found.first) == (
        "horizon",
        {"calendar": "XNYS"},
        (date(2026, 6, 21),),
    )
    assert found.count == 10
    assert "is known to 2026-06-20" in found.message
    past = made(WEEKDAYS[:3], first="2026-05-01", last="2026-05-07")
    found = look(pipeline("eod", "XNYS close"), tables={"XNYS": past})[0]
    assert found.message.endswith("knows none of these days: nothing fires by it")


def test_a_calendar_that_fails_is_a_conflict_and_hides_no_other() -> None:
    found = look(
        pipeline("bad", "XTAE close", into="x"),
        pipeline("eod", "XNYS close"),
        pipeline("same", "XNYS close"),
        failures={"XTAE": "calendar 'XTAE' cannot be built: of no use"},
    )
    assert [one.kind for one in found] == ["calendar", "writers"]
    assert found[0].about == {"calendar": "XTAE"}
    assert "cannot be built: of no use" in found[0].message
    assert "policies: {XTAE: weekmask}" in found[0].fix
    assert found[0].message.count("of no use") == 1
    lost = only(*look(pipeline("bad", "XTKS close")))
    assert "calendar XTKS has no sessions here" in lost.message


def test_a_cron_over_a_dataset_whose_calendar_fails_is_told() -> None:
    found = only(
        *look(
            pipeline("report", "cron '0 6 * * *' UTC", source="london"),
            tables={"XNYS": NEW_YORK},
        )
    )
    assert (found.kind, found.about) == ("calendar", {"calendar": "XLON"})


def test_a_cron_without_a_dataset_is_about_no_session() -> None:
    alone = Pipeline(
        name="alone",
        schedule=(ScheduleUse(expression="cron '0 6 * * *' UTC"),),
        nodes=(Node(name="go", op="command"),),
        after=("eod",),
    )
    assert look(alone, pipeline("eod", "XNYS close")) == []


def test_what_is_looked_at_in_part_or_never_fires_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conflicts_runs, "MOST_RUNS", 500)
    found = look(pipeline("often", "every 15m"), pipeline("past", "at 2020-01-01T00:00Z", into="x"))
    assert [(one.kind, one.severity) for one in found] == [("fires", "note")] * 2
    assert "only the first 500 fires of 'every 15m'" in found[0].message
    assert "does not fire in this time" in found[1].message


def test_jitter_and_the_time_in_which_a_schedule_is_active_count() -> None:
    eod = pipeline("eod", "XNYS close")
    jittered = ScheduleUse(expression="XNYS close", jitter_s=3600)
    other = Pipeline(name="other", schedule=(jittered,), nodes=eod.nodes)
    assert look(eod, other) == []
    use = ScheduleUse(
        expression="XNYS close",
        active_from=datetime(2026, 6, 3, tzinfo=UTC),
        active_until=datetime(2026, 6, 5, tzinfo=UTC),
    )
    other = Pipeline(name="other", schedule=(use,), nodes=eod.nodes)
    assert only(*look(eod, other)).first == (date(2026, 6, 3), date(2026, 6, 4))


def test_grids_with_jitter_keep_their_order() -> None:
    use = ScheduleUse(expression="every 1m", jitter_s=600)
    one = Pipeline(name="one", schedule=(use,), nodes=pipeline("x").nodes)
    assert look(one, end=START + timedelta(days=2)) == []


def test_the_calendars_that_are_needed_are_those_of_schedules_and_sources() -> None:
    found = calendars_of(
        deployment(
            pipeline("a", "XNYS close & XTKS in_session", source="london"),
            pipeline("idle", source="wide"),
        ),
        NAMES,
    )
    assert found == ("XNYS", "XTKS", "XLON")


def test_how_long_a_run_takes_is_said_by_whoever_knows_best() -> None:
    rehearsed = pipeline("p", rehearsal={"fetch": Rehearsal(duration_s=40)})
    declared = pipeline("p", expected_s=90.0, rehearsal=rehearsed.rehearsal)
    assert length_of(declared, [1.0, 5.0]).text == "5s by its last runs"
    assert length_of(declared).text == "1m30s as declared"
    assert length_of(rehearsed).text == "40s by its rehearsal"
    assert length_of(pipeline("p")).text == "its duration is unknown"
    assert p95([float(n) for n in range(1, 101)]) == 95.0
    assert p95([3.0]) == 3.0
    assert span_text(0) == "0s"
    assert span_text(90_061_000_000) == "1d1h1m1s"


def test_what_history_knows_goes_over_what_is_declared() -> None:
    those = [
        pipeline("a", "XNYS close", expected_s=60),
        pipeline("b", "XNYS close + 5m", expected_s=60),
    ]
    assert look(*those) == []
    slow = {"a": RunLength(seconds=600.0, source="history")}
    assert "a (10m by its last runs)" in only(*look(*those, lengths=slow)).message
