"""An actor under supervision: started, watched, started again or parked."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable

import anyio

from openbell.model.control import PipelineStatus
from openbell.model.events import ActorCrashed, PipelineParked
from openbell.supervisor.mailbox import ActorStoppedError
from openbell.supervisor.messages import Drain
from openbell.supervisor.pipeline_actor import PipelineActor
from openbell.supervisor.restart import RestartPolicy, next_delay_s
from openbell.supervisor.services import Services

MakeActor = Callable[[], PipelineActor]


def innermost(error: BaseException) -> BaseException:
    """Return the one error inside groups of one; a group of several stays a group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class Supervised:
    """One pipeline's actor for as long as the pipeline is configured, over all its crashes."""

    def __init__(
        self, services: Services, name: str, make: MakeActor, policy: RestartPolicy
    ) -> None:
        self._services = services
        self._name = name
        self._make = make
        self._policy = policy
        self._crashes: deque[float] = deque(maxlen=100)
        self._actor = make()
        self._unpark = anyio.Event()
        self._is_draining = False
        self._ended = anyio.Event()
        self.restarts = 0
        self.parked_reason = ""

    @property
    def actor(self) -> PipelineActor:
        """The actor of now."""
        return self._actor

    def status(self) -> PipelineStatus:
        """Return the pipeline as it stands, with its crashes."""
        status = self._actor.status()
        return PipelineStatus(
            name=status.name,
            state="parked" if self.parked_reason else status.state,
            mode=status.mode,
            job=status.job,
            version=status.version,
            node_count=status.node_count,
            active_runs=0 if self.parked_reason else status.active_runs,
            queued_runs=status.queued_runs,
            schedule=status.schedule,
            restarts=self.restarts,
            reason=self.parked_reason,
        )

    async def tell(self, message: object) -> None:
        """Tell the actor; while it is down the message is lost, and history speaks for it."""
        try:
            await self._actor.mailbox.tell(message)
        except ActorStoppedError:
            return

    async def drain(self) -> None:
        """Return once nothing of this pipeline runs any more; what was running goes on later."""
        self._is_draining = True
        self.unpark()
        await self.tell(Drain())
        await self._ended.wait()

    def unpark(self) -> None:
        """Let a parked actor start again, its crashes forgotten."""
        self._crashes.clear()
        self._unpark.set()

    async def run(self) -> None:
        """Run the actor until its mailbox is closed; start it again after crashes."""
        while True:
            try:
                await self._actor.run()
            except Exception as error:  # noqa: BLE001 - the supervisor is where crashes are decided
                if not self._is_draining:
                    await self._crashed(error)
                if self._is_draining:
                    break
                self._actor = self._make()
            else:
                break
        self._ended.set()

    async def _crashed(self, error: Exception) -> None:
        clock = self._services.clock
        self.restarts += 1
        now_s = clock.monotonic()
        self._crashes.append(now_s)
        text = "".join(traceback.format_exception(error))[-4000:]
        delay_s = next_delay_s(self._policy, tuple(self._crashes), now_s)
        await self._services.journal.record(
            ActorCrashed(
                at=clock.now(),
                pipeline=self._name,
                error=text,
                restart_in_s=-1.0 if delay_s is None else delay_s,
            )
        )
        if delay_s is not None:
            await clock.sleep(delay_s)
            return
        self.parked_reason = f"crashed {len(self._crashes)} times: {innermost(error)!r}"
        self._unpark = anyio.Event()
        await self._services.journal.record(
            PipelineParked(at=clock.now(), pipeline=self._name, reason=self.parked_reason)
        )
        await self._unpark.wait()
        self.parked_reason = ""
