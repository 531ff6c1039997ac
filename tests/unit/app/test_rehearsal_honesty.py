"""Nothing real happens in a rehearsal, whatever its nodes would do to the world."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from doubles.rehearsals import scheduled, staged, told
from doubles.untouched import touches

from openbell.app.rehearsal.stage import Span, Stage
from openbell.model.pipelines import Node, Pipeline, Rehearsal

pytestmark = pytest.mark.unit

WEEK = Span(first=date(2027, 1, 4), last=date(2027, 1, 8))


def of(*nodes: Node, name: str = "asks", **changes: Any) -> Pipeline:
    return replace(scheduled(name, nodes={}), nodes=nodes, **changes)


def quietly(*pipelines: Pipeline, **changes: Any) -> Stage:
    """Rehearse a week, and fail if anything outside is touched."""
    threads = threading.active_count()
    with touches() as found:
        stage, _ = staged(*pipelines, span=WEEK, **changes)
    assert not found
    assert threading.active_count() == threads
    return stage


def ends(stage: Stage, name: str = "asks") -> list[tuple[str, float]]:
    """Return how the runs of a pipeline ended, and how long each took."""
    return [
        (run["state"], (at(run["at"]) - at(run["began_at"])).total_seconds())
        for run in told(stage)
        if run["pipeline"] == name and run["began_at"]
    ]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"file": "/nonexistent/flag"},
        {"url": "http://192.0.2.1/ready"},
        {"dataset": "bars_of_others"},
    ],
)
def test_what_others_bring_is_there_at_once(settings: dict[str, Any]) -> None:
    stage = quietly(of(Node(name="up", op="wait", settings=settings)))
    assert ends(stage) == [("success", 0.0)] * 5


def test_a_wait_takes_the_time_that_it_declares() -> None:
    node = Node(name="up", op="wait", settings={"file": "/nonexistent/flag"})
    stage = quietly(of(node, rehearsal={"up": Rehearsal(duration_s=90.0)}))
    assert ends(stage) == [("success", 90.0)] * 5


def test_a_declared_node_fails_as_often_as_it_says() -> None:
    node = Node(name="up", op="wait", settings={"url": "http://192.0.2.1/ready"})
    stage = quietly(of(node, rehearsal={"up": Rehearsal(fail_rate=1.0)}))
    assert {state for state, _ in ends(stage)} == {"failed"}
    assert told(stage)[0]["failures"][0]["error"] == "transient"


def test_waiting_for_an_instant_is_real() -> None:
    stage = quietly(of(Node(name="up", op="wait", settings={"seconds": 30.0})))
    assert ends(stage) == [("success", 30.0)] * 5


def test_nobody_is_told() -> None:
    settings = {"message": "done", "webhook": "http://192.0.2.1/hook"}
    stage = quietly(of(Node(name="tell", op="notify", settings=settings)))
    assert ends(stage) == [("success", 0.0)] * 5


def test_nobody_is_asked_and_the_deadline_answers() -> None:
    settings = {"deadline": 600.0, "on_deadline": "approved"}
    stage = quietly(of(Node(name="ok", op="approve", settings=settings)))
    assert ends(stage) == [("success", 600.0)] * 5
    stage = quietly(of(Node(name="ok", op="approve", settings={"deadline": 600.0})))
    assert {state for state, _ in ends(stage)} == {"failed"}


def test_a_question_without_a_deadline_stays_open_unless_an_answer_is_declared() -> None:
    node = Node(name="ok", op="approve", settings={})
    stage = quietly(of(node, overlap="queue_all"))
    assert [state for state, _ in ends(stage)] == ["running"]
    after = Node(name="go", op="noop", needs={"ok": ("approved",)})
    play = {"ok": Rehearsal(duration_s=5.0)}
    assert ends(quietly(of(node, after, rehearsal=play))) == [("success", 5.0)] * 5


def test_a_branch_goes_its_own_way_or_the_declared_one() -> None:
    way = Node(name="way", op="branch", settings={"value": 1, "cases": {"one": 1, "two": 2}})
    one = Node(name="one", op="wait", settings={"seconds": 10.0}, needs={"way": ("one",)})
    two = Node(name="two", op="wait", settings={"seconds": 20.0}, needs={"way": ("two",)})
    assert ends(quietly(of(way, one, two)))[0] == ("success", 10.0)
    declared = {"way": Rehearsal(outcome="two")}
    assert ends(quietly(of(way, one, two, rehearsal=declared)))[0] == ("success", 20.0)
    slow = {"way": Rehearsal(duration_s=1.0)}
    assert ends(quietly(of(way, one, two, rehearsal=slow)))[0] == ("success", 11.0)


def test_another_pipeline_runs_inside_for_as_long_as_it_takes() -> None:
    node = Node(name="sub", op="pipeline", settings={"pipeline": "inner"})
    inner = replace(of(Node(name="nap", op="wait", settings={"seconds": 7.0})), name="inner")
    stage = quietly(of(node), replace(inner, schedule=()))
    assert ends(stage, "inner") == [("success", 7.0)] * 5
    assert ends(stage) == [("success", 7.0)] * 5


def test_each_item_of_a_fan_out_is_played() -> None:
    node = Node(
        name="tell",
        op="notify",
        settings={"message": "m", "webhook": "http://192.0.2.1/hook"},
        for_each=("a", "b"),
    )
    assert ends(quietly(of(node))) == [("success", 0.0)] * 5
    timed = of(node, rehearsal={"tell": Rehearsal(duration_s=4.0)})
    assert {state for state, _ in ends(quietly(timed))} == {"success"}


def test_pipelines_wait_for_the_sessions_that_others_write() -> None:
    writer = scheduled("writer", "DESK close + 2h")
    needs = of(Node(name="go", op="noop"), needs_dataset={"bars_writer": "session"})
    waits = replace(
        of(Node(name="up", op="wait", settings={"dataset": "bars_writer"})), name="waits"
    )
    stage = quietly(writer, needs, waits)
    assert len(ends(stage)) == len(ends(stage, "waits")) == 5
    took = [seconds for _, seconds in ends(stage, "waits")]
    assert all(5400.0 <= seconds < 5500.0 for seconds in took)
    late = [
        (at(run["began_at"]) - at(run["due_at"])).total_seconds()
        for run in told(stage)
        if run["pipeline"] == "asks"
    ]
    assert all(5400.0 <= seconds < 5500.0 for seconds in late)
    assert len(stage._history._tables.commits) == 5


def test_commits_are_forgotten_with_their_runs() -> None:
    writer = scheduled("writer", "DESK close")
    needs = of(Node(name="go", op="noop"), needs_dataset={"bars_writer": "session"})
    quarter = Span(first=date(2027, 1, 1), last=date(2027, 3, 31))
    stage, _ = staged(writer, needs, span=quarter)
    assert len(ends(stage)) == 64
    assert len(stage._history._tables.commits) < 12


def test_a_pipeline_goes_after_another() -> None:
    first = scheduled("first", "DESK close + 1h")
    stage = quietly(first, of(Node(name="go", op="noop"), after=("first",)))
    runs = [run for run in told(stage) if run["pipeline"] == "asks"]
    assert all(at(run["began_at"]).hour == 22 for run in runs)


def test_the_guard_sees_what_touches_the_world(tmp_path: Path) -> None:
    with touches() as found:
        (tmp_path / "file").write_text("x")
        with socket.socket(socket.AF_UNIX) as at_home, pytest.raises(OSError, match=r"."):
            at_home.connect(str(tmp_path / "none"))
    assert [line.split()[0] for line in found] == ["open", "socket.connect"]


def test_tasks_do_nothing_but_take_their_time() -> None:
    job = Node(name="job", op="job")
    plain = quietly(of(job, rehearsal={"job": Rehearsal(duration_s=12.0)}))
    assert ends(plain) == [("success", 12.0)] * 5
    unlucky = {"job": Rehearsal(duration_s=12.0, fail_rate=1.0)}
    assert {state for state, _ in ends(quietly(of(job, rehearsal=unlucky)))} == {"failed"}
    each = Node(name="job", op="job", for_each=("a", "b"))
    timed = of(each, rehearsal={"job": Rehearsal(duration_s=12.0)})
    assert ends(quietly(timed))[0] == ("success", 12.0)
