"""From findings to verdicts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from openbell.sdk.values import Finding, Severity, Verdict, worst


def verdict_of(severity: Severity) -> Verdict:
    """Return what one finding of this severity asks the gate to answer."""
    match severity:
        case Severity.WARN:
            return Verdict.WARN
        case Severity.QUARANTINE:
            return Verdict.QUARANTINE
        case Severity.FAIL:
            return Verdict.FAIL
        case _:
            assert_never(severity)


def judge(findings: Iterable[Finding]) -> Verdict:
    """Return the worst that any of `findings` asks for; `pass` for none."""
    return worst([verdict_of(finding.severity) for finding in findings])
