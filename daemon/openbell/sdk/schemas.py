"""Table schemas as plain values; `openbell.sdk.arrow` turns them into Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

ColumnType = Literal["string", "bool", "int32", "int64", "float32", "float64", "timestamp", "date"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. `timestamp` is UTC in microseconds; `unit` and `doc` are for people."""

    name: str
    type: ColumnType
    nullable: bool = False
    unit: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSchema:
    """A named set of columns with the keys that make a row unique.

    `provided` are the columns that a provider yields; the daemon adds the others (`provider`,
    `interval` when the rows enter, `ingested_at`, `run_id` when they are committed).
    """

    name: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    time_column: str
    series_column: str
    provided: tuple[str, ...]

    def column(self, name: str) -> Column:
        """Return the column called `name`; raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def _price(name: str, doc: str) -> Column:
    return Column(name=name, type="float64", unit="quote currency", doc=doc)


BARS_OHLCV = TableSchema(
    name="bars_ohlcv",
    columns=(
        Column(name="provider", type="string", doc="the provider's name in the configuration"),
        Column(name="symbol", type="string", doc="the symbol as the dataset names it"),
        Column(name="interval", type="string", doc="the bar's width, such as 1min"),
        Column(
            name="ts",
            type="timestamp",
            doc="the bar's first instant; for daily bars the session's label at 00:00 UTC",
        ),
        _price("open", "first price"),
        _price("high", "highest price"),
        _price("low", "lowest price"),
        _price("close", "last price"),
        Column(name="volume", type="float64", nullable=True, unit="units traded"),
        Column(name="vwap", type="float64", nullable=True, unit="quote currency"),
        Column(name="trade_count", type="int64", nullable=True, unit="trades"),
        Column(name="ingested_at", type="timestamp", doc="when this knowledge was committed"),
        Column(name="run_id", type="string", doc="the run that committed the row"),
    ),
    keys=("provider", "symbol", "interval", "ts"),
    time_column="ts",
    series_column="symbol",
    provided=("symbol", "ts", "open", "high", "low", "close", "volume", "vwap", "trade_count"),
)

SCHEMAS: Mapping[str, TableSchema] = MappingProxyType({BARS_OHLCV.name: BARS_OHLCV})


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A dataset as a backend sees it: its name, schema, keys and bar width."""

    dataset: str
    schema: TableSchema
    bar_interval: str
    keys: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.keys:
            object.__setattr__(self, "keys", self.schema.keys)
