"""Why something did not run, or when it will: a chain of sentences, the most important first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from openbell.model.control import DaemonStatus, PipelineStatus
from openbell.model.schedules import ScheduleStatus
from openbell.model.tracking import TurnWait


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One reason: `what` is a stable word, `at` since when it holds or when it happened.

    `ids` name what it is about: run, node, letter, pipeline, schedule, fire.
    """

    what: str
    text: str
    at: datetime | None = None
    ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is said about a run, a node of a run, or a pipeline. `is_live` with a daemon's word."""

    about: Literal["run", "node", "pipeline"]
    pipeline: str
    state: str
    sentences: Sequence[Sentence]
    run_id: str | None = None
    node: str | None = None
    is_live: bool = True


class Present(Protocol):
    """What only a running engine knows."""

    def status(self) -> DaemonStatus:
        """Return the daemon as it stands."""
        ...

    def pipelines(self) -> Sequence[PipelineStatus]:
        """Return every pipeline, by name."""
        ...

    def queue(self, pipeline: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the ids of a pipeline's runs that are going on, and of those that wait, in order."""
        ...

    def turns(self) -> Sequence[TurnWait]:
        """Return the units that wait for their turn, the next first."""
        ...


class Fires(Protocol):
    """What is known of schedules."""

    def statuses(self, pipeline: str | None = None) -> Sequence[ScheduleStatus]:
        """Return every schedule in force, by pipeline and expression."""
        ...
