"""What stands in the log, and what never does."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from doubles import story

from openbell.model import events as ev
from openbell.model.runs import LogLine, NodeState, RunState, Totals
from openbell.sdk.values import Finding, Severity
from openbell.telemetry.known_runs import MAX_RUNS, KnownRuns
from openbell.telemetry.logs import MAX_LINE_BYTES, MAX_TEXT, Logs, log_context
from openbell.telemetry.metrics import Metrics
from openbell.telemetry.observe import Observer
from openbell.telemetry.records import fields_of, level_of
from openbell.telemetry.redact import MASK, Redactor

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
Read = Callable[[], list[dict[str, Any]]]


class _Pipe:
    """A log's descriptor and what was written to it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)

    def text(self) -> str:
        received = b""
        while True:
            try:
                piece = os.read(self.reading, 1 << 20)
            except BlockingIOError:
                return received.decode()
            if not piece:
                return received.decode()
            received += piece

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def close(self) -> None:
        for fd in (self.reading, self.writing):
            os.close(fd)


@pytest.fixture
def pipe() -> Iterator[_Pipe]:
    made = _Pipe()
    yield made
    made.close()


@pytest.fixture
def logs(pipe: _Pipe) -> Iterator[Logs]:
    with Logs(pipe.writing, now=lambda: NOW, level="DEBUG", style="json") as opened:
        yield opened


@pytest.fixture
def observer(logs: Logs) -> Iterator[Observer]:
    metrics = Metrics()
    yield Observer(logs, metrics)
    metrics.close()


def test_an_event_is_one_json_line_with_its_name_time_level_and_fields(
    observer: Observer, pipe: _Pipe
) -> None:
    observer.see(story.submitted(trace_id=TRACE))
    observer.see(story.finished(state=RunState.FAILED))
    submitted, finished = pipe.records()
    assert list(submitted)[:3] == ["timestamp", "level", "event"]
    assert submitted["timestamp"] == "2026-01-02T14:30:00.000000Z"
    assert (submitted["level"], submitted["event"]) == ("info", "run.submitted")
    assert submitted["nodes"] == ["fetch", "check", "publish"]
    assert submitted["trace_id"] == TRACE
    assert (finished["level"], finished["event"]) == ("error", "run.finished")
    assert (finished["run_id"], finished["trace_id"]) == ("run_1", TRACE)
    assert finished["state"] == "failed"


def test_every_event_becomes_a_record_under_its_own_name(observer: Observer, pipe: _Pipe) -> None:
    seen = [_sample(kind) for kind in _event_types()]
    for event in seen:
        observer.see(event)
    assert [record["event"] for record in pipe.records()] == [event.name for event in seen]


def test_log_lines_of_a_node_keep_their_level_and_place(observer: Observer, pipe: _Pipe) -> None:
    observer.see(story.submitted(trace_id=TRACE))
    pipe.text()
    lines = [
        LogLine(at=story.after(1), stream="stderr", level="WARNING", text="slow vendor"),
        LogLine(at=story.after(2), stream="stdout", level="INFO", text="done"),
    ]
    observer.see(
        ev.LogWritten(
            at=story.after(3), run_id="run_1", pipeline="eod", node="fetch", attempt=2, lines=lines
        )
    )
    first, second = pipe.records()
    assert (first["level"], first["text"], first["stream"]) == ("warning", "slow vendor", "stderr")
    assert (first["node"], first["attempt"], first["trace_id"]) == ("fetch", 2, TRACE)
    assert second["timestamp"] == "2026-01-02T14:30:02.000000Z"


def test_secrets_do_not_reach_the_log(pipe: _Pipe) -> None:
    redactor = Redactor(["hunter22"])
    with Logs(pipe.writing, now=lambda: NOW, style="json", redactor=redactor) as logs:
        observer = Observer(logs, Metrics())
        observer.see(story.submitted(params={"api_key": "k", "note": "hunter22"}))
        error = "401 for https://u:pw@x.example/?token=abc with hunter22"
        observer.see(story.node("fetch", NodeState.FAILED, error_kind="auth", error=error))
        logging.getLogger("vendor").warning("sent %s", "Bearer abcdefgh")
        logs.redactor = logs.redactor.with_secrets(["newcomer"])
        logging.getLogger("vendor").warning("newcomer and hunter22")
    text = pipe.text()
    assert not [secret for secret in ("hunter22", "newcomer", "pw@", "abc") if secret in text]
    assert json.loads(text.splitlines()[0])["params"] == {"api_key": MASK, "note": MASK}


