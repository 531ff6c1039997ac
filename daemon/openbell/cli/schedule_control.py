"""Schedules of a running daemon: add, remove, pause, resume, what became of their fires."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from openbell.cli.client import part
from openbell.cli.connect import client
from openbell.cli.control import PipelineName
from openbell.cli.options import Output, Socket, StateDir, Tz
from openbell.cli.render import Format, Printer, say
from openbell.cli.running import Param, param_of

_AT = "/api/v1/schedules"
_COLUMNS = (
    "pipeline",
    "schedule",
    "state",
    "next_at",
    "last_at",
    "outcome",
    "origin",
    "id",
    "reason",
)
_FIRE_COLUMNS = ("due_at", "pipeline", "session", "event", "index", "outcome", "reason", "run_id")
ScheduleId = Annotated[str, typer.Argument(metavar="ID", help="As `mdp get schedules` shows it.")]
OfPipeline = Annotated[
    str | None, typer.Option("--pipeline", "--job", metavar="P", help="Of this one.")
]


def register(group: typer.Typer) -> None:
    """Add the verbs to `mdp schedule`."""
    for verb in (add, remove, pause, resume, fires):
        group.command()(verb)


def schedules(
    *,
    pipeline: OfPipeline = None,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """List schedules in force: state, the next fire, the last and what became of it."""
    items = client(socket, state_dir).items(_AT, {"pipeline": pipeline})
    if output is Format.TABLE:
        items = [_row(item) for item in items]
    Printer(output, tz).rows(items, _COLUMNS)


def add(
    *,
    pipeline: PipelineName,
    expression: Annotated[
        str, typer.Argument(metavar="EXPR", help="A schedule, such as 'XNYS close + 30m'.")
    ],
    start: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="Silent before it.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="INSTANT", help="Silent from it on.")
    ] = None,
    jitter: Annotated[
        str | None, typer.Option("--jitter", metavar="SPAN", help="Up to so much later: 30s.")
    ] = None,
    on_missed: Annotated[
        str | None,
        typer.Option("--on-missed", help="run_all, latest, coalesce or skip [run_all]."),
    ] = None,
    if_before: Annotated[
        str | None,
        typer.Option(
            "--if-before", metavar="EXPR", help="Missed fires run before its next moment only."
        ),
    ] = None,
    param: Param = None,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Let a pipeline run by one more schedule; it survives restarts and reloads."""
    missed = {"catch": on_missed, "if_before": if_before}
    body = {
        "pipeline": pipeline,
        "when": expression,
        "active": {"from": start, "until": until},
        "params": dict(map(param_of, param or ())),
        **({} if jitter is None else {"jitter": jitter}),
        **({"on_missed": missed} if any(missed.values()) else {}),
    }
    answer = client(socket, state_dir).call("POST", _AT, body=body)
    _show(answer, output, f"added {answer['id']}{_next(answer, tz)}")


def remove(
    *,
    schedule: ScheduleId,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Delete a schedule that was added by hand; what it fired stays on record."""
    answer = client(socket, state_dir).call("DELETE", f"{_AT}/{part(schedule)}")
    _show(answer, output, f"removed {answer['id']}")


def pause(
    *,
    schedule: ScheduleId,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Take no fires of a schedule for now."""
    answer = client(socket, state_dir).call("POST", f"{_AT}/{part(schedule)}/pause")
    _show(answer, output, f"schedule {answer['id']} is {answer['state']}")


def resume(
    *,
    schedule: ScheduleId,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Take fires of a paused schedule again; those since the pause are missed fires."""
    answer = client(socket, state_dir).call("POST", f"{_AT}/{part(schedule)}/resume")
    _show(answer, output, f"schedule {answer['id']} is {answer['state']}{_next(answer, tz)}")


def fires(
    *,
    pipeline: OfPipeline = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = 20,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """List decided fires, newest first: the run of each, or why there is none."""
    query = {"pipeline": pipeline, "limit": min(limit, 500)}
    found = client(socket, state_dir).items("/api/v1/fires", query, limit=limit)
    Printer(output, tz).rows(found, _FIRE_COLUMNS)


def _row(item: dict[str, Any]) -> dict[str, Any]:
    last = item["last"] or {}
    return {
        **item,
        "schedule": item["when"],
        "last_at": last.get("due_at"),
        "outcome": last.get("outcome"),
        "reason": item["reason"] or last.get("reason"),
    }


def _next(item: dict[str, Any], tz: str) -> str:
    if at := item["next_at"]:
        return f"; next at {Printer(Format.TABLE, tz).instant(at)}"
    return f"; it does not fire: {item['reason']}" if item["reason"] else "; no fire is known"


def _show(answer: dict[str, Any], output: Format, words: str) -> None:
    say(words)
    if output is not Format.TABLE:
        Printer(output).record(answer)
