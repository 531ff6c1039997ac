"""`mdp rehearse`: a year of schedules and runs in seconds, and nothing of it real."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbell.cli.errors import BAD_CONFIG, FAILED, USAGE, CliError
from openbell.cli.options import ConfigFile, Output, Profile, Set, Tz
from openbell.cli.render import Format, Printer, counted, say, span

if TYPE_CHECKING:
    from openbell.app.rehearsal.report import Report

_COLUMNS = (
    "pipeline",
    "fires",
    "runs",
    "ok",
    "failed",
    "retried",
    "skipped",
    "late",
    "p95",
    "queue",
    "first_failure",
)
_LONGEST_YEARS = 20


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(rehearse)


def rehearse(
    *,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day (UTC).")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="The last day, included.")],
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Set = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Whose chance decides which attempts fail.", min=0)
    ] = 0,
    output: Output = Format.TABLE,
    tz: Tz = "UTC",
) -> None:
    """Play a span of days: real scheduler and engine on virtual time, workers played by chance.

    Nothing real is touched: no state, no vendor, no data.
    """
    printer = Printer(output, tz)
    days = _day("--from", first), _day("--to", last)
    if days[1] < days[0]:
        raise CliError(USAGE, f"--to {last} is before --from {first}")
    if days[1].year - days[0].year > _LONGEST_YEARS:
        raise CliError(USAGE, f"this is longer than {_LONGEST_YEARS} years")
    report = _rehearsed(days, config=config, profile=profile, overrides=overrides, seed=seed)
    match output:
        case Format.JSONL:
            sys.stdout.flush()
            for line in report.watcher.timeline.lines():
                sys.stdout.buffer.write(line + b"\n")
            say(_headline(report))
        case Format.TABLE:
            _tell(report, printer)
        case _:
            printer.record({**report.plain(), "timeline": list(report.timeline())})


def _rehearsed(
    days: tuple[date, date],
    *,
    config: Any,  # noqa: ANN401 - typer's own types are only about parsing
    profile: str | None,
    overrides: list[str] | None,
    seed: int,
) -> Report:
    from openbell.app.rehearsal.run import NothingToRehearseError, rehearsed
    from openbell.app.rehearsal.stage import Span
    from openbell.cli.configuration import load
    from openbell.sdk.errors import FatalError

    loaded, registry = load(config, profile, overrides)
    for name, reason in loaded.deployment.refused.items():
        say(f"warning: pipeline {name} is refused: {reason}")
    try:
        return rehearsed(
            loaded.deployment,
            registry,
            Span(first=days[0], last=days[1]),
            seed=seed,
            env=os.environ,
        )
    except NothingToRehearseError as error:
        hint = 'give a pipeline `schedule: ["XNYS close + 30m"]`'
        raise CliError(BAD_CONFIG, str(error), hint=hint) from error
    except FatalError as error:
        raise CliError(FAILED, shorten(str(error), 300)) from error


def _day(option: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise CliError(USAGE, f"{option} {text!r} is no day", hint="write 2027-01-31") from error
    if not 1970 < day.year < 2200:
        raise CliError(USAGE, f"{option} {text} is too far away", hint="1971 to 2199")
    return day


def _tell(report: Report, printer: Printer) -> None:
    """Write a summary for people."""
    printer.rows([_row(row, printer) for row in report.pipelines()], _COLUMNS)
    print()
    for line in _calendar_lines(report):
        print(line)
    for what, wait in sorted(report.waits.items()):
        worst = f"up to {span(wait.longest_s)}, {wait.queue.longest} in the queue at worst"
        print(f"{counted(wait.count, 'attempt')} waited for {what}: {worst}")
    for note in report.watcher.notes:
        at = printer.instant(note["at"].isoformat())
        print(f"{at}  {note['what']} {note['about']}: {shorten(str(note['text']), 160)}")
    print(_headline(report))
    print(f"digest {report.digest}")


def _row(row: Mapping[str, Any], printer: Printer) -> dict[str, Any]:
    states: Mapping[str, int] = row["states"]
    first = next(iter(row["first_failures"]), None)
    queue = row["longest_queue"]
    return {
        "pipeline": row["pipeline"],
        "fires": row["fires"],
        "runs": row["runs"],
        "ok": states.get("success", 0),
        "failed": states.get("failed", 0),
        "retried": row["retried_runs"],
        "skipped": sum(row["skipped"].values()),
        "late": row["late_runs"],
        "p95": span(row["p95_s"]),
        "queue": queue if queue > 1 else None,
        "first_failure": first
        and f"{first['session'] or printer.instant(first['at'].isoformat())} {first['node']}: "
        f"{shorten(first['error'], 60)}",
    }


def _calendar_lines(report: Report) -> Iterator[str]:
    for found in report.calendars:
        parts = [counted(found.sessions, "session")]
        parts += _days("early close", found.early_closes)
        parts += _days("late open", found.late_opens)
        parts += _days("clock change", found.clock_changes)
        if found.known_until is not None:
            parts.append(f"known only until {found.known_until}")
        yield f"{found.calendar}: {'; '.join(parts)}"


def _days(what: str, days: Sequence[date], most: int = 6) -> Iterator[str]:
    if days:
        shown = ", ".join(map(str, days[:most])) + (" ..." if len(days) > most else "")
        yield f"{counted(len(days), what)} ({shown})"


def _headline(report: Report) -> str:
    totals = report.totals()
    states = ", ".join(f"{count:,} {state}" for state, count in totals["states"].items())
    skipped = ", ".join(f"{count:,} {why}" for why, count in totals["skipped"].items())
    parts = [
        counted(totals["fires"], "fire"),
        f"{counted(totals['runs'], 'run')} ({states})" if states else "no runs",
        f"skipped: {skipped}" if skipped else "",
        f"{totals['retries']:,} retried attempts",
        counted(totals["late_runs"], "late start") if totals["late_runs"] else "",
    ]
    told = "; ".join(part for part in parts if part)
    return f"{report.span.first} to {report.span.last}, seed {report.seed}: {told}"
