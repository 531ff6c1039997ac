"""The keys of schedules, which jobs and pipelines share; the reference is `daemon/spec/config.md`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from openbell.config.fields import Int, Name, seconds
from openbell.config.node_schema import Section

_NOTHING = re.compile(r"0+(?:\.0+)?s?")
_LONGEST_S = 86_400.0
_CATCHING = ("run_all", "latest", "coalesce", "skip")
Catch = Literal["run_all", "latest", "coalesce", "skip"]


class OrText:
    """Says in a JSON Schema that a text may stand for the whole mapping; `words`: one of these."""

    def __init__(self, words: tuple[str, ...] = ()) -> None:
        self._words = words

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        text = {"enum": list(self._words)} if self._words else {"type": "string"}
        return {"anyOf": [text, handler(core)]}


class OrOne:
    """Says in a JSON Schema that one entry may stand for the list of it."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(core)
        return {"anyOf": [many, many["items"]]}


def _instant(value: object) -> object:
    """Return the UTC instant that a text means; a date is its first instant in UTC."""
    example = "write it as 2026-01-31, or 2026-01-31T14:30Z"
    if not isinstance(value, str):
        raise ValueError(f"must be an instant, not {value!r}; {example}")  # noqa: TRY004 - pydantic reports ValueError
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is no instant; {example}") from None
    if read.tzinfo is not None:
        return read.astimezone(UTC)
    if len(value) > len("2026-01-31"):
        raise ValueError(f"{value!r} has no time zone; {example}")
    return read.replace(tzinfo=UTC)


def _span(value: object) -> float:
    is_zero = value == 0 and not isinstance(value, bool)
    if is_zero or (isinstance(value, str) and _NOTHING.fullmatch(value)):
        return 0.0
    found = seconds(value)
    if found > _LONGEST_S:
        raise ValueError(f"must be at most 24h, not {value!r}")
    return found


Instant = Annotated[
    datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
Span = Annotated[
    float,
    BeforeValidator(_span),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}),
]


class DstSection(Section):
    """What happens to local times when clocks change, where the expression does not say it."""

    missing: Literal["shift", "skip"] = Field(
        default="shift", description="of local times that do not exist on that day"
    )
    duplicate: Literal["first", "last", "both"] = Field(
        default="first", description="of local times that come twice on that day"
    )


class ActiveSection(Section):
    """The time in which a schedule fires."""

    start: Instant | None = Field(default=None, alias="from", description="silent before it")
    until: Instant | None = Field(default=None, description="silent from it on")


class MissedSection(Section):
    """What becomes of fires that nobody was there for."""

    catch: Catch | None = Field(
        default=None, description="which of them run; unset: all, or what if_before says"
    )
    if_before: str | None = Field(
        default=None, description="a schedule: one runs only before the next moment of it"
    )
    most: Int = Field(default=100, ge=1, le=10_000, description="only so many of the newest run")
    spread: Span = Field(default=1.0, description="they start so far apart")


def _missed(value: object) -> object:
    if isinstance(value, str):
        if value not in _CATCHING:
            words = ", ".join(_CATCHING)
            raise ValueError(f"must be one of {words}, or a mapping, not {value!r}")
        return {"catch": value}
    return value


OnMissed = Annotated[MissedSection, BeforeValidator(_missed), OrText(_CATCHING)]


class ScheduleSection(Section):
    """One schedule: its expression, and how its fires are taken."""

    when: str = Field(description="the expression, in the language of schedules")
    dst: DstSection = Field(default=DstSection(), description="when clocks change")
    active: ActiveSection = Field(default=ActiveSection(), description="when it fires at all")
    jitter: Span = Field(default=0.0, description="fires run up to so much later")
    on_missed: OnMissed | None = Field(default=None, description="fires that were missed")
    params: dict[Name, Any] = Field(
        default={}, description="parameters of its runs, over the pipeline's"
    )


class ShortSchedule(ScheduleSection):
    """A schedule that was written as its expression alone."""


def _short(value: object) -> object:
    return ShortSchedule(when=value) if isinstance(value, str) else value


def _one(value: object) -> object:
    return [value] if isinstance(value, (str, dict)) else value


Schedules = Annotated[
    tuple[Annotated[ScheduleSection, BeforeValidator(_short), OrText()], ...],
    BeforeValidator(_one),
    OrOne(),
]
