"""`mdp get ...`, `mdp describe ...`, `mdp lineage`, `mdp pace status`: look at what the daemon knows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from openbell.cli.client import part
from openbell.cli.connect import client
from openbell.cli.control import RUN_COLUMNS, NodeName, PipelineName, RunId
from openbell.cli.errors import NOT_FOUND, CliError
from openbell.cli.options import Output, Socket, StateDir, Tz
from openbell.cli.render import Format, Printer, of_whole_nodes, span
from openbell.cli.schedule_control import schedules

_NODE_COLUMNS = ("node", "op", "state", "attempts", "outcome", "rows_in", "rows_out", "error")
_ITEM_COLUMNS = (
    "number",
    "item",
    "state",
    "attempts",
    "outcome",
    "started_at",
    "finished_at",
    "error_kind",
    "error",
)
_PROGRESS_COLUMNS = (
    "rows",
    "batches",
    "percent",
    "eta",
    "heartbeat_age_s",
    "cpu_s",
    "memory_bytes",
)
_ATTEMPT_COLUMNS = (
    "node",
    "item",
    "number",
    "state",
    "started_at",
    "worker_pid",
    "cpu_s",
    "peak_memory_bytes",
    "io_read_bytes",
    "io_written_bytes",
    "error_kind",
    "error",
)
_BUDGET_COLUMNS = (
    "provider",
    "tokens",
    "burst",
    "requests_per_minute",
    "waiting",
    "resting_until",
    "request_count",
    "violation_count",
)
_LINEAGE_COLUMNS = (
    "committed_at",
    "run_id",
    "node",
    "start_at",
    "end_at",
    "rows",
    "rows_written",
    "rows_unchanged",
    "version",
)
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    get = typer.Typer(no_args_is_help=True, help="List what the daemon knows.")
    for verb in (pipelines, runs, nodes, items, datasets, schedules, budgets, workers):
        get.command()(verb)
    app.add_typer(get, name="get")
    describe = typer.Typer(no_args_is_help=True, help="Show one thing with everything about it.")
    describe.command("run")(describe_run)
    describe.command("item")(describe_item)
    describe.command("pipeline")(describe_pipeline)
    describe.command("dataset")(describe_dataset)
    app.add_typer(describe, name="describe")
    app.command()(lineage)
    pace = typer.Typer(no_args_is_help=True, help="Look at vendors' budgets.")
    pace.command("status")(budgets)
    app.add_typer(pace, name="pace")


def pipelines(
    output: Output = Format.TABLE, socket: Socket = None, state_dir: StateDir = None
) -> None:
    """List pipelines: active, paused, parked or refused, with the reason."""
    items = client(socket, state_dir).items("/api/v1/pipelines")
    columns = ("name", "state", "mode", "version", "active_runs", "queued_runs", "reason")
    Printer(output).rows(items, columns)


def runs(
    *,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", "--job", help="Of this one.")
    ] = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="In this state.")] = None,
    limit: Limit = 20,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """List runs, newest first."""
    query = {"pipeline": pipeline, "state": state, "limit": min(limit, 500)}
    items = client(socket, state_dir).items("/api/v1/runs", query, limit=limit)
    Printer(output, tz).rows(items, RUN_COLUMNS)


def nodes(
    run: RunId, output: Output = Format.TABLE, socket: Socket = None, state_dir: StateDir = None
) -> None:
    """List a run's nodes in the definition's order."""
    found = client(socket, state_dir).items(f"/api/v1/runs/{part(run)}/nodes")
    printer = Printer(output)
    if output is Format.TABLE:
        found = [
            {**each["totals"], **_progress(each), **each, "items": _states(each["items"])}
            for each in found
        ]
    columns: tuple[str, ...] = _NODE_COLUMNS
    if any(item["items"] for item in found):
        columns += ("items",)
    if any(item["progress"] for item in found):
        columns += _PROGRESS_COLUMNS
    printer.rows(found, columns)


def items(
    *,
    run: RunId,
    node: NodeName,
    state: Annotated[str | None, typer.Option("--state", help="In this state.")] = None,
    limit: Limit = 20,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """List the items of a node with `for_each`, in order."""
    at = f"/api/v1/runs/{part(run)}/nodes/{part(node)}/items"
    query = {"state": state, "limit": min(limit, 500)}
    found = client(socket, state_dir).items(at, query, limit=limit)
    Printer(output, tz).rows(found, _ITEM_COLUMNS)


def _progress(item: dict[str, Any]) -> dict[str, Any]:
    """Return how far a node came, for a table: an ETA from earlier runs is marked with ~."""
    found: dict[str, Any] = dict(item["progress"] or {})
    if found.get("eta_s") is not None:
        mark = "~" if found["eta_from"] == "history" else ""
        found["eta"] = f"{mark}{span(found['eta_s'])}"
    return {name: found.get(name) for name in _PROGRESS_COLUMNS}


def _states(counts: dict[str, int] | None) -> str | None:
    """Return how many items stand in each state, for a table."""
    return ", ".join(f"{count:,} {state}" for state, count in (counts or {}).items()) or None


def datasets(
    output: Output = Format.TABLE, socket: Socket = None, state_dir: StateDir = None
) -> None:
    """List configured datasets."""
    items = client(socket, state_dir).items("/api/v1/datasets")
    columns = ("name", "provider", "schema", "interval", "calendar", "symbols")
    Printer(output).rows(items, columns)


def budgets(
    output: Output = Format.TABLE, socket: Socket = None, state_dir: StateDir = None, tz: Tz = "UTC"
) -> None:
    """List providers' budgets: tokens to spend now, waiting requests, refusals."""
    items = client(socket, state_dir).items("/api/v1/budgets")
    Printer(output, tz).rows(items, _BUDGET_COLUMNS)


