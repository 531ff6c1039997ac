"""Settings of the provider type `files`. Light: the control plane imports this module."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from openbell.sdk.settings import PluginSettings
from openbell.sdk.values import BarWidth
from openbell_provider_files.formats import EPOCH_UNITS_NS, SINCE_MIDNIGHT_US, check_format
from openbell_provider_files.profiles import PROFILES
from openbell_provider_files.template import PathTemplate, check_symbol

PRICES = ("open", "high", "low", "close")
NULLABLE = ("volume", "vwap", "trade_count")
FIELDS = ("ts", "date", "time", "symbol", *PRICES, *NULLABLE)

Position = Annotated[int, Field(ge=1, le=10_000, strict=True)]
Header = Annotated[str, StringConstraints(min_length=1, strict=True)]


def _one_column(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over raw input
    """Refuse what is no column with one message instead of one for each kind of column."""
    ones = value if isinstance(value, list | tuple) else [value]
    for one in ones:
        is_position = isinstance(one, int) and not isinstance(one, bool) and one > 0
        if not (is_position or (isinstance(one, str) and one)):
            raise ValueError(
                f"{one!r} is not a column; write a header name, a position counted from 1, or "
                "a list of them for their mean"
            )
    return value


ColumnRef = Annotated[
    Position | Header | tuple[Position | Header, ...], BeforeValidator(_one_column)
]
OneOrMore = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class FilesSettings(PluginSettings):
    """Where the files are and how a line of them becomes a bar."""

    profile: str | None = Field(
        None,
        description="ready-made settings to start from; None once they are filled in",
        json_schema_extra={"enum": [*PROFILES, None]},
    )
    root: str = Field(".", description="directory that holds the files")
    path: str = Field("", description="path below root, with {symbol}, {date:%Y%m%d}, * and ?")
    member: str | None = Field(None, description="which file inside a zip (same placeholders)")
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "arrow"] = "auto"
    compression: Literal["auto", "none", "zip", "gz", "zst"] = "auto"
    encoding: str = Field("utf-8", description="of text files")
    header: bool = Field(True, description="whether the first line names the columns")
    skip_lines: int = Field(0, ge=0, description="lines before the header or the data")
    delimiter: str | None = Field(None, description="one character; default , (tsv: tab)")
    columns: dict[str, ColumnRef | None] = Field(
        default_factory=dict,
        description="field -> header name or position from 1, or several for their mean; "
        "null takes a field out of the profile",
    )
    price_scale: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="prices in the file are this many times the real ones",
    )
    volume_scale: float = Field(1.0, gt=0, allow_inf_nan=False, description="the same for volumes")
    zone: str = Field("UTC", description="zone of local times in the files")
    ts_format: OneOrMore = ("iso",)
    date_format: OneOrMore = ("iso",)
    time_format: OneOrMore = ("iso",)
    stamp: Literal["start", "end"] = Field("start", description="which end of a bar its time is")
    ambiguous: Literal["reject", "earlier", "later"] = Field(
        "reject", description="local times that occur twice"
    )
    nonexistent: Literal["reject", "shift"] = Field(
        "reject", description="local times that a change of clocks skips"
    )
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'", "_", "\u00a0", "\u202f"] = ""
    nulls: tuple[str, ...] = ("", "null", "NULL", "None", "nan", "NaN", "NA", "N/A", "-")
    symbol_names: dict[str, str] = Field(
        default_factory=dict, description="dataset's symbol -> name in the files"
    )
    on_missing: Literal["error", "skip", "no_data"] | None = Field(
        None, description="default: error, with {date} skip"
    )
    intervals: tuple[str, ...] = Field((), description="bar widths the files hold; empty: any")
    max_uncompressed_bytes: int = Field(4 << 30, ge=1)
    max_compression_ratio: float = Field(250.0, gt=1)

    @model_validator(mode="before")
    @classmethod
    def _start_from_profile(cls, data: Any) -> Any:  # noqa: ANN401 - pydantic hands over raw input
        name = data.get("profile") if isinstance(data, Mapping) else None
        if not isinstance(name, str):
            return data
        if name not in PROFILES:
            known = ", ".join(PROFILES)
            raise ValueError(f"profile {name!r} is unknown; there are {known}")
        merged = {**PROFILES[name], **data, "profile": None}
        columns = data.get("columns")
        if isinstance(columns, Mapping):
            merged["columns"] = {**_kept(PROFILES[name]["columns"], columns), **columns}
        return merged

    @field_validator("ts_format", "date_format", "time_format")
    @classmethod
    def _known_formats(cls, value: OneOrMore, info: Any) -> OneOrMore:  # noqa: ANN401 - pydantic's ValidationInfo
        if not value:
            raise ValueError("give at least one format, such as iso or %Y-%m-%d")
        for text in value:
            check_format(text, info.field_name.partition("_")[0])
        alone = [text for text in value if text in EPOCH_UNITS_NS or text in SINCE_MIDNIGHT_US]
        if alone and len(value) > 1:
            raise ValueError(f"{alone[0]} stands alone; it cannot be one of several formats")
        return value

    @field_validator("path", "member")
    @classmethod
    def _readable_template(cls, value: str | None) -> str | None:
        if value is not None:
            PathTemplate(value)
        return value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n\0'):
            raise ValueError("the delimiter is one ASCII character, such as ',' ';' '|' or a tab")
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"zone {value!r} is unknown; write for example America/New_York"
            ) from error
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError as error:
            raise ValueError(
                f"encoding {value!r} is unknown; write for example utf-8 or cp1252"
            ) from error

    @field_validator("intervals")
    @classmethod
    def _widths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(BarWidth.parse(text).text for text in value)

    @field_validator("symbol_names")
    @classmethod
    def _file_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value.values():
            check_symbol(name)
        return value

    @field_validator("columns")
    @classmethod
    def _known_fields(cls, value: dict[str, ColumnRef | None]) -> dict[str, ColumnRef | None]:
        value = {field: ref for field, ref in value.items() if ref is not None}
        unknown = [field for field in value if field not in FIELDS]
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)} is not a field of a bar; there are {', '.join(FIELDS)}"
            )
        missing = [field for field in PRICES if field not in value]
        if missing:
            raise ValueError(
                f"{', '.join(missing)} is not mapped; say in which column it is, or choose a profile"
            )
        for field, ref in value.items():
            if isinstance(ref, tuple) and (not ref or field not in (*PRICES, "volume")):
                raise ValueError(
                    f"{field}: only prices and volume can be the mean of several columns"
                )
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_times(self)
        _check_positions(self)
        if self.thousands and self.thousands == self.decimal:
            raise ValueError("thousands and decimal are the same character")
        return self

    @property
    def mapping(self) -> dict[str, ColumnRef]:
        """The columns that are mapped."""
        return {field: ref for field, ref in self.columns.items() if ref is not None}

    @property
    def dated(self) -> bool:
        """Whether the path of a file says of which day it is."""
        return PathTemplate(self.path).has_date

    @property
    def when_missing(self) -> Literal["error", "skip", "no_data"]:
        """What to do about a file that is not there, with the default filled in."""
        return self.on_missing or ("skip" if self.dated else "error")


def _kept(ready: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile's columns that stand beside the given ones: one way to tell the time."""
    told = {field for field, ref in given.items() if ref is not None}
    dropped: set[str] = set()
    if "ts" in told:
        dropped = {"date", "time"}
    elif told & {"date", "time"}:
        dropped = {"ts"}
    return {field: ref for field, ref in ready.items() if field not in dropped}


def _check_times(settings: FilesSettings) -> None:
    mapped = set(settings.columns)
    if "ts" in mapped and mapped & {"date", "time"}:
        raise ValueError("columns: map either ts, or date and time, not both")
    if not mapped & {"ts", "date", "time"}:
        raise ValueError("columns: no time is mapped; say where ts (or date and time) is")
    names_a_day = PathTemplate(settings.path).names_a_day
    if "time" in mapped and "date" not in mapped and not names_a_day:
        raise ValueError(
            "columns: time alone needs the day: put {date:%Y%m%d} into path, or map date"
        )


def _check_positions(settings: FilesSettings) -> None:
    texts = settings.format in {"auto", "csv", "tsv"}
    for field, ref in settings.mapping.items():
        for one in ref if isinstance(ref, tuple) else (ref,):
            if isinstance(one, str) and texts and not settings.header:
                raise ValueError(
                    f"columns.{field}: {one!r} is a header name and header is false; "
                    "give the column's position, counted from 1"
                )
            if isinstance(one, int) and settings.format == "jsonl":
                raise ValueError(f"columns.{field}: JSON lines have names, not position {one}")
