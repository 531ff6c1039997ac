from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from openbell.app.rehearsal.calendar_notes import notes
from openbell.app.rehearsal.chance import chance
from openbell.app.rehearsal.shape import request_count, row_count
from openbell.app.rehearsal.tally import Failure, Queue, Tally
from openbell.app.rehearsal.timeline import Timeline
from openbell.app.rehearsal.watcher import Watcher
from openbell.calendars.store import SessionStore
from openbell.calendars.table import always_open
from openbell.execution.protocol import DatasetTask
from openbell.model import events as ev
from openbell.model.calendars import CalendarDefinition, CalendarRules
from openbell.testing.requests import weekday_sessions

pytestmark = pytest.mark.unit

NOON = datetime(2027, 1, 4, 12, tzinfo=UTC)


def dataset(**changes: object) -> DatasetTask:
    made = DatasetTask(
        dataset="bars",
        provider="v",
        schema="bars_ohlcv",
        keys=(),
        symbols=("A", "B", "C"),
        bar_interval="1d",
        batch_rows=2,
        start_us=0,
        end_us=1,
        sessions=weekday_sessions(date(2027, 1, 4), date(2027, 1, 8)),
    )
    return DatasetTask(**{**{f: getattr(made, f) for f in made.__struct_fields__}, **changes})


def test_chance_is_the_same_number_everywhere() -> None:
    assert chance(7, "eod 2027-01-04", "fetch", 1) == 0.6966774022145034
    assert chance(8, "eod 2027-01-04", "fetch", 1) != chance(7, "eod 2027-01-04", "fetch", 1)
    assert chance(7, "eod 2027-01-04", "fetch", 2) != chance(7, "eod 2027-01-04", "fetch", 1)


def test_chance_is_spread_evenly() -> None:
    drawn = [chance(1, "run", number) for number in range(2000)]
    assert all(0.0 <= number < 1.0 for number in drawn)
    assert 0.47 < sum(drawn) / len(drawn) < 0.53


def test_a_fetch_has_a_bar_for_each_symbol_and_step_of_its_sessions() -> None:
    assert row_count(dataset()) == 15
    assert row_count(dataset(bar_interval="1min")) == 3 * 5 * 390
    sessions = weekday_sessions(date(2027, 1, 4), date(2027, 1, 4))
    lunch = replace(
        sessions, breaks=((0, sessions.opens_us[0], sessions.opens_us[0] + 3600 * 10**6),)
    )
    assert row_count(dataset(bar_interval="1min", sessions=lunch)) == 3 * 330


def test_a_fetch_asks_for_its_pages_and_hears_that_nothing_follows() -> None:
    assert request_count(dataset(), 15) == 9
    assert request_count(dataset(), 0) == 1


def test_a_timeline_does_not_depend_on_the_order_within_an_instant() -> None:
    lines = [{"at": NOON, "n": n} for n in range(5)]
    digests = set()
    for order in (lines, lines[::-1]):
        timeline = Timeline()
        for line in order:
            timeline.add(NOON, line)
        timeline.add(NOON + timedelta(seconds=1), {"at": NOON, "n": "later"})
        digests.add(timeline.close())
        assert [entry["n"] for entry in timeline.entries()] == [0, 1, 2, 3, 4, "later"]
        assert timeline.line_count == 6
    assert len(digests) == 1


def test_the_digest_is_that_of_the_lines_as_they_are_written() -> None:
    timeline = Timeline()
    for number in range(9000):
        timeline.add(NOON + timedelta(seconds=number), {"n": number, "text": "x" * 40})
    digest = timeline.close()
    written = b"".join(line + b"\n" for line in timeline.lines())
    assert hashlib.sha256(written).hexdigest() == digest
    assert [json.loads(line)["n"] for line in timeline.lines()] == list(range(9000))


def test_an_empty_timeline_has_the_digest_of_nothing() -> None:
    timeline = Timeline()
    assert timeline.close() == hashlib.sha256(b"").hexdigest()
    assert list(timeline.lines()) == []


