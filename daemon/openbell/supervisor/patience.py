"""What a worker may wait for, and how long: a budget, an instant, another try at a vendor."""

from __future__ import annotations

import anyio

from openbell.execution.executor import StopSignal
from openbell.execution.protocol import Ask
from openbell.model.events import ProviderRequested
from openbell.model.pipelines import RetryPolicy, retry_delay_s
from openbell.sdk.values import from_us, to_us
from openbell.supervisor.services import Services

REFUSALS = frozenset({"rate_limited", "quota_exhausted"})
_MAX_REFUSALS = 20


class Patience:
    """Answers the questions of one attempt; `policy` is that of its first node."""

    def __init__(self, services: Services, policy: RetryPolicy) -> None:
        self._services = services
        self._policy = policy

    async def answer(self, question: Ask, stop: StopSignal) -> tuple[bool, int]:
        """Let the worker wait, or until it is to stop; see `Listener.answer`."""
        granted = not stop.is_asked()
        if granted:
            async with anyio.create_task_group() as group:
                group.start_soon(self._give_up, stop, group.cancel_scope)
                granted = await self._wait(question)
                group.cancel_scope.cancel()
        granted = granted and not stop.is_asked()
        return granted, to_us(self._services.clock.now())

    async def _give_up(self, stop: StopSignal, scope: anyio.CancelScope) -> None:
        await stop.wait()
        scope.cancel()

    async def _wait(self, question: Ask) -> bool:
        clock, broker = self._services.clock, self._services.broker
        match question.what:
            case "pace":
                await broker.acquire(question.provider, question.request_count)
                return True
            case "wait":
                await clock.sleep_until(from_us(question.instant_us))
                return True
            case _:
                delay_s = self._retry_delay_s(question)
                await self._services.journal.insist(
                    ProviderRequested(
                        at=clock.now(), provider=question.provider, status=question.error_kind
                    )
                )
                if delay_s is None:
                    return False
                await clock.sleep(delay_s)
                return True

    def _retry_delay_s(self, question: Ask) -> float | None:
        """Return how long a failed request waits, None when its policy is used up.

        A refusal (429, quota) is the vendor asking for patience: it waits as the vendor says.
        """
        if question.error_kind in REFUSALS:
            rest_s = self._services.broker.refused(question.provider, question.retry_after_s)
            return rest_s if question.failures < _MAX_REFUSALS else None
        if question.failures >= self._policy.max_attempts:
            return None
        if question.retry_after_s is not None:
            return question.retry_after_s
        return retry_delay_s(self._policy, question.failures, jitter=self._services.jitter())
