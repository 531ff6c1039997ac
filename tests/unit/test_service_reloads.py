"""Reloads asked for while one is under way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import anyio
import pytest

from openbell.model.control import Engine
from openbell.model.events import ConfigReloaded
from openbell.service.notify import Notifier
from openbell.service.signals import _Reloads

pytestmark = pytest.mark.unit


class _SlowEngine:
    """Reloads only when it is let."""

    def __init__(self) -> None:
        self.reload_count = 0
        self.go_on = anyio.Event()

    async def reload(self) -> ConfigReloaded:
        self.reload_count += 1
        await self.go_on.wait()
        return ConfigReloaded(at=datetime(2026, 1, 2, tzinfo=UTC), digest="d")


async def test_however_many_signals_arrive_during_a_reload_one_more_follows() -> None:
    engine: Any = _SlowEngine()
    reloads = _Reloads(cast("Engine", engine), Notifier(None))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            reloads.ask(tasks)
            await anyio.wait_all_tasks_blocked()
            for _ in range(5):
                reloads.ask(tasks)
            assert engine.reload_count == 1
            engine.go_on.set()
    assert engine.reload_count == 2


async def test_a_later_signal_reloads_again() -> None:
    engine: Any = _SlowEngine()
    engine.go_on.set()
    reloads = _Reloads(cast("Engine", engine), Notifier(None))
    with anyio.fail_after(10):
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                reloads.ask(tasks)
    assert engine.reload_count == 2
