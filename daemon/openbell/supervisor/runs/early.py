"""Runs that were accepted before their fire is due: nothing of them begins earlier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from openbell.model.events import FireLetGo
from openbell.model.runs import RunRecord
from openbell.supervisor.services import Services


@dataclass(slots=True)
class _Waiting:
    run: RunRecord
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class EarlyRuns:
    """One pipeline's runs that wait for an instant of the wall clock.

    `come_due` is told each of them at that instant. It may not wait: of a thousand runs of one
    instant all are let go before the first begins its work.
    """

    def __init__(self, services: Services, come_due: Callable[[RunRecord], None]) -> None:
        self._services = services
        self._come_due = come_due
        self._waiting: dict[str, _Waiting] = {}
        self._withdrawn: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, run: RunRecord, tasks: TaskGroup) -> bool:
        """Keep a run back if it is too early for it; return whether nothing else is to be done."""
        if run.run_id in self._withdrawn:
            self._withdrawn.discard(run.run_id)
            return True
        if run.run_id in self._waiting:
            return True
        if not run.fire or run.due_at is None or run.due_at <= self._services.clock.now():
            return False
        waiting = self._waiting[run.run_id] = _Waiting(run)
        tasks.start_soon(self._wait, waiting, name=f"fire of {run.run_id}")
        return True

    async def _wait(self, waiting: _Waiting) -> None:
        run, clock = waiting.run, self._services.clock
        assert run.due_at is not None
        with waiting.scope:
            await clock.sleep_until(run.due_at)
        if self._waiting.pop(run.run_id, None) is not waiting:
            return
        now = clock.now()
        self._come_due(run)
        await anyio.lowlevel.checkpoint()
        late_s = (now - run.due_at).total_seconds()
        await self._services.journal.record(
            FireLetGo(at=now, pipeline=run.pipeline, run_id=run.run_id, late_s=late_s)
        )

    def drop(self, run_id: str) -> RunRecord | None:
        """Let go of a run that waits; return it, None when it does not wait."""
        waiting = self._waiting.pop(run_id, None)
        if waiting is None:
            return None
        waiting.scope.cancel()
        return waiting.run

    def withdraw(self, run: RunRecord) -> bool:
        """Forget a run, also one that is still to come; return False when its time is over."""
        if self.drop(run.run_id) is not None:
            return True
        if run.due_at is None or run.due_at <= self._services.clock.now():
            return False
        self._withdrawn.add(run.run_id)
        return True