def test_a_tally_counts_what_runs_cost_and_keeps_the_first_failures() -> None:
    tally = Tally()
    for number in range(100):
        tally.ran("success", float(number), retries=number % 2)
    for number in range(5):
        tally.ran("failed", 1.0, retries=3)
        tally.fail(Failure(NOON, "2027-01-04", f"n{number}", "broken"))
    tally.began(59.0)
    tally.began(61.0)
    tally.skip("overlap")
    found = tally.plain()
    assert found["states"] == {"failed": 5, "success": 100}
    assert (found["retried_runs"], found["retries"]) == (55, 65)
    assert (found["late_runs"], found["latest_start_s"]) == (1, 61.0)
    assert (found["p50_s"], found["p95_s"]) == (47.0, 94.0)
    assert found["skipped"] == {"overlap": 1}
    assert [failure["node"] for failure in found["first_failures"]] == ["n0", "n1", "n2"]


def test_a_tally_without_runs_has_no_durations() -> None:
    assert Tally().plain()["p95_s"] == 0.0


def test_a_queue_knows_when_it_was_longest() -> None:
    queue = Queue()
    queue.join(NOON)
    queue.join(NOON + timedelta(seconds=1))
    queue.leave()
    queue.join(NOON + timedelta(seconds=2))
    assert (queue.length, queue.longest) == (2, 2)
    assert queue.longest_at == NOON + timedelta(seconds=1)


def test_notes_tell_short_days_clock_changes_and_where_knowledge_ends() -> None:
    rules = CalendarRules(
        defined={
            "DESK": CalendarDefinition(
                name="DESK",
                zone="America/New_York",
                weekdays=(0, 1, 2, 3, 4),
                open="09:30",
                close="16:00",
                early={date(2027, 11, 26): "13:00"},
            )
        }
    )
    store = SessionStore(Path("/nonexistent"), rules=rules)
    table = store.table("DESK", today=date(2027, 1, 1), through=date(2027, 12, 31))
    assert table is not None
    found = notes(table, date(2027, 1, 1), date(2027, 12, 31)).plain()
    assert found["sessions"] == 261
    assert found["early_closes"] == ["2027-11-26"]
    assert found["clock_changes"] == ["2027-03-14", "2027-11-07"]
    assert found["known_until"] is None
    always = always_open("24/7", date(2027, 1, 1), date(2027, 6, 30))
    assert notes(always, date(2027, 1, 1), date(2027, 12, 31)).known_until == date(2027, 6, 30)


def test_what_goes_wrong_beside_runs_is_noted() -> None:
    watcher = Watcher(lambda _run, _at: None)
    for event in (
        ev.ActorCrashed(at=NOON, pipeline="p", error="boom", restart_in_s=1.0),
        ev.PipelineParked(at=NOON, pipeline="p", reason="crashed 5 times"),
        ev.CalendarHorizonNear(
            at=NOON, calendar="XNYS", policy="warn", horizon=date(2027, 2, 1), sessions_left=3
        ),
    ):
        watcher.see(event)
    assert [(note["about"], note["text"]) for note in watcher.notes] == [
        ("p", "boom"),
        ("p", "crashed 5 times"),
        ("XNYS", "ends on 2027-02-01 (3 sessions left)"),
    ]


def test_fires_that_are_passed_over_as_a_whole_are_counted() -> None:
    watcher = Watcher(lambda _run, _at: None)
    for count in (0, 3, 4):
        watcher.see(
            ev.ScheduleAdvanced(
                at=NOON,
                schedule_id="s",
                pipeline="p",
                until=NOON,
                passed_over=count,
                reason="missed",
            )
        )
    assert watcher.tally("p").skipped == {"missed": 7}
    watcher.close(NOON)
    watcher.see(ev.ActorCrashed(at=NOON, pipeline="p", error="late", restart_in_s=1.0))
    assert not watcher.notes
