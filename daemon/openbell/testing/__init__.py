"""PUBLIC: what plugin authors test with: a clock, fakes, builders, and one suite a kind.

Names are loaded when they are first used, because pytest imports this package at every start.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openbell.testing.batches import bars, provided_bars, rows_of
    from openbell.testing.clock import ManualClock
    from openbell.testing.conformance.backend import BackendConformance
    from openbell.testing.conformance.backend_case import BackendCase
    from openbell.testing.conformance.operator import OperatorCase, OperatorConformance, chunks
    from openbell.testing.conformance.provider import ProviderCase, ProviderConformance
    from openbell.testing.conformance.rule import RuleCase, RuleConformance, rule_context
    from openbell.testing.conformance.sink import SinkCase, SinkConformance
    from openbell.testing.conformance.task import TaskCase, TaskConformance
    from openbell.testing.fake_backend import FakeBackend, FakePlace
    from openbell.testing.fake_context import FakeNodeContext, dataset_context
    from openbell.testing.fake_provider import FakeProvider
    from openbell.testing.fake_sink import FakeSink
    from openbell.testing.fake_task import FakeTaskContext, FakeTaskInput
    from openbell.testing.memory_history import MemoryHistory
    from openbell.testing.requests import START, fetch_request, weekday_sessions

__all__ = [
    "START",
    "BackendCase",
    "BackendConformance",
    "FakeBackend",
    "FakeNodeContext",
    "FakePlace",
    "FakeProvider",
    "FakeSink",
    "FakeTaskContext",
    "FakeTaskInput",
    "ManualClock",
    "MemoryHistory",
    "OperatorCase",
    "OperatorConformance",
    "ProviderCase",
    "ProviderConformance",
    "RuleCase",
    "RuleConformance",
    "SinkCase",
    "SinkConformance",
    "TaskCase",
    "TaskConformance",
    "bars",
    "chunks",
    "dataset_context",
    "fetch_request",
    "provided_bars",
    "rows_of",
    "rule_context",
    "weekday_sessions",
]

_PLACES = {
    "batches": ("bars", "provided_bars", "rows_of"),
    "clock": ("ManualClock",),
    "conformance.backend": ("BackendConformance",),
    "conformance.backend_case": ("BackendCase",),
    "conformance.operator": ("OperatorCase", "OperatorConformance", "chunks"),
    "conformance.provider": ("ProviderCase", "ProviderConformance"),
    "conformance.rule": ("RuleCase", "RuleConformance", "rule_context"),
    "conformance.sink": ("SinkCase", "SinkConformance"),
    "conformance.task": ("TaskCase", "TaskConformance"),
    "fake_backend": ("FakeBackend", "FakePlace"),
    "fake_context": ("FakeNodeContext", "dataset_context"),
    "fake_provider": ("FakeProvider",),
    "fake_sink": ("FakeSink",),
    "fake_task": ("FakeTaskContext", "FakeTaskInput"),
    "memory_history": ("MemoryHistory",),
    "requests": ("START", "fetch_request", "weekday_sessions"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    """Return a public name, imported now."""
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACE_OF[name]}"), name)
