"""The contract of a sink: a plugin that delivers alerts (clauses in `daemon/spec/sink.md`)."""

from __future__ import annotations

from typing import Protocol

from openbell.sdk.values import Alert


class Sink(Protocol):
    """Delivers alerts to people. A failing sink never harms a run."""

    async def deliver(self, alert: Alert) -> None:
        """Hand `alert` over, once; the same `alert.id` twice is delivered once.

        The caller sets the deadline. Raises `RetryableError` to be called again later; any other
        error drops the alert for this sink and counts it.
        """
        ...

    async def aclose(self) -> None:
        """Release connections. Safe to call twice."""
        ...
