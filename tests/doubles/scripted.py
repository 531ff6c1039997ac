"""Supervision without processes: an executor that plays a script, and the services around it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from openbell.execution.pool import Listener, StopSignal
from openbell.execution.protocol import (
    CallTask,
    ChainTask,
    ChunkDone,
    Done,
    Failed,
    NodeCall,
    NodeEnd,
)
from openbell.model.control import Submission, WorkerStatus
from openbell.model.events import Event
from openbell.model.ids import IdSource
from openbell.model.pipelines import (
    Dataset,
    Deployment,
    Node,
    Pipeline,
    ProviderUse,
    RetryPolicy,
    StorageUse,
)
from openbell.model.runs import RunState, Totals
from openbell.pacing.broker import PacingBroker
from openbell.plugin_host import Registry
from openbell.sdk import SessionTable
from openbell.sdk.hooks import BackendSpec, OperatorSpec, ProviderSpec, RuleSpec
from openbell.sdk.rules import RuleScope
from openbell.sdk.settings import NoSettings
from openbell.supervisor.engine import LiveEngine
from openbell.supervisor.journal import Journal, Observer
from openbell.supervisor.restart import RestartPolicy
from openbell.supervisor.services import Services
from openbell.testing import MemoryHistory
from openbell.testing.clock import ManualClock
from openbell.testing.requests import weekday_sessions

FACTORY = "nowhere:Nothing"
JOB = Submission(pipeline="job")
Answer = Done | Failed | Exception
Play = Callable[[Any, Listener, StopSignal], Awaitable[Answer]]


def spec_of(name: str, role: Any, outcomes: tuple[str, ...] = ()) -> OperatorSpec:
    return OperatorSpec(
        name=name, settings_model=NoSettings, factory=FACTORY, role=role, outcomes=outcomes
    )


REGISTRY = Registry(
    providers={"p": ProviderSpec(name="p", settings_model=NoSettings, factory=FACTORY)},
    backends={"b": BackendSpec(name="b", settings_model=NoSettings, factory=FACTORY)},
    rules={
        "r": RuleSpec(name="r", settings_model=NoSettings, factory=FACTORY, scope=RuleScope.ROW)
    },
    operators={
        "ingest": spec_of("ingest", "source"),
        "gate": spec_of("gate", "transform", ("pass", "warn", "quarantine", "fail")),
        "write": spec_of("write", "sink"),
        "quarantine": spec_of("quarantine", "sink"),
    },
)

RETRY = RetryPolicy(max_attempts=3, backoff_s=10.0, multiplier=2.0)


def pipeline(name: str = "job", **changes: Any) -> Pipeline:
    """Return fetch -> check -> publish | hold."""
    nodes = (
        Node(name="fetch", op="ingest", settings={"dataset": "bars"}, retry=RETRY),
        Node(
            name="check",
            op="gate",
            needs={"fetch": ()},
            settings={"rules": [{"name": "r"}], "severity": "quarantine"},
        ),
        Node(
            name="publish",
            op="write",
            needs={"check": ("pass", "warn", "quarantine")},
            settings={"to": "primary"},
            retry=RETRY,
        ),
        Node(name="hold", op="quarantine", needs={"check": ("quarantine", "fail")}),
    )
    made = Pipeline(
        name=name,
        nodes=nodes,
        mode="backfill",
        job=name,
        start=date(2026, 1, 5),
        end=date(2026, 1, 9),
    )
    return replace(made, **changes)


def deployment(*pipelines: Pipeline, **changes: Any) -> Deployment:
    made = Deployment(
        source="test.yaml",
        profile="default",
        digest="1",
        providers={"v": ProviderUse(name="v", type="p")},
        storage={"primary": StorageUse(name="primary", type="b", batch_rows=10)},
        datasets={
            "bars": Dataset(
                name="bars",
                provider="v",
                schema="bars_ohlcv",
                symbols=("AAPL",),
                interval="1min",
                calendar="WEEKDAYS",
            )
        },
        pipelines={p.name: p for p in pipelines or (pipeline(),)},
    )
    return replace(made, **changes)


def ends(task: ChainTask, rows: int, *, verdict: str = "pass") -> dict[str, NodeEnd]:
    """Return how nodes stand after `rows` rows of this attempt."""
    held = rows if verdict == "fail" else 0
    totals = {
        "ingest": Totals(rows_in=rows, rows_out=rows),
        "gate": Totals(rows_in=rows, rows_out=rows - held, verdict=verdict),
        "write": Totals(rows_in=rows - held, rows_out=rows - held, rows_written=rows - held),
        "quarantine": Totals(rows_in=held, rows_quarantined=held),
    }
    return {
        node.name: NodeEnd(
            outcome=verdict if node.op == "gate" else "success",
            was_reached=node.op != "quarantine" or bool(held),
            totals=totals[node.op],
        )
        for node in task.nodes
    }


async def commit(task: ChainTask, listener: Listener, *, number: int, rows: int) -> None:
    """Report that chunk `number` is durable, `rows` rows into this attempt."""
    await listener.hear(
        ChunkDone(
            next_chunk=number + 1,
            cursor=f"after {number}",
            totals={name: end.totals for name, end in ends(task, rows).items()},
            receipts={},
            write_duration_s=0.01,
        )
    )


async def succeed(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
    """Commit one chunk of ten rows and end."""
    del stop
    await commit(task, listener, number=task.first_chunk, rows=10)
    return Done(ends=ends(task, 10))


async def until_stopped(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
    """Commit one chunk, then work until asked to stop."""
    await commit(task, listener, number=task.first_chunk, rows=10)
    await stop.wait()
    return Done(ends=ends(task, 10), is_interrupted=stop.is_interrupt)


def fail(kind: str = "transient", node: str = "fetch", *, is_retryable: bool = True) -> Play:
    """Return a script that fails at once."""

    async def play(task: ChainTask, listener: Listener, stop: StopSignal) -> Answer:
        del listener, stop
        return Failed(
            node=node,
            kind=kind,
            message=f"{kind} trouble",
            traceback="",
            is_retryable=is_retryable,
            ends=ends(task, 0),
        )

    return play


@dataclass
class ScriptedPool:
    """An executor: each submitted chain plays the next script, the last one for ever."""

    scripts: list[Play] = field(default_factory=lambda: [succeed])
    tasks: list[Any] = field(default_factory=list)
    limits: Any = None

    async def submit(
        self, task: ChainTask | NodeCall | CallTask, listener: Listener, stop: StopSignal
    ) -> tuple[Done | Failed, int]:
        self.tasks.append(task)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        answer = await script(task, listener, stop)
        if isinstance(answer, Exception):
            raise answer
        return answer, 4242

    def status(self) -> list[WorkerStatus]:
        return []

    def resize(self, limits: Any) -> None:
        self.limits = limits


class Weekdays:
    """Sessions on weekdays; a calendar called CLOSED has none."""

    async def between(self, calendar: str, first: date, last: date) -> SessionTable:
        if calendar == "CLOSED":
            return SessionTable(calendar=calendar)
        return weekday_sessions(max(first, date(2025, 1, 1)), last)

    async def require(self, calendar: str, last: date) -> None:
        """Everything is known."""


@dataclass
class Seen:
    """An observer that remembers."""

    events: list[Event] = field(default_factory=list)

    def see(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class World:
    """An engine on a manual clock, and everything a test wants to look at."""

    engine: LiveEngine
    history: MemoryHistory
    pool: ScriptedPool
    clock: ManualClock
    seen: Seen
    services: Services

    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything run until it waits, time moved on by `seconds`."""
        await self.clock.advance(seconds)


