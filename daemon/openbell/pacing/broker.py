"""Hands out requests inside each provider's budget, first come first served, over all pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import anyio

from openbell.model.control import BudgetStatus
from openbell.model.pipelines import Pacing
from openbell.pacing.bucket import Bucket, full
from openbell.sdk.clock import Clock


@dataclass(slots=True, eq=False)
class _Account:
    pacing: Pacing
    bucket: Bucket
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    waiting: int = 0
    request_count: int = 0
    violation_count: int = 0
    is_configured: bool = True


class PacingBroker:
    """One account for each provider. Budgets survive a reload when their pacing is the same.

    The account of a provider that left the configuration stays: runs in hand go on by its numbers.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    def configure(self, budgets: Mapping[str, Pacing]) -> None:
        """Use these budgets from now on; who waits goes on waiting, by the new numbers."""
        now_s = self._clock.monotonic()
        for name, pacing in budgets.items():
            account = self._accounts.get(name)
            if account is None:
                self._accounts[name] = _Account(pacing, _fresh(pacing, now_s))
            elif account.pacing != pacing:
                fresh = _fresh(pacing, now_s)
                account.pacing, account.bucket = pacing, fresh
        for name, account in self._accounts.items():
            account.is_configured = name in budgets

    async def acquire(self, provider: str, request_count: int = 1) -> float:
        """Return once the provider's budget allows `request_count` requests: seconds waited.

        Cancelled while waiting, nothing is taken.
        """
        account = self._accounts[provider]
        began_s = self._clock.monotonic()
        account.waiting += 1
        try:
            async with account.turn:
                while wait_s := account.bucket.wait_s(self._clock.monotonic(), request_count):
                    await self._clock.sleep(wait_s)
                now_s = self._clock.monotonic()
                account.bucket = account.bucket.take(now_s, request_count)
                account.request_count += request_count
        finally:
            account.waiting -= 1
        return now_s - began_s

    def refused(self, provider: str, retry_after_s: float | None) -> float:
        """Let a provider rest, because the vendor refused a request; return for how long.

        The vendor's word counts when it gave one, else the configured cool-down.
        """
        account = self._accounts[provider]
        cooldown_s = account.pacing.cooldown_s if retry_after_s is None else retry_after_s
        account.bucket = account.bucket.rest(self._clock.monotonic(), cooldown_s)
        account.violation_count += 1
        return cooldown_s

    def status(self) -> list[BudgetStatus]:
        """Return every configured budget, by name, and those that somebody still waits for."""
        now_s = self._clock.monotonic()
        found = []
        for name, account in sorted(self._accounts.items()):
            if not (account.is_configured or account.waiting):
                continue
            rest_s = account.bucket.rest_until_s - now_s
            found.append(
                BudgetStatus(
                    provider=name,
                    tokens=account.bucket.at(now_s).tokens,
                    burst=account.pacing.burst,
                    requests_per_minute=account.pacing.requests_per_minute,
                    resting_until=(
                        self._clock.now() + timedelta(seconds=rest_s) if rest_s > 0 else None
                    ),
                    waiting=account.waiting,
                    request_count=account.request_count,
                    violation_count=account.violation_count,
                )
            )
        return found


def _fresh(pacing: Pacing, now_s: float) -> Bucket:
    return full(pacing.burst, pacing.requests_per_minute, now_s)
