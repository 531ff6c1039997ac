"""Send spans and metrics to an OTLP collector, from tasks of the event loop.

Nothing of this is loaded unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or its variant for one signal) is
set. Numbers are collected on the loop's own thread, where they are made; only the request to the
collector is made on another one.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import anyio
from anyio import CapacityLimiter, to_thread
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from typing_extensions import override

from openbell.sdk.clock import Clock
from openbell.sdk.errors import Problem, SettingsError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
MAX_QUEUED_SPANS = 8192
MAX_SPANS_A_REQUEST = 512
SPAN_INTERVAL_S = 2.0
METRIC_INTERVAL_S = 60.0
LAST_WORDS_S = 5.0
TIMEOUT_S = 4.0
"""For one request, unless a variable says otherwise: less than what the daemon waits at its end."""


def is_wanted(signal: str, env: Mapping[str, str] = os.environ) -> bool:
    """Return whether `signal` (traces or metrics) is to be exported by OTLP.

    Decided by the endpoint variables, `OTEL_<SIGNAL>_EXPORTER` and `OTEL_SDK_DISABLED`. Raises
    SettingsError for a protocol other than http/protobuf.
    """
    name = signal.upper()
    if not (env.get(ENDPOINT) or env.get(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT")):
        return False
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if env.get(f"OTEL_{name}_EXPORTER", "otlp") != "otlp":
        return False
    general, special = "OTEL_EXPORTER_OTLP_PROTOCOL", f"OTEL_EXPORTER_OTLP_{name}_PROTOCOL"
    variable = special if env.get(special) else general
    protocol = env.get(variable) or "http/protobuf"
    if protocol != "http/protobuf":
        problem = Problem(
            key=variable,
            message=f"{protocol!r} is not spoken here",
            hint="set it to http/protobuf; collectors take it on port 4318",
        )
        raise SettingsError([problem])
    return True


class SpanExporting(Protocol):
    """What takes spans: the SDK's exporters do."""

    def export(self, spans: Sequence[ReadableSpan], /) -> object:
        """Deliver `spans`, blocking; failures are logged by the exporter."""
        ...

    def shutdown(self) -> None:
        """Let go of the connection."""
        ...


class SpanQueue(SpanProcessor):
    """Holds ended spans until they are exported; beyond `MAX_QUEUED_SPANS` new ones are lost."""

    def __init__(self, exporter: SpanExporting) -> None:
        self._exporter = exporter
        self._queue: deque[ReadableSpan] = deque()
        self.dropped_count = 0

    @override
    def on_end(self, span: ReadableSpan) -> None:
        if len(self._queue) >= MAX_QUEUED_SPANS:
            self.dropped_count += 1
            return
        self._queue.append(span)

    async def run(self, clock: Clock, limiter: CapacityLimiter) -> None:
        """Export every `SPAN_INTERVAL_S` until cancelled."""
        while True:
            await clock.sleep(SPAN_INTERVAL_S)
            await self.drain(limiter)

    async def drain(self, limiter: CapacityLimiter) -> None:
        """Export everything that is queued."""
        while self._queue:
            count = min(len(self._queue), MAX_SPANS_A_REQUEST)
            batch = [self._queue.popleft() for _ in range(count)]
            await _off_the_loop(partial(self._exporter.export, batch), limiter)

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()


class MetricPush:
    """Collects the metrics now and then, on the loop, and sends them."""

    def __init__(self, exporter: Any, *, interval_s: float = METRIC_INTERVAL_S) -> None:  # noqa: ANN401 - loaded late
        self._exporter = exporter
        self._interval_s = interval_s
        self._memory = InMemoryMetricReader()

    @property
    def reader(self) -> MetricReader:
        """What to give to `Metrics`."""
        return self._memory

    async def run(self, clock: Clock, limiter: CapacityLimiter) -> None:
        """Export at the interval of `OTEL_METRIC_EXPORT_INTERVAL` until cancelled."""
        while True:
            await clock.sleep(self._interval_s)
            await self.drain(limiter)

    async def drain(self, limiter: CapacityLimiter) -> None:
        """Export the numbers as they stand."""
        data = self._memory.get_metrics_data()
        if data is not None:
            await _off_the_loop(partial(self._exporter.export, data), limiter)

    def shutdown(self) -> None:
        """Let go of the connection."""
        self._exporter.shutdown()


def span_queue(env: Mapping[str, str] = os.environ) -> SpanQueue | None:
    """Return a queue before an OTLP exporter, or None when nobody wants spans."""
    if not is_wanted("traces", env):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - 5 MB, only when wanted
        OTLPSpanExporter,
    )

    return SpanQueue(OTLPSpanExporter(timeout=_timeout_s("TRACES", env)))


def metric_push(env: Mapping[str, str] = os.environ) -> MetricPush | None:
    """Return what pushes metrics by OTLP, or None when nobody wants them."""
    if not is_wanted("metrics", env):
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - 5 MB, only when wanted
        OTLPMetricExporter,
    )

    interval_ms = env.get("OTEL_METRIC_EXPORT_INTERVAL", "")
    is_number = interval_ms.isascii() and interval_ms.isdigit() and int(interval_ms) > 0
    interval_s = int(interval_ms) / 1000 if is_number else METRIC_INTERVAL_S
    exporter = OTLPMetricExporter(timeout=_timeout_s("METRICS", env))
    return MetricPush(exporter, interval_s=interval_s)


def _timeout_s(signal: str, env: Mapping[str, str]) -> float | None:
    """Return our time limit, or None where the environment sets one for the exporter to read."""
    names = ("OTEL_EXPORTER_OTLP_TIMEOUT", f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT")
    return None if any(env.get(name) for name in names) else TIMEOUT_S


class Pushing:
    """Everything that is sent by itself; empty when no endpoint is set."""

    def __init__(self, clock: Clock, *parts: SpanQueue | MetricPush | None) -> None:
        self._clock = clock
        self._parts = [part for part in parts if part is not None]
        self._limiter = CapacityLimiter(2)  # one request a signal

    async def run(self) -> None:
        """Export until cancelled, then once more what is left, for at most `LAST_WORDS_S`."""
        try:
            async with anyio.create_task_group() as tasks:
                for part in self._parts:
                    tasks.start_soon(part.run, self._clock, self._limiter, name="export telemetry")
        finally:
            with anyio.move_on_after(LAST_WORDS_S, shield=True):
                async with anyio.create_task_group() as tasks:
                    for part in self._parts:
                        tasks.start_soon(part.drain, self._limiter, name="last words")

    def close(self) -> None:
        """Let go of the connections."""
        for part in self._parts:
            part.shutdown()


async def _off_the_loop(send: Callable[[], object], limiter: CapacityLimiter) -> None:
    """Run `send` on a thread; one that hangs is left behind, as it holds nothing but a socket."""
    await to_thread.run_sync(send, limiter=limiter, abandon_on_cancel=True)