def test_libraries_log_through_the_same_chain_and_their_tracebacks_too(
    logs: Logs, pipe: _Pipe
) -> None:
    logging.getLogger("some.library").info("listening on %d", 80)
    logging.getLogger("some.library").debug("chatter")
    try:
        int("deep down")
    except ValueError:
        logging.getLogger("some.library").exception("it broke")
    first, second = pipe.records()
    assert first["event"] == "library.logged"
    assert (first["logger"], first["message"]) == ("some.library", "listening on 80")
    assert first["level"] == "info"
    assert second["level"] == "error"
    assert "ValueError: invalid literal for int() with base 10: 'deep down'" in second["exception"]


def test_warnings_and_broken_format_arguments_are_records_too(logs: Logs, pipe: _Pipe) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old ways", UserWarning, stacklevel=1)
    wrong = {"name": "x", "levelno": 30, "msg": "two %s %s", "args": ("one",)}
    logs._bridge.handle(logging.makeLogRecord(wrong))
    first, second = pipe.records()
    assert first["logger"] == "py.warnings"
    assert "old ways" in first["message"]
    assert second["message"] == "two %s %s"


def test_context_is_added_inside_and_gone_outside(logs: Logs, pipe: _Pipe) -> None:
    with log_context(run_id="run_7", node="fetch"):
        logging.getLogger("x").info("inside")
        logs.write(logging.INFO, "run.started", run_id="run_8")
    logging.getLogger("x").info("outside")
    inside, own, outside = pipe.records()
    assert (inside["run_id"], inside["node"]) == ("run_7", "fetch")
    assert (own["run_id"], own["node"]) == ("run_8", "fetch")
    assert "run_id" not in outside


def test_the_level_can_change_and_is_checked(logs: Logs, pipe: _Pipe) -> None:
    logs.set_level("error")
    logs.write(logging.WARNING, "run.started")
    logging.getLogger("x").warning("unheard")
    assert not logs.is_wanted(logging.WARNING)
    logs.write(logging.ERROR, "run.started")
    assert len(pipe.records()) == 1
    with pytest.raises(ValueError, match="'LOUD' is unknown; there are: DEBUG"):
        logs.set_level("LOUD")


def test_leaving_gives_logging_back_as_it_was(pipe: _Pipe) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    with Logs(pipe.writing, now=lambda: NOW, style="json"):
        assert root.handlers[:] != before[0]
    assert (root.handlers[:], root.level) == before


def test_long_texts_collections_and_lines_are_cut_and_say_so(logs: Logs, pipe: _Pipe) -> None:
    logs.write(logging.INFO, "run.started", text="x" * (MAX_TEXT + 5), items=list(range(150)))
    logs.write(logging.INFO, "run.started", **{f"k{number}": number for number in range(100)})
    logs.write(logging.INFO, "run.started", run_id="r", items=["y" * MAX_TEXT] * 100)
    cut, many, huge = pipe.records()
    assert cut["text"].endswith("... [5 more characters]")
    assert cut["items"][-1] == "[50 more]"
    assert many["more"] == 100 - 64
    assert (huge["event"], huge["run_id"]) == ("run.started", "r")
    assert huge["cut_bytes"] > MAX_LINE_BYTES


def test_values_that_json_has_no_word_for_are_still_logged(logs: Logs, pipe: _Pipe) -> None:
    logs.write(
        logging.INFO, "run.started", lone="\udc80", big=2**80, nan=float("nan"), at=NOW, path=object
    )
    [record] = pipe.records()
    assert record["big"] == 2**80
    assert record["event"] == "run.started"


def test_a_console_gets_words_instead_of_json(pipe: _Pipe) -> None:
    with Logs(pipe.writing, now=lambda: NOW, style="console") as logs:
        logs.write(logging.INFO, "run.started", run_id="run_1")
    text = pipe.text()
    assert "run.started" in text
    assert "run_id=run_1" in text
    assert not text.startswith("{")
    assert "\x1b" not in text


