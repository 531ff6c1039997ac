"""What an attempt's error is told as: of which kind, in which words, and whether it may pass."""

from __future__ import annotations

import errno
import os
import threading
import traceback

import msgspec

from openbell.execution.last_words import MEMORY_EXIT, memory_told
from openbell.execution.protocol import Failed
from openbell.execution.worker.context import TaskResources, wait_s
from openbell.execution.worker.effort import Effort
from openbell.execution.worker.surroundings import limit_memory
from openbell.sdk.errors import OpenbellError, RetryableError

MEMORY = "memory"
_TRACE_CHARS = 16_384
_MIB = 1024 * 1024
_TO_TELL_BYTES = 64 * _MIB
_NOTHING_LEFT_BYTES = 16 * _MIB
_RAISE_IT = "raise daemon: worker_max_memory_mb"


class Failures:
    """Makes failures of errors, in a process that may have `limit_bytes` of memory (0: any)."""

    def __init__(self, effort: Effort, limit_bytes: int) -> None:
        self._effort = effort
        self._limit_bytes = limit_bytes

    def of(self, node: str, error: BaseException, resources: TaskResources | None = None) -> Failed:
        """Return how `error` is told."""
        why = self._out_of_memory(error)
        if why:
            self._have_room()
        trace = "".join(traceback.format_exception(error))[-_TRACE_CHARS:]
        failed = Failed(
            node=node, kind="error", message=f"{error!r}", traceback=trace, is_retryable=True
        )
        if why:
            return msgspec.structs.replace(
                failed, kind=MEMORY, message=why, is_retryable=False, is_worn=True
            )
        match error:
            case OpenbellError():
                retry_after_s = None
                if isinstance(error, RetryableError) and resources is not None:
                    retry_after_s = wait_s(error, resources.now())
                return msgspec.structs.replace(
                    failed,
                    kind=error.kind,
                    message=f"{error}",
                    is_retryable=isinstance(error, RetryableError),
                    retry_after_s=retry_after_s,
                )
            case SystemExit():
                message = f"it called sys.exit({error.code!r}); return or raise instead"
                return msgspec.structs.replace(
                    failed, kind="fatal", message=message, is_retryable=False
                )
            case _:
                return failed

    def _out_of_memory(self, error: BaseException) -> str:
        """Return why an error is a lack of memory, nothing if it is none.

        Native code often says no more than that it got no thread or no room: with nothing left of
        what the process may have, that is taken for what it very likely is.
        """
        if isinstance(error, OpenbellError) and error.kind == MEMORY:
            return ""
        found = _memory_error(error)
        if found is None and (isinstance(error, OpenbellError) or not self._is_used_up()):
            return ""
        numbers = memory_told(self._effort.spent().peak_memory_bytes, self._limit_bytes or None)
        if found is not None:
            said = str(found) or type(found).__name__
            return f"it needs more memory than a worker may have ({said}; {numbers}); {_RAISE_IT}"
        return f"it likely ran out of memory: {error!r} with nothing left ({numbers}); {_RAISE_IT}"

    def _is_used_up(self) -> bool:
        left_bytes = self._limit_bytes - self._effort.reserved_bytes()
        return bool(self._limit_bytes) and left_bytes < _NOTHING_LEFT_BYTES

    def _have_room(self) -> None:
        """Let the process have a little more, so that it can tell of it; it is replaced then."""
        if self._limit_bytes:
            limit_memory(self._limit_bytes + _TO_TELL_BYTES)


def _memory_error(error: BaseException) -> BaseException | None:
    """Return the error among `error` and its causes that is about memory, if one is."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if _is_about_memory(found):
            return found
        if found.__cause__ is not None:
            waiting.append(found.__cause__)
        if isinstance(found, BaseExceptionGroup):
            waiting.extend(found.exceptions)
    return None


def _is_about_memory(error: BaseException) -> bool:
    """Return whether an error says so; libraries have classes of their own for it."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__


def leave_without_memory(arguments: threading.ExceptHookArgs) -> None:
    """End the process when a thread of it has no memory: whoever waits for that waits for ever."""
    if issubclass(arguments.exc_type, MemoryError):
        os._exit(MEMORY_EXIT)
    threading.__excepthook__(arguments)
