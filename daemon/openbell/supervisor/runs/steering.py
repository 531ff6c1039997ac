"""What people ask of one run at work: it is in history already, and the run obeys."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from openbell.model.items import NodeRequest


class Steering:
    """Told by the pipeline's actor, heeded by the run's driver; both are of one loop.

    `is_paused` is None as long as nobody said so here: then it is as history says. `is_fresh` is
    that of a run that was accepted just now: history has no requests about it.
    """

    def __init__(self, *, is_fresh: bool = False) -> None:
        self.is_paused: bool | None = None
        self.is_cancelled = False
        self.is_fresh = is_fresh
        self.priority: int | None = None
        self.requests: dict[str, NodeRequest] = {}
        self.hear: Callable[[], None] | None = None
        self._changed = anyio.Event()

    def pause(self, *, is_paused: bool) -> None:
        """Begin nothing more, or go on."""
        self.is_paused = is_paused
        self._tell()

    def request(self, request: NodeRequest) -> None:
        """Let a node end as somebody asked; the first who asked is heard."""
        self.requests.setdefault(request.node, request)
        self._tell()

    async def change(self) -> None:
        """Return once something is asked that was not before."""
        await self._changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
        if self.hear is not None:
            self.hear()
