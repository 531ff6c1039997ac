"""An actor under supervision: started, watched, started again or parked."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio

from openbell.model.control import PipelineStatus
from openbell.model.events import ActorCrashed, PipelineParked
from openbell.model.pipelines import Pipeline
from openbell.sdk.errors import RetryableError
from openbell.supervisor.innermost import innermost, leaves
from openbell.supervisor.mailbox import ActorStoppedError
from openbell.supervisor.messages import Drain, Pause, Redefine, Resume, Retire
from openbell.supervisor.pipeline_actor import PipelineActor
from openbell.supervisor.restart import RestartPolicy, next_delay_s
from openbell.supervisor.services import Services


async def crash_of(work: Callable[[], Awaitable[None]]) -> Exception | None:
    """Do `work`; return what it raised, None when it came to its end.

    The supervisor is where crashes are decided, and this is where it hears of them.
    """
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - whatever an actor raised is put on record
        return error
    return None


class Supervised:
    """One pipeline's actor for as long as the pipeline is configured, over all its crashes.

    It keeps what was asked of the pipeline, so that an actor that starts again knows it.
    """

    def __init__(
        self, services: Services, pipeline: Pipeline, version: int, policy: RestartPolicy
    ) -> None:
        self._services = services
        self._pipeline = pipeline
        self._version = version
        self._policy = policy
        self._is_paused = False
        self._is_retired = False
        self._is_draining = False
        self._crashes: deque[float] = deque(maxlen=100)
        self._actor = self._make()
        self._wake = anyio.Event()
        self._ended = anyio.Event()
        self.restarts = 0
        self.parked_reason = ""

    def _make(self) -> PipelineActor:
        return PipelineActor(
            self._services,
            self._pipeline,
            self._version,
            is_paused=self._is_paused,
            is_retired=self._is_retired,
        )

    @property
    def actor(self) -> PipelineActor:
        """The actor of now."""
        return self._actor

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self._pipeline.name

    @property
    def is_paused(self) -> bool:
        """Whether it starts no runs for now."""
        return self._is_paused

    def begin_paused(self) -> None:
        """Start no runs from the beginning: somebody paused the pipeline before."""
        self._is_paused = True
        self._actor.mailbox.discard()
        self._actor = self._make()

    def status(self) -> PipelineStatus:
        """Return the pipeline as it stands, with its crashes."""
        status = self._actor.status()
        state = "retired" if self._is_retired else "paused" if self._is_paused else "active"
        return replace(
            status,
            state="parked" if self.parked_reason else state,
            active_runs=0 if self.parked_reason else status.active_runs,
            restarts=self.restarts,
            reason=self.parked_reason,
        )

    async def tell(self, message: object) -> None:
        """Tell the actor; while it is down the message is lost, and history speaks for it."""
        try:
            await self._actor.mailbox.tell(message)
        except ActorStoppedError:
            return

    async def pause(self) -> None:
        """Start no more runs."""
        self._is_paused = True
        await self.tell(Pause())

    async def resume(self) -> None:
        """Start runs again, also of a parked pipeline."""
        self._is_paused = False
        self.unpark()
        await self.tell(Resume())

    async def redefine(self, pipeline: Pipeline, version: int) -> None:
        """Use another definition for the runs to come."""
        self._pipeline, self._version, self._is_retired = pipeline, version, False
        await self.tell(Redefine(pipeline, version))

    async def retire(self) -> None:
        """End when nothing is left to run; a parked pipeline ends at once."""
        self._is_retired = True
        if self.parked_reason:
            self._wake.set()
        await self.tell(Retire())

    async def drain(self) -> None:
        """Return once nothing of this pipeline runs any more; what was running goes on later."""
        self._is_draining = True
        self._wake.set()
        await self.tell(Drain())
        await self._ended.wait()

    def unpark(self) -> None:
        """Let a parked actor start again, its crashes forgotten."""
        if self.parked_reason:
            self._crashes.clear()
            self._wake.set()

    async def run(self) -> None:
        """Run the actor until its mailbox is closed; start it again after crashes."""
        try:
            while await self._crashes_again():
                self._actor = self._make()
        finally:
            self._ended.set()

    async def _crashes_again(self) -> bool:
        """Run the actor; return whether it crashed and is to start again."""
        error = await crash_of(self._actor.run)
        if error is not None:
            if not self._is_draining:
                await self._crashed(error)
            was_parked, self.parked_reason = bool(self.parked_reason), ""
            return not self._is_draining and not (was_parked and self._is_retired)
        return False

    async def _crashed(self, error: Exception) -> None:
        """Put the crash on record and wait for the restart, or for whoever unparks the pipeline."""
        clock, journal = self._services.clock, self._services.journal
        redact = self._services.redact
        self.restarts += 1
        delay_s = self._delay_s(error)
        await journal.insist(
            ActorCrashed(
                at=clock.now(),
                pipeline=self._pipeline.name,
                error=redact("".join(traceback.format_exception(error)))[-4000:],
                restart_in_s=-1.0 if delay_s is None else delay_s,
            )
        )
        self._wake = anyio.Event()
        if delay_s is None:
            told = redact(f"{innermost(error)!r}")
            self.parked_reason = f"crashed {len(self._crashes)} times: {told}"
            await journal.insist(
                PipelineParked(
                    at=clock.now(), pipeline=self._pipeline.name, reason=self.parked_reason
                )
            )
        if not self._is_draining:
            await self._sleep_or_wake(delay_s)

    def _delay_s(self, error: Exception) -> float | None:
        """Return seconds until the restart, None to park.

        Trouble that passes, such as a disk that does not answer, is waited for as long as it lasts.
        """
        now_s = self._services.clock.monotonic()
        passing = [leaf for leaf in leaves(error) if isinstance(leaf, RetryableError)]
        if len(passing) == sum(1 for _ in leaves(error)):
            return max(leaf.retry_after_s or self._policy.base_s for leaf in passing)
        self._crashes.append(now_s)
        return next_delay_s(self._policy, tuple(self._crashes), now_s)

    async def _sleep_or_wake(self, delay_s: float | None) -> None:
        async with anyio.create_task_group() as group:

            async def sleep(seconds: float) -> None:
                await self._services.clock.sleep(seconds)
                group.cancel_scope.cancel()

            if delay_s is not None:
                group.start_soon(sleep, delay_s)
            await self._wake.wait()
            group.cancel_scope.cancel()
