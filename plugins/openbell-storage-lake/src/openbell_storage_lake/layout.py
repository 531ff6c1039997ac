"""How one table is laid out: its columns by role, and the periods that partition it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openbell.sdk.arrow import SYMBOL_TYPE, arrow_type, table_schema
from openbell.sdk.errors import FatalError
from openbell.sdk.schemas import Column, TableSchema, TableSpec
from openbell.sdk.values import BarWidth

PeriodKind = Literal["day", "month", "year", "decade"]
PERIOD = "period"
STAMPS = ("ingested_at", "run_id")
Times = npt.NDArray[np.int64]


def period_kind(bar_interval: str) -> PeriodKind:
    """Return how bars of this width are partitioned: the denser, the shorter."""
    width_s = BarWidth.parse(bar_interval).width_s
    for limit_s, kind in ((60, "day"), (3600, "month"), (86_400, "year")):
        if width_s < limit_s:
            return kind  # type: ignore[return-value] # the tuple's words are the literal's
    return "decade"


@dataclass(frozen=True)
class TableLayout:
    """A table's columns by role. `kind` is recorded when the table is made and never changes."""

    spec: TableSpec
    kind: PeriodKind

    @cached_property
    def schema(self) -> TableSchema:
        """The declared columns."""
        return self.spec.schema

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every column, in the declared order."""
        return tuple(column.name for column in self.schema.columns)

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The columns of a chunk: all that are not stamped at commit."""
        return tuple(name for name in self.names if name not in STAMPS)

    @cached_property
    def text_keys(self) -> tuple[str, ...]:
        """Key columns of text, the series column first."""
        others = (k for k in self.spec.keys if k not in {self.series, self.time})
        return (self.series, *others)

    @cached_property
    def values(self) -> tuple[str, ...]:
        """Columns that make two rows of one key differ."""
        return tuple(name for name in self.given if name not in self.spec.keys)

    @cached_property
    def compared(self) -> tuple[str, ...]:
        """Columns that a comparison reads."""
        return (*self.text_keys, self.time, *self.values, "ingested_at")

    @property
    def series(self) -> str:
        """Name of the series column."""
        return self.schema.series_column

    @property
    def time(self) -> str:
        """Name of the time column."""
        return self.schema.time_column

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Columns of text; in memory they are dictionary-encoded."""
        return tuple(column.name for column in self.schema.columns if column.type == "string")

    @cached_property
    def block_schema(self) -> pa.Schema:
        """Every column as it is in memory and in answers: text dictionary-encoded (int32)."""
        return pa.schema([self._field(column) for column in self.schema.columns])

    @cached_property
    def delta_schema(self) -> pa.Schema:
        """Every column as the Delta table declares it, and the partition column."""
        return table_schema(self.schema).append(pa.field(PERIOD, pa.string(), nullable=False))

    @staticmethod
    def _field(column: Column) -> pa.Field:
        kind = SYMBOL_TYPE if column.type == "string" else arrow_type(column.type)
        return pa.field(column.name, kind, nullable=column.nullable)

    def check(self) -> None:
        """Raise FatalError when the lake cannot hold such a table."""
        keys = self.spec.keys
        missing = [name for name in (self.time, self.series) if name not in keys]
        if missing:
            raise FatalError(
                f"dataset {self.spec.dataset}: the lake needs {' and '.join(missing)} among the "
                f"keys, and they are {', '.join(keys)}; mend upsert_keys"
            )
        lost = [name for name in (*keys, *STAMPS) if name not in self.names]
        if lost:
            raise FatalError(
                f"dataset {self.spec.dataset}: schema {self.schema.name} has no column "
                f"{', '.join(lost)}; the lake needs it"
            )
        wrong = [k for k in self.text_keys if self.schema.column(k).type != "string"]
        if wrong:
            raise FatalError(
                f"dataset {self.spec.dataset}: key columns must be text or the time column; "
                f"{', '.join(wrong)} is neither"
            )


def periods_of(kind: PeriodKind, ts_us: Times) -> tuple[list[str], npt.NDArray[np.intp] | None]:
    """Return the periods of `ts_us` and, when there are several, which one each row is in."""
    if not len(ts_us):
        return [], None
    first, last = _number(kind, int(ts_us.min())), _number(kind, int(ts_us.max()))
    if first == last:
        return [_name(kind, first)], None
    starts = np.array([_start_us(kind, n) for n in range(first, last + 2)], dtype=np.int64)
    codes = np.searchsorted(starts, ts_us, side="right") - 1
    used = np.flatnonzero(np.bincount(codes, minlength=last - first + 1))
    rank = np.zeros(last - first + 2, dtype=np.intp)
    rank[used] = np.arange(len(used))
    return [_name(kind, first + int(n)) for n in used], rank[codes]


def _number(kind: PeriodKind, ts_us: int) -> int:
    day = np.datetime64(ts_us // 86_400_000_000, "D")
    if kind == "day":
        return int(day.astype(np.int64))
    if kind == "month":
        return int(day.astype("datetime64[M]").astype(np.int64))
    year = int(day.astype("datetime64[Y]").astype(np.int64)) + 1970
    return year if kind == "year" else year // 10


def _start_us(kind: PeriodKind, number: int) -> int:
    if kind == "day":
        return number * 86_400_000_000
    if kind == "month":
        moment = np.datetime64(number, "M")
    else:
        year = number if kind == "year" else number * 10
        moment = np.datetime64(year - 1970, "Y")
    return int(moment.astype("datetime64[us]").astype(np.int64))


def _name(kind: PeriodKind, number: int) -> str:
    if kind == "day":
        return str(np.datetime64(number, "D"))
    if kind == "month":
        return str(np.datetime64(number, "M"))
    return f"{number:04d}" if kind == "year" else f"{number * 10:04d}s"


def dump_spec(spec: TableSpec) -> str:
    """Return `spec` as JSON; `load_spec` is the inverse."""
    return json.dumps(dataclasses.asdict(spec), sort_keys=True)


def load_spec(text: str) -> TableSpec:
    """Return the spec that `dump_spec` wrote."""
    raw: dict[str, Any] = json.loads(text)
    schema = raw["schema"]
    columns = tuple(Column(**column) for column in schema["columns"])
    tuples = {name: tuple(schema[name]) for name in ("keys", "provided")}
    return TableSpec(
        dataset=raw["dataset"],
        schema=TableSchema(**(schema | {"columns": columns} | tuples)),
        bar_interval=raw["bar_interval"],
        keys=tuple(raw["keys"]),
    )
