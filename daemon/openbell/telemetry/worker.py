"""Tracing inside a worker: a node's code finds out whose child it is.

Workers export nothing. The control plane makes the spans of nodes and batches; a node's code, or
a program that it starts, may add spans of its own below the one that `TRACEPARENT` names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from openbell.model.traces import parse_traceparent

VARIABLE = "TRACEPARENT"


@contextmanager
def worker_tracing(traceparent: str, env: MutableMapping[str, str] | None = None) -> Iterator[None]:
    """Set `TRACEPARENT` in the environment while a task runs, and OpenTelemetry's context.

    The context is set only where the node's code could use it: where OpenTelemetry is loaded
    already, or an OTLP endpoint is configured. A broken or empty header sets nothing.
    """
    env = os.environ if env is None else env
    if parse_traceparent(traceparent) is None:
        yield
        return
    before = env.get(VARIABLE)
    env[VARIABLE] = traceparent
    is_useful = "opentelemetry.trace" in sys.modules or "OTEL_EXPORTER_OTLP_ENDPOINT" in env
    try:
        if is_useful:
            with _attached(traceparent):
                yield
        else:
            yield
    finally:
        if before is None:
            env.pop(VARIABLE, None)
        else:
            env[VARIABLE] = before


@contextmanager
def _attached(traceparent: str) -> Iterator[None]:
    from opentelemetry import context  # noqa: PLC0415 - loaded only where it is of use
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - the same
        TraceContextTextMapPropagator,
    )

    found = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    token = context.attach(found)
    try:
        yield
    finally:
        context.detach(token)
