"""Dead letters and decisions are the same in the history on disk and in the one in memory."""

from __future__ import annotations

from typing import Any

import pytest
from doubles import story
from doubles.twins import TwinMachine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from openbell.model import events as ev
from openbell.model.letters import MAX_DECISIONS, LetterFilter, LetterState

pytestmark = pytest.mark.property

runs = st.sampled_from(["run_1", "run_2"])
pipelines = st.sampled_from(["eod", "other"])
seconds = st.integers(0, 100)
short_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


class LetterTwins(TwinMachine):
    """Writes, settles, lists and forgets."""

    @rule(run_id=runs)
    def end_run(self, run_id: str) -> None:
        self.tell(story.submitted(run_id), story.started(run_id), story.finished(run_id))

    @rule(before_s=seconds, keep_runs=st.integers(0, 2))
    def prune(self, before_s: int, keep_runs: int) -> None:
        self.ask(lambda twin: twin.prune(before=story.after(before_s), keep_runs=keep_runs))

    @rule(
        number=st.integers(1, 4), run_id=runs, item=st.none() | st.integers(0, 2), error=short_text
    )
    def write_letter(self, number: int, run_id: str, item: int | None, error: str) -> None:
        event = ev.DeadLettered(
            at=story.after(number),
            letter_id=f"letter_{number}",
            run_id=run_id,
            pipeline="eod" if number % 2 else "other",
            node="fetch",
            item=item,
            error_kind="transient",
            error=error,
            attempts=number,
            params={"error": error},
            input=None if item is None else {"kind": "value", "value": [error]},
        )
        self.tell(event)

    @rule(
        number=st.integers(1, 4),
        at_s=seconds,
        run_id=st.none() | runs,
        of_run=st.just("") | runs,
        by=short_text,
    )
    def settle_letter(
        self, *, number: int, at_s: float, run_id: str | None, of_run: str, by: str
    ) -> None:
        place: Any = {"at": story.after(at_s), "letter_id": f"letter_{number}", "pipeline": "eod"}
        if run_id is None:
            self.tell(ev.LetterPurged(**place, by=by))
        else:
            self.tell(ev.LetterReplayed(**place, run_id=run_id, by=by, of_run=of_run))
        self.ask(lambda twin: twin.dead_letter(f"letter_{number}"))

    @rule(
        pipeline=st.none() | pipelines,
        state=st.none() | st.sampled_from(list(LetterState)),
        before=st.none() | st.sampled_from(["letter_2", "letter_4"]),
        limit=st.integers(1, 4),
        run_id=st.none() | runs,
        kind=st.sampled_from([None, "transient", "other"]),
        since_s=st.none() | st.integers(0, 5),
    )
    def list_letters(self, *, since_s: int | None, **filters: Any) -> None:
        since = None if since_s is None else story.after(since_s)
        wanted = LetterFilter(since=since, **filters)
        self.ask(lambda twin: twin.dead_letters(wanted))

    @rule(
        run_id=st.none() | runs,
        pipeline=pipelines,
        node=st.sampled_from(["", "fetch"]),
        what=st.sampled_from(["queued", "held"]),
        times=st.sampled_from([1, 2, MAX_DECISIONS + 3]),
    )
    def decide(
        self, *, run_id: str | None, pipeline: str, node: str, what: str, times: int
    ) -> None:
        for number in range(times):
            event = ev.DecisionNoted(
                at=story.after(number),
                pipeline=pipeline,
                run_id=run_id,
                node=node,
                what=what,
                reason=f"because of {number}",
            )
            self.tell(event)
            self.tell(event)
        self.ask(lambda twin: twin.decisions(run_id=run_id, limit=3))
        self.ask(lambda twin: twin.decisions(pipeline=pipeline, before=9))
        self.ask(lambda twin: twin.decisions(limit=1000))

    @invariant()
    def all_is_the_same(self) -> None:
        self.ask(lambda twin: twin.dead_letters(LetterFilter()))
        self.ask(lambda twin: twin.decisions(limit=1000))
        self.ask(lambda twin: twin.last_event_id())


def test_both_histories_keep_the_same_letters_and_decisions() -> None:
    run_state_machine_as_test(
        LetterTwins,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
