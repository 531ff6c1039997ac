"""Whether, and when, a crashed actor starts again. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """At most `limit` crashes within `window_s` seconds; delays double from `base_s` to `cap_s`."""

    limit: int = 5
    window_s: float = 300.0
    base_s: float = 0.1
    cap_s: float = 30.0


def next_delay_s(policy: RestartPolicy, crashes_s: tuple[float, ...], now_s: float) -> float | None:
    """Return seconds to wait before the next start, or None to give up."""
    recent = [at_s for at_s in crashes_s if now_s - at_s <= policy.window_s]
    if len(recent) > policy.limit:
        return None
    return min(policy.cap_s, policy.base_s * 2.0 ** max(0, len(recent) - 1))
