"""Answers about items of nodes, questions to people, and other pipelines' work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from openbell.history.connections import Readers
from openbell.history.records import Row
from openbell.model.bodies import decode_body
from openbell.model.items import ApprovalRecord, ItemRecord, NodeRequest
from openbell.model.runs import NodeState
from openbell.sdk.values import from_us, to_us


def _instant(instant_us: int | None) -> datetime | None:
    return None if instant_us is None else from_us(instant_us)


def item_record(row: Row) -> ItemRecord:
    """Return an instance of a node from a row of `items`."""
    return ItemRecord(
        run_id=row[0],
        node=row[1],
        number=row[2],
        item=decode_body(row[3]),
        state=NodeState(row[4]),
        attempts=row[5],
        outcome=row[6],
        error=row[7],
        error_kind=row[8],
        retry_at=_instant(row[9]),
        output=None if row[10] is None else decode_body(row[10]),
        started_at=_instant(row[11]),
        finished_at=_instant(row[12]),
    )


def approval_record(row: Row) -> ApprovalRecord:
    """Return a question to a person from a row of the `approvals` queries."""
    return ApprovalRecord(
        run_id=row[0],
        pipeline=row[1],
        node=row[2],
        item=row[3],
        question=row[4],
        labels=tuple(decode_body(row[5])),
        asked_at=from_us(row[6]),
        deadline_at=_instant(row[7]),
        label=row[8],
        answered_by=row[9],
        answered_at=_instant(row[10]),
        comment=row[11],
    )


def node_request(row: Row) -> NodeRequest:
    """Return how somebody asked for a node to end from a row of `node_requests`."""
    return NodeRequest(
        run_id=row[0],
        node=row[1],
        state=NodeState(row[2]),
        outcome=row[3],
        reason=row[4],
        asked_by=row[5],
        asked_at=from_us(row[6]),
    )


class GraphAnswers:
    """A part of the reading half of `History`."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

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
        """See `History`."""
        row = {"run_id": run_id, "node": node, "after": after, "only_open": only_open}
        row |= {"state": state, "limit": limit}
        return await self._readers.rows("items", row, item_record)

    async def item_counts(
        self, run_id: str, node: str | None = None
    ) -> Mapping[str, Mapping[NodeState, int]]:
        """See `History`."""
        query = "items_of_run" if node is None else "items_of_node"
        row = {"run_id": run_id, "node": node}
        found: dict[str, dict[NodeState, int]] = {}
        for owner, named, count in await self._readers.rows(query, row, tuple):
            found.setdefault(owner, {})[NodeState(named)] = int(count)
        return found

    async def approvals(self, run_id: str | None = None) -> Sequence[ApprovalRecord]:
        """See `History`."""
        query = "open_approvals" if run_id is None else "approvals_of_run"
        return await self._readers.rows(query, {"run_id": run_id}, approval_record)

    async def node_requests(self, run_id: str) -> Sequence[NodeRequest]:
        """See `History`."""
        return await self._readers.rows("node_requests", {"run_id": run_id}, node_request)

    async def has_succeeded(self, pipeline: str, session: str) -> bool:
        """See `History`."""
        row = {"pipeline": pipeline, "session": session}
        return await self._readers.first("succeeded", row, bool) is not None

    async def is_committed(self, dataset: str, start: datetime, end: datetime) -> bool:
        """See `History`."""
        row = {"dataset": dataset, "start_at_us": to_us(start), "end_at_us": to_us(end)}
        return await self._readers.first("committed", row, bool) is not None
