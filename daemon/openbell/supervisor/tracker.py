"""How far the nodes under way came, in memory: what they reported since they began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from openbell.model.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    NodeBeat,
    NodeProgressed,
    RunFinished,
)
from openbell.model.tracking import NodeTrack


class Tracker:
    """An observer that remembers the last word of every node at work."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, NodeTrack]] = {}

    def of(self, run_id: str) -> Mapping[str, NodeTrack]:
        """Return what is known of a run's nodes at work, by name."""
        return dict(self._runs.get(run_id, {}))

    def see(self, event: Event) -> None:
        """Take note of what a node reports."""
        match event:
            case AttemptStarted(item=-1):
                self._runs.setdefault(event.run_id, {})[event.node] = NodeTrack(heard_at=event.at)
            case NodeProgressed():
                self._note(
                    event,
                    rows=event.rows,
                    batches=event.batches,
                    total_rows=event.total_rows,
                )
            case NodeBeat():
                self._note(
                    event,
                    cpu_s=event.cpu_s,
                    memory_bytes=event.memory_bytes,
                    io_read_bytes=event.io_read_bytes,
                    io_written_bytes=event.io_written_bytes,
                )
            case AttemptFinished(item=-1):
                self._runs.get(event.run_id, {}).pop(event.node, None)
            case RunFinished():
                self._runs.pop(event.run_id, None)
            case _:
                return

    def _note(self, event: NodeProgressed | NodeBeat, **more: float | None) -> None:
        nodes = self._runs.setdefault(event.run_id, {})
        known = nodes.get(event.node) or NodeTrack(heard_at=event.at)
        nodes[event.node] = replace(known, heard_at=event.at, **more)  # type: ignore[arg-type]
