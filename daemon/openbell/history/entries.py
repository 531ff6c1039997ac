"""Events on their way into the tables: encoded once, and many of them as one parameter.

SQLite's driver lets go of Python's lock at every statement, and on a busy machine waits for it
afterwards. So the blocks that serve each transition take all rows at once, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from openbell.model.bodies import encode_event, encode_plain
from openbell.model.events import Event
from openbell.sdk.values import to_us

_NUL = b"\\u0000"


@dataclass(slots=True)
class Entry:
    """An event with its body as JSON."""

    event: Event
    body: bytes


def entry(event: Event) -> Entry:
    """Return `event` encoded; raises TypeError or ValueError for what has no place in JSON."""
    return Entry(event, encode_event(event))


def rows(entries: Sequence[Entry], other: str = "") -> str:
    """Return `entries` as a block's parameter `rows`: `at_us`, `event`, and `other_us`.

    `other` names a further instant of these events.
    """
    return encode_plain([_row(each, other) for each in entries])


def _row(each: Entry, other: str) -> Mapping[str, Any]:
    row = {"at_us": to_us(each.event.at), "event": msgspec.Raw(_whole(each.body))}
    instant: datetime | None = getattr(each.event, other) if other else None
    return row if instant is None else {**row, "other_us": to_us(instant)}


def _whole(body: bytes) -> bytes:
    """Return `body` without NUL characters, where SQLite would cut a text short."""
    if _NUL not in body:
        return body
    return msgspec.json.encode(_without_nul(msgspec.json.decode(body)))


def _without_nul(value: object) -> object:
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case dict():
            return {_without_nul(key): _without_nul(item) for key, item in value.items()}
        case list():
            return [_without_nul(item) for item in value]
        case _:
            return value
