"""What of a task is the same for every run of a definition."""

from __future__ import annotations

from dataclasses import dataclass

from openbell.execution.chains import Unit
from openbell.execution.protocol import NodeTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A chain, the same with its settings filled in, and its nodes as a worker gets them."""

    chain: Unit
    filled: Unit
    nodes: tuple[NodeTask, ...]
