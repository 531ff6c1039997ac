"""What the driver asks of history about items, questions to people, and other pipelines' work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from openbell.model.items import ApprovalRecord, ItemRecord, NodeRequest
from openbell.model.runs import NodeState


class GraphHistory(Protocol):
    """A part of `History`."""

    async def items(
        self,
        run_id: str,
        node: str,
        *,
        after: int = -1,
        only_open: bool = False,
        state: NodeState | None = None,
        limit: int = 1000,
    ) -> Sequence[ItemRecord]:
        """Return instances of a node after number `after`, in order; with `only_open` those to do."""
        ...

    async def item_counts(
        self, run_id: str, node: str | None = None
    ) -> Mapping[str, Mapping[NodeState, int]]:
        """Return how many instances stand in each state, by the name of their node.

        A node without instances is left out.
        """
        ...

    async def approvals(self, run_id: str | None = None) -> Sequence[ApprovalRecord]:
        """Return the questions of a run, or those that wait for an answer in any run, oldest first."""
        ...

    async def node_requests(self, run_id: str) -> Sequence[NodeRequest]:
        """Return how people asked for nodes of a run to end, oldest first."""
        ...

    async def has_succeeded(self, pipeline: str, session: str) -> bool:
        """Return whether `pipeline` has a successful run of `session` that was no dry run."""
        ...

    async def is_committed(self, dataset: str, start: datetime, end: datetime) -> bool:
        """Return whether the span of `dataset` is there, whoever brought it.

        Commits of a run that is no live one count once its pipeline succeeded after them: so no half
        is taken for the whole. Live ones count once they have passed the end of the span.
        """
        ...
