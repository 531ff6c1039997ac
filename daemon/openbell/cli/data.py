"""Verbs that read market data: `mdp data read`, `mdp data stats`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from openbell.cli.errors import (
    BAD_CONFIG,
    NO_PERMISSION,
    NOT_FOUND,
    TRY_LATER,
    USAGE,
    CliError,
)
from openbell.cli.options import ConfigFile, Output, Profile
from openbell.cli.render import Format, Printer, say

if TYPE_CHECKING:
    from openbell.model.pipelines import Deployment
    from openbell.sdk.backends import Backend, ReadFilter

_EXPORT = "openbell.storage.export"
"""Imported by name: it loads pyarrow, which no other part of the command line may."""

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's name.")]
Storage = Annotated[
    str | None, typer.Option("--storage", help="The storage to read [the only one, or `primary`].")
]


class DataFormat(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class _Opened:
    deployment: Deployment
    backend: Backend


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(no_args_is_help=True, help="Read market data.")
    group.command()(read)
    group.command()(stats)
    app.add_typer(group, name="data")


def read(
    *,
    dataset: Dataset,
    config: ConfigFile = None,
    profile: Profile = None,
    symbol: Annotated[
        list[str] | None,
        typer.Option("--symbol", "-s", help="Only these, separated by commas; may be repeated."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="From this day or instant on (UTC).")
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", help="To this day, included, or before this instant (UTC)."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Only these columns, separated by commas.")
    ] = None,
    storage: Storage = None,
    output: Annotated[
        DataFormat, typer.Option("--output", "-o", help="How to write rows.")
    ] = DataFormat.CSV,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write to this file instead of stdout.")
    ] = None,
) -> None:
    """Write a dataset's rows, sorted by symbol and time; memory stays bounded."""
    from openbell.sdk.backends import ReadFilter

    rows = ReadFilter(
        symbols=_symbols(symbol),
        start=_instant("--from", start, is_end=False),
        end=_instant("--to", end, is_end=True),
        columns=tuple(name.strip() for name in columns.split(",")) if columns else (),
    )
    if output is DataFormat.PARQUET and out is None and sys.stdout.isatty():
        raise CliError(USAGE, "Parquet is not for a terminal", hint="add --out FILE")
    with _opened(dataset, config, profile, storage) as opened:
        if not opened.deployment.features.export_enabled:
            raise CliError(
                NO_PERMISSION,
                "reading is switched off by `features: export_enabled` of the configuration",
            )
        row_count = _export(
            backend=opened.backend, dataset=dataset, rows=rows, output=output, out=out
        )
        known = opened.deployment.datasets[dataset].symbols
        strange = [name for name in rows.symbols if name not in known]
        if not row_count and strange:
            say(f"{dataset} has no {', '.join(strange)}; its symbols are {', '.join(known[:20])}")


def stats(
    *,
    dataset: Annotated[
        str | None, typer.Argument(metavar="[DATASET]", help="A dataset's name [all].")
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    storage: Storage = None,
    output: Output = Format.TABLE,
) -> None:
    """Show datasets in numbers: rows, bytes, files, first and last bar."""
    with _opened(dataset, config, profile, storage) as opened:
        names = [dataset] if dataset else opened.backend.datasets()
        rows = [_stats(opened.backend, name) for name in names]
    columns = ("dataset", "row_count", "size_bytes", "file_count", "version", "first_ts", "last_ts")
    if dataset and output is not Format.TABLE:
        Printer(output).record(rows[0])
    else:
        Printer(output).rows(rows, (*columns, "pending_row_count"))


def _stats(backend: Backend, name: str) -> dict[str, Any]:
    from dataclasses import fields

    found = backend.stats(name)
    record = {field.name: getattr(found, field.name) for field in fields(found)}
    for column in ("first_ts", "last_ts"):
        if record[column] is not None:
            record[column] = record[column].astimezone(UTC).isoformat().replace("+00:00", "Z")
    return record


def _export(
    *, backend: Backend, dataset: str, rows: ReadFilter, output: DataFormat, out: Path | None
) -> int:
    """Write the rows and return how many there were."""
    write = importlib.import_module(_EXPORT).write
    batches = backend.read(dataset, rows)
    with _sink(out) as sink:
        row_count: int = write(batches, output.value, sink)
    if row_count == 0:
        say("no rows match")
    elif out is not None:
        say(f"wrote {row_count:,} rows to {out}")
    return row_count


def _symbols(given: list[str] | None) -> tuple[str, ...]:
    parts = [name.strip() for text in given or () for name in text.split(",")]
    if not all(parts):
        raise CliError(USAGE, "--symbol names an empty symbol", hint="write --symbol AAPL,MSFT")
    return tuple(parts)


@contextmanager
def _sink(out: Path | None) -> Iterator[BinaryIO]:
    """Yield where rows go; a file appears under its name only when it is whole."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = out.with_name(out.name + ".partial")
    try:
        with partial.open("wb") as sink:
            yield sink
        partial.replace(out)
    except OSError as error:
        raise CliError(USAGE, f"cannot write {out}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _opened(
    dataset: str | None, config: Path | None, profile: str | None, storage: str | None
) -> Iterator[_Opened]:
    """Yield the deployment and its backend; translates what the backend says into exit codes."""
    from openbell.cli.configuration import load
    from openbell.sdk.errors import NotFoundError, OpenbellError, RetryableError

    loaded, registry = load(config, profile, None)
    deployment = loaded.deployment
    if dataset and dataset not in deployment.datasets:
        known = ", ".join(sorted(deployment.datasets)) or "none"
        raise CliError(NOT_FOUND, f"dataset {dataset!r} is not configured; there are: {known}")
    use = deployment.storage[_storage_name(deployment, storage)]
    spec = registry.backends[use.type]
    backend: Backend | None = None
    try:
        settings = spec.settings_model.model_validate(dict(use.settings))
        backend = registry.resolve(spec.factory)(settings)
        yield _Opened(deployment, backend)
    except NotFoundError as error:
        is_there = backend is not None and dataset in backend.datasets()
        hint = "" if is_there else "run its job first: mdp run --job NAME"
        raise CliError(NOT_FOUND, str(error), hint=hint) from error
    except RetryableError as error:
        raise CliError(TRY_LATER, str(error)) from error
    except OpenbellError as error:
        raise CliError(BAD_CONFIG, str(error)) from error
    finally:
        if backend is not None:
            backend.close()


def _storage_name(deployment: Deployment, given: str | None) -> str:
    names = sorted(deployment.storage)
    if given is not None and given not in names:
        raise CliError(
            NOT_FOUND,
            f"storage {given!r} is not configured; there are: {', '.join(names) or 'none'}",
        )
    if given is not None:
        return given
    if len(names) == 1 or "primary" in names:
        return "primary" if "primary" in names else names[0]
    raise CliError(
        USAGE if names else BAD_CONFIG,
        f"which storage? there are: {', '.join(names) or 'none'}",
        hint="name one with --storage",
    )


def _instant(option: str, text: str | None, *, is_end: bool) -> datetime | None:
    """Return the instant that a day or an instant writes; a day as end is included."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError as error:
            raise CliError(
                USAGE,
                f"{option} {text!r} is neither a day nor an instant",
                hint="write 2024-01-31 or 2024-01-31T14:30:00Z",
            ) from error
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight + timedelta(days=1) if is_end else midnight
