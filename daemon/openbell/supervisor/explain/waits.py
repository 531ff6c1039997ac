"""Puts on record what waits for longer, and why: so it can still be told when the wait is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from openbell.model.events import DecisionNoted
from openbell.model.explanations import Present
from openbell.sdk.clock import Clock
from openbell.supervisor.journal import Journal

LOOK_S = 5.0
"""How long there is between two looks: shorter waits leave no trace."""

MAX_RUNS = 50
"""How many waiting runs of one pipeline a look is about, the next ones first."""

MAX_TURNS = 200

Place = tuple[str, str, str]
"""A pipeline, a run and a node."""


class Waits:
    """Looks again and again, and records what is new. What it said before it says once."""

    def __init__(self, present: Present, journal: Journal, clock: Clock) -> None:
        self._present = present
        self._journal = journal
        self._clock = clock
        self._told: dict[Place, tuple[str, str]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Record why runs and nodes wait, where that is not what was recorded last."""
        found = {place: (what, reason) for place, what, reason in self._waiting()}
        fresh = [place for place, said in found.items() if self._told.get(place) != said]
        self._told = found
        if fresh:
            await self._journal.attempt(*(self._event(place, *found[place]) for place in fresh))

    def _event(self, place: Place, what: str, reason: str) -> DecisionNoted:
        pipeline, run_id, node = place
        return DecisionNoted(
            at=self._clock.now(),
            pipeline=pipeline,
            run_id=run_id,
            node=node,
            what=what,
            reason=reason,
        )

    def _waiting(self) -> Iterator[tuple[Place, str, str]]:
        daemon = self._present.status().state
        for status in self._present.pipelines():
            if status.queued_runs:
                active, waiting = self._present.queue(status.name)
                why = _why(daemon, status.state, status.reason, active)
                if why is None:
                    continue
                what, reason = why
                for run_id in waiting[:MAX_RUNS]:
                    yield (status.name, run_id, ""), what, reason
        for turn in self._present.turns()[:MAX_TURNS]:
            if turn.waited_s >= LOOK_S:
                reason = turn.reason or "its turn comes next"
                yield (turn.pipeline, turn.run_id, turn.node), "waits_for_turn", reason


def _why(daemon: str, state: str, reason: str, active: Sequence[str]) -> tuple[str, str] | None:
    """Return what holds a queue up; None where a run has reasons of its own, which are on record."""
    if daemon != "running":
        return daemon, f"the daemon is {daemon}"
    if state != "active":
        return state, f"its pipeline is {state}" + (f": {reason}" if reason else "")
    if active:
        return "max_active_runs", f"it waits for {active[0]}, which is going on"
    return None
