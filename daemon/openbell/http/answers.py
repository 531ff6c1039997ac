"""Answers: JSON bodies, and records of the model as plain JSON values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import JSONResponse
from typing_extensions import override

from openbell.model.control import PipelineStatus
from openbell.model.event import JsonBody
from openbell.model.events import Event, StoredEvent
from openbell.model.items import ItemRecord
from openbell.model.runs import (
    AttemptRecord,
    NodeRecord,
    QualityRecord,
    RunRecord,
    StoredLogLine,
    WorkflowRecord,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class JsonAnswer(JSONResponse):
    """A JSON body; instants become RFC 3339 in UTC."""

    @override
    def render(self, content: object) -> bytes:
        return msgspec.json.encode(content, enc_hook=plain)


def plain(value: object) -> object:
    """Return what msgspec cannot encode by itself as something that it can."""
    match value:
        case JsonBody():
            return msgspec.Raw(value.raw)
        case Mapping():
            return dict(value)
        case _:
            return str(value)


def page(items: Sequence[object], cursor: str | None = None) -> JsonAnswer:
    """Return a page: its items, and the cursor of the next page or null."""
    return JsonAnswer({"items": items, "next": cursor})


def fields(record: DataclassInstance) -> dict[str, Any]:
    """Return a record's fields by name, one level deep."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def run(record: RunRecord) -> dict[str, Any]:
    """Return a run without its nodes."""
    return {**fields(record), "job": record.pipeline}


def node(record: NodeRecord) -> dict[str, Any]:
    """Return a node of a run."""
    return fields(record)


def attempt(record: AttemptRecord) -> dict[str, Any]:
    """Return one try of a node."""
    return fields(record)


def item(record: ItemRecord) -> dict[str, Any]:
    """Return one instance of a node with `for_each`."""
    return fields(record)


def finding(record: QualityRecord) -> dict[str, Any]:
    """Return one finding of a gate."""
    return fields(record)


def pipeline(status: PipelineStatus) -> dict[str, Any]:
    """Return a pipeline as it stands."""
    return fields(status)


def workflow(record: WorkflowRecord) -> dict[str, Any]:
    """Return one version of a definition."""
    return fields(record)


def log_line(stored: StoredLogLine) -> dict[str, Any]:
    """Return a log line with its place."""
    return {
        "id": stored.id,
        "node": stored.node,
        "item": stored.item,
        "attempt": stored.attempt,
        "at": stored.line.at,
        "stream": stored.line.stream,
        "level": stored.line.level,
        "text": stored.line.text,
    }


def event(happened: StoredEvent | Event) -> StoredEvent | dict[str, Any]:
    """Return an event; one that is kept goes out as it is stored, another one has no id."""
    if isinstance(happened, StoredEvent):
        return happened
    body = fields(happened)
    at = body.pop("at")
    return {
        "id": None,
        "at": at,
        "name": happened.name,
        "run_id": body.get("run_id"),
        "pipeline": body.get("pipeline"),
        "body": body,
    }
