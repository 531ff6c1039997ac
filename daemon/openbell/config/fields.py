"""Kinds of values that the configuration is made of, and the keys a model knows."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic.fields import FieldInfo

from openbell.sdk.values import BarWidth

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_UNITS_S = (86_400.0, 3600.0, 60.0, 1.0)
LONGEST_SYMBOL = 64
Annotation: TypeAlias = Any
"""What a field is annotated with; `typing` has no better word for it."""

_FLAGS = {"true": True, "false": False}


def _name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise ValueError(
            f"{value!r} is not a name: letters, digits, '_' and '-', "
            "beginning with a letter, at most 64 characters"
        )
    return value


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    raise ValueError(f"must be true or false, not {value!r}")


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _day(value: object) -> object:
    if not isinstance(value, str) or _DAY.fullmatch(value) is None:
        raise ValueError(f"must be a date, written 2026-01-31, not {value!r}")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is no date: {error}") from None


def _clock(value: object) -> object:
    if not isinstance(value, str) or _CLOCK.fullmatch(value) is None:
        raise ValueError(f"must be a time of day, written '13:00' in quotes, not {value!r}")
    return value


def seconds(value: object) -> float:
    """Return the seconds that `value` means: a number, or text such as `90s`, `45m`, `1h30m`."""
    number: float
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    else:
        match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
        if match is None:
            raise ValueError(f"must be a duration such as 30s, 45m or 1h30m, not {value!r}")
        parts = zip(match.groups(), _UNITS_S, strict=True)
        number = sum(float(part) * unit for part, unit in parts if part)
    if not 0 < number <= 366 * 86_400:
        raise ValueError(f"must be longer than nothing and at most 366 days, not {value!r}")
    return number


def _symbol(value: str) -> str:
    if not value or value != value.strip():
        raise ValueError(f"symbol {value!r} is empty or has spaces around it")
    if len(value) > LONGEST_SYMBOL:
        raise ValueError(f"symbol {value[:20]!r}... is longer than {LONGEST_SYMBOL} characters")
    if not value.isprintable():
        raise ValueError(f"symbol {value!r} has characters that cannot be seen")
    if "/" in value or "\\" in value or value in {".", ".."}:
        raise ValueError(f"symbol {value!r} has a path separator; write BTC-USD, not BTC/USD")
    return value


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"each must stand once; twice or more: {', '.join(twice)}")
    return values


def _width(value: str) -> str:
    return BarWidth.parse(value).text


Name = Annotated[str, AfterValidator(_name)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Int = Annotated[int, BeforeValidator(_number)]
Float = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
ClockTime = Annotated[
    str, BeforeValidator(_clock), WithJsonSchema({"type": "string", "pattern": _CLOCK.pattern})
]
Duration = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": f"^{_DURATION.pattern}$", "minLength": 2},
            ]
        }
    ),
]
Symbol = Annotated[str, AfterValidator(_symbol)]
Symbols = Annotated[tuple[Symbol, ...], AfterValidator(_unique), Field(min_length=1)]
Columns = Annotated[tuple[str, ...], AfterValidator(_unique)]
Width = Annotated[str, AfterValidator(_width)]


def kind_at(model: type[BaseModel], loc: Sequence[str | int]) -> Annotation:
    """Return what the value at `loc` inside `model` is annotated with, or None."""
    kind: Annotation = model
    for step in loc:
        kind = _inside(kind, step)
    return kind


def known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> tuple[str, ...]:
    """Return the keys that the mapping at `loc` inside `model` may have."""
    kind = kind_at(model, loc)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return ()
    return tuple(field.alias or name for name, field in kind.model_fields.items())


def _inside(kind: Annotation, step: str | int) -> Annotation:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if step in {name, field.alias}:
                return _bare(field.annotation)
        return None
    arguments = [argument for argument in get_args(kind) if argument is not Ellipsis]
    return _bare(arguments[-1]) if arguments else None


def _bare(kind: Annotation) -> Annotation:
    origin: Annotation = get_origin(kind)
    if origin is Annotated:
        return _bare(get_args(kind)[0])
    if origin in {Union, types.UnionType}:
        options: Iterable[Any] = [option for option in get_args(kind) if option is not type(None)]
        return _bare(next(iter(options)))
    return kind


def field_model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model that the field's value is read with, or None."""
    kind = _bare(field.annotation)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def entry_model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of the entries of a field that is a mapping or a list, or None."""
    arguments = get_args(_bare(field.annotation))
    kinds = [_bare(argument) for argument in arguments if argument is not Ellipsis]
    kind = kinds[-1] if kinds else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def is_listed(field: FieldInfo) -> bool:
    """Return whether the field holds a list of entries."""
    origin: Annotation = get_origin(_bare(field.annotation))
    return bool(origin is tuple or origin is list)
