"""How an ended run is done again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """From the nodes that did not succeed, and from a named node on; or whole.

    A run that succeeded, and a dry run, is done again whole unless a node is named or its failures
    are replayed. `params` go over those that the run had. It is done by the definition that the
    run had, or by the one in force (`new_definition`).
    """

    from_node: str | None = None
    is_replay: bool = False
    is_whole: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    new_definition: bool = False
    priority: int | None = None
