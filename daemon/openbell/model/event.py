"""What every event has, and an event as history keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from typing_extensions import override

from openbell.model.quick import quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at an instant (aware UTC).

    A durable event is in history before anyone sees it; the others are only passed on.
    """

    name: ClassVar[str] = ""
    durable: ClassVar[bool] = True
    at: datetime

    @override
    def __init_subclass__(cls) -> None:
        """Make instances quickly; `dataclass` makes each class again, with its slots."""
        if "__slots__" in cls.__dict__:
            quick(cls)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event in history's order; `body` is plain JSON values."""

    id: int
    at: datetime
    name: str
    run_id: str | None
    pipeline: str | None
    body: Mapping[str, Any]


class JsonBody(Mapping[str, Any]):
    """The JSON object in `raw`, read when somebody looks: most bodies are only passed on."""

    __slots__ = ("_fields", "raw")

    def __init__(self, raw: bytes | str) -> None:
        self.raw = raw
        self._fields: dict[str, Any] | None = None

    def _read(self) -> dict[str, Any]:
        if self._fields is None:
            self._fields = msgspec.json.decode(self.raw, type=dict[str, Any])
        return self._fields

    @override
    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    @override
    def __len__(self) -> int:
        return len(self._read())

    @override
    def __repr__(self) -> str:
        return repr(self._read())
