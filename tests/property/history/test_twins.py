"""Whatever happens, the history on disk and the one in memory take and answer the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from random import Random
from typing import Any

import pytest
from doubles import story
from doubles.twins import TwinMachine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from openbell.model import events as ev
from openbell.model.calendars import Overlay
from openbell.model.history import History, RunFilter
from openbell.model.runs import NodeState, RunState, Totals
from openbell.model.schedules import FireRecord, ScheduleUse

pytestmark = pytest.mark.property

RUN_IDS = [f"run_{number}" for number in range(1, 5)]
runs = st.sampled_from(RUN_IDS)
nodes = st.sampled_from(["fetch", "check", "publish", "nowhere"])
pipelines = st.sampled_from(["eod", "other"])
item_numbers = st.integers(-1, 1)
seconds = st.floats(0.0, 1e6, allow_nan=False).map(lambda value: round(value, 6))
short_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


def _by_schedule(fires: Sequence[FireRecord]) -> dict[str, FireRecord]:
    return {fire.schedule_id: fire for fire in fires}


def _steps(run_id: str, at_s: float) -> st.SearchStrategy[ev.Event]:
    """Return steps that may or may not be legal, of a run and its nodes."""
    numbers = st.integers(1, 2)
    return st.one_of(
        st.just(story.submitted(run_id)),
        st.just(story.started(run_id, at_s=at_s)),
        st.sampled_from([RunState.SUCCESS, RunState.CANCELLED]).map(
            lambda state: story.finished(run_id, state, at_s=at_s)
        ),
        st.builds(story.node, nodes, st.sampled_from(list(NodeState)), st.just(run_id)),
        st.builds(story.attempt_started, st.just(run_id), numbers, item=item_numbers),
        st.builds(story.attempt_finished, st.just(run_id), numbers, item=item_numbers),
        st.builds(story.committed, st.integers(1, 3), st.just(run_id)),
    )


class Twins(TwinMachine):
    """Tells both the same; each step is taken by both or refused by both."""

    @rule(run_id=runs, pipeline=pipelines, version=st.integers(1, 3), key=st.none() | short_text)
    def submit(self, run_id: str, pipeline: str, version: int, key: str | None) -> None:
        self.tell(
            story.submitted(
                run_id, pipeline=pipeline, workflow_version=version, idempotency_key=key
            )
        )

    @rule(run_id=runs, at_s=seconds)
    def start(self, run_id: str, at_s: float) -> None:
        self.tell(story.started(run_id, at_s=at_s))

    @rule(run_id=runs, state=st.sampled_from(list(RunState)), at_s=seconds)
    def finish(self, run_id: str, state: RunState, at_s: float) -> None:
        self.tell(story.finished(run_id, state, at_s=at_s))

    @rule(run_id=runs)
    def begin_run(self, run_id: str) -> None:
        self.tell(story.submitted(run_id), story.started(run_id))

    @rule(steps=st.lists(st.tuples(runs, seconds).flatmap(lambda of: _steps(*of)), max_size=12))
    def take_many_steps_at_once(self, steps: list[ev.Event]) -> None:
        self.tell(*steps)

    @rule(run_ids=st.lists(runs, min_size=1, unique=True), at_s=seconds, order=st.randoms())
    def take_many_legal_steps_at_once(self, run_ids: list[str], at_s: float, order: Random) -> None:
        """Interleave whole runs, each in its order."""
        left = [list(story.whole_run(f"{run_id}_{at_s}")) for run_id in run_ids]
        events: list[ev.Event] = []
        while left := [steps for steps in left if steps]:
            events.append(order.choice(left).pop(0))
        self.tell(*events)

    @rule(run_id=runs)
    def cancel(self, run_id: str) -> None:
        self.tell(ev.RunCancelRequested(at=story.START, run_id=run_id, pipeline="eod"))

    @rule(
        run_id=runs,
        node=nodes,
        state=st.sampled_from(list(NodeState)),
        attempt=st.integers(0, 3),
        at_s=seconds,
        error=short_text,
        totals=st.none() | st.builds(Totals, rows_in=st.integers(0, 2**60)),
        retry_at_s=st.none() | seconds,
    )
    def change_node(
        self,
        *,
        run_id: str,
        node: str,
        state: NodeState,
        attempt: int,
        at_s: float,
        error: str,
        totals: Totals | None,
        retry_at_s: float | None,
    ) -> None:
        retry_at = None if retry_at_s is None else story.after(retry_at_s)
        self.tell(
            story.node(
                node,
                state,
                run_id,
                attempt=attempt,
                at=story.after(at_s),
                error=error,
                totals=totals,
                retry_at=retry_at,
            )
        )

    @rule(run_id=runs, number=st.integers(1, 3), item=item_numbers)
    def start_attempt(self, run_id: str, number: int, item: int) -> None:
        self.tell(story.attempt_started(run_id, number, item=item))

    @rule(
        run_id=runs,
        number=st.integers(1, 3),
        state=st.sampled_from(["success", "failed", "interrupted", "running"]),
        item=item_numbers,
    )
    def finish_attempt(self, run_id: str, number: int, state: str, item: int) -> None:
        self.tell(story.attempt_finished(run_id, number, state, item=item))

    @rule(run_id=runs, next_chunk=st.integers(1, 6), key=st.none() | st.just("shared"))
    def commit(self, run_id: str, next_chunk: int, key: str | None) -> None:
        self.tell(story.committed(next_chunk, run_id, key=key))

    @rule(run_id=runs, chunk=st.integers(0, 3))
    def check(self, run_id: str, chunk: int) -> None:
        self.tell(story.checked(run_id, chunk))

    @rule(
        run_id=runs,
        attempt=st.integers(1, 2),
        texts=st.lists(short_text, max_size=3),
        repeat=st.sampled_from([1, 1, 100_000]),
        item=item_numbers,
    )
    def log(self, *, run_id: str, attempt: int, texts: list[str], repeat: int, item: int) -> None:
        long_texts = [text * repeat for text in texts]
        self.tell(story.logged(*long_texts, run_id=run_id, attempt=attempt, item=item))

    @rule(pipeline=pipelines, version=st.integers(1, 3))
    def define(self, pipeline: str, version: int) -> None:
        self.tell(story.defined(version, pipeline=pipeline))

    @rule(pipeline=pipelines)
    def retire(self, pipeline: str) -> None:
        self.tell(ev.WorkflowRetired(at=story.START, pipeline=pipeline))

    @rule(number=st.integers(1, 2), meaning=st.sampled_from(["m", "n"]), at_s=seconds)
    def add_schedule(self, number: int, meaning: str, at_s: float) -> None:
        use = ScheduleUse(expression="every 5m", jitter_s=at_s, params={"number": number})
        event = ev.ScheduleAdded(
            at=story.after(at_s),
            schedule_id=f"sch_{number}",
            pipeline="eod",
            key=meaning,
            use=use,
            origin="api",
            by="u",
        )
        self.tell(event)
        self.ask(lambda twin: twin.schedules(with_removed=True))

    @rule(number=st.integers(1, 2), at_s=seconds, paused=st.none() | st.booleans())
    def remove_or_pause_schedule(self, number: int, at_s: float, *, paused: bool | None) -> None:
        place: Any = {"at": story.after(at_s), "schedule_id": f"sch_{number}", "pipeline": "eod"}
        removed = ev.ScheduleRemoved(**place, by="u")
        self.tell(removed if paused is None else ev.SchedulePaused(**place, paused=paused))
        self.ask(lambda twin: twin.schedules())

    @rule(
        number=st.integers(1, 3),
        index=st.integers(1, 6),
        until_s=st.none() | st.integers(0, 40),
        is_run=st.booleans(),
    )
    def decide_fire(self, number: int, index: int, until_s: int | None, *, is_run: bool) -> None:
        event = ev.FireDecided(
            at=story.after(50),
            schedule_id=f"sch_{number}",
            pipeline="eod",
            identity=f"{number}/{index}",
            session=date(2026, 1, index) if index % 2 else None,
            event="close",
            index=index,
            due_at=story.after(10.0 * index),
            outcome="run" if is_run else "skipped",
            reason="" if is_run else "busy",
            run_id=f"run_{1 + index % 2}" if is_run else None,
            until=None if until_s is None else story.after(until_s),
        )
        self.tell(event)
        self.ask(lambda twin: twin.fires())
        self.ask(lambda twin: twin.fires(pipeline="eod", limit=2))

    @rule(number=st.integers(1, 3), index=st.integers(1, 6), run_id=runs, until_s=seconds)
    def take_fire_back(self, number: int, index: int, run_id: str, until_s: float) -> None:
        event = ev.FireTakenBack(
            at=story.after(51),
            schedule_id=f"sch_{number}",
            pipeline="eod",
            identity=f"{number}/{index}",
            run_id=run_id,
            reason="paused",
            until=story.after(until_s),
        )
        self.tell(event)
        self.tell(event, story.finished(run_id, RunState.CANCELLED, at_s=51.0))
        self.ask(lambda twin: twin.fires())

    @rule(number=st.integers(1, 3), until_s=seconds, count=st.integers(0, 2))
    def advance_schedule(self, number: int, until_s: float, count: int) -> None:
        until = story.after(until_s)
        self.tell(
            ev.ScheduleAdvanced(
                at=until,
                schedule_id=f"sch_{number}",
                pipeline="eod",
                until=until,
                passed_over=count,
            )
        )

    @rule(at_s=st.integers(0, 70))
    def ask_for_fires(self, at_s: int) -> None:
        async def answers(twin: History) -> object:
            now = story.after(at_s)
            within = await twin.fires_within("sch_1", now, story.after(at_s + 20))
            return (
                sorted(await twin.fires_ahead(now)),
                _by_schedule(await twin.last_fires()),
                within,
            )

        self.ask(answers)

    @rule(pipeline=pipelines, paused=st.booleans())
    def pause_pipeline(self, pipeline: str, *, paused: bool) -> None:
        self.tell(ev.PipelinePaused(at=story.START, pipeline=pipeline, paused=paused, by="u"))
        self.ask(lambda twin: twin.pauses())

    @rule(pipeline=st.none() | pipelines, after=st.just("") | runs, limit=st.integers(1, 4))
    def go_on_with_open_runs(self, pipeline: str | None, after: str, limit: int) -> None:
        self.ask(lambda twin: twin.open_runs(pipeline=pipeline, after=after, limit=limit))

    @rule(number=st.integers(1, 3), at_s=seconds, closed=st.booleans(), by=short_text)
    def add_overlay(self, *, number: int, at_s: float, closed: bool, by: str) -> None:
        overlay = Overlay(
            calendar="XNYS",
            session=date(2026, 12, number),
            closed=closed,
            close_time=None if closed else "13:00",
            reason=by,
        )
        event = ev.OverlayAdded(
            at=story.after(at_s), overlay_id=f"ovl_{number}", overlay=overlay, by=by
        )
        self.tell(event)

    @rule(number=st.integers(1, 3), at_s=seconds)
    def remove_overlay(self, number: int, at_s: float) -> None:
        event = ev.OverlayRemoved(
            at=story.after(at_s), overlay_id=f"ovl_{number}", calendar="XNYS", by="u"
        )
        self.tell(event)
        self.ask(lambda twin: twin.overlays())

    @rule(at_s=seconds)
    def stop(self, at_s: float) -> None:
        self.tell(ev.DaemonStopping(at=story.after(at_s), how="fast", running=1))

    @rule(before_s=seconds, keep_runs=st.integers(0, 4))
    def prune(self, before_s: float, keep_runs: int) -> None:
        self.ask(lambda twin: twin.prune(before=story.after(before_s), keep_runs=keep_runs))

    @rule(
        pipeline=st.none() | pipelines,
        job_id=st.none() | st.sampled_from(["job_1", "job_2"]),
        states=st.lists(st.sampled_from(list(RunState)), max_size=3, unique=True),
        before=st.none() | runs,
        limit=st.integers(1, 5),
    )
    def list_runs(
        self,
        *,
        pipeline: str | None,
        job_id: str | None,
        states: list[RunState],
        before: str | None,
        limit: int,
    ) -> None:
        wanted = RunFilter(
            pipeline=pipeline, job_id=job_id, states=tuple(states), before=before, limit=limit
        )
        self.ask(lambda twin: twin.runs(wanted))

    @rule(after_id=st.integers(0, 40), limit=st.integers(1, 10), run_id=st.none() | runs)
    def page(self, after_id: int, limit: int, run_id: str | None) -> None:
        self.ask(lambda twin: twin.events(after_id=after_id, limit=limit, run_id=run_id))

    @rule(run_id=runs)
    def look_at_a_run(self, run_id: str) -> None:
        self.ask(lambda twin: twin.nodes(run_id))
        self.ask(lambda twin: twin.attempts(run_id))
        self.ask(lambda twin: twin.attempts(run_id, "fetch", item=0))
        self.ask(lambda twin: twin.open_runs())
        self.ask(lambda twin: twin.checkpoint(run_id, "fetch"))
        self.ask(lambda twin: twin.logs(run_id))
        self.ask(lambda twin: twin.logs(run_id, node="fetch", item=0, after_id=1, limit=2))
        self.ask(lambda twin: twin.quality(run_id))

    @invariant()
    def everything_else_is_the_same(self) -> None:
        self.ask(lambda twin: twin.runs(RunFilter()))
        self.ask(lambda twin: twin.durations("eod", limit=3))
        self.ask(lambda twin: twin.last_event_id())
        self.ask(lambda twin: twin.workflows())
        self.ask(lambda twin: twin.lineage("bars"))
        self.ask(_totals)


async def _totals(twin: History) -> dict[str, Any]:
    return {**await twin.metrics(), "database_bytes": None}


def test_both_histories_take_and_answer_the_same() -> None:
    run_state_machine_as_test(
        Twins,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
