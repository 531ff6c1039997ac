"""The runs of one pipeline that wait to begin, the most senior first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from openbell.execution.turns import seniority
from openbell.model.quick import changed
from openbell.model.runs import RunRecord, RunState

_Key = tuple[bool, float, int]


class RunQueue:
    """Ordered by priority with ageing, as the desk orders units; what had begun before goes first.

    A paused run that has not begun keeps its place and is passed over.
    """

    def __init__(self) -> None:
        self._runs: dict[str, RunRecord] = {}
        self._keys: dict[str, _Key] = {}
        self._heap: list[tuple[_Key, str]] = []
        self._numbers = count()

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._runs, key=self._keys.__getitem__))

    def __len__(self) -> int:
        return len(self._runs)

    def put(self, run: RunRecord) -> None:
        """Let a run wait."""
        self._runs[run.run_id] = run
        self._place(run, next(self._numbers))

    def pop(self, run_id: str) -> RunRecord | None:
        """Take a run out, wherever it stands; None when it does not wait."""
        self._keys.pop(run_id, None)
        return self._runs.pop(run_id, None)

    def first(self) -> RunRecord | None:
        """Return the run that is to begin next, None when none may."""
        while self._heap:
            key, run_id = self._heap[0]
            if self._keys.get(run_id) == key and not _is_passed_over(self._runs[run_id]):
                return self._runs[run_id]
            heapq.heappop(self._heap)
        return None

    def change(
        self, run_id: str, *, paused: bool | None = None, priority: int | None = None
    ) -> None:
        """Hold a run, let it go on, or give it another priority; its age stays."""
        run = self._runs[run_id]
        run = changed(
            run,
            paused=run.paused if paused is None else paused,
            priority=run.priority if priority is None else priority,
        )
        self._runs[run_id] = run
        self._place(run, self._keys[run_id][2])

    def _place(self, run: RunRecord, number: int) -> None:
        age = seniority(run.priority, run.submitted_at.timestamp())
        key = self._keys[run.run_id] = (run.state is not RunState.RUNNING, -age, number)
        if not _is_passed_over(run):
            heapq.heappush(self._heap, (key, run.run_id))


def _is_passed_over(run: RunRecord) -> bool:
    return run.paused and run.state is not RunState.RUNNING
