"""Whether a failed attempt is tried again, and after how long. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from openbell.model.pipelines import ErrorClass, RetryPolicy, retry_delay_s
from openbell.model.runs import AttemptRecord

_FATAL = frozenset(
    {"fatal", "memory", "auth", "entitlement", "not_found", "settings", "plugin", "skippable"}
)
_CLASS_OF: dict[str, ErrorClass] = {
    "rate_limited": "rate_limited",
    "quota_exhausted": "rate_limited",
    "timeout": "timeout",
    "worker_lost": "worker_lost",
    "data": "data",
    "malformed": "data",
    "schema_changed": "data",
    "transient": "transient",
}


def error_class(kind: str, *, is_retryable: bool) -> ErrorClass | None:
    """Return the class of an error of `kind`; None for one that no policy retries.

    An error that openbell does not know, such as whatever a function raised, is transient unless
    who raised it says that trying again cannot help. A deadline that has passed does not come back.
    """
    if kind in _FATAL or (kind == "timeout" and not is_retryable):
        return None
    found = _CLASS_OF.get(kind)
    if found is not None:
        return found
    return "transient" if is_retryable else None


def is_retried(policy: RetryPolicy, kind: str, *, is_retryable: bool) -> bool:
    """Return whether `policy` is about errors of `kind`; a fatal one is never tried again."""
    found = error_class(kind, is_retryable=is_retryable)
    return found is not None and ("any" in policy.on or found in policy.on)


def delay_s(
    policy: RetryPolicy, failures: int, *, retry_after_s: float | None, jitter: float
) -> float | None:
    """Return seconds until the attempt after `failures` failed ones, None when there is none.

    Where a provider said when to come back, that is when.
    """
    if failures >= policy.max_attempts:
        return None
    if retry_after_s is not None:
        return max(0.0, retry_after_s)
    return retry_delay_s(policy, failures, jitter=jitter)


def failures_so_far(attempts: Iterable[AttemptRecord], progress_at: datetime | None) -> int:
    """Return how many attempts failed since the last progress; interrupted ones do not count."""
    return sum(
        1
        for attempt in attempts
        if attempt.state == "failed"
        and (
            progress_at is None or attempt.finished_at is None or attempt.finished_at >= progress_at
        )
    )
