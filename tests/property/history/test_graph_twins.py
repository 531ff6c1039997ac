"""Items, questions and runs that wait are the same in the history on disk and in the one in memory."""

from __future__ import annotations

from typing import Any

import pytest
from doubles import story
from doubles.twins import TwinMachine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from openbell.model import events as ev
from openbell.model.items import ItemChange
from openbell.model.runs import NodeState

pytestmark = pytest.mark.property

runs = st.sampled_from(["run_1", "run_2"])
nodes = st.sampled_from(["fetch", "nowhere"])
states = st.sampled_from(list(NodeState))
plain = st.one_of(st.none(), st.integers(0, 9), st.just({"symbol": "A"}))
labels = st.sampled_from(["approved", "rejected"])


class GraphTwins(TwinMachine):
    """Lists items, moves them, asks and answers."""

    @rule(run_id=runs)
    def submit(self, run_id: str) -> None:
        self.tell(story.submitted(run_id, session="2026-01-05"))

    @rule(run_id=runs)
    def start(self, run_id: str) -> None:
        self.tell(story.started(run_id))

    @rule(run_id=runs)
    def finish(self, run_id: str) -> None:
        self.tell(story.finished(run_id))

    @rule(run_id=runs, reason=st.sampled_from(["a", "b"]))
    def hold(self, run_id: str, reason: str) -> None:
        self.tell(ev.RunHeld(at=story.after(1), run_id=run_id, pipeline="eod", reason=reason))

    @rule(run_id=runs, node=nodes, first=st.integers(0, 3), items=st.lists(plain, max_size=3))
    def list_items(self, run_id: str, node: str, first: int, items: list[Any]) -> None:
        self.tell(
            ev.ItemsListed(
                at=story.after(2),
                run_id=run_id,
                pipeline="eod",
                node=node,
                first=first,
                items=items,
            )
        )

    @rule(
        run_id=runs,
        node=nodes,
        number=st.integers(0, 5),
        state=states,
        attempt=st.integers(0, 3),
        at_s=st.integers(3, 9),
        output=st.none() | st.just({"kind": "value", "value": 7}),
    )
    def change_item(
        self,
        *,
        run_id: str,
        node: str,
        number: int,
        state: NodeState,
        attempt: int,
        at_s: int,
        output: Any,
    ) -> None:
        change = ItemChange(
            number=number,
            state=state,
            attempt=attempt,
            error="e" if state is NodeState.FAILED else "",
            retry_at=story.after(50) if state is NodeState.RETRYING else None,
            output=output,
        )
        self.tell(
            ev.ItemsChanged(
                at=story.after(at_s), run_id=run_id, pipeline="eod", node=node, changes=[change]
            )
        )

    @rule(run_id=runs, node=nodes, item=st.integers(-1, 1), at_s=st.integers(1, 5))
    def ask_person(self, run_id: str, node: str, item: int, at_s: int) -> None:
        self.tell(
            ev.ApprovalAsked(
                at=story.after(at_s),
                run_id=run_id,
                pipeline="eod",
                node=node,
                item=item,
                question="go on?",
                labels=("approved", "rejected"),
                deadline_at=story.after(100) if at_s % 2 else None,
            )
        )

    @rule(run_id=runs, node=nodes, item=st.integers(-1, 1), label=labels)
    def answer_question(self, run_id: str, node: str, item: int, label: str) -> None:
        self.tell(
            ev.ApprovalAnswered(
                at=story.after(6),
                run_id=run_id,
                pipeline="eod",
                node=node,
                item=item,
                label=label,
                by="me",
            )
        )

    @rule(run_id=runs, after=st.integers(-1, 3), only_open=st.booleans(), state=st.none() | states)
    def read_items(self, run_id: str, after: int, only_open: bool, state: NodeState | None) -> None:
        self.ask(
            lambda twin: twin.items(
                run_id, "fetch", after=after, only_open=only_open, state=state, limit=3
            )
        )

    @invariant()
    def answers_are_alike(self) -> None:
        self.ask(lambda twin: twin.approvals())
        for run_id in ("run_1", "run_2"):
            self.ask(lambda twin, run_id=run_id: twin.approvals(run_id))
            self.ask(lambda twin, run_id=run_id: twin.item_counts(run_id, "fetch"))
            self.ask(lambda twin, run_id=run_id: twin.item_counts(run_id))
            self.ask(lambda twin, run_id=run_id: twin.run(run_id))
        self.ask(lambda twin: twin.has_succeeded("eod", "2026-01-05"))


def test_both_histories_keep_items_and_questions_alike() -> None:
    run_state_machine_as_test(
        GraphTwins,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
