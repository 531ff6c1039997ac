"""What happens to fires that nobody was there for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, assert_never

from openbell.schedule.fires import Fire

Catching = Literal["run_all", "latest", "coalesce", "skip", "if_before"]

_PASSED_OVER: Mapping[Catching, str] = {
    "latest": "a newer one was missed too",
    "coalesce": "the newest runs on its behalf",
    "skip": "missed fires are skipped",
    "if_before": "its deadline has passed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedPolicy:
    """What to do with missed fires.

    `run_all` runs each, `latest` the newest, `coalesce` the newest on behalf of all, `skip` none;
    `if_before` those whose deadline has not passed. Of what would run, only the newest `most` do.
    They start `spread` apart, the oldest first.
    """

    catching: Catching = "run_all"
    most: int = 100
    spread: timedelta = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """What becomes of one missed fire: it runs at `run_at`, or does not, for a reason.

    `covers` are the fires on whose behalf it runs too.
    """

    fire: Fire
    run_at: datetime | None
    reason: str
    covers: tuple[Fire, ...] = ()


Deadline = Callable[[Fire], datetime | None]


def catch_up(
    policy: MissedPolicy, missed: Sequence[Fire], now: datetime, *, deadline: Deadline
) -> tuple[Caught, ...]:
    """Return what becomes of each missed fire, oldest first; every one of them is answered for.

    `deadline` gives the instant before which a fire is still worth running, None for no end; only
    `if_before` asks.
    """
    fires = sorted(missed, key=lambda fire: (fire.at, fire.identity))
    chosen = _chosen(policy, fires, now, deadline)
    first = max(0, len(chosen) - policy.most)
    starts = {fire.identity: now + policy.spread * n for n, fire in enumerate(chosen[first:])}
    over = {fire.identity for fire in chosen[:first]}
    covers = tuple(fires[:-1]) if policy.catching == "coalesce" else ()
    answers: list[Caught] = []
    for fire in fires:
        run_at = starts.get(fire.identity)
        if run_at is not None:
            answers.append(Caught(fire=fire, run_at=run_at, reason="missed", covers=covers))
        elif fire.identity in over:
            reason = f"more than {policy.most} were missed"
            answers.append(Caught(fire=fire, run_at=None, reason=reason))
        else:
            answers.append(Caught(fire=fire, run_at=None, reason=_PASSED_OVER[policy.catching]))
    return tuple(answers)


def _chosen(
    policy: MissedPolicy, fires: list[Fire], now: datetime, deadline: Deadline
) -> list[Fire]:
    match policy.catching:
        case "run_all":
            return fires
        case "latest" | "coalesce":
            return fires[-1:]
        case "skip":
            return []
        case "if_before":
            ends = ((fire, deadline(fire)) for fire in fires)
            return [fire for fire, end in ends if end is None or now < end]
        case _:
            assert_never(policy.catching)
