"""Which fires move, appear and vanish when a calendar is corrected, as the service tells it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from doubles.calendars import Builder, Told, calendar_desk

from openbell.model.calendars import CalendarRules, FireChange, Overlay, OverlayAnswer, OverlayKind
from openbell.model.schedules import ScheduleUse
from openbell.supervisor.calendar_service import CalendarService
from openbell.supervisor.fire_effects import SHOWN
from openbell.testing.clock import ManualClock

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(day: int, hour: int, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def service(*uses: tuple[str, ScheduleUse], policy: str = "block") -> CalendarService:
    clock = ManualClock(NOW)
    rules = CalendarRules(policy=policy)  # type: ignore[arg-type]
    desk = calendar_desk(rules=rules, builder=Builder(), clock=clock)
    return CalendarService(
        desk, Told(), clock=clock, random_bits=lambda bits: 1, scheduled=lambda: uses
    )


def use(text: str, **more: Any) -> ScheduleUse:
    return ScheduleUse(expression=text, **more)


async def tried(
    calendars: CalendarService, day: date, kind: OverlayKind = "closed", **hours: str
) -> OverlayAnswer:
    overlay = Overlay(
        calendar="24/5", session=day, closed=kind == "closed", close_time=hours.get("close")
    )
    return await calendars.add_overlay(overlay, kind=kind, by="me", dry_run=True)


def brief(fires: Sequence[FireChange]) -> list[tuple[str, datetime | None, datetime | None]]:
    return [(one.pipeline, one.before, one.after) for one in fires]


async def test_a_fire_moves_with_the_close() -> None:
    calendars = service(("eod", use("24/5 close + 1h")), ("b", use("24/5 close + 60m")))
    answer = await tried(calendars, date(2026, 11, 25), "early_close", close="12:00")
    assert answer.fire_count == 2
    assert answer.fires[0] == FireChange(
        pipeline="b",
        schedule="24/5 close + 60m",
        session=date(2026, 11, 25),
        event="close",
        index=0,
        before=at(25, 23),
        after=at(25, 18),
    )
    assert answer.fires[1].pipeline == "eod"


async def test_fires_appear_and_vanish() -> None:
    calendars = service(
        ("closed", use("not 24/5 session at 09:00 UTC")), ("opened", use("24/5 open"))
    )
    answer = await tried(calendars, date(2026, 11, 25))
    assert brief(answer.fires) == [("opened", at(24, 22), None), ("closed", None, at(25, 9))]


async def test_ranks_far_away_are_looked_at_to_the_horizon() -> None:
    calendars = service(("year", use("24/5 2nd last session of year close")))
    answer = await tried(calendars, date(2026, 11, 25))
    assert answer.fires == ()
    answer = await tried(calendars, date(2026, 12, 31))
    assert [(one.before, one.after) for one in answer.fires] == [
        (None, at(29, 22, 12)),
        (at(30, 22, 12), None),
    ]


async def test_only_what_is_to_come_and_active_counts() -> None:
    calendars = service(
        ("over", use("24/5 close", active_until=at(25, 20))),
        ("later", use("24/5 close", active_from=at(25, 18))),
        ("other", use("24/7 close")),
        ("past", use("24/5 open")),
    )
    answer = await tried(calendars, date(2026, 11, 25), "early_close", close="12:00")
    assert brief(answer.fires) == [("over", None, at(25, 17)), ("later", at(25, 22), None)]
    gone = await tried(calendars, date(2026, 11, 20))
    assert gone.fire_count == 0


async def test_what_cannot_be_read_or_planned_is_left_out() -> None:
    calendars = service(
        ("wrong", use("24/5 nonsense")),
        ("unknown", use("24/5 close & XTAE in_session")),
        ("good", use("24/5 close")),
    )
    answer = await tried(calendars, date(2026, 11, 25))
    assert [one.pipeline for one in answer.fires] == ["good"]


async def test_of_very_many_the_first_are_named() -> None:
    calendars = service(("grid", use("24/5 every 5m in [open, close]")))
    answer = await tried(calendars, date(2026, 11, 25))
    assert (answer.fire_count, len(answer.fires)) == (289, SHOWN)


async def test_taking_a_correction_back_tells_the_same() -> None:
    calendars = service(("eod", use("24/5 close")))
    overlay = Overlay(calendar="24/5", session=date(2026, 11, 25), closed=True)
    made = await calendars.add_overlay(overlay, kind="closed", by="me")
    back = await calendars.remove_overlay("24/5", made.overlay_id, by="me")
    assert brief(made.fires) == [("eod", at(25, 22), None)]
    assert brief(back.fires) == [("eod", None, at(25, 22))]
