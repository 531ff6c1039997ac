"""Where a configuration and its state are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a configuration comes from and where its state lives."""

    config: Path
    state_dir: Path
    profile: str | None = None
    overrides: tuple[tuple[str, str], ...] = ()
