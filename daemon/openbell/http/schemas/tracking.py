"""What the API answers about work that failed for good, and why work did not run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel


class Letter(BaseModel):
    """A dead letter: a node, or item number `item` of it; without a node what was left of a run."""

    letter_id: str
    run_id: str
    pipeline: str
    node: str
    item: int | None
    state: Literal["waiting", "replayed", "purged"]
    error_kind: str
    error: str
    traceback: str
    attempts: int
    params: dict[str, Any]
    input: dict[str, Any] | None
    created_at: datetime
    replayed_by: str | None
    settled_at: datetime | None
    settled_by: str
