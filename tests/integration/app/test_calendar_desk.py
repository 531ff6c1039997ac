"""Calendars that cannot be built: for now, or at all."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from openbell.calendars.store import SessionStore
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import Ask, Failed
from openbell.sdk.errors import FatalError, TransientError
from openbell.supervisor.calendars import CalendarDesk
from openbell.testing.clock import ManualClock

pytestmark = pytest.mark.integration

DAYS = (date(2026, 1, 5), date(2026, 1, 9))


class Workers:
    def __init__(self, answer: Failed | Exception) -> None:
        self.answer = answer

    async def submit(self, task: Any, listener: Any, stop: Any) -> tuple[Any, int]:
        assert await listener.answer(Ask(ask_id=1, what="pace"), stop) == (False, 0)
        await listener.hear(self.answer)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer, 1


def desk(tmp_path: Path, answer: Failed | Exception) -> CalendarDesk:
    return CalendarDesk(SessionStore(tmp_path), Workers(answer), ManualClock())


async def test_a_worker_that_is_lost_over_a_calendar_is_trouble_that_passes(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="for now"):
        await desk(tmp_path, WorkerLostError(7, -9, "")).between("XNYS", *DAYS)


async def test_a_calendar_that_the_library_cannot_build_is_fatal(tmp_path: Path) -> None:
    failed = Failed(node="", kind="error", message="odd", traceback="", is_retryable=True)
    with pytest.raises(FatalError, match="cannot be built: odd"):
        await desk(tmp_path, failed).between("XNYS", *DAYS)


async def test_an_unknown_calendar_is_fatal(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="XNYX"):
        await desk(tmp_path, WorkerLostError(7, -9, "")).between("XNYX", *DAYS)
