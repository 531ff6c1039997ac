"""Telemetry, wired to the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openbell.app.assembly import Running
from openbell.model.pipelines import Deployment
from openbell.plugin_host import Registry
from openbell.sdk.clock import Clock
from openbell.supervisor.journal import Observer


@dataclass(slots=True, kw_only=True)
class Monitoring:
    """What looks at the engine and what it shows."""

    observers: Sequence[Observer]

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return b""

    def failed(self, error: BaseException, what: str) -> None:
        """Log an error of the API that nobody expected."""
        del error, what

    async def run(self, whole: Running) -> None:
        """Watch the loop, and serve the metrics on their own port when that is on."""


def monitoring(
    deployment: Deployment, registry: Registry, clock: Clock, env: Mapping[str, str]
) -> Monitoring:
    """Return the monitoring that `deployment` asks for."""
    del deployment, registry, clock, env
    return Monitoring(observers=())
