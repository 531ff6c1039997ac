"""A running server over a small engine, and the command line pointed at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.serving import Served, serving


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    async with serving(tmp_path) as running:
        monkeypatch.setenv("OPENBELL_SOCKET", str(running.socket))
        yield running
