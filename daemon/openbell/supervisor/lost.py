"""How an attempt failed whose worker did not live to say it: what is known from its last words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from openbell.execution.last_words import LastWords
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import Beat, Failed
from openbell.model.pipelines import Node
from openbell.model.runs import LogLine

_LINE_CHARS = 8192


def lost(error: WorkerLostError, words: LastWords, *, head: str, beat: Beat | None) -> Failed:
    """Return the failure of an attempt whose worker was lost: of the node that was at work.

    It is that of `head` where nobody knows, and where a chain fetched and went on at once.
    """
    at_work = words.at_work
    node = at_work[0] if len(at_work) == 1 else head
    failed = Failed(
        node=node,
        kind=error.kind,
        message=f"{error}{_both(at_work)}",
        traceback=error.tail,
        is_retryable=error.kind != "memory",
    )
    return _with_cost(failed, words, beat)


def overtime(limit: Node, words: LastWords, *, beat: Beat | None) -> Failed:
    """Return the failure of an attempt that took longer than `limit` may; it says where it was."""
    is_elsewhere = words.at_work and words.at_work != (limit.name,)
    where = _both(words.at_work) or f" ({words.at_work[0]!r} was at work)" if is_elsewhere else ""
    failed = Failed(
        node=limit.name,
        kind="timeout",
        message=f"took longer than {limit.timeout_s:g} s{where}",
        traceback=words.tail,
        is_retryable=True,
    )
    return _with_cost(failed, words, beat)


def unheard(words: LastWords, now: datetime) -> Sequence[LogLine]:
    """Return what the worker wrote and could not report any more, as lines of its node's log."""
    return tuple(
        LogLine(
            at=now,
            stream=stream,
            level="INFO" if stream == "stdout" else "WARNING",
            text=text[:_LINE_CHARS],
        )
        for stream, text in words.output
    )


def _both(at_work: Sequence[str]) -> str:
    names = " and ".join(repr(name) for name in at_work)
    return f" ({names} were at work)" if len(at_work) > 1 else ""


def _with_cost(failed: Failed, words: LastWords, beat: Beat | None) -> Failed:
    """Return a failure with what is known of its cost: by the kernel, and by the last beat."""
    failed = msgspec.structs.replace(failed, peak_memory_bytes=words.peak_memory_bytes)
    if beat is None:
        return failed
    return msgspec.structs.replace(
        failed,
        cpu_s=beat.cpu_s,
        io_read_bytes=beat.io_read_bytes,
        io_written_bytes=beat.io_written_bytes,
    )
