"""Verbs that do the main job: `mdp run` and `mdp backfill`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbell.cli.configuration import bad_config, found_file, load
from openbell.cli.errors import (
    FAILED,
    INTERRUPTED,
    NOT_FOUND,
    TRY_LATER,
    UNREACHABLE,
    USAGE,
    CliError,
    of_fatal,
)
from openbell.cli.options import ConfigFile, Output, Profile, Set, StateDir
from openbell.cli.progress import Progress, progress
from openbell.cli.render import Format, Printer, counted, say, span
from openbell.cli.waiting import resumed, seconds

if TYPE_CHECKING:
    from openbell.cli.client import Client
    from openbell.history.lock import LockInfo
    from openbell.model.control import Submission

Job = Annotated[str | None, typer.Option("--job", "-j", help="The job to run.")]
Param = Annotated[
    list[str] | None, typer.Option("--param", "-p", metavar="K=V", help="A run parameter.")
]
From = Annotated[str | None, typer.Option("--from", metavar="DATE", help="First session.")]
To = Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last session.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Do everything but the commit.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(run)
    app.command()(backfill)


def run(
    *,
    config: ConfigFile = None,
    job: Job = None,
    pipeline: Annotated[str | None, typer.Option("--pipeline", help="The pipeline to run.")] = None,
    param: Param = None,
    session: Annotated[str | None, typer.Option("--session", metavar="DATE")] = None,
    start: From = None,
    end: To = None,
    stop_after: Annotated[
        str | None, typer.Option("--for", help="End a live job after this long, such as 10m.")
    ] = None,
    profile: Profile = None,
    overrides: Set = None,
    dry_run: DryRun = False,
    priority: Annotated[
        int | None, typer.Option("--priority", min=0, max=9, help="0 to 9, the most urgent.")
    ] = None,
    output: Output = Format.TABLE,
    state_dir: StateDir = None,
) -> None:
    """Run a job or pipeline once and follow it to its end.

    Works with no daemon: the same engine runs here. Where a daemon serves the state directory, the
    run is submitted to it and followed. Ctrl-C ends the work after the batch in hand; the same
    command goes on there. Exit 0 when it succeeded, 1 when it failed.
    """
    names = [name for name in (job, pipeline) if name]
    if len(names) != 1:
        raise CliError(USAGE, "name one job or pipeline", hint="mdp run --config FILE --job NAME")
    options: dict[str, Any] = {
        "params": dict(map(param_of, param or ())),
        "session": _date(session, "--session"),
        "start": _date(start, "--from"),
        "end": _date(end, "--to"),
        "stop_after_s": seconds(stop_after) if stop_after else None,
        "dry_run": dry_run,
        "priority": priority,
    }
    where = _where(config, profile, overrides, state_dir)
    _finish(_run(where, names[0], options, quiet=output is not Format.TABLE), output)


def backfill(
    *,
    config: ConfigFile = None,
    job: Job = None,
    start: From = None,
    end: To = None,
    profile: Profile = None,
    overrides: Set = None,
    dry_run: DryRun = False,
    output: Output = Format.TABLE,
    state_dir: StateDir = None,
) -> None:
    """Run a job of mode backfill and follow it to its end."""
    if not job:
        raise CliError(USAGE, "name the job", hint="mdp backfill --config FILE --job NAME")
    where = _where(config, profile, overrides, state_dir)
    loaded, _ = load(config, profile, overrides)
    known = loaded.deployment.pipelines.get(job)
    if known is not None and known.mode != "backfill":
        raise CliError(
            USAGE, f"job {job!r} is of mode {known.mode}", hint=f"mdp run --job {job} runs it"
        )
    options = {
        "start": _date(start, "--from"),
        "end": _date(end, "--to"),
        "dry_run": dry_run,
    }
    _finish(_run(where, job, options, quiet=output is not Format.TABLE), output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which configuration, and whose state."""

    config: Path | None
    state_dir: Path
    profile: str | None = None
    overrides: tuple[str, ...] = ()


def _where(
    config: Path | None, profile: str | None, overrides: list[str] | None, state: Path | None
) -> Where:
    from openbell.model.places import state_dir

    return Where(
        config=config,
        state_dir=state_dir(os.environ, state),
        profile=profile,
        overrides=tuple(overrides or ()),
    )


