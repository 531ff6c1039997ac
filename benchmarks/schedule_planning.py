"""How long does it take to find the next fire of 10,000 mixed schedules from scratch?

    uv run python benchmarks/schedule_planning.py [--count 10000] [--runs 5]

From scratch: nothing but the texts and the session tables is at hand; each run parses every schedule anew (each text
is different) and plans with a new planner, which knows no time zone yet. Twenty calendars. A third are events of sessions, a sixth
selectors, a sixth cron in five zones, the rest grids, local times, absent days, steps and predicates. For scale, croniter alone
parses and steps the cron expressions of the mix.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import time
from datetime import UTC, datetime

from croniter import croniter

from openbell.calendars.build import build
from openbell.calendars.names import CalendarCatalog
from openbell.calendars.snapshot import decode
from openbell.calendars.table import CalendarTable
from openbell.model.calendars import CalendarRules
from openbell.schedule.parser import parse
from openbell.schedule.planner import Planner

CALENDARS = (
    *("XNYS", "XLON", "XTKS", "XHKG", "CMES", "XASX", "XPAR", "XETR", "BVMF", "XTSE"),
    *("XKRX", "XJSE", "XSWX", "XMEX", "XNZE", "XAMS", "XMIL", "XMAD", "XSTO", "XWAR"),
)
ZONES = ("America/New_York", "Europe/London", "Asia/Tokyo", "Australia/Sydney", "UTC")
AFTER = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


class Tables:
    """The tables, in memory."""

    def __init__(self) -> None:
        self._tables = {name: decode(build(name, "2027-12-31")) for name in CALENDARS}

    def sessions(self, calendar: str) -> CalendarTable | None:
        """Return a calendar's table."""
        return self._tables.get(calendar)


def texts(count: int) -> list[str]:
    chance = random.Random(20261121)
    found: dict[str, None] = {}
    while len(found) < count:
        calendar, other = chance.choice(CALENDARS), chance.choice(CALENDARS)
        minutes, hour, n = chance.randrange(1, 600), chance.randrange(24), chance.randrange(1, 5)
        period = chance.choice(("week", "month", "quarter", "year"))
        zone = chance.choice(ZONES)
        forms = (
            f"{calendar} close + {minutes}m",
            f"{calendar} open - {minutes}m{chance.randrange(1, 60)}s",
            f"{calendar} close + {n} sessions - {minutes}m",
            f"{calendar} early_close close + {minutes}m",
            f"{calendar} last session of {period} close + {minutes}m",
            f"{calendar} {n}th friday of month open + {minutes}m shift prev",
            f"cron '{minutes % 60} {hour} * * 1-5' {zone}",
            f"cron '*/{n + 1} {hour} {minutes % 28 + 1} * *' {zone}",
            f"{calendar} every {minutes}s in [open, close]",
            f"{calendar} session at {hour:02}:{minutes % 60:02} {zone}",
            f"not {calendar} session at {hour:02}:{minutes % 60:02}",
            f"{calendar} open + {minutes}m & {other} in_session",
        )
        found.setdefault(chance.choice(forms))
    return list(found)


def once(schedules: list[str], tables: Tables, names: CalendarCatalog) -> tuple[float, float]:
    began = time.perf_counter()
    parsed = [parse(text, names) for text in schedules]
    middle = time.perf_counter()
    planner = Planner(tables)
    for schedule in parsed:
        planner.next(schedule, AFTER)
    return middle - began, time.perf_counter() - middle


def only_croniter(schedules: list[str]) -> float:
    expressions = [text.split("'")[1] for text in schedules if text.startswith("cron")]
    began = time.perf_counter()
    for expression in expressions:
        croniter(expression, AFTER).get_next(datetime)
    return (time.perf_counter() - began) / len(expressions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    tables, names = Tables(), CalendarCatalog(CalendarRules())
    schedules = texts(given.count)
    runs = [once(schedules, tables, names) for _ in range(given.runs)]
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    for name, values in (
        ("parse", [parsing for parsing, _ in runs]),
        ("plan", [planning for _, planning in runs]),
        ("both", [parsing + planning for parsing, planning in runs]),
    ):
        median, worst = statistics.median(values), max(values)
        rate = given.count / median
        print(f"{name:6} median {median:.3f} s, worst {worst:.3f} s, {rate:,.0f} schedules/s")
    crons = [text for text in schedules if text.startswith("cron")]
    ours = statistics.median(sum(once(crons, tables, names)) / len(crons) for _ in range(5))
    theirs = statistics.median(only_croniter(schedules) for _ in range(5))
    print(f"cron   {ours * 1e6:.0f} us each here, {theirs * 1e6:.0f} us each by croniter alone")


if __name__ == "__main__":
    main()
