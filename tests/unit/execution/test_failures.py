"""What errors are told as: memory is memory, however it is wrapped."""

from __future__ import annotations

import errno

import pytest

from openbell.execution.worker import failures
from openbell.execution.worker.effort import Effort
from openbell.execution.worker.failures import Failures
from openbell.operators.sql import QueryMemoryError
from openbell.sdk.errors import DataError, RateLimitedError, TransientError

pytestmark = pytest.mark.unit


class SomeLibrarysOutOfMemoryError(Exception):
    """As libraries have them."""


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        SomeLibrarysOutOfMemoryError("no room"),
        caused(TransientError("the request failed"), MemoryError("malloc of size 8 failed")),
        caused(ValueError("x"), caused(KeyError("y"), MemoryError())),
        ExceptionGroup("two", [ValueError(), ExceptionGroup("one", [MemoryError()])]),
    ],
)
def test_a_lack_of_memory_is_told_however_it_is_wrapped(error: BaseException) -> None:
    told = Failures(Effort(), 0).of("n", error)
    assert (told.kind, told.is_retryable, told.is_worn) == ("memory", False, True)
    assert told.message.startswith("it needs more memory than a worker may have (")
    assert told.message.endswith("); raise daemon: worker_max_memory_mb")
    assert "peak " in told.message


def test_errors_that_go_round_in_circles_are_followed_once() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert Failures(Effort(), 0).of("n", first).kind == "error"


def test_what_fails_with_nothing_left_likely_failed_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allowed: list[int] = []
    monkeypatch.setattr(failures, "limit_memory", allowed.append)
    monkeypatch.setattr(Effort, "reserved_bytes", lambda _: 500 * 1024 * 1024)
    error = RuntimeError("can't start new thread")
    full = Failures(Effort(), 510 * 1024 * 1024).of("n", error)
    assert (full.kind, full.is_retryable) == ("memory", False)
    assert full.message.startswith(f"it likely ran out of memory: {error!r} with nothing left (")
    assert "of 510 MiB allowed" in full.message
    assert allowed == [574 * 1024 * 1024], "so that it can tell of it"
    assert Failures(Effort(), 900 * 1024 * 1024).of("n", error).kind == "error"
    own = Failures(Effort(), 510 * 1024 * 1024).of("n", DataError("a row is wrong"))
    assert (own.kind, own.message) == ("data", "a row is wrong")


def test_an_error_with_advice_of_its_own_keeps_it() -> None:
    error = caused(QueryMemoryError("raise memory_mb of the node"), MemoryError())
    told = Failures(Effort(), 0).of("n", error)
    assert (told.kind, told.message, told.is_retryable) == (
        "memory",
        "raise memory_mb of the node",
        False,
    )


def test_other_errors_are_told_as_what_they_are() -> None:
    make = Failures(Effort(), 0)
    limited = make.of("n", RateLimitedError("slow down", retry_after_s=3.0))
    assert (limited.kind, limited.is_retryable) == ("rate_limited", True)
    left = make.of("n", SystemExit(3))
    assert (left.kind, left.is_retryable) == ("fatal", False)
    assert "sys.exit(3)" in left.message
