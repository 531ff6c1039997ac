"""Drives one run from where history says it stands to its end.

One loop decides: it takes in what ended, records all that follows from it in one transaction, and
then starts what became ready. So nothing begins before what it needs is on disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import anyio
from anyio.abc import TaskGroup

from openbell.config.substitution import param_names
from openbell.execution.chains import Unit
from openbell.execution.graph import Ended, RunGraph, Step
from openbell.execution.pool import StopSignal
from openbell.model.events import Event
from openbell.model.pipelines import Pipeline
from openbell.model.runs import NodeState, RunRecord, RunState
from openbell.supervisor.deadline import deadline
from openbell.supervisor.dispatch import Dispatcher
from openbell.supervisor.facts import facts
from openbell.supervisor.ledger import RunLedger
from openbell.supervisor.runs.context import Completion, RunContext
from openbell.supervisor.runs.control_work import answer_at_once
from openbell.supervisor.runs.letters import letters_of
from openbell.supervisor.runs.openings import Openings
from openbell.supervisor.runs.requested import cancel_items, ended_by
from openbell.supervisor.runs.room import without_room
from openbell.supervisor.runs.steering import Steering
from openbell.supervisor.runs.work import work_of
from openbell.supervisor.runs.worker_work import WorkerWork, kind_of, pool_of
from openbell.supervisor.services import Services

_AT_ONCE = 256
"""How many nodes that take no time end in one transaction at most."""

_AT_A_TIME = 64
"""How many units are begun before others have a turn of the loop."""

_SHOWN_ERRORS = 20


UnitsOf = Callable[[Pipeline], Sequence[Unit]]
"""Return the units of a definition; raises GraphError."""


class Interrupted(Exception):  # noqa: N818 - not an error: the run goes on later
    """The run stopped for now; history knows where it goes on."""


class RunDriver:
    """One run under way. `stop` asks it to end early; cancelling it stops at once.

    It works by the deployment that was in force when it began: a reload does not touch it.
    """

    def __init__(
        self,
        services: Services,
        pipeline: Pipeline,
        run: RunRecord,
        stop: StopSignal,
        *,
        units_of: UnitsOf,
        steering: Steering | None = None,
    ) -> None:
        self._units_of = units_of
        self._began_at = run.started_at
        self._services = services
        self._pipeline = pipeline
        self._run = run
        self._ledger = RunLedger(services, run, job=pipeline.job or pipeline.name)
        self._context = RunContext(
            services=services,
            pipeline=pipeline,
            run=run,
            stop=stop,
            dispatch=Dispatcher(services, services.deployment),
            steering=steering or Steering(is_fresh=True),
        )
        self._steering = self._context.steering
        self._done: list[Completion] = []
        self._has_done: anyio.Event | None = None
        self._alone: Unit | None = None
        self._in_hand = 0
        self._instant: deque[Unit] = deque()
        self._ready: list[Unit] = []
        self._events: list[Event] = []
        self._errors: dict[str, str] = {}
        self._homes: dict[str, Unit] = {}
        self._at_work: dict[str, anyio.CancelScope] = {}
        self._is_told = False
        self._openings = Openings(self._wake)
        self._begun: dict[str, WorkerWork] = {}

    async def drive(self) -> RunState:
        """Return how the run ended; everything is in history then. Raises Interrupted."""
        services, pipeline = self._services, self._pipeline
        found = self._units_of(pipeline)
        self._homes = {node.name: unit for unit in found for node in unit.nodes}
        self._began_at = self._run.started_at or services.clock.now()
        graph = RunGraph(found, await self._recover())
        await self._find_facts(found)
        state: RunState | None = None
        async with deadline(services.clock, self._left_s()) as limit:
            self._context.limit = limit
            state = await self._work(graph)
        if state is not None:
            return state
        if limit.has_passed:
            error = f"the run took longer than {pipeline.timeout_s or 0.0:g} s"
            self._ledger.provider = self._context.provider
            await self._ledger.end(RunState.FAILED, error=error, reason="timeout")
            return RunState.FAILED
        raise Interrupted

    async def cancelled(self) -> None:
        """Put on record that somebody cancelled the run."""
        self._ledger.provider = self._context.provider
        await self._ledger.end(RunState.CANCELLED, reason="cancelled")

    async def failed(self, error: str, *, reason: str = "") -> None:
        """Put on record that the run cannot go on."""
        await self._ledger.end(RunState.FAILED, error=error, reason=reason)

    async def _find_facts(self, found: Sequence[Unit]) -> None:
        """Find out what the run knows by itself, if a node may ask for it."""
        context = self._context
        context.params = self._run.params
        nodes = [node for unit in found for node in unit.nodes]
        if any(unit.kind == "task" for unit in found) or any(
            param_names(node.settings) for node in nodes
        ):
            known = await facts(self._services, self._run, self._pipeline)
            context.params, context.environment = known.params, known.environment

    def _left_s(self) -> float | None:
        """Return seconds until the run has taken too long, over all restarts."""
        timeout_s, began = self._pipeline.timeout_s, self._run.started_at
        if timeout_s is None or began is None:
            return timeout_s
        return max(0.0, timeout_s - (self._services.clock.now() - began).total_seconds())

    async def _recover(self) -> dict[str, Ended]:
        """Read what history knows of the run, once; return the nodes that ended."""
        run, context = self._run, self._context
        if run.state is not RunState.QUEUED or run.retry_of is not None:
            context.before = await self._ledger.recovered()
        if not self._steering.is_fresh:
            for request in await self._services.history.node_requests(run.run_id):
                self._steering.request(request)
        ended: dict[str, Ended] = {}
        for name, node in context.before.nodes.items():
            if node.output is not None:
                context.outputs[name] = node.output
            if node.state.is_final:
                context.outcomes[name] = node.outcome or "success"
                ended[name] = Ended(node.state, node.outcome or "success")
                if node.error or (node.state is NodeState.CANCELLED and node.reason):
                    self._errors[name] = node.error or node.reason
        return ended

    async def _work(self, graph: RunGraph) -> RunState | None:
        """Go through the graph; return how the run ended, None when it was interrupted."""
        self._steering.hear = self._hear
        stop = self._context.stop
        try:
            with stop.heard_by(self._hear), stop.heard_by(self._context.hear_stop):
                if len(set(map(id, self._homes.values()))) == 1:
                    return await self._work_in(None, graph)
                self._context.openings = self._openings
                async with anyio.create_task_group() as tasks:
                    state = await self._work_in(tasks, graph)
                    if self._in_hand:
                        tasks.cancel_scope.cancel()
            return state
        finally:
            for work in self._begun.values():
                work.drop()

    def _hear(self) -> None:
        """Look again at what is asked of the run."""
        self._is_told = True
        self._wake()
        if self._alone is not None and any(
            node.name in self._steering.requests for node in self._alone.nodes
        ):
            self._at_work[self._alone.name].cancel()

    def _wake(self) -> None:
        if self._has_done is not None:
            self._has_done.set()

    async def _work_in(self, tasks: TaskGroup | None, graph: RunGraph) -> RunState | None:
        """Go through the graph. Without `tasks` it has one unit, which is worked on right here."""
        self._events += self._ledger.opening(self._context.before.attempts)
        self._absorb(graph.begin())
        while True:
            ends = {**self._obey(graph), **self._answer_at_once()}
            if ends:
                self._absorb(graph.end(ends))
            self._begin()
            self._queue()
            state = graph.outcome()
            if state is not None:
                self._events.append(self._finished(state))
            await self._record()
            if state is not None:
                return state
            await self._start(tasks)
            if self._in_hand == len(self._done) == 0 and self._context.is_interrupted:
                return None
            self._absorb(graph.end(await self._completed()))

    async def _record(self) -> None:
        """Put on record what was decided, and what units began meanwhile."""
        events, self._events = self._events, []
        opening = self._openings.take()
        try:
            await self._context.record(*events, *opening.events)
            opening.is_recorded = True
        finally:
            opening.over.set()

    def _absorb(self, step: Step) -> None:
        """Take in what follows from nodes that ended."""
        self._events += [self._context.change(name, state) for name, state in step.settled]
        for unit in step.ready:
            (self._instant if unit.kind == "control" else self._ready).append(unit)

    def _obey(self, graph: RunGraph) -> dict[str, Ended]:
        """Let nodes end as somebody asked; return how those ended that are not at work."""
        self._is_told = False
        ends: dict[str, Ended] = {}
        for request in self._steering.requests.values():
            unit = self._homes.get(request.node)
            if unit is None or unit.name in graph.ended or unit.name in ends:
                continue
            if unit.name in self._at_work:
                self._at_work[unit.name].cancel()
                continue
            if unit in self._ready:
                self._ready.remove(unit)
            if unit in self._instant:
                self._instant.remove(unit)
            ends.update(self._take_in(ended_by(self._context, unit, request)))
        return ends

    def _answer_at_once(self) -> dict[str, Ended]:
        """Let some of the nodes that take no time end; return how."""
        ends: dict[str, Ended] = {}
        if not self._context.may_begin:
            self._ready += filter(self._may_begin, self._instant)
            self._instant = deque(u for u in self._instant if not self._may_begin(u))
            return ends
        while self._instant and len(ends) < _AT_ONCE and self._may_answer():
            unit = self._instant.popleft()
            completion = answer_at_once(self._context, unit)
            if completion is None:
                self._ready.append(unit)
            else:
                ends.update(self._take_in(completion))
        return ends

    def _may_answer(self) -> bool:
        """Return whether nodes that take no time may end now; those of an interrupted run wait."""
        return self._context.may_begin and not self._context.is_interrupted

    def _take_in(self, completion: Completion) -> Mapping[str, Ended]:
        self._events += completion.events
        if completion.errors:
            self._events += letters_of(self._context, completion)
        self._errors.update(completion.errors)
        self._context.outputs.update(completion.outputs)
        self._context.outcomes.update({n: end.outcome for n, end in completion.ends.items()})
        return completion.ends

    def _begin(self) -> None:
        """Begin the units whose turn comes at once, so that one transaction says so too."""
        if self._context.is_interrupted or not self._context.may_begin:
            return
        without = set[tuple[str | None, str]]()
        for unit in self._ready:
            alike = (pool_of(unit), kind_of(self._run, unit.head))
            if unit.kind != "task" or unit.head.for_each is not None or alike in without:
                continue
            work = WorkerWork(self._context, unit)
            opening = work.begin()
            if opening:
                self._begun[unit.name] = work
                self._events += opening
            else:
                without.add(alike)

    def _queue(self) -> None:
        """Say of units that are ready and find no worker or slot free that they wait for one.

        A fan-out waits for none: its instances do.
        """
        workers = [
            unit
            for unit in self._ready
            if unit.kind != "control"
            and unit.head.for_each is None
            and unit.name not in self._begun
        ]
        if not workers or self._context.is_interrupted:
            return
        for unit in without_room(self._context, workers):
            known = self._context.before.nodes.get(unit.name)
            if known is None or known.state in {NodeState.PENDING, NodeState.RUNNING}:
                self._events += [
                    self._context.change(node.name, NodeState.QUEUED) for node in unit.nodes
                ]

    async def _start(self, tasks: TaskGroup | None) -> None:
        """Begin every unit that is ready; a run that is interrupted begins nothing more."""
        ready, self._ready = self._ready, []
        for number, unit in enumerate(ready, start=1):
            if number % _AT_A_TIME == 0:
                await anyio.lowlevel.checkpoint()  # others of the daemon wait for the loop
            if unit.name not in self._begun and self._context.is_interrupted:
                continue
            if unit.name not in self._begun and not self._may_begin(unit):
                self._ready.append(unit)
                continue
            self._in_hand += 1
            self._at_work[unit.name] = anyio.CancelScope()
            if tasks is None:
                self._alone = unit
            else:
                tasks.start_soon(self._run_unit, unit, name=f"unit {unit.name}")

    def _may_begin(self, unit: Unit) -> bool:
        """Return whether a unit may begin now; while the run is paused, what began may go on."""
        if self._context.may_begin:
            return True
        known = self._context.before.nodes.get(unit.name)
        return unit.kind == "control" and known is not None and known.state is NodeState.RUNNING

    async def _run_unit(self, unit: Unit) -> None:
        completion: Completion | None = None
        with self._at_work[unit.name]:
            work = self._begun.pop(unit.name, None) or work_of(self._context, unit)
            completion = await work.run()
        if completion is None:
            completion = await self._stopped(unit)
        del self._at_work[unit.name]
        self._done.append(completion)
        self._wake()

    async def _stopped(self, unit: Unit) -> Completion:
        """Return how a unit ends whose work was stopped because somebody asked."""
        history, run_id = self._services.history, self._run.run_id
        attempts = await history.attempts(run_id, unit.name)
        if unit.head.for_each is not None:
            await cancel_items(self._context, unit.name)
        asked = self._steering.requests
        request = next(asked[node.name] for node in unit.nodes if node.name in asked)
        return ended_by(self._context, unit, request, events=self._ledger.closing(attempts))

    async def _completed(self) -> dict[str, Ended]:
        """Return how nodes ended, waiting for the first unless others can go on meanwhile."""
        has_instant = bool(self._instant) and self._may_answer()
        if self._alone is not None:
            alone = self._alone
            if self._is_told:
                self._hear()  # of what was asked while its beginning was put on record
            await self._run_unit(alone)
            self._alone = None
        elif not (self._done or has_instant or self._is_told or self._openings):
            self._has_done = anyio.Event()
            await self._has_done.wait()
        done, self._done = self._done, []
        ends: dict[str, Ended] = {}
        for completion in done:
            self._in_hand -= 1
            ends.update(self._take_in(completion))
        return ends

    def _finished(self, state: RunState) -> Event:
        told = [f"{name}: {error}" for name, error in self._errors.items()]
        if len(told) > _SHOWN_ERRORS:
            told[_SHOWN_ERRORS:] = [f"and {len(told) - _SHOWN_ERRORS} more nodes failed"]
        self._ledger.provider = self._context.provider
        return self._ledger.finished(
            self._began_at, state, error="; ".join(told) if state is RunState.FAILED else ""
        )
