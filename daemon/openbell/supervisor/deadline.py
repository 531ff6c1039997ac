"""Deadlines on the injected clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from openbell.sdk.clock import Clock


class Deadline:
    """Whether the time ran out."""

    def __init__(self) -> None:
        self.has_passed = False


@asynccontextmanager
async def deadline(clock: Clock, delay_s: float | None) -> AsyncIterator[Deadline]:
    """Cancel the block after `delay_s` seconds of `clock`'s time, and say so; None never does."""
    state = Deadline()
    if delay_s is None:
        yield state
        return
    error: Exception | None = None
    with anyio.CancelScope() as scope:

        async def watch() -> None:
            await clock.sleep(delay_s)
            state.has_passed = True
            scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(watch, name="deadline")
            try:
                yield state
            except Exception as raised:  # noqa: BLE001 - raised again, outside the task group
                error = raised
            group.cancel_scope.cancel()
    if error is not None:
        raise error