def test_a_reader_that_stops_holds_up_nothing_and_learns_what_it_missed(
    logs: Logs, pipe: _Pipe
) -> None:
    for number in range(3000):
        logs.write(logging.INFO, "run.started", number=number, text="z" * 200)
    lost = logs.dropped_count
    assert lost > 0
    first = pipe.records()
    logs.flush()
    while piece := pipe.records():
        first += piece
        logs.flush()
    logs.write(logging.INFO, "run.finished")
    told, last = pipe.records()
    assert [record["number"] for record in first] == list(range(3000 - lost))
    assert (told["event"], told["count"]) == ("records.dropped", lost)
    assert last["event"] == "run.finished"


def test_a_reader_that_is_gone_is_survived(pipe: _Pipe) -> None:
    reading, writing = os.pipe()
    with Logs(writing, now=lambda: NOW, style="json") as logs:
        os.close(reading)
        logs.write(logging.INFO, "run.started")
        assert logs.dropped_count == 1
    os.close(writing)


def test_levels_follow_what_happened() -> None:
    assert level_of(story.finished()) == logging.INFO
    assert level_of(story.finished(state=RunState.FAILED)) == logging.ERROR
    assert level_of(story.node("fetch", NodeState.RETRYING)) == logging.WARNING
    assert level_of(story.node("fetch", NodeState.RUNNING)) == logging.DEBUG
    assert level_of(story.attempt_finished(state="failed")) == logging.WARNING
    assert level_of(story.committed(1)) == logging.DEBUG
    assert level_of(ev.WorkerStopped(at=NOW, pid=1, reason="lost")) == logging.WARNING


def test_bulky_fields_become_numbers_and_empty_ones_are_left_out() -> None:
    assert "definition" not in fields_of(story.defined())
    batch = fields_of(story.committed(1))
    assert not {"receipts", "totals"} & set(batch)
    ended = fields_of(story.node("publish", NodeState.SUCCESS, totals=Totals(rows_written=5)))
    assert ended["rows_written"] == 5
    assert "error" not in ended
    assert fields_of(ev.DaemonStopping(at=NOW, how="drain", running=0))["running"] == 0


def test_runs_are_remembered_until_they_end_or_are_too_many() -> None:
    runs = KnownRuns()
    for number in range(MAX_RUNS + 5):
        runs.of(story.submitted(f"run_{number}", trace_id=TRACE))
    assert len(runs._runs) == MAX_RUNS
    newest = runs.of(story.started(f"run_{MAX_RUNS}"))
    assert newest is not None
    assert newest.trace_id == TRACE
    runs.forget(f"run_{MAX_RUNS}")
    again = runs.of(story.started(f"run_{MAX_RUNS}"))
    assert again is not None
    assert again.trace_id not in {TRACE, ""}


def _event_types() -> list[type[ev.Event]]:
    kinds = [kind for kind in vars(ev).values() if isinstance(kind, type)]
    left_out = {ev.Event, ev.LogWritten}
    return [kind for kind in kinds if issubclass(kind, ev.Event) and kind not in left_out]


def _sample(kind: type[ev.Event]) -> ev.Event:
    """Return an event of this kind with plausible values."""
    finding = Finding(rule="ohlc", severity=Severity.WARN, message="odd")
    by_name: dict[str, Any] = {
        "at": NOW,
        "definition": {},
        "nodes": (("fetch", "ingest"),),
        "totals": {} if kind is ev.BatchCommitted else None,
        "findings": (finding,),
        "state": {ev.RunFinished: RunState.SUCCESS, ev.NodeChanged: NodeState.RUNNING}.get(
            kind, "success"
        ),
        "problems": ("x",),
        "cursor": None,
    }
    values = {}
    for field in fields(kind):
        kind_of_value = str(field.type)
        plain = 1.5 if "float" in kind_of_value else 7 if "int" in kind_of_value else "x"
        if field.name in by_name or field.default.__class__.__name__ == "_MISSING_TYPE":
            values[field.name] = by_name.get(field.name, plain)
    if kind is not ev.RunSubmitted:
        values.pop("params", None)
    if kind in {ev.RunSubmitted, ev.BatchCommitted, ev.ConfigReloaded}:
        for optional in ("params", "receipts", "added", "changed", "removed"):
            values.pop(optional, None)
    return kind(**values)


def test_time_zones_are_turned_into_utc(logs: Logs, pipe: _Pipe) -> None:
    at = NOW.astimezone(ZoneInfo("America/New_York")) + timedelta(hours=1)
    logs.write(logging.INFO, "run.started", timestamp=at)
    assert pipe.records()[0]["timestamp"] == "2026-01-02T04:04:05.678900Z"
