"""What history knew of a run when it was taken up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from openbell.model.runs import AttemptRecord, NodeRecord


@dataclass(frozen=True, slots=True)
class Recovered:
    """The nodes of a run by name, and its attempts, oldest first."""

    nodes: Mapping[str, NodeRecord] = field(default_factory=dict)
    attempts: Sequence[AttemptRecord] = ()

    def of(self, names: Iterable[str]) -> list[AttemptRecord]:
        """Return the attempts at some nodes, oldest first."""
        wanted = set(names)
        return [attempt for attempt in self.attempts if attempt.node in wanted]
