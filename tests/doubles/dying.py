"""A history whose process is killed: what was recorded stays, and nothing more is taken."""

from __future__ import annotations

from typing_extensions import override

from openbell.model.events import Event, StoredEvent
from openbell.testing import MemoryHistory


class KilledError(BaseException):
    """The process is gone."""


class Dying(MemoryHistory):
    """Takes so many records and then none; what was recorded stays."""

    left = 1_000_000

    @override
    async def record(self, *events: Event) -> tuple[StoredEvent, ...]:
        if self.left <= 0:
            raise KilledError
        self.left -= 1
        return await super().record(*events)
