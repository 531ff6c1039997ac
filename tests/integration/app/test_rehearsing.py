"""The whole way from a configuration to a report, with session tables built on disk."""

from __future__ import annotations

import pytest
from doubles.rehearsals import JANUARY, WITH_CONTROL, configured, scheduled

from openbell.app.rehearsal.run import rehearsed
from openbell.model.pipelines import Rehearsal

pytestmark = pytest.mark.integration


def test_a_report_tells_what_would_happen() -> None:
    unlucky = {"fetch": Rehearsal(duration_s=5.0, fail_rate=0.5)}
    deployed = configured(scheduled("one", nodes=unlucky), scheduled("two"))
    report = rehearsed(deployed, WITH_CONTROL, JANUARY, seed=3, env={})
    plain = report.plain()
    assert plain["digest"] == report.digest
    assert plain["totals"]["fires"] == plain["totals"]["runs"] == 42
    assert [found["pipeline"] for found in plain["pipelines"]] == ["one", "two"]
    assert plain["totals"]["retries"] > 0
    assert [found["calendar"] for found in plain["calendars"]] == ["DESK"]
    assert len(list(report.timeline())) == 42
