"""Verbs that steer the daemon and its runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from openbell.cli.client import part
from openbell.cli.connect import client
from openbell.cli.errors import NOT_MET, UNREACHABLE, CliError
from openbell.cli.options import Output, Socket, StateDir, Tz
from openbell.cli.render import Format, Printer, say

RUN_COLUMNS = ("run_id", "job", "state", "mode", "submitted_at", "started_at", "finished_at")
_PIPELINE_COLUMNS = ("name", "state", "mode", "job", "version", "active_runs", "reason")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's or a submission's id.")]
PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="A pipeline's or job's name.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (status, reload, drain, stop, cancel, retry, pause, resume):
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
    Printer(output).record(client(socket, state_dir).call("POST", "/api/v1/reload"))


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


def cancel(
    run: RunId, output: Output = Format.TABLE, socket: Socket = None, state_dir: StateDir = None
) -> None:
    """Ask a run to end; what is finished is kept."""
    answer = client(socket, state_dir).call("DELETE", f"/api/pipeline/jobs/{part(run)}")
    _show_run(answer, output, f"run {answer['run_id']} was asked to end")


def retry(
    *,
    run: RunId,
    from_failed: Annotated[
        bool,
        typer.Option("--from-failed", help="Go on after what is finished; this is the default."),
    ] = True,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Submit an ended run again, as it was asked for; what is stored already stays unchanged."""
    del from_failed
    answer = client(socket, state_dir).call("PUT", f"/api/pipeline/jobs/{part(run)}/retry")
    _show_run(answer, output, f"run {answer['run_id']} retries {answer['retry_of']}")


def _show_run(run: dict[str, Any], output: Format, words: str) -> None:
    say(words)
    if output is not Format.TABLE:
        Printer(output).record(run)


def pause(
    pipeline: PipelineName,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Start no more runs of a pipeline; running ones go on."""
    _switch(pipeline, "pause", output, client(socket, state_dir))


def resume(
    pipeline: PipelineName,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Let a paused or parked pipeline work again."""
    _switch(pipeline, "resume", output, client(socket, state_dir))


def _switch(name: str, how: str, output: Format, daemon: Any) -> None:  # noqa: ANN401 - a Client
    answer = daemon.call("POST", f"/api/v1/pipelines/{part(name)}/{how}")
    say(f"pipeline {answer['name']} is {answer['state']}")
    if output is not Format.TABLE:
        Printer(output).record(answer)
