"""How late does a run begin when 1,000 schedules fire in the same second, and when one does?

    uv run --with apscheduler==3.11.0 python benchmarks/schedule_firing.py [--count 1000] [--runs 5]

Each schedule is a one-shot of a pipeline of its own with one `noop` node, in an engine as the daemon has it: real history in
SQLite on disk (WAL, `synchronous=FULL`), the machine's clock, no workers. Measured from the instant that is due: `accepted` is
when the run is on disk (a fire that is sure is decided ahead, so this is below zero), `let go` when its actor begins to work on it, and `started` when history
holds that it began, which is one more commit. APScheduler (where it installs) keeps its jobs in memory and writes nothing: its lateness is that of
the call of a coroutine, to be set beside `let go`.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import secrets
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio

from openbell.calendars.store import SessionStore
from openbell.execution.pool import PoolLimits, WorkerPool
from openbell.history.store import HistoryStore
from openbell.model.events import Event, FireDecided, FireLetGo, RunStarted, RunSubmitted
from openbell.model.ids import IdSource
from openbell.model.pipelines import Deployment, Node, Pipeline
from openbell.model.schedules import ScheduleUse
from openbell.pacing.broker import PacingBroker
from openbell.plugin_host import load_plugins
from openbell.sdk.clock import SystemClock
from openbell.supervisor.calendars import CalendarDesk
from openbell.supervisor.engine import LiveEngine
from openbell.supervisor.journal import Journal
from openbell.supervisor.services import Services

with suppress(ImportError):
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

AHEAD_S = 8.0


@dataclass
class Watch:
    """Sees when each run was accepted and began."""

    due: datetime
    accepted: list[float] = field(default_factory=list)
    let_go: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)

    def see(self, event: Event) -> None:
        """Take note of when it was seen."""
        late_ms = (datetime.now(UTC) - self.due).total_seconds() * 1000
        match event:
            case RunSubmitted():
                self.accepted.append(late_ms)
            case FireLetGo(late_s=late_s):
                self.let_go.append(late_s * 1000)
            case FireDecided() if event.at >= event.due_at:
                self.let_go.append(event.late_s * 1000)
            case RunStarted():
                self.started.append(late_ms)
            case _:
                pass


def pipelines(count: int, due: datetime) -> dict[str, Pipeline]:
    use = ScheduleUse(expression=f"at {due:%Y-%m-%dT%H:%M:%S}Z")
    node = Node(name="nothing", op="noop")
    names = [f"p{number:04}" for number in range(count)]
    return {name: Pipeline(name=name, nodes=(node,), schedule=(use,)) for name in names}


async def ours(count: int) -> Watch:
    clock = SystemClock()
    due = (clock.now() + timedelta(seconds=AHEAD_S)).replace(microsecond=0)
    watch = Watch(due)
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        place = Path(folder)
        async with HistoryStore(place / "history.sqlite") as history:
            journal = Journal(history, [watch], clock=clock)
            pool = WorkerPool(
                limits=PoolLimits(),
                clock=clock,
                scratch_dir=place / "workers",
                environment={},
                tell=journal.record,
            )
            async with pool:
                desk = CalendarDesk(SessionStore(place / "calendars"), pool, clock)
                services = Services(
                    clock=clock,
                    history=history,
                    journal=journal,
                    executor=pool,
                    broker=PacingBroker(clock),
                    sessions=desk,
                    specs=load_plugins(),
                    ids=IdSource(secrets.randbits),
                    state_dir=place,
                    deployment=Deployment(
                        source="", profile="", digest="", pipelines=pipelines(count, due)
                    ),
                    jitter=lambda: 0.5,
                    random_bits=secrets.randbits,
                )
                options: dict[str, Any] = {"load": None, "parse": None, "calendars": desk}
                async with LiveEngine(services, pool, **options):
                    with anyio.fail_after(60):
                        while min(len(watch.started), len(watch.let_go)) < count:
                            await anyio.sleep(0.05)
    return watch


async def theirs(count: int) -> list[float]:
    scheduler = AsyncIOScheduler(timezone=UTC)
    due = (datetime.now(UTC) + timedelta(seconds=AHEAD_S)).replace(microsecond=0)
    late: list[float] = []

    async def job() -> None:
        late.append((datetime.now(UTC) - due).total_seconds() * 1000)

    for _ in range(count):
        scheduler.add_job(job, "date", run_date=due, misfire_grace_time=60)
    scheduler.start()
    while len(late) < count:
        await asyncio.sleep(0.05)
    scheduler.shutdown()
    return late


def p99(values: Sequence[float]) -> float:
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


def report(name: str, rounds: list[list[float]]) -> None:
    middle = statistics.median(statistics.median(values) for values in rounds)
    last = statistics.median(p99(values) for values in rounds)
    worst = max(p99(values) for values in rounds)
    print(
        f"{name:32} p50 {middle:8.2f} ms   p99 {last:8.2f} ms   worst round's p99 {worst:8.2f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(platform.platform(), platform.python_version(), time.strftime("%F"))
    for count in (1, options.count):
        rounds = [anyio.run(ours, count) for _ in range(options.runs)]
        report(f"openbell {count}, accepted", [watch.accepted for watch in rounds])
        report(f"openbell {count}, let go", [watch.let_go for watch in rounds])
        report(f"openbell {count}, started", [watch.started for watch in rounds])
        if "AsyncIOScheduler" in globals():
            report(
                f"APScheduler {count}, called",
                [asyncio.run(theirs(count)) for _ in range(options.runs)],
            )


if __name__ == "__main__":
    main()