def _run(where: Where, name: str, options: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    from openbell.history.lock import serving
    from openbell.model.control import Submission

    holder = serving(where.state_dir)
    submission = Submission(pipeline=name, origin="cli", **options)
    with progress(quiet=quiet) as shown:
        if holder is not None and holder.socket:
            return _submit(Path(holder.socket), where, submission, shown)
        return run_here(where, submission, shown, holder)


def _check_same(where: Where, daemon: Client) -> None:
    """Refuse what the daemon, which has its own configuration, would leave unheard."""
    status = daemon.get("/api/v1/status")
    unheard = ["--set"] if where.overrides else []
    if where.profile not in {None, status["profile"]}:
        unheard.append(f"--profile {where.profile}")
    if unheard:
        raise CliError(
            USAGE,
            f"a daemon (pid {status['pid']}, {status['config_source']}, profile "
            f"{status['profile']}) serves {where.state_dir}; {' and '.join(unheard)} cannot reach it",
            hint="run beside it with another --state-dir, or change its configuration: mdp reload",
        )
    given = where.config and where.config.absolute()
    if given is not None and str(given) != status["config_source"]:
        say(f"note: the daemon works by {status['config_source']}, not by {given}")


def _submit(socket: Path, where: Where, submission: Submission, shown: Progress) -> dict[str, Any]:
    """Submit to the daemon and follow; Ctrl-C leaves the run to the daemon."""
    from openbell.cli.client import Client, part

    daemon = Client(socket)
    _check_same(where, daemon)
    body = {
        "pipeline": submission.pipeline,
        "params": dict(submission.params),
        "session": submission.session and submission.session.isoformat(),
        "from": submission.start and submission.start.isoformat(),
        "to": submission.end and submission.end.isoformat(),
        "for": submission.stop_after_s,
        "dry_run": submission.dry_run,
        "priority": submission.priority,
    }
    body = {key: value for key, value in body.items() if value is not None}
    run_id = daemon.call("POST", "/api/pipeline/jobs", body=body)["run_id"]
    say(f"submitted {run_id} to the daemon at {socket}")
    try:
        for event in resumed(daemon, "/api/v1/events", {"run": run_id, "after": 0}):
            if event.event == "node.progressed":
                news = event.data["body"]
                shown.show(news["rows"], news["batches"], news["total_rows"])
            elif event.event in {"decision.noted", "approval.asked"}:
                say(_waiting(event.event, event.data["body"]))
            elif event.event == "run.finished":
                break
    except KeyboardInterrupt:
        raise CliError(
            INTERRUPTED,
            f"no longer following {run_id}, which goes on in the daemon",
            hint=f"mdp wait {run_id}, or mdp cancel {run_id}",
        ) from None
    except CliError as error:
        if error.code != UNREACHABLE:
            raise
        raise CliError(
            UNREACHABLE,
            f"the daemon ended before {run_id} did; the run is kept and goes on when it is back",
            hint=f"mdp wait {run_id}, once it is",
        ) from error
    return dict(daemon.get(f"/api/v1/runs/{part(run_id)}"))


def _waiting(name: str, body: dict[str, Any]) -> str:
    """Return what a run waits for that would seem to hang."""
    if name == "decision.noted":
        return f"{body['node']}: {body['reason']}" if body["node"] else str(body["reason"])
    return (
        f"node {body['node']} asks people {body['question']!r}: "
        f"`mdp approve {body['run_id']} {body['node']} LABEL` answers ({', '.join(body['labels'])})"
    )


def run_here(
    where: Where, submission: Submission, shown: Progress, holder: LockInfo | None = None
) -> dict[str, Any]:
    """Run in this process; raises CliError for everything that can be expected to go wrong."""
    import anyio

    from openbell.app.assembly import Place
    from openbell.app.foreground import run_in_foreground
    from openbell.history.errors import HistoryBusyError
    from openbell.model.control import NotAcceptedError, UnknownPipelineError
    from openbell.plugin_host import load_plugins
    from openbell.sdk.errors import FatalError, RetryableError, SettingsError

    place = Place(
        config=found_file(where.config),
        state_dir=where.state_dir,
        profile=where.profile,
        overrides=tuple(item.partition("=")[::2] for item in where.overrides),
    )

    async def whole() -> dict[str, Any]:
        return await run_in_foreground(
            place,
            load_plugins(),
            submission,
            show=lambda news: shown.show(news.rows, news.batches, news.total_rows),
            say=say,
        )

    try:
        with unwrapped():
            return anyio.run(whole)
    except SettingsError as error:
        raise bad_config(error) from error
    except UnknownPipelineError as error:
        raise CliError(NOT_FOUND, str(error)) from error
    except (NotAcceptedError, RetryableError, HistoryBusyError) as error:
        raise CliError(TRY_LATER, str(error)) from error
    except FatalError as error:
        if holder is not None:
            raise CliError(TRY_LATER, str(error)) from error
        raise of_fatal(error) from error


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise the one error inside an exception group by itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        from openbell.supervisor.innermost import innermost

        raise innermost(group) from None


def _finish(summary: dict[str, Any], output: Format) -> None:
    printer = Printer(output)
    if output is Format.TABLE:
        _table(summary, printer)
    else:
        printer.record(summary)
    state, run_id = summary["state"], summary["run_id"]
    if state == "success":
        return
    if state in {"queued", "running"}:
        raise CliError(
            INTERRUPTED,
            f"run {run_id} was interrupted after its last whole batch",
            hint="the same command goes on from there",
        )
    reason = summary["error"] or summary["reason"]
    if reason == state:
        reason = ""
    raise CliError(FAILED, f"run {run_id} {state}{': ' + reason if reason else ''}")


def _table(summary: dict[str, Any], printer: Printer) -> None:
    rows = [{"node": name, **node} for name, node in summary["nodes"].items()]
    printer.rows(rows, ("node", "state", "attempts", "rows_in", "rows_out", "verdict", "error"))
    dry = "would be written (dry run)" if summary["dry_run"] else "written"
    rate = summary["rows_in"] / summary["duration_s"] if summary["duration_s"] else 0.0
    say(
        f"{summary['job']}: {summary['state']}. {summary['rows_in']:,} rows in, "
        f"{_written(summary):,} {dry}, {summary['rows_unchanged']:,} unchanged, "
        f"{summary['rows_quarantined']:,} quarantined, {counted(summary['batches'], 'batch')}, "
        f"{span(summary['duration_s'])}, {rate:,.0f} rows/s"
    )


def _written(summary: dict[str, Any]) -> int:
    if not summary["dry_run"]:
        return int(summary["rows_written"])
    return sum(node["rows_out"] for node in summary["nodes"].values() if node["op"] == "write")


def param_of(text: str) -> tuple[str, Any]:
    """Return the name and the value of `-p NAME=VALUE`; a value that is JSON is read as that."""
    import json

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CliError(USAGE, f"-p {text!r} is not understood", hint="write -p NAME=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _date(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise CliError(
            USAGE, f"{option} {text!r} is no date", hint="write it as 2026-01-31"
        ) from error
