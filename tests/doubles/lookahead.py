"""Deployments over made calendars, to look ahead on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from doubles.sessions import NAMES, MadeSessions, MadeTables, at, made
from openbell.model.pipelines import Dataset, Deployment, Node, Pipeline
from openbell.model.schedules import ScheduleUse
from openbell.schedule.conflicts import conflicts
from openbell.schedule.conflicts_values import Conflict, RunLength
from openbell.schedule.planner import Planner
from openbell.sdk.values import to_us

START, END = date(2026, 6, 1), date(2026, 7, 1)
WEEKDAYS = [
    str(day)
    for day in (date(2026, 5, 1) + timedelta(days=n) for n in range(100))
    if day.weekday() < 5
]
NEW_YORK = made(WEEKDAYS, first="2026-05-01", last="2026-08-08")


def closing_late(*days: str) -> MadeSessions:
    """Sessions that close at 17:00, on some days at 18:00."""
    return MadeSessions(
        first_day=NEW_YORK.first_day,
        last_day=NEW_YORK.last_day,
        days=NEW_YORK.days,
        opens_us=NEW_YORK.opens_us,
        closes_us=[to_us(at(f"{day}T{'18' if day in days else '17'}:00")) for day in WEEKDAYS],
    )


WEEK = ("2026-06-08", "2026-06-09", "2026-06-10", "2026-06-11", "2026-06-12")
TABLES = {"XNYS": NEW_YORK, "XLON": closing_late(*WEEK)}


def bars(name: str, *, calendar: str = "XNYS", symbols: int = 1) -> Dataset:
    return Dataset(
        name=name,
        provider="vendor",
        schema="bars_ohlcv",
        symbols=tuple(f"S{n}" for n in range(symbols)),
        interval="1d",
        calendar=calendar,
    )


def pipeline(
    name: str,
    *schedule: str,
    source: str = "raw",
    into: str | None = None,
    to: str = "primary",
    pool: str | None = None,
    **more: Any,
) -> Pipeline:
    settings = {"to": to} if into is None else {"to": to, "dataset": into}
    return Pipeline(
        name=name,
        schedule=tuple(ScheduleUse(expression=text) for text in schedule),
        nodes=(
            Node(name="fetch", op="ingest", settings={"dataset": source}, pool=pool),
            Node(name="check", op="gate", needs={"fetch": ()}),
            Node(name="publish", op="write", needs={"check": ("pass",)}, settings=settings),
        ),
        **more,
    )


def deployment(*pipelines: Pipeline, **more: Any) -> Deployment:
    datasets = {
        "raw": bars("raw"),
        "london": bars("london", calendar="LSE"),
        "wide": bars("wide", symbols=90),
    }
    return Deployment(
        source="",
        profile="",
        digest="",
        datasets=datasets,
        pipelines={one.name: one for one in pipelines},
        **more,
    )


def look(
    *pipelines: Pipeline,
    tables: Mapping[str, Any] = TABLES,
    lengths: Mapping[str, RunLength] | None = None,
    failures: Mapping[str, str] | None = None,
    end: date = END,
    **more: Any,
) -> list[Conflict]:
    return conflicts(
        deployment(*pipelines, **more),
        Planner(MadeTables(**tables)),
        NAMES,
        start=START,
        end=end,
        lengths=lengths,
        failures=failures,
    )


def only(*found: Conflict) -> Conflict:
    (one,) = found
    return one
