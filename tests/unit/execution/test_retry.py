"""Which errors a policy is about, and which attempts count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from openbell.execution.retry import failures_so_far, is_retried
from openbell.model.pipelines import ErrorClass, RetryPolicy
from openbell.model.runs import AttemptRecord

pytestmark = pytest.mark.unit

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
TRIED = AttemptRecord(
    attempt_id="a",
    run_id="r",
    node="n",
    number=1,
    state="failed",
    started_at=NOON,
    finished_at=NOON + timedelta(seconds=5),
)


@pytest.mark.parametrize(
    ("on", "kind", "is_retryable", "wanted"),
    [
        (("transient",), "transient", True, True),
        (("transient",), "error", True, True),
        (("transient",), "timeout", True, False),
        (("timeout",), "timeout", True, True),
        (("timeout",), "timeout", False, False),
        (("any",), "timeout", False, False),
        (("rate_limited",), "quota_exhausted", True, True),
        (("worker_lost",), "worker_lost", True, True),
        (("transient", "timeout"), "data", False, False),
        (("data",), "data", False, True),
        (("data",), "malformed", False, True),
        (("any",), "schema_changed", False, True),
        (("any",), "something_of_a_plugin", False, False),
        (("any",), "fatal", True, False),
    ],
)
def test_a_policy_is_about_the_classes_it_names(
    on: tuple[ErrorClass, ...], kind: str, is_retryable: bool, wanted: bool
) -> None:
    assert is_retried(RetryPolicy(on=on), kind, is_retryable=is_retryable) is wanted


def test_attempts_before_the_last_progress_and_interrupted_ones_do_not_count() -> None:
    later = replace(TRIED, finished_at=NOON + timedelta(seconds=60))
    interrupted = replace(TRIED, state="interrupted")
    assert failures_so_far([TRIED, interrupted, later], None) == 2
    assert failures_so_far([TRIED, interrupted, later], NOON + timedelta(seconds=30)) == 1
