"""The same on every machine and version of Python: what a fixed rehearsal says, to the letter."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from doubles.rehearsals import scheduled, staged

from openbell.app.rehearsal.stage import Span
from openbell.model.pipelines import Node, Rehearsal

pytestmark = pytest.mark.unit

MARCH = Span(first=date(2027, 3, 8), last=date(2027, 3, 19))
"""New York changes its clocks in the middle of it."""

DIGEST = "ae09d1d7effb074e2c6b71385b81a541662e6294f6fcc49091f82b356f335381"


def test_a_fixed_rehearsal_has_its_digest() -> None:
    unlucky = {"fetch": Rehearsal(duration_s=40.5, fail_rate=0.4)}
    approved = replace(
        scheduled("ask", "every 5h", nodes={"ok": Rehearsal(duration_s=1 / 3)}),
        nodes=(Node(name="ok", op="approve", settings={}), Node(name="go", op="noop")),
    )
    crew = (
        scheduled("eod", nodes=unlucky),
        scheduled("slow", "every 2h", nodes={"fetch": Rehearsal(duration_s=3 * 3600.0)}),
        scheduled("cron", "cron '5 7 * * 1-5' Europe/London", nodes=unlucky, timeout_s=60.0),
        approved,
    )
    stage, digest = staged(*crew, span=MARCH, seed=7)
    assert stage.watcher.timeline.line_count == 222
    assert digest == DIGEST
