"""How far nodes at work came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from openbell.model.events import (
    AttemptFinished,
    AttemptStarted,
    NodeBeat,
    NodeProgressed,
    RunFinished,
    RunStarted,
)
from openbell.model.runs import RunState
from openbell.model.tracking import NodeTrack, progress
from openbell.supervisor.tracker import Tracker

pytestmark = pytest.mark.unit

AT = datetime(2026, 1, 5, tzinfo=UTC)
PLACE = {"run_id": "run_1", "pipeline": "p", "node": "n"}


def test_the_last_word_of_a_node_is_kept_until_its_attempt_ends() -> None:
    tracker = Tracker()
    tracker.see(AttemptStarted(at=AT, attempt_id="att_1", number=1, **PLACE))
    tracker.see(NodeProgressed(at=AT, rows=5, batches=1, total_rows=10, **PLACE))
    later = AT + timedelta(seconds=3)
    beat = NodeBeat(
        at=later, cpu_s=1.5, memory_bytes=7, io_read_bytes=1, io_written_bytes=2, **PLACE
    )
    tracker.see(beat)
    tracker.see(RunStarted(at=AT, run_id="run_1", pipeline="p"))
    found = tracker.of("run_1")["n"]
    assert (found.rows, found.total_rows, found.cpu_s, found.heard_at) == (5, 10, 1.5, later)
    tracker.see(
        AttemptFinished(
            at=AT, attempt_id="att_1", number=1, state="success", duration_s=1.0, **PLACE
        )
    )
    assert tracker.of("run_1") == {}
    tracker.see(beat)
    tracker.see(
        RunFinished(
            at=AT, run_id="run_1", pipeline="p", job="p", state=RunState.SUCCESS, duration_s=1.0
        )
    )
    assert tracker.of("run_1") == {}


def test_an_eta_follows_from_rows_else_from_history_and_says_which() -> None:
    now = AT + timedelta(seconds=10)
    track = NodeTrack(rows=25, batches=1, total_rows=100, heard_at=AT + timedelta(seconds=8))
    of_rows = progress(track, began_at=AT, now=now, usual_s=999.0)
    assert (of_rows["percent"], of_rows["eta_s"], of_rows["eta_from"]) == (25.0, 30.0, "rows")
    assert of_rows["heartbeat_age_s"] == 2.0
    usual = progress(None, began_at=AT, now=now, usual_s=12.0)
    assert (usual["eta_s"], usual["eta_from"], usual["heartbeat_age_s"]) == (2.0, "history", None)
    late = progress(None, began_at=AT, now=now, usual_s=9.0)
    assert (late["eta_s"], late["eta_from"]) == (None, None)
