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


class Sentence(BaseModel):
    """One reason: `what` is a stable word, `text` for people, `ids` name what it is about."""

    what: str
    text: str
    at: datetime | None
    ids: dict[str, str]


class Explanation(BaseModel):
    """Why something stands where it stands: sentences, the most important first."""

    about: Literal["run", "node", "pipeline"]
    pipeline: str
    state: str
    sentences: list[Sentence]
    run_id: str | None
    node: str | None
    is_live: bool


class Progress(BaseModel):
    """How far a node at work came; `eta_from` is `rows` or, from earlier runs, `history`."""

    rows: int
    batches: int
    total_rows: int | None
    percent: float | None
    eta_s: float | None
    eta_from: Literal["rows", "history"] | None
    heartbeat_age_s: float | None
    cpu_s: float | None
    memory_bytes: int | None
    io_read_bytes: int | None
    io_written_bytes: int | None
