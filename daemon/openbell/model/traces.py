"""Where a piece of work stands in a trace: W3C Trace Context, level 1. Pure.

Spans are named after what they trace: the span id of a run or an attempt is computed from its
id, so a worker, a restarted daemon and the exporter agree on it without asking each other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import override

TRACE_ID_BITS = 128
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceParent:
    """A span that others are children of. Ids are lower-case hexadecimal and never all zero."""

    trace_id: str
    span_id: str
    is_sampled: bool = True

    @override
    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"


def parse_traceparent(header: str | None) -> TraceParent | None:
    """Return what a `traceparent` header says, or None when it is absent or broken.

    A header of a later version is read as far as version 00 goes, as the standard asks.
    """
    match = _HEADER.fullmatch((header or "").strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest):
        return None
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceParent(trace_id=trace_id, span_id=span_id, is_sampled=bool(int(flags, 16) & 1))


def new_trace_id(random_bits: Callable[[int], int]) -> str:
    """Return a trace id of 128 bits from the injected source of chance, as 32 hex digits."""
    return f"{random_bits(TRACE_ID_BITS) or 1:032x}"


def trace_id_of(run_id: str) -> str:
    """Return the trace id of a run that was submitted without one."""
    return hashlib.sha256(f"trace {run_id}".encode()).hexdigest()[:32]


def span_id_of(thing_id: str) -> str:
    """Return the span id of the run, attempt or batch with this id, as 16 hex digits."""
    return hashlib.sha256(f"span {thing_id}".encode()).hexdigest()[:16]


def node_span_id(run_id: str, node: str, attempt: int) -> str:
    """Return the span id of attempt number `attempt` at a run's node."""
    return span_id_of(f"{run_id}/{node}/{attempt}")


def node_traceparent(trace_id: str, run_id: str, node: str, attempt: int) -> str:
    """Return the `traceparent` header for what a worker does in this attempt at `node`."""
    return str(TraceParent(trace_id=trace_id, span_id=node_span_id(run_id, node, attempt)))