@asynccontextmanager
async def world(
    *pipelines: Pipeline,
    scripts: Sequence[Play] = (succeed,),
    history: MemoryHistory | None = None,
    configured: Deployment | None = None,
    reloaded: Callable[[], Deployment] | None = None,
    policy: RestartPolicy | None = None,
    parse: Callable[[Mapping[str, Any]], Pipeline] | None = None,
    observers: Sequence[Observer] = (),
    registry: Registry = REGISTRY,
    clock: ManualClock | None = None,
) -> AsyncIterator[World]:
    """Yield an engine at work."""
    clock = clock or ManualClock()
    seen = Seen()
    kept = history or MemoryHistory()
    pool = ScriptedPool(list(scripts))
    bits = itertools.count(1)
    found = configured or deployment(*pipelines)
    services = Services(
        clock=clock,
        history=kept,
        journal=Journal(kept, [*observers, seen], clock=clock),
        executor=pool,
        broker=PacingBroker(clock),
        sessions=Weekdays(),
        specs=registry,
        ids=IdSource(lambda _: next(bits)),
        state_dir=Path("/nowhere"),
        deployment=found,
        jitter=lambda: 0.999999,
        random_bits=lambda _: next(bits),
    )

    async def load() -> Deployment:
        return reloaded() if reloaded else found

    engine = LiveEngine(
        services,
        pool,
        load=load,
        parse=parse or (lambda _: pipeline("from_api")),
        policy=policy,
    )
    async with engine:
        yield World(engine, kept, pool, clock, seen, services)


async def run_state(at: World, run_id: str) -> RunState:
    run = await at.history.run(run_id)
    assert run is not None
    return run.state


async def node_states(at: World, run_id: str) -> dict[str, str]:
    return {n.node: str(n.state) for n in await at.history.nodes(run_id)}
