"""Verbs that steer the daemon."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from openbell.cli.client import part
from openbell.cli.connect import client
from openbell.cli.errors import NOT_MET, UNREACHABLE, CliError
from openbell.cli.options import Output, Socket, StateDir, Tz
from openbell.cli.render import Format, Printer, say

RUN_COLUMNS = (
    "run_id",
    "job",
    "state",
    "paused",
    "priority",
    "mode",
    "submitted_at",
    "started_at",
    "finished_at",
)
_PIPELINE_COLUMNS = ("name", "state", "mode", "job", "version", "active_runs", "reason")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's or a submission's id.")]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="A node's name.")]
PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="A pipeline's or job's name.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (status, reload, drain, stop):
        app.command()(verb)


def status(
    *,
    job: Annotated[str | None, typer.Option("--job", "-j", help="Only this job.")] = None,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Show the daemon, or one job with its last run. Exit 3 when no daemon runs."""
    daemon = client(socket, state_dir)
    printer = Printer(output, tz)
    try:
        if job is None:
            printer.record(daemon.get("/api/v1/status"))
            return
        pipeline = daemon.get(f"/api/v1/pipelines/{part(job)}")
        runs = daemon.get("/api/v1/runs", {"pipeline": job, "limit": 1})["items"]
    except CliError as error:
        if error.code == UNREACHABLE:
            raise CliError(NOT_MET, str(error), hint=error.hint) from error
        raise
    last = daemon.get(f"/api/v1/runs/{part(runs[0]['run_id'])}") if runs else None
    if output is Format.TABLE:
        shown = {**pipeline, **_last(last)}
        printer.record(shown)
    else:
        printer.record({**pipeline, "last_run": last})


def _last(run: dict[str, Any] | None) -> dict[str, Any]:
    if run is None:
        return {"last_run": None}
    names = ("state", "rows_written", "rows_unchanged", "rows_quarantined", "finished_at", "error")
    return {"last_run": run["run_id"], **{f"last_{name}": run[name] for name in names}}


def reload(
    output: Output = Format.TABLE, socket: Socket = None, state_dir: StateDir = None
) -> None:
    """Read the configuration again. A wrong one is refused and changes nothing."""
    done = client(socket, state_dir).call("POST", "/api/v1/reload")
    Printer(output).record(done, shown=("at", "digest", "added", "changed", "removed"))


def drain(output: Output = Format.TABLE, socket: Socket = None, state_dir: StateDir = None) -> None:
    """Take no more work, let runs at work end, then end the daemon."""
    _stop("drain", output, socket, state_dir)


def stop(
    fast: Annotated[
        bool, typer.Option("--fast", help="Interrupt runs; they go on at the next start.")
    ] = False,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """End the daemon after the work in hand, or at once with --fast."""
    _stop("fast" if fast else "drain", output, socket, state_dir)


def _stop(how: str, output: Format, socket: Socket, state_dir: StateDir) -> None:
    answer = client(socket, state_dir).call("POST", "/api/v1/stop", body={"how": how})
    say(f"the daemon (pid {answer['pid']}) is {answer['state']}")
    if output is not Format.TABLE:
        Printer(output).record(answer)
