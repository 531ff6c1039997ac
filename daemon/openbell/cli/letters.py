"""`mdp dlq ...`: work that failed for good, and what becomes of it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from openbell.cli.client import Client, part
from openbell.cli.connect import client
from openbell.cli.errors import USAGE, CliError
from openbell.cli.listing import Limit
from openbell.cli.options import Output, Socket, StateDir, Tz
from openbell.cli.render import Format, Printer, say
from openbell.cli.waiting import seconds

_COLUMNS = (
    "letter_id",
    "created_at",
    "pipeline",
    "node",
    "item",
    "state",
    "attempts",
    "error_kind",
    "error",
)

LetterId = Annotated[str, typer.Argument(metavar="LETTER", help="A dead letter's id.")]
Pipeline = Annotated[
    str | None, typer.Option("--pipeline", "--job", help="Of this pipeline or job.")
]
Kind = Annotated[str | None, typer.Option("--kind", help="That failed with this kind of error.")]
Run = Annotated[str | None, typer.Option("--run", help="Of this run.")]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Not older: an instant, or how long ago, such as 2h or 7d."),
]
All = Annotated[bool, typer.Option("--all", help="All that wait and fit the filters.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    dlq = typer.Typer(no_args_is_help=True, help="Work that failed for good: dead letters.")
    dlq.command("list")(listing)
    for verb in (show, replay, purge):
        dlq.command()(verb)
    app.add_typer(dlq, name="dlq")


def listing(
    *,
    pipeline: Pipeline = None,
    kind: Kind = None,
    run: Run = None,
    since: Since = None,
    state: Annotated[
        str, typer.Option("--state", help="waiting, replayed, purged or all.")
    ] = "waiting",
    limit: Limit = 50,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """List dead letters, newest first: those that wait to be replayed or purged."""
    query = {
        **_filters(pipeline, kind, run, since),
        "state": None if state == "all" else state,
        "limit": min(limit, 500),
    }
    items = client(socket, state_dir).items("/api/v1/dlq", query, limit=limit)
    Printer(output, tz).rows(items, _COLUMNS)


def show(
    *,
    letter: LetterId,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Show a dead letter: what was given, what went wrong, and what became of it."""
    found = client(socket, state_dir).get(f"/api/v1/dlq/{part(letter)}")
    printer = Printer(output, tz)
    if output is not Format.TABLE:
        printer.record(found)
        return
    trace = found.pop("traceback")
    printer.record(found, tuple(found))
    if trace:
        print(f"\n{trace.rstrip()}")


def replay(
    *,
    letters: Annotated[
        list[str] | None, typer.Argument(metavar="[LETTER]...", help="Dead letters' ids.")
    ] = None,
    every: All = False,
    pipeline: Pipeline = None,
    kind: Kind = None,
    run: Run = None,
    since: Since = None,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Do failed work again, with the finished work of its run kept.

    All letters of one run are replayed by one new run.
    """
    daemon = client(socket, state_dir)
    chosen = _chosen(daemon, letters, every=every, filters=_filters(pipeline, kind, run, since))
    runs: list[dict[str, Any]] = []
    done: set[str] = set()
    for letter in chosen:
        if letter["run_id"] in done:
            continue
        done.add(letter["run_id"])
        answer = daemon.call("POST", f"/api/v1/dlq/{part(letter['letter_id'])}/replay")
        say(f"run {answer['run_id']} replays {letter['letter_id']} of run {letter['run_id']}")
        runs.append(answer)
    if output is not Format.TABLE:
        Printer(output).rows(runs, ())


def purge(
    *,
    letters: Annotated[
        list[str] | None, typer.Argument(metavar="[LETTER]...", help="Dead letters' ids.")
    ] = None,
    every: All = False,
    pipeline: Pipeline = None,
    kind: Kind = None,
    run: Run = None,
    since: Since = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Give dead letters up. They stay on record with who gave them up, and are not replayed."""
    daemon = client(socket, state_dir)
    chosen = _chosen(daemon, letters, every=every, filters=_filters(pipeline, kind, run, since))
    if chosen and not yes:
        _confirm(len(chosen))
    purged = [daemon.call("DELETE", f"/api/v1/dlq/{part(each['letter_id'])}") for each in chosen]
    say(
        "1 dead letter was purged"
        if len(purged) == 1
        else f"{len(purged)} dead letters were purged"
    )
    if output is not Format.TABLE:
        Printer(output).rows(purged, ())


def _chosen(
    daemon: Client, letters: list[str] | None, *, every: bool, filters: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the letters that are meant; raises CliError unless it is clear which."""
    has_filter = any(value is not None for value in filters.values())
    if letters and (every or has_filter):
        raise CliError(USAGE, "give ids, or --all with filters, not both")
    if letters:
        return [daemon.get(f"/api/v1/dlq/{part(letter)}") for letter in letters]
    if not every:
        hint = "mdp dlq list shows them; --all with --pipeline, --kind, --run or --since takes many"
        raise CliError(USAGE, "say which dead letters", hint=hint)
    return daemon.items("/api/v1/dlq", {**filters, "state": "waiting", "limit": 500})


def _confirm(count: int) -> None:
    words = "1 dead letter" if count == 1 else f"{count} dead letters"
    if not sys.stdin.isatty():
        raise CliError(USAGE, f"this would purge {words}", hint="say --yes if that is meant")
    if not typer.confirm(f"Purge {words}? They will not be replayed.", err=True):
        raise CliError(USAGE, "nothing was purged")


def _filters(
    pipeline: str | None, kind: str | None, run: str | None, since: str | None
) -> dict[str, Any]:
    return {"pipeline": pipeline, "kind": kind, "run": run, "since": _instant(since)}


def _instant(since: str | None) -> str | None:
    from datetime import UTC, datetime, timedelta

    from openbell.sdk.clock import SystemClock

    if since is None:
        return None
    try:
        found = datetime.fromisoformat(since)
    except ValueError:
        return (SystemClock().now() - timedelta(seconds=seconds(since))).isoformat()
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()
