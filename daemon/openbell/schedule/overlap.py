"""What happens to a fire while runs of its pipeline are going on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

Overlap = Literal["skip", "queue_one", "queue_all", "cancel_running", "allow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapPolicy:
    """What to do when a fire comes while `max_active` runs or more are going on.

    `skip` lets it go; `queue_one` keeps it when none waits yet; `queue_all` keeps up to
    `max_queued`; `cancel_running` ends the running ones for it; `allow` runs it beside them.
    """

    overlap: Overlap = "queue_one"
    max_active: int = 1
    max_queued: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What to do with a fire now, and why."""

    action: Literal["start", "queue", "skip", "cancel_and_start"]
    reason: str


def admit(policy: OverlapPolicy, *, active: int, queued: int) -> Admission:
    """Return what to do with a fire, given how many runs are going on and how many fires wait."""
    is_free = active < policy.max_active and queued == 0
    busy = f"{active} active and {queued} queued"
    match policy.overlap:
        case "allow":
            found = Admission(action="start", reason="runs may overlap")
        case _ if is_free:
            found = Admission(action="start", reason="nothing is in the way")
        case "cancel_running":
            found = Admission(action="cancel_and_start", reason=f"in place of {busy}")
        case "queue_one" if queued == 0:
            found = Admission(action="queue", reason=f"waits behind {busy}")
        case "queue_all" if queued < policy.max_queued:
            found = Admission(action="queue", reason=f"waits behind {busy}")
        case "skip" | "queue_one" | "queue_all":
            found = Admission(action="skip", reason=f"{busy}, and no more may wait")
        case _:
            assert_never(policy.overlap)
    return found
