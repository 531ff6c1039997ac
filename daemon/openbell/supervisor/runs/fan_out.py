"""A node with `for_each`: a window of instances at a time, each with its own state in history.

Only the window is in memory, so 100,000 items take no more of it than a hundred. Changes of
instances are recorded together, many in a transaction. After a restart the instances that ended
stay ended and the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from openbell.execution.chains import Unit
from openbell.execution.graph import Ended
from openbell.history.errors import HISTORY_TROUBLE
from openbell.model.events import Event, ItemsChanged, ItemsListed
from openbell.model.items import ItemChange, ItemRecord
from openbell.model.runs import NodeState
from openbell.sdk.errors import FatalError, OpenbellError
from openbell.supervisor.runs.context import Completion, RunContext
from openbell.supervisor.runs.item_list import collected, listed, pages
from openbell.supervisor.runs.item_work import ItemWork
from openbell.supervisor.runs.letters import ITEMS_FAILED

_BATCH = 1000
_WINDOW = 64


class FanOut:
    """Works on the instances of one node."""

    def __init__(self, context: RunContext, unit: Unit) -> None:
        self._context = context
        self._unit = unit
        self._node = unit.head
        self._known = context.before.nodes.get(unit.name)
        self._errors: list[str] = []
        self._recorder = _Recorder(context, unit.name)
        self._room = anyio.Semaphore(self._node.max_parallel or _WINDOW)

    async def run(self) -> Completion:
        """Return how the node ended, once each of its instances did."""
        try:
            await self._list()
        except HISTORY_TROUBLE:
            raise  # the disk's, and not the node's
        except OpenbellError as error:
            if self._context.is_interrupted:
                return self._interrupted()
            return self._failed(str(error), error.kind)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._recorder.run)
            async with anyio.create_task_group() as instances:
                async for found in pages(self._context, self._node.name, only_open=True):
                    await self._take(*await self._begin(found, instances))
                    if self._context.is_interrupted:
                        break
            tasks.cancel_scope.cancel()
        if self._context.is_interrupted:
            return self._interrupted()
        return await self._ended()

    def _interrupted(self) -> Completion:
        """Return that the node goes on later, as it stands in history."""
        return Completion(unit=self._unit, events=(), is_interrupted=True)

    async def _list(self) -> None:
        """Let history know every item, then that the node is under way; go on where that ended."""
        context, name = self._context, self._node.name
        if self._known is not None and self._known.state is NodeState.RUNNING:
            return
        items = await listed(context, self._node)
        first = sum((await self._states()).values()) if self._known is not None else 0
        events: list[Event] = []
        for start in range(first, len(items), _BATCH):
            events.append(self._listing(start, items[start : start + _BATCH]))
            if len(items) - start > _BATCH:
                await context.record(*events)
                events = []
        await context.record(*events, context.change(name, NodeState.RUNNING, attempt=1))

    def _listing(self, first: int, items: Sequence[Any]) -> ItemsListed:
        return ItemsListed(
            at=self._context.services.clock.now(),
            run_id=self._context.run.run_id,
            pipeline=self._context.run.pipeline,
            node=self._node.name,
            first=first,
            items=tuple(items),
        )

    async def _states(self) -> Mapping[NodeState, int]:
        """Return how many instances stand in each state."""
        name = self._node.name
        counts = await self._context.services.history.item_counts(self._context.run.run_id, name)
        return counts.get(name, {})

    async def _begin(
        self, found: Sequence[ItemRecord], instances: anyio.abc.TaskGroup
    ) -> tuple[list[ItemChange], list[Event]]:
        """Begin instances as there is room; return how those ended that take no time."""
        at_once: list[ItemChange] = []
        closing: list[Event] = []
        for item in found:
            await self._context.until_resumed()
            if self._context.is_interrupted:
                break
            work = ItemWork(self._context, self._node, item, self._recorder.note)
            change = work.at_once()
            if change is not None:
                at_once.append(change)
                closing += work.closing(change)
                continue
            if not await self._has_room():
                break
            instances.start_soon(self._run, work)
        return at_once, closing

    async def _has_room(self) -> bool:
        """Wait for room; return whether the run goes on then."""
        with self._context.until_stopped():
            await self._room.acquire()
            await self._context.until_resumed()
            if not self._context.is_interrupted:
                return True
            self._room.release()
        if self._context.is_interrupted:
            return False
        await self._room.acquire()
        return True

    async def _run(self, work: ItemWork) -> None:
        try:
            change = await work.run()
            if change is not None:
                await self._recorder.note(change, *work.closing(change))
                self._count(change)
        finally:
            self._room.release()

    async def _take(self, changes: Sequence[ItemChange], closing: Sequence[Event]) -> None:
        if changes:
            await self._recorder.record(changes, closing)
            for change in changes:
                self._count(change)

    def _count(self, change: ItemChange) -> None:
        if change.state is NodeState.FAILED and len(self._errors) < 3:
            self._errors.append(f"[{change.number}] {change.error}")

    async def _ended(self) -> Completion:
        """Return the node's end: a success when no instance failed."""
        counts = await self._states()
        total, failed = sum(counts.values()), counts.get(NodeState.FAILED, 0)
        name = self._node.name
        output = await collected(self._context, name)
        if failed:
            told = "; ".join(self._errors) or "see its items"
            message = f"{failed:,} of {total:,} items failed: {told}"
            return self._failed(message, ITEMS_FAILED, output)
        change = self._context.change(
            name, NodeState.SUCCESS, attempt=1, outcome="success", output=output
        )
        return Completion(
            unit=self._unit,
            events=(change,),
            ends={name: Ended(NodeState.SUCCESS)},
            outputs={name: output},
        )

    def _failed(
        self, message: str, kind: str, output: Mapping[str, Any] | None = None
    ) -> Completion:
        """Return the end of a node that failed; what its items made is there for who deals with it."""
        name = self._node.name
        told = self._context.services.redact(message)
        change = self._context.change(
            name,
            NodeState.FAILED,
            attempt=1,
            error=told,
            error_kind=kind or FatalError.kind,
            output=output,
        )
        return Completion(
            unit=self._unit,
            events=(change,),
            ends={name: Ended(NodeState.FAILED)},
            errors={name: told},
            outputs={} if output is None else {name: output},
        )


class _Recorder:
    """Records changes of instances together: all that wait are one transaction."""

    def __init__(self, context: RunContext, node: str) -> None:
        self._context = context
        self._node = node
        self._waiting: list[tuple[ItemChange, anyio.Event]] = []
        self._events: list[Event] = []
        self._has_some = anyio.Event()

    async def note(self, change: ItemChange, *events: Event) -> None:
        """Return once `change` is on disk, and with it what belongs to it."""
        recorded = anyio.Event()
        self._waiting.append((change, recorded))
        self._events += events
        self._has_some.set()
        await recorded.wait()

    async def run(self) -> None:
        """Record what is noted, until cancelled."""
        while True:
            await self._has_some.wait()
            self._has_some = anyio.Event()
            waiting, self._waiting = self._waiting, []
            events, self._events = self._events, []
            await self.record([change for change, _ in waiting], events)
            for _, recorded in waiting:
                recorded.set()

    async def record(self, changes: Sequence[ItemChange], events: Sequence[Event]) -> None:
        """Put changes on record, and with them what belongs to them."""
        await self._context.record(
            ItemsChanged(
                at=self._context.services.clock.now(),
                run_id=self._context.run.run_id,
                pipeline=self._context.run.pipeline,
                node=self._node,
                changes=tuple(changes),
            ),
            *events,
        )