def workers(
    output: Output = Format.TABLE, socket: Socket = None, state_dir: StateDir = None, tz: Tz = "UTC"
) -> None:
    """List worker processes, oldest first."""
    items = client(socket, state_dir).items("/api/v1/workers")
    columns = ("pid", "state", "started_at", "task_count", "memory_bytes", "run_id", "node")
    Printer(output, tz).rows(items, columns)


def describe_run(
    *,
    run: RunId,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Show a run: totals, nodes, attempts, findings."""
    daemon = client(socket, state_dir)
    at = f"/api/v1/runs/{part(run)}"
    summary = daemon.get(at)
    attempts = daemon.items(f"{at}/attempts")
    findings = daemon.items(f"{at}/quality")
    printer = Printer(output, tz)
    if output is not Format.TABLE:
        printer.record({**summary, "attempts": attempts, "quality": findings})
        return
    printer.record(summary)
    print()
    printer.rows([{"node": name, **node} for name, node in summary["nodes"].items()], _NODE_COLUMNS)
    if attempts:
        print()
        printer.rows(of_whole_nodes(attempts, output), _ATTEMPT_COLUMNS)
    if findings:
        print()
        printer.rows(findings, ("node", "rule", "severity", "row_count", "column", "message"))


def describe_item(
    *,
    run: RunId,
    node: NodeName,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="Of the item, from 0.")],
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Show one item of a node with `for_each`: how it stands, and its attempts."""
    daemon = client(socket, state_dir)
    at = f"/api/v1/runs/{part(run)}"
    query = {"cursor": number - 1, "limit": 1}
    found = daemon.items(f"{at}/nodes/{part(node)}/items", query, limit=1)
    if not found:
        raise CliError(NOT_FOUND, f"node {node!r} of this run has no item {number}")
    attempts = daemon.items(f"{at}/attempts", {"node": node, "item": number})
    printer = Printer(output, tz)
    if output is not Format.TABLE:
        printer.record({**found[0], "tries": attempts})
        return
    printer.record(found[0])
    if attempts:
        print()
        printer.rows(of_whole_nodes(attempts, output), _ATTEMPT_COLUMNS)


def describe_pipeline(
    *,
    pipeline: PipelineName,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Show a pipeline: its state, its graph, its last runs."""
    daemon = client(socket, state_dir)
    status = daemon.get(f"/api/v1/pipelines/{part(pipeline)}")
    dag = daemon.get(f"/api/pipeline/workflows/{part(pipeline)}/dag")
    last = daemon.get("/api/v1/runs", {"pipeline": pipeline, "limit": 5})["items"]
    printer = Printer(output, tz)
    if output is not Format.TABLE:
        printer.record({**status, "dag": dag, "last_runs": last})
        return
    printer.record(status)
    print()
    needs: dict[str, list[str]] = {}
    for edge in dag["edges"]:
        needs.setdefault(edge["to"], []).append(f"{edge['from']}:{'|'.join(edge['on'])}")
    rows = [{**node, "needs": needs.get(node["name"], [])} for node in dag["nodes"]]
    printer.rows(rows, ("name", "op", "level", "needs"))
    print()
    printer.rows(last, RUN_COLUMNS)


def describe_dataset(
    *,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's name.")],
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Show a dataset: its definition and its newest commits."""
    daemon = client(socket, state_dir)
    commits = daemon.items(f"/api/pipeline/lineage/{part(dataset)}", {"limit": 10})
    found = [item for item in daemon.items("/api/v1/datasets") if item["name"] == dataset]
    record = found[0] if found else {"name": dataset}
    printer = Printer(output, tz)
    if output is not Format.TABLE:
        printer.record({**record, "commits": commits})
        return
    printer.record(record, tuple(record))
    print()
    printer.rows(commits, _LINEAGE_COLUMNS)


def lineage(
    *,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's name.")],
    limit: Limit = 20,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """List the newest commits into a dataset."""
    query = {"limit": limit}
    items = client(socket, state_dir).items(f"/api/pipeline/lineage/{part(dataset)}", query)
    Printer(output, tz).rows(items, _LINEAGE_COLUMNS)
