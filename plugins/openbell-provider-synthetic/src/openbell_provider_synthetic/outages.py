"""Requests that fail: rate limits and outages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

from openbell.sdk.errors import RateLimitedError, TransientError
from openbell.sdk.providers import FetchRequest
from openbell.sdk.values import to_us
from openbell_provider_synthetic.hashing import text_key
from openbell_provider_synthetic.settings import FaultSettings, RequestFault

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class PagePlace:
    """Where a page stands: its first bar, the sessions that begin in it, its place in the fetch."""

    first_us: int
    begun_days: frozenset[int]
    is_first: bool
    is_resumed: bool


class RequestFaults:
    """Decides which page fails. Remembers how often each did: the one thing that changes."""

    def __init__(self, faults: FaultSettings, seed: int) -> None:
        self._limits = faults.rate_limits
        self._outages = faults.outages
        self._seed = seed
        self._failed: Counter[tuple[str, int]] = Counter()

    def strike(self, request: FetchRequest, place: PagePlace) -> None:
        """Raise when the page is to fail now."""
        if self._is_struck("outage", self._outages, request, place):
            raise TransientError(f"synthetic outage at {request.now.isoformat()}")
        if self._is_struck("rate limit", self._limits, request, place):
            raise RateLimitedError(
                "synthetic rate limit: too many requests", retry_after_s=self._limits.retry_after_s
            )

    def _is_struck(
        self, kind: str, fault: RequestFault, request: FetchRequest, place: PagePlace
    ) -> bool:
        if any(window.covers(request.now) for window in fault.windows):
            return True
        failed = self._failed[kind, place.first_us]
        if failed >= fault.times or (place.is_resumed and not failed):
            return False
        is_struck = failed > 0 or self._is_chosen(kind, fault, request, place)
        self._failed[kind, place.first_us] += is_struck
        return is_struck

    def _is_chosen(
        self, kind: str, fault: RequestFault, request: FetchRequest, place: PagePlace
    ) -> bool:
        listed = {(label - _EPOCH) // timedelta(days=1) for label in fault.sessions}
        if listed & place.begun_days and not place.is_first:
            return True
        rate = fault.rate / 2 if place.is_first else fault.rate
        second = to_us(request.now) // 1_000_000
        draw = text_key(f"{kind} {request.dataset} {place.first_us} {second}", self._seed)
        return draw < rate * 2.0**64
