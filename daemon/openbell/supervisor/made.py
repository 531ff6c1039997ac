"""What of a task is the same for every run of a definition."""

from __future__ import annotations

from dataclasses import dataclass

from openbell.execution.chains import Unit
from openbell.execution.protocol import NodeTask
from openbell.model.pipelines import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A chain, the same with its settings filled in, and its nodes as a worker gets them."""

    chain: Unit
    filled: Unit
    nodes: tuple[NodeTask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeNode:
    """A node that stands alone, as a worker gets it, and every text in its settings."""

    node: Node
    task: NodeTask
    texts: frozenset[str]
