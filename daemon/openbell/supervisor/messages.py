"""What pipeline actors are told and asked. Frozen."""

from __future__ import annotations

from dataclasses import dataclass

from openbell.model.items import NodeRequest
from openbell.model.pipelines import Pipeline
from openbell.model.runs import RunRecord


@dataclass(frozen=True, slots=True)
class Enqueue:
    """A run was accepted and is durable; one that `is_new` nobody can have told of before."""

    run: RunRecord
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Somebody asked this run to end."""

    run_id: str


@dataclass(frozen=True, slots=True)
class PauseRun:
    """Somebody paused a run, or let it go on."""

    run_id: str
    paused: bool


@dataclass(frozen=True, slots=True)
class PrioritizeRun:
    """Somebody gave a run another priority."""

    run_id: str
    priority: int


@dataclass(frozen=True, slots=True)
class EndNode:
    """Somebody asked for a node of a run to end."""

    request: NodeRequest


@dataclass(frozen=True, slots=True)
class RunReleased:
    """What a run needed of other pipelines is there, or never came and it was ended."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Start no more runs."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Start runs again."""


@dataclass(frozen=True, slots=True)
class Redefine:
    """The definition changed; runs in hand keep theirs."""

    pipeline: Pipeline
    version: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Start nothing more; interrupt what runs after its chunk in hand, to go on later."""


@dataclass(frozen=True, slots=True)
class Retire:
    """The pipeline left the configuration: end when nothing is left to run."""
