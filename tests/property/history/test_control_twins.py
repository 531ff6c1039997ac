"""Requests of people and retries do the same to the history on disk and to the one in memory."""

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

RUN_IDS = ["run_1", "run_2", "run_3"]
runs = st.sampled_from(RUN_IDS)
nodes = st.sampled_from(["fetch", "check", "publish", "nowhere"])
at_s = st.integers(0, 9)
END_STATES = [NodeState.SUCCESS, NodeState.FAILED, NodeState.CANCELLED]


class ControlTwins(TwinMachine):
    """Runs are paused, marked, ended and retried, in any order."""

    def _of(self, run_id: str, at: int) -> dict[str, Any]:
        return {"at": story.after(at), "run_id": run_id, "pipeline": "eod"}

    @rule(run_id=runs)
    def begin(self, run_id: str) -> None:
        self.tell(story.submitted(run_id))

    @rule(run_id=runs)
    def start(self, run_id: str) -> None:
        self.tell(story.started(run_id))

    @rule(run_id=runs)
    def end(self, run_id: str) -> None:
        self.tell(story.finished(run_id))

    @rule(run_id=runs, node=nodes, state=st.sampled_from(list(NodeState)))
    def change(self, run_id: str, node: str, state: NodeState) -> None:
        self.tell(story.node(node, state, run_id, output={"kind": "value", "value": node}))

    @rule(run_id=runs, at=at_s, paused=st.booleans())
    def pause(self, run_id: str, at: int, *, paused: bool) -> None:
        self.tell(ev.RunPaused(**self._of(run_id, at), paused=paused, by="me"))

    @rule(run_id=runs, at=at_s, priority=st.integers(0, 9))
    def prioritize(self, run_id: str, at: int, priority: int) -> None:
        self.tell(ev.RunPrioritized(**self._of(run_id, at), priority=priority, by="me"))

    @rule(run_id=runs, at=at_s, node=nodes, state=st.sampled_from(END_STATES))
    def request_end(self, run_id: str, at: int, node: str, state: NodeState) -> None:
        asked = ev.NodeEndRequested(**self._of(run_id, at), node=node, state=state, by="me")
        self.tell(asked)
        self.tell(asked)

    @rule(run_id=runs, count=st.integers(1, 3), state=st.sampled_from(list(NodeState)))
    def list_items(self, run_id: str, count: int, state: NodeState) -> None:
        listed = ev.ItemsListed(
            **self._of(run_id, 0), node="fetch", first=0, items=tuple(range(count))
        )
        change = ItemChange(number=0, state=state, attempt=1, output={"kind": "value", "value": 1})
        self.tell(listed)
        self.tell(ev.ItemsChanged(**self._of(run_id, 1), node="fetch", changes=(change,)))

    @rule(
        run_id=runs,
        source=runs,
        at=at_s,
        taken=st.sets(nodes, max_size=3),
        items_of=st.sampled_from([(), ("fetch",)]),
    )
    def retry(
        self, *, run_id: str, source: str, at: int, taken: set[str], items_of: tuple[str, ...]
    ) -> None:
        self.tell(
            story.submitted(run_id, retry_of=source),
            ev.NodesTakenOver(
                **self._of(run_id, at),
                source_run_id=source,
                nodes=tuple(sorted(taken)),
                items_of=items_of,
            ),
        )

    @rule(run_id=runs, label=st.sampled_from(["approved", "rejected"]))
    def answer(self, run_id: str, label: str) -> None:
        place: Any = {**self._of(run_id, 3), "node": "check", "item": -1}
        self.tell(ev.ApprovalAsked(**place, question="go on?", labels=("approved", "rejected")))
        self.tell(ev.ApprovalAnswered(**place, label=label, by="me", comment="looks fine"))

    @invariant()
    def all_is_the_same(self) -> None:
        for run_id in RUN_IDS:
            self.ask(lambda twin, of=run_id: twin.run(of))  # type: ignore[misc]
            self.ask(lambda twin, of=run_id: twin.nodes(of))  # type: ignore[misc]
            self.ask(lambda twin, of=run_id: twin.items(of, "fetch"))  # type: ignore[misc]
            self.ask(lambda twin, of=run_id: twin.node_requests(of))  # type: ignore[misc]
            self.ask(lambda twin, of=run_id: twin.approvals(of))  # type: ignore[misc]


def test_both_histories_keep_the_same_requests_and_retries() -> None:
    run_state_machine_as_test(
        ControlTwins,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
