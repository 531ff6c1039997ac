"""Answers as a table, JSON, JSON lines or YAML: data on stdout, words on stderr."""

from __future__ import annotations

import enum
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from openbell.cli.errors import USAGE, CliError


class Format(enum.StrEnum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"


_RED, _GREEN, _YELLOW, _OFF = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
_COLOURS: Mapping[str, str] = {
    **dict.fromkeys(("success", "running", "active", "loaded", "pass", "ok", "idle"), _GREEN),
    **dict.fromkeys(("failed", "refused", "parked", "fail", "upstream_failed"), _RED),
    **dict.fromkeys(
        ("queued", "retrying", "paused", "warn", "quarantine", "cancelled", "draining", "stopping"),
        _YELLOW,
    ),
}


def zone(name: str) -> tzinfo:
    """Return the time zone called `name`, or the machine's own for `local`."""
    if name == "local":
        from openbell.cli.clock import local_zone

        return local_zone()
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CliError(
            USAGE,
            f"time zone {name!r} is unknown",
            hint="write a name such as UTC, local or America/New_York",
        ) from error


class Printer:
    """Writes data to stdout in one format; instants in tables are shown in one zone."""

    def __init__(self, output: Format, tz: str = "UTC") -> None:
        self.output = output
        self._tz = zone(tz)

    def rows(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Write a list; a table shows `columns`, every other format everything."""
        match self.output:
            case Format.TABLE:
                self._table(rows, columns)
            case Format.JSON:
                _write(json.dumps(rows, indent=2, ensure_ascii=False, default=_plain))
            case Format.JSONL:
                for row in rows:
                    self.line(row)
            case Format.YAML:
                _yaml(rows)

    def record(self, record: Mapping[str, Any], shown: Sequence[str] = ()) -> None:
        """Write one thing; a table shows one line a key, only those in `shown` if given."""
        match self.output:
            case Format.TABLE:
                names = shown or [name for name in record if not _is_nested(record[name])]
                width = max((len(name) for name in names), default=0)
                for name in names:
                    value = self.cell(record.get(name))
                    _write(f"{name + ':':<{width + 2}}{value}".rstrip())
            case Format.JSON:
                _write(json.dumps(record, indent=2, ensure_ascii=False, default=_plain))
            case Format.JSONL:
                self.line(record)
            case Format.YAML:
                _yaml(record)

    def line(self, record: Mapping[str, Any]) -> None:
        """Write one thing on one line of JSON, at once."""
        _write(json.dumps(record, ensure_ascii=False, default=_plain))
        sys.stdout.flush()

    def cell(self, value: object) -> str:
        """Return `value` as a table shows it."""
        match value:
            case None | "":
                shown = "-"
            case bool():
                shown = "yes" if value else "no"
            case float():
                shown = f"{value:.3f}".rstrip("0").rstrip(".")
            case str():
                shown = self.instant(value) if _is_instant(value) else _one_line(value)
            case Mapping():
                shown = " ".join(f"{key}={self.cell(item)}" for key, item in value.items()) or "-"
            case datetime():
                shown = self.instant(_plain(value))
            case Iterable():
                shown = ",".join(self.cell(item) for item in value) or "-"
            case _:
                shown = str(value)
        return shown

    def instant(self, text: str) -> str:
        """Return an RFC 3339 instant in the zone asked for, to the second."""
        return datetime.fromisoformat(text).astimezone(self._tz).isoformat(" ", "seconds")

    def _table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        cells = [[self.cell(row.get(column)) for column in columns] for row in rows]
        heads = [column.upper() for column in columns]
        widths = [max(len(line[at]) for line in [heads, *cells]) for at in range(len(columns))]
        coloured = use_colour(sys.stdout)
        _write(_aligned(heads, widths))
        for line in cells:
            padded = _aligned(line, widths)
            _write(_painted(padded, line) if coloured else padded)


def of_whole_nodes(rows: Sequence[Mapping[str, Any]], output: Format) -> list[Mapping[str, Any]]:
    """Return rows as a table shows them: what is of a node as a whole is of no item."""
    if output is not Format.TABLE:
        return list(rows)
    return [{**row, "item": None if row["item"] == -1 else row["item"]} for row in rows]


def say(text: str) -> None:
    """Write words for people to stderr."""
    print(text, file=sys.stderr)


def use_colour(stream: Any) -> bool:  # noqa: ANN401 - any text stream
    """Return whether `stream` is a terminal whose user did not opt out (no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is one; `batch` is the odd one."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith('ch') else 's'}"


def span(duration_s: float) -> str:
    """Return a duration as people write it."""
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    return str(timedelta(seconds=round(duration_s)))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _painted(line: str, cells: Sequence[str]) -> str:
    for cell in cells:
        if colour := _COLOURS.get(cell):
            return line.replace(cell, f"{colour}{cell}{_OFF}", 1)
    return line


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


def _yaml(value: object) -> None:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(json.loads(json.dumps(value, default=_plain)), sys.stdout)


def _plain(value: object) -> str:
    """Return what JSON has no type for as the API writes it: an instant as RFC 3339 with Z."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _is_nested(value: object) -> bool:
    return isinstance(value, (Mapping, list)) and bool(value)


def _is_instant(text: str) -> bool:
    return len(text) >= 20 and text[4] == "-" and text[10] == "T" and text[:4].isdigit()


def _one_line(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first} ..." if rest.strip() else first
