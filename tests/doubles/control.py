"""Changes of open runs for `doubles.engine`: what the real desk answers, without an actor to obey."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from openbell.model.control import ConflictError, UnknownRunError
from openbell.model.runs import NodeRecord, RunRecord


class DoubleControl:
    """Changes runs of a `DoubleEngine`; its nodes stay as history has them."""

    def __init__(
        self,
        find: Callable[[str], RunRecord],
        change: Callable[..., RunRecord],
        nodes: Callable[[str], Awaitable[Sequence[NodeRecord]]],
        asked_by: list[str],
    ) -> None:
        self._find = find
        self._change = change
        self._nodes = nodes
        self._asked_by = asked_by

    def _open(self, run_or_job_id: str, by: str) -> RunRecord:
        self._asked_by.append(by)
        run = self._find(run_or_job_id)
        if run.state.is_final:
            raise ConflictError(f"run {run.run_id} has ended already ({run.state})")
        return run

    async def pause(self, run_or_job_id: str, *, paused: bool, by: str) -> RunRecord:
        run = self._open(run_or_job_id, by)
        return self._change(run.run_id, paused=paused)

    async def prioritize(self, run_or_job_id: str, priority: int, *, by: str) -> RunRecord:
        run = self._open(run_or_job_id, by)
        return self._change(run.run_id, priority=priority)

    async def cancel_node(self, run_or_job_id: str, node: str, *, by: str) -> NodeRecord:
        return await self._node(self._open(run_or_job_id, by), node)

    async def mark(
        self, run_or_job_id: str, node: str, mark: str, *, by: str, reason: str, outcome: str
    ) -> NodeRecord:
        return await self._node(self._open(run_or_job_id, by), node)

    async def _node(self, run: RunRecord, node: str) -> NodeRecord:
        found = next((each for each in await self._nodes(run.run_id) if each.node == node), None)
        if found is None:
            raise UnknownRunError(node)
        return found
