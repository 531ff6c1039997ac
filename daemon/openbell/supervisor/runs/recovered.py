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
    _of_node: dict[str, list[AttemptRecord]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Sort the attempts by their nodes, once for all units that ask."""
        for attempt in self.attempts:
            self._of_node.setdefault(attempt.node, []).append(attempt)

    def of(self, names: Iterable[str]) -> list[AttemptRecord]:
        """Return the attempts at some nodes; of each node oldest first."""
        return [attempt for name in names for attempt in self._of_node.get(name, ())]
