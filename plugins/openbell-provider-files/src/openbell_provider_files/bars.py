"""Raw rows to bars: good ones in a batch, bad ones with a reason, others left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from openbell.sdk.arrow import SYMBOL_TYPE, provided_schema
from openbell.sdk.providers import FetchRequest
from openbell.sdk.schemas import BARS_OHLCV
from openbell.sdk.values import RejectedRow, to_us
from openbell_provider_files.instants import BarTimes, Timekeeper
from openbell_provider_files.numbers import Numbers, NumberStyle, is_text, mean, to_numbers
from openbell_provider_files.raw import RawRows
from openbell_provider_files.settings import NULLABLE, PRICES, FilesSettings

_SCHEMA = provided_schema(BARS_OHLCV)
_RAW_CHARS = 2000
_SHOWN_CHARS = 60
_UNKNOWN, _EMPTY = -1, -2
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Bars:
    """The outcome of a stretch of rows; `batch` is None when no row of it was asked for."""

    batch: pa.RecordBatch | None
    rejected: tuple[RejectedRow, ...]


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """For each row the first thing wrong with it: a field (index into `fields`, -1 none)."""

    fields: tuple[str, ...]
    first_bad: npt.NDArray[np.int64]
    is_null: Mask


class BarMaker:
    """Makes bars for one request."""

    def __init__(self, settings: FilesSettings, request: FetchRequest) -> None:
        self._request = request
        self._style = NumberStyle(settings.decimal, settings.thousands, settings.nulls)
        self._scales = {
            **dict.fromkeys((*PRICES, "vwap"), settings.price_scale),
            "volume": settings.volume_scale,
        }
        self._clock = Timekeeper(settings)
        self._nulls = pa.array(settings.nulls, pa.string())
        self._names = pa.array(
            [settings.symbol_names.get(s, s) for s in request.symbols], pa.string()
        )
        self._start_us, self._end_us = to_us(request.span.start), to_us(request.span.end)
        self._now_us = to_us(request.now)

    def bars(self, rows: RawRows, *, source: str, symbol: str | None, day: date | None) -> Bars:
        """Return the bars among `rows`; `symbol` is the file's own, None when a column says it."""
        broken = [_rejected(source, row.line, row.raw, row.reason) for row in rows.broken]
        if not len(rows.lines):
            return Bars(None, tuple(broken))
        columns = {field: arrays[0] for field, arrays in rows.columns.items()}
        times = self._clock.bar_times(columns, day=day, width=self._request.interval)
        codes = self._symbol_codes(columns, symbol, len(rows.lines))
        numbers = {
            field: self._numbers(field, rows.columns[field])
            for field in (*PRICES, *NULLABLE)
            if field in rows.columns
        }
        timed = times.why == 0
        in_span = (times.ts_us >= self._start_us) & (times.ts_us < self._end_us)
        asked = (codes != _UNKNOWN) & (~timed | (in_span & (times.ts_us < self._now_us)))
        verdicts = _judge(numbers, len(rows.lines))
        good = asked & timed & (codes >= 0) & (verdicts.first_bad < 0)
        for index in np.flatnonzero(asked & ~good):
            reason = self._reason(int(index), columns, times, (codes, verdicts))
            broken.append(
                _rejected(source, int(rows.lines[index]), rows.raw_text(int(index)), reason)
            )
        broken.sort(key=lambda row: row.line)
        return Bars(self._batch(np.flatnonzero(good), times, codes, numbers=numbers), tuple(broken))

    def _numbers(self, field: str, arrays: Sequence[pa.Array]) -> Numbers:
        scale = self._scales.get(field, 1.0)
        parts = [to_numbers(array, self._style, scale) for array in arrays]
        if len(parts) == 1:
            one = parts[0]
            if field != "trade_count":
                return one
            whole = (one.values == np.rint(one.values)) & (np.abs(one.values) < 2.0**53)
            return Numbers(one.values, one.null, one.bad | ~(whole | one.null))
        return Numbers(
            mean([np.where(part.bad | part.null, 0.0, part.values) for part in parts]),
            np.logical_or.reduce([part.null for part in parts]),
            np.logical_or.reduce([part.bad for part in parts]),
        )

    def _symbol_codes(
        self, columns: dict[str, pa.Array], symbol: str | None, row_count: int
    ) -> npt.NDArray[np.int64]:
        """Return each row's index into the request's symbols, or `_UNKNOWN` or `_EMPTY`."""
        if symbol is not None:
            return np.full(row_count, self._request.symbols.index(symbol), dtype=np.int64)
        column = columns["symbol"]
        text = column if is_text(column.type) else column.cast(pa.string())
        text = pc.utf8_trim_whitespace(text.cast(pa.string()))
        codes = pc.index_in(text, value_set=self._names).fill_null(_UNKNOWN)
        empty = pc.or_(pc.is_null(text), pc.is_in(text, value_set=self._nulls))
        out: npt.NDArray[np.int64] = codes.to_numpy(zero_copy_only=False).astype(np.int64)
        out[empty.to_numpy(zero_copy_only=False) & (out < 0)] = _EMPTY
        return out

    def _reason(
        self,
        index: int,
        columns: dict[str, pa.Array],
        times: BarTimes,
        rest: tuple[npt.NDArray[np.int64], _Verdicts],
    ) -> str:
        codes, verdicts = rest
        if codes[index] == _EMPTY:
            return "symbol is empty"
        if times.why[index]:
            return self._time_reason(index, columns, int(times.why[index]))
        field = verdicts.fields[int(verdicts.first_bad[index])]
        if verdicts.is_null[index]:
            return f"{field} is empty"
        kind = "a whole number" if field == "trade_count" else "a number"
        return f"{field} {_shown(columns[field], index)} is not {kind}"

    def _time_reason(self, index: int, columns: dict[str, pa.Array], code: int) -> str:
        names = [name for name in ("ts", "date", "time") if name in columns]
        shown = " ".join(_shown(columns[name], index) for name in names)
        why = " and ".join(dict.fromkeys(self._clock.explain(code, name) for name in names))
        return f"{' '.join(names)} {shown} {why}"

    def _batch(
        self,
        good: npt.NDArray[np.int64],
        times: BarTimes,
        codes: npt.NDArray[np.int64],
        *,
        numbers: dict[str, Numbers],
    ) -> pa.RecordBatch | None:
        if not len(good):
            return None
        ts_us, code = times.ts_us[good], codes[good]
        ordered = (code[1:] > code[:-1]) | ((code[1:] == code[:-1]) & (ts_us[1:] >= ts_us[:-1]))
        if not ordered.all():
            order = np.lexsort((ts_us, code))
            good, ts_us, code = good[order], ts_us[order], code[order]
        symbols = pa.DictionaryArray.from_arrays(
            pa.array(code.astype(np.int32)), pa.array(self._request.symbols, pa.string())
        )
        arrays = [symbols.cast(SYMBOL_TYPE), pa.array(ts_us).cast(_SCHEMA.field("ts").type)]
        for name in (*PRICES, *NULLABLE):
            kind = _SCHEMA.field(name).type
            if name not in numbers:
                arrays.append(pa.nulls(len(good), kind))
                continue
            values, null = numbers[name].values[good], numbers[name].null[good]
            values = values.astype(np.int64) if pa.types.is_integer(kind) else values
            arrays.append(pa.array(values, mask=null if null.any() else None))
        return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _judge(numbers: dict[str, Numbers], row_count: int) -> _Verdicts:
    fields = tuple(numbers)
    first_bad = np.full(row_count, -1, dtype=np.int64)
    is_null = np.zeros(row_count, dtype=bool)
    for position, field in enumerate(fields):
        null = numbers[field].null if field in PRICES else np.zeros(row_count, dtype=bool)
        newly = (numbers[field].bad | null) & (first_bad < 0)
        first_bad[newly] = position
        is_null[newly] = null[newly]
    return _Verdicts(fields, first_bad, is_null)


def _rejected(source: str, line: int, raw: str, reason: str) -> RejectedRow:
    return RejectedRow(source=source, line=line, raw=raw[:_RAW_CHARS], reason=reason)


def _shown(column: pa.Array, index: int) -> str:
    value = column[index].as_py()
    return "null" if value is None else repr(str(value)[:_SHOWN_CHARS])
