"""Fixtures for plugin authors, found by pytest as soon as openbell is installed.

Importing this module must stay light: every pytest run of the environment does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from openbell.testing.clock import ManualClock
    from openbell.testing.fake_backend import FakeBackend
    from openbell.testing.memory_history import MemoryHistory

pytest.register_assert_rewrite("openbell.testing.conformance")


@pytest.fixture
def manual_clock() -> ManualClock:
    """Return a clock that moves only when the test says so."""
    from openbell.testing.clock import ManualClock  # noqa: PLC0415 - keeps every pytest start light

    return ManualClock()


@pytest.fixture
def fake_backend() -> FakeBackend:
    """Return an empty backend in memory."""
    from openbell.testing.fake_backend import FakeBackend  # noqa: PLC0415 - the same

    return FakeBackend()


@pytest.fixture
def memory_history() -> MemoryHistory:
    """Return an empty history in memory."""
    from openbell.testing.memory_history import MemoryHistory  # noqa: PLC0415 - the same

    return MemoryHistory()
