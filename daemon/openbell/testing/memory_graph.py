"""What events do to items, questions and waiting runs of an in-memory history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from openbell.model import events as ev
from openbell.model.bodies import decode_body, encode_plain
from openbell.model.history import RecordRefusedError
from openbell.model.items import ApprovalRecord, ItemChange, ItemRecord, NodeRequest
from openbell.model.runs import BEGUN, NodeState, RunState
from openbell.testing.memory_tables import MISFIT, RunPage, Tables


def hold(tables: Tables, event: ev.RunHeld) -> None:
    """Note why a run stays in the queue."""
    run = tables.runs.get(event.run_id)
    if run is None or run.state is not RunState.QUEUED:
        raise RecordRefusedError(event.name, f"run {event.run_id!r} is not in the queue")
    tables.put(tables.runs, event.run_id, replace(run, reason=event.reason))


def _page(tables: Tables, event: ev.ApprovalAsked | ev.ItemsListed) -> RunPage:
    page = tables.pages.get(event.run_id)
    if page is None or event.node not in page.nodes:
        raise RecordRefusedError(event.name, MISFIT)
    return page


def ask_approval(tables: Tables, event: ev.ApprovalAsked) -> None:
    """Keep a question; asked again it stays as it is."""
    page = _page(tables, event)
    if (event.node, event.item) in page.approvals:
        return
    record = ApprovalRecord(
        run_id=event.run_id,
        pipeline=event.pipeline,
        node=event.node,
        item=event.item,
        question=event.question,
        labels=tuple(event.labels),
        asked_at=event.at,
        deadline_at=event.deadline_at,
    )
    tables.put(page.approvals, (event.node, event.item), record)


def answer_approval(tables: Tables, event: ev.ApprovalAnswered) -> None:
    """Keep an answer; there is one."""
    page = tables.pages.get(event.run_id)
    known = page.approvals.get((event.node, event.item)) if page else None
    if page is None or known is None or known.label is not None:
        reason = f"node {event.node!r} of run {event.run_id!r} asks nothing"
        raise RecordRefusedError(event.name, reason)
    answered = replace(known, label=event.label, answered_by=event.by, answered_at=event.at)
    answered = replace(answered, comment=event.comment)
    tables.put(page.approvals, (event.node, event.item), answered)


def list_items(tables: Tables, event: ev.ItemsListed) -> None:
    """Keep the items of a node."""
    if not event.items:
        return
    page = _page(tables, event)
    for number, item in enumerate(event.items, start=event.first):
        if (event.node, number) in page.items:
            raise RecordRefusedError(event.name, MISFIT)
        record = ItemRecord(
            run_id=event.run_id,
            node=event.node,
            number=number,
            item=decode_body(encode_plain(item)),
            state=NodeState.PENDING,
        )
        tables.put(page.items, (event.node, number), record)


def change_items(tables: Tables, event: ev.ItemsChanged) -> None:
    """Move instances of a node; one that ended stays as it ended."""
    page = tables.pages.get(event.run_id)
    for change in event.changes:
        known = page.items.get((event.node, change.number)) if page else None
        if page is not None and known is not None and not known.state.is_final:
            tables.put(page.items, (event.node, change.number), _changed(known, change, event))


def _changed(known: ItemRecord, change: ItemChange, event: ev.ItemsChanged) -> ItemRecord:
    began = known.started_at or event.at
    output = None if change.output is None else decode_body(encode_plain(change.output))
    return replace(
        known,
        state=change.state,
        attempts=max(known.attempts, change.attempt),
        outcome=change.outcome,
        error=change.error,
        error_kind=change.error_kind,
        retry_at=change.retry_at,
        output=output or known.output,
        started_at=began if change.state in BEGUN else known.started_at,
        finished_at=event.at if change.state.is_final else None,
    )


class MemoryGraph:
    """The part of an in-memory history that answers about items, questions and other pipelines."""

    _tables: Tables

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
        page = self._tables.pages.get(run_id)
        rows = [row for (owner, _), row in page.items.items() if owner == node] if page else []
        wanted = [row for row in rows if row.number > after]
        if only_open:
            wanted = [row for row in wanted if not row.state.is_final]
        if state is not None:
            wanted = [row for row in wanted if row.state is state]
        return sorted(wanted, key=lambda row: row.number)[:limit]

    async def item_counts(
        self, run_id: str, node: str | None = None
    ) -> Mapping[str, Mapping[NodeState, int]]:
        """See `History`."""
        page = self._tables.pages.get(run_id)
        found: dict[str, Counter[NodeState]] = {}
        for (owner, _), row in page.items.items() if page else ():
            if node in {None, owner}:
                found.setdefault(owner, Counter())[row.state] += 1
        return {owner: dict(counts) for owner, counts in found.items()}

    async def approvals(self, run_id: str | None = None) -> Sequence[ApprovalRecord]:
        """See `History`."""
        pages = self._tables.pages
        chosen = [pages[run_id]] if run_id in pages else [] if run_id else list(pages.values())
        rows = [row for page in chosen for row in page.approvals.values()]
        if run_id is None:
            runs = self._tables.runs
            rows = [
                row
                for row in rows
                if row.label is None
                and not runs[row.run_id].state.is_final
                and not pages[row.run_id].nodes[row.node].state.is_final
            ]
        return sorted(rows, key=lambda row: (row.asked_at, row.run_id, row.node, row.item))

    async def node_requests(self, run_id: str) -> Sequence[NodeRequest]:
        """See `History`."""
        page = self._tables.pages.get(run_id)
        rows = page.requests.values() if page else ()
        return sorted(rows, key=lambda row: (row.asked_at, row.node))

    async def has_succeeded(self, pipeline: str, session: str) -> bool:
        """See `History`."""
        return any(
            run.pipeline == pipeline
            and run.session == session
            and run.state is RunState.SUCCESS
            and not run.dry_run
            for run in self._tables.runs.values()
        )

    async def is_committed(self, dataset: str, start: datetime, end: datetime) -> bool:
        """See `History`."""
        runs = self._tables.runs
        commits = [row for row in self._tables.commits.values() if row["dataset"] == dataset]
        live = [row for row in commits if runs[row["run_id"]].mode == "live"]
        has_passed = any(row["end_at"] >= end for row in live)
        return any(
            (has_passed if row in live else self._is_whole(row))
            for row in commits
            if row["end_at"] > start and row["start_at"] < end
        )

    def _is_whole(self, commit: Mapping[str, Any]) -> bool:
        ends = [
            run.finished_at
            for run in sorted(self._tables.runs.values(), key=lambda run: run.run_id)
            if run.pipeline == commit["pipeline"] and run.state is RunState.SUCCESS
        ]
        return bool(ends and ends[-1] and commit["committed_at"] <= ends[-1])
