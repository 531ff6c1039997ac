"""What schedules ask of the pipelines at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from openbell.model.runs import RunRecord
from openbell.supervisor.definitions import Definitions


class Crew(Protocol):
    """The pipelines at work, as far as their schedules ask."""

    @property
    def definitions(self) -> Definitions:
        """What is in force."""
        ...

    def standing(self, name: str) -> str:
        """Return how a pipeline stands: active, starting, paused, parked, refused or unknown."""
        ...

    def open_runs(self, name: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the ids of a pipeline's runs that are going on, and of those that wait.

        Without those whose fire is not due yet.
        """
        ...

    async def cancel(self, run: RunRecord) -> None:
        """End a run of which history says that it is to end."""
        ...

    def withdraw(self, run: RunRecord) -> bool:
        """Forget a run that waits for its fire; return whether that is still possible."""
        ...

    async def enqueue(self, run: RunRecord, *, is_new: bool = False) -> None:
        """Let a run that was accepted be worked on; one that `is_new` nobody was told of before."""
        ...
