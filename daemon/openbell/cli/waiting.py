"""Verbs that follow what happens: logs, events, wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from openbell.cli.client import Client, Query, ServerEvent, part
from openbell.cli.connect import client
from openbell.cli.control import RunId
from openbell.cli.errors import FAILED, TIMED_OUT, USAGE, CliError
from openbell.cli.options import Output, Socket, StateDir, Tz
from openbell.cli.render import Format, Printer, say, span

_FINAL = frozenset({"success", "failed", "cancelled"})


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (logs, events, wait):
        app.command()(verb)


def logs(
    *,
    run: RunId,
    node: Annotated[str | None, typer.Option("--node", help="Only of this node.")] = None,
    item: Annotated[
        int | None, typer.Option("--item", min=0, help="Only of this item of the node.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Only of this attempt.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Show what a run's nodes wrote."""
    daemon = client(socket, state_dir)
    printer = Printer(output, tz)
    at = f"/api/v1/runs/{part(run)}/logs"
    query = {"node": node, "item": item, "attempt": attempt}
    if follow:
        for event in resumed(daemon, at, {**query, "follow": True}, until="end"):
            _log_line(printer, event.data)
        return
    after = 0
    lines: list[dict[str, Any]] = []
    while True:
        page = daemon.get(at, {**query, "after": after})
        if output in {Format.TABLE, Format.JSONL}:
            for line in page["items"]:
                _log_line(printer, line)
        else:
            lines += page["items"]
        if page["next"] is None:
            break
        after = int(page["next"])
    if output not in {Format.TABLE, Format.JSONL}:
        printer.rows(lines, ())


def _log_line(printer: Printer, line: dict[str, Any]) -> None:
    if printer.output is Format.TABLE:
        whose = line["node"] if line["item"] < 0 else f"{line['node']}[{line['item']}]"
        print(f"{printer.instant(line['at'])}  {whose}  {line['text']}", flush=True)
    else:
        printer.line(line)


def events(
    *,
    run: Annotated[str | None, typer.Option("--run", help="Only of this run.")] = None,
    pipeline: Annotated[str | None, typer.Option("--pipeline", help="Only of this one.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until stopped.")] = False,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Begin after this event's id.")
    ] = None,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Show what happened. With -f as it happens, from now on unless --after says otherwise."""
    daemon = client(socket, state_dir)
    printer = Printer(output, tz)
    query: dict[str, Any] = {"run": run, "pipeline": pipeline, "after": after}
    if follow:
        for news in resumed(daemon, "/api/v1/events", query):
            _event_line(printer, news.data)
        return
    query["follow"] = False
    found: list[dict[str, Any]] = []
    while True:
        page = daemon.get("/api/v1/events", query)
        if output in {Format.TABLE, Format.JSONL}:
            for event in page["items"]:
                _event_line(printer, event)
        else:
            found += page["items"]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    if output not in {Format.TABLE, Format.JSONL}:
        printer.rows(found, ())


def _event_line(printer: Printer, event: dict[str, Any]) -> None:
    if printer.output is not Format.TABLE:
        printer.line(event)
        return
    body = {
        name: value
        for name, value in event["body"].items()
        if name not in {"at", "run_id", "pipeline", "nodes", "definition", "traceback"}
        and value not in (None, "", [], {})
    }
    words = [
        printer.instant(event["at"]),
        event["name"],
        event["run_id"] or event["pipeline"] or "",
    ]
    words += [f"{name}={printer.cell(value)}" for name, value in body.items()]
    print("  ".join(word for word in words if word), flush=True)


def wait(
    *,
    run: RunId,
    timeout: Annotated[
        str | None, typer.Option("--timeout", help="Give up after this long, such as 90s or 10m.")
    ] = None,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Wait for a run to end. Exit 0 if it succeeded, 1 if not, 124 after --timeout."""
    summary = wait_for(client(socket, state_dir), run, seconds(timeout) if timeout else None)
    Printer(output, tz).record(summary)
    finish(summary)


def finish(summary: dict[str, Any]) -> None:
    """Say how a run ended; raises CliError with exit code 1 unless it succeeded."""
    state = summary["state"]
    words = f"run {summary['run_id']} of {summary['job']}: {state}"
    if state != "success":
        reason = summary["error"] or summary["reason"]
        raise CliError(
            FAILED,
            f"{words}{': ' + reason if reason else ''}",
            hint=f"see `mdp describe run {summary['run_id']}` and `mdp logs {summary['run_id']}`",
        )
    say(f"{words} after {span(summary['duration_s'])}")


def wait_for(daemon: Client, run: str, timeout_s: float | None = None) -> dict[str, Any]:
    """Return a run's summary once it has ended; raises CliError with exit code 124 in time."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    at = f"/api/v1/runs/{part(run)}"
    summary: dict[str, Any] = daemon.get(at)
    run_id = summary["run_id"]
    if summary["state"] in _FINAL:
        return summary
    query: Query = {"run": run_id, "after": 0}
    for event in resumed(daemon, "/api/v1/events", query, deadline=deadline):
        if event.event == "run.finished":
            return dict(daemon.get(at))
    raise CliError(TIMED_OUT, f"run {run_id} has not ended after {timeout_s:g} s")


def resumed(
    daemon: Client,
    path: str,
    query: Query,
    *,
    until: str = "",
    deadline: float | None = None,
) -> Iterator[ServerEvent]:
    """Yield a stream's events over lost connections, until `until` or the deadline.

    `deadline` is an instant of `time.monotonic`. Raises CliError when the daemon is gone.
    """
    after = ""
    while deadline is None or time.monotonic() < deadline:
        for event in daemon.stream(path, query, after=after, deadline=deadline):
            if event.event == until and until:
                return
            if event.event in {"", "lost"}:
                continue
            after = event.id or after
            yield event


def seconds(text: str) -> float:
    """Return the seconds that `90`, `45s`, `10m`, `1h` or `1d` writes."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        found = float(number) * unit
    except ValueError:
        found = -1.0
    if not 0 < found < float("inf"):
        raise CliError(USAGE, f"{text!r} is no length of time", hint="write 90s, 10m, 1h or 1d")
    return found
