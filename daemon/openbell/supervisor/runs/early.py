"""Runs that were accepted before their fire is due: nothing of them begins earlier."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from openbell.model.events import Event, FireLetGo
from openbell.model.runs import RunRecord
from openbell.supervisor.services import Services


class EarlyRuns:
    """One pipeline's runs that wait for an instant of the wall clock.

    `come_due` is told each of them at that instant, and waits for nothing.
    """

    def __init__(self, services: Services, come_due: Callable[[RunRecord], None]) -> None:
        self._clock = services.clock
        self._bell = services.bell
        self._come_due = come_due
        self._waiting: dict[str, tuple[datetime, RunRecord]] = {}
        self._withdrawn: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, run: RunRecord, *, is_new: bool) -> bool:
        """Keep a run back if it is too early for it; return whether nothing else is to be done."""
        if run.run_id in self._withdrawn:
            self._withdrawn.discard(run.run_id)
            return True
        if run.run_id in self._waiting:
            return True
        if not run.fire or run.due_at is None:
            return False
        is_overtaken = is_new and run.submitted_at < run.due_at
        if run.due_at <= self._clock.now() and not is_overtaken:
            return False
        self._waiting[run.run_id] = run.due_at, run
        self._bell.set(run.due_at, run.run_id, partial(self._let_go, run.due_at, run))
        return True

    def _let_go(self, due_at: datetime, run: RunRecord) -> Event:
        del self._waiting[run.run_id]
        self._come_due(run)
        now = self._clock.now()
        late_s = (now - due_at).total_seconds()
        return FireLetGo(at=now, pipeline=run.pipeline, run_id=run.run_id, late_s=late_s)

    def drop(self, run_id: str) -> RunRecord | None:
        """Let go of a run that waits; return it, None when it does not wait."""
        if run_id not in self._waiting:
            return None
        due_at, run = self._waiting.pop(run_id)
        self._bell.unset(due_at, run_id)
        return run

    def close(self) -> None:
        """Forget every run: history knows them."""
        for run_id in list(self._waiting):
            self.drop(run_id)

    def withdraw(self, run: RunRecord) -> bool:
        """Forget a run, also one that is still to come; return False when its time is over."""
        if self.drop(run.run_id) is not None:
            return True
        if run.due_at is None or run.due_at <= self._clock.now():
            return False
        self._withdrawn.add(run.run_id)
        return True
