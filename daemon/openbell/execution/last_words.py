"""What is known of a worker process that ended with a task in hand, and what that means. Pure."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

MEMORY_EXIT = 71
"""How a worker ends that has not even the memory to say that it has none."""

TELL_WHERE = signal.SIGUSR2
"""Asks a worker for its threads' stacks, whatever it is doing."""

_MIB = 1024 * 1024
_UNUSED_SHARE, _UNUSED_BYTES = 0.2, 256 * _MIB  # stacks and heaps that were reserved count too
_DEADLY = frozenset({-9, -6, -11, -7})
_SAID = re.compile(
    r"std::bad_alloc|\bMemoryError\b|memory allocation of \d+ bytes failed|Cannot allocate memory"
    r"|(?i:\bout of memory\b)"
)
_STACK = re.compile(
    r"^(?=(?:(?:Current thread|Thread) 0x[0-9a-f]+|Stack) \(most recent call first\):$)",
    re.MULTILINE,
)
_OWN = re.compile(
    r'  File "(?:[^"]*/openbell/execution/worker/[^/"]+\.py|[^"]*/threading\.py|<frozen [^"]+>)"'
)
_BEFORE_CHARS, _STACKS_CHARS = 1000, 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWords:
    """What a worker left behind.

    `tail` is its crash report, or where it was when it was ended; `output` are lines that it could
    not report, each with its stream; `at_work` are the nodes that it worked on: two, when a chain
    was fetching ahead.
    """

    tail: str = ""
    output: tuple[tuple[str, str], ...] = ()
    at_work: tuple[str, ...] = ()
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a process ended: `how` in words, `limit_bytes` is what it might have had, if that is known.

    `was_oom_kill`: the kernel's out-of-memory killer ended some process since the last death.
    """

    exit_code: int | None
    how: str
    peak_bytes: int
    limit_bytes: int | None
    was_oom_kill: bool = False


def memory_told(peak_bytes: int, limit_bytes: int | None) -> str:
    """Return in words how much memory a worker had and might have had."""
    peak = f"peak {peak_bytes / _MIB:,.0f} MiB"
    return peak if limit_bytes is None else f"{peak} of {limit_bytes / _MIB:,.0f} MiB allowed"


def out_of_memory(death: Death, words: str) -> str:
    """Return why a process ran out of memory that ended without saying so; nothing if it did not.

    What is known is told as known, what is only likely as likely. `words` is its last output.
    """
    numbers = memory_told(death.peak_bytes, death.limit_bytes)
    raise_it = "raise daemon: worker_max_memory_mb"
    if death.exit_code == MEMORY_EXIT:
        return f"it needs more memory than a worker may have ({numbers}); {raise_it}"
    if death.exit_code == -9 and death.was_oom_kill:
        return (
            f"{death.how} while the kernel's out-of-memory killer was at work, so it is likely its "
            f"victim ({numbers}): the machine or the service has not the memory that its workers "
            "may take; lower daemon: max_workers or worker_max_memory_mb, or let it have more"
        )
    said = _SAID.search(words) if death.exit_code != 0 else None
    if said is not None and death.exit_code is not None:
        return f"it ran out of memory: {death.how} after {said[0]!r} ({numbers}); {raise_it}"
    if death.exit_code in _DEADLY and _is_near(death.peak_bytes, death.limit_bytes):
        return f"it likely ran out of memory: {death.how} near its limit ({numbers}); {raise_it}"
    return ""


def _is_near(peak_bytes: int, limit_bytes: int | None) -> bool:
    if limit_bytes is None or 2 * peak_bytes < limit_bytes:
        return False
    return limit_bytes - peak_bytes <= max(_UNUSED_SHARE * limit_bytes, _UNUSED_BYTES)


def stacks(report: str) -> str:
    """Return what a process said outside of its log, and where its threads were, the newest call first.

    Calls of the worker's own and of Python's imports are left out, and so are threads without others.
    """
    before, *threads = _STACK.split(report)
    told = "".join(_foreign_part(thread) for thread in threads)
    return before[-_BEFORE_CHARS:] + told[:_STACKS_CHARS]


def _foreign_part(thread: str) -> str:
    head, *calls = thread.splitlines(keepends=True)
    kept = [call for call in calls if not _OWN.match(call)]
    return head + "".join(kept) if any(call.startswith("  File ") for call in kept) else ""
