"""A token bucket as a value. Pure: time comes in, a new bucket comes out.

Rule: a bucket of capacity `burst` gains `rate_per_s` tokens a second and never holds more than its
capacity; a request takes one token (Turner, "New directions in communications", 1986).
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Tokens as of `at_s` (monotonic seconds). `rate_per_s` None means no limit.

    Until `rest_until_s` nothing is granted: the vendor refused a request.
    """

    burst: int
    rate_per_s: float | None
    tokens: float
    at_s: float
    rest_until_s: float = 0.0

    def at(self, now_s: float) -> Bucket:
        """Return the bucket at `now_s`; time that goes backwards adds nothing."""
        elapsed_s = max(0.0, now_s - self.at_s)
        gained = elapsed_s * (self.rate_per_s or 0.0)
        return replace(
            self, tokens=min(float(self.burst), self.tokens + gained), at_s=max(now_s, self.at_s)
        )

    def wait_s(self, now_s: float, wanted: float = 1.0) -> float:
        """Return how long until `wanted` tokens may be taken, 0 when they may be now.

        More than the capacity is never there at once: a larger wish waits for a full bucket and
        leaves it in debt.
        """
        rest_s = max(0.0, self.rest_until_s - now_s)
        if self.rate_per_s is None:
            return rest_s
        missing = min(wanted, float(self.burst)) - self.at(now_s).tokens
        return max(rest_s, missing / self.rate_per_s if missing > 1e-9 else 0.0)

    def take(self, now_s: float, wanted: float = 1.0) -> Bucket:
        """Return the bucket after `wanted` tokens were taken; call when `wait_s` is 0."""
        now = self.at(now_s)
        return now if self.rate_per_s is None else replace(now, tokens=now.tokens - wanted)

    def rest(self, now_s: float, cooldown_s: float) -> Bucket:
        """Return the bucket after the vendor refused a request: empty, and at rest."""
        now = self.at(now_s)
        tokens = min(now.tokens, 0.0) if self.rate_per_s is not None else now.tokens
        return replace(now, tokens=tokens, rest_until_s=max(self.rest_until_s, now_s + cooldown_s))


def full(burst: int, requests_per_minute: float | None, now_s: float) -> Bucket:
    """Return a full bucket."""
    rate = None if requests_per_minute is None else requests_per_minute / 60.0
    return Bucket(burst=burst, rate_per_s=rate, tokens=float(burst), at_s=now_s)
