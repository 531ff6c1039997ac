"""What every unit of one run shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import anyio

from openbell.execution.chains import Unit
from openbell.execution.graph import Ended
from openbell.execution.pool import StopSignal
from openbell.model.events import Event, NodeChanged
from openbell.model.pipelines import Pipeline
from openbell.model.runs import NodeState, RunRecord
from openbell.supervisor.deadline import Deadline
from openbell.supervisor.desk import Ask
from openbell.supervisor.dispatch import Dispatcher
from openbell.supervisor.runs.openings import Openings
from openbell.supervisor.runs.recovered import Recovered
from openbell.supervisor.runs.steering import Steering
from openbell.supervisor.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """How a unit ended, and what is to be recorded of it; interrupted, it goes on later."""

    unit: Unit
    events: Sequence[Event]
    ends: Mapping[str, Ended] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_interrupted: bool = False


class UntilStopped:
    """A block that a stop leaves early; what comes after it runs then."""

    def __init__(self, stop: StopSignal, stopped: list[anyio.CancelScope]) -> None:
        self._stop = stop
        self._stopped = stopped
        self._scope = anyio.CancelScope()

    def __enter__(self) -> None:
        self._scope.__enter__()
        self._stopped.append(self._scope)
        if self._stop.is_asked():
            self._scope.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._stopped.remove(self._scope)
        return bool(self._scope.__exit__(kind, error, trace))


@dataclass(slots=True, kw_only=True)
class RunContext:
    """One run, by the deployment that was in force when it was taken up.

    `outputs` are references to what nodes made, by name. `provider` is whom the run fetched from.
    `params` are the run's parameters with what it knows by itself.
    """

    services: Services
    pipeline: Pipeline
    run: RunRecord
    stop: StopSignal
    dispatch: Dispatcher
    before: Recovered = field(default_factory=Recovered)
    outputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    provider: str = ""
    limit: Deadline | None = None
    steering: Steering = field(default_factory=Steering)
    params: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    openings: Openings | None = None
    _stopped: list[anyio.CancelScope] = field(default_factory=list)

    @property
    def job(self) -> str:
        """What the run is counted under."""
        return self.pipeline.job or self.pipeline.name

    @property
    def priority(self) -> int:
        """How urgent the run is now."""
        asked = self.steering.priority
        return self.run.priority if asked is None else asked

    @property
    def may_begin(self) -> bool:
        """Whether work may begin: the run is not paused, or is to stop anyway."""
        return not self.steering.is_paused or self.stop.is_asked()

    @property
    def is_ending(self) -> bool:
        """Whether the run has taken too long and ends now."""
        return self.limit is not None and self.limit.has_passed

    @property
    def is_interrupted(self) -> bool:
        """Whether the run is to stop now and go on later."""
        return self.stop.is_asked() and self.stop.is_interrupt

    def change(self, node: str, state: NodeState, **more: Any) -> NodeChanged:  # noqa: ANN401 - fields of the event
        """Return the event that a node went to another state, now."""
        return NodeChanged(
            at=self.services.clock.now(),
            run_id=self.run.run_id,
            pipeline=self.run.pipeline,
            node=node,
            state=state,
            **more,
        )

    async def record(self, *events: Event) -> None:
        """Put events on record; while the disk refuses, wait."""
        if events:
            await self.services.journal.insist(*events)

    async def open(self, events: Sequence[Event]) -> None:
        """Put the beginning of an attempt on record, with others of the run where it has a loop."""
        if self.openings is None:
            await self.record(*events)
        else:
            await self.openings.record(events)

    async def sleep_or_stop(self, delay_s: float) -> None:
        """Return after `delay_s` seconds, or once the run is to stop."""
        with self.until_stopped():
            await self.services.clock.sleep(delay_s)

    def until_stopped(self) -> UntilStopped:
        """Return a block that is left early once the run is to stop."""
        return UntilStopped(self.stop, self._stopped)

    async def has_turn(
        self, held: AsyncExitStack, ask: Ask, *, waits: Sequence[Event] = ()
    ) -> bool:
        """Wait for a turn, which `held` gives back; return whether the run goes on then.

        What `waits` says is put on record where the turn does not come at once.
        """
        if self.may_begin and not self.stop.is_asked():
            give_back = self.services.desk.turn_now(ask)
            if give_back is not None:
                held.push(give_back)
                return True
            await self.record(*waits)
        while True:
            await self.until_resumed()
            async with AsyncExitStack() as tried:
                if not await self._is_called(tried, ask):
                    return False
                if self.may_begin:
                    await held.enter_async_context(tried.pop_all())
                    return True

    async def _is_called(self, held: AsyncExitStack, ask: Ask) -> bool:
        """Wait for a turn; return False where the run stops instead."""
        desk = self.services.desk
        with self.until_stopped():
            await held.enter_async_context(desk.turn(ask))
            return True
        if self.is_interrupted:
            return False
        await held.enter_async_context(desk.turn(ask))
        return True

    async def until_resumed(self) -> None:
        """Return once the run is not paused, or is to stop."""
        while not self.may_begin:
            with self.until_stopped():
                await self.steering.change()

    def hear_stop(self) -> None:
        """Let everything that waits with `until_stopped` hear of the stop."""
        for scope in self._stopped:
            scope.cancel()
