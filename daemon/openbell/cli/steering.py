"""Verbs that steer runs under way, and pipelines."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from openbell.cli.client import Client, part
from openbell.cli.connect import client
from openbell.cli.control import NodeName, RunId
from openbell.cli.errors import USAGE, CliError
from openbell.cli.options import Output, Socket, StateDir, Tz
from openbell.cli.render import Format, Printer, of_whole_nodes, say

Everything = Annotated[bool, typer.Option("--all", help="Every pipeline, also those to come.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
Comment = Annotated[str, typer.Option("--comment", help="What is said with it, for the record.")]
Item = Annotated[
    int, typer.Option("--item", min=-1, help="Of a node with for_each: which instance.")
]
What = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="A pipeline's or job's name, or a run's id."),
]

_COLUMNS = ("run_id", "node", "item", "question", "labels", "asked_at", "deadline_at")
_RUN_ID = ("run_", "job_")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (cancel, retry, pause, resume, mark, priority, approvals, approve, reject):
        app.command()(verb)


def cancel(
    *,
    run: RunId,
    node: Annotated[
        str | None, typer.Argument(metavar="[NODE]", help="One node of it alone.")
    ] = None,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Ask a run, or one of its nodes, to end; what is finished is kept."""
    daemon = client(socket, state_dir)
    if node is None:
        answer = daemon.call("DELETE", f"/api/pipeline/jobs/{part(run)}")
        _show(answer, output, f"run {answer['run_id']} was asked to end")
        return
    answer = daemon.call("POST", f"{_node(run, node)}/cancel")
    _show(answer, output, f"node {node} of run {answer['run_id']} was asked to end")


def retry(
    *,
    run: RunId,
    from_failed: Annotated[
        bool,
        typer.Option(
            "--from-failed/--whole",
            help="Keep what succeeded (this is what it does), or do everything again.",
        ),
    ] = True,
    from_node: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NODE", help="Do this node again as well, and all after it."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="K=V", help="Another value of a parameter."),
    ] = None,
    new_definition: Annotated[
        bool,
        typer.Option("--new-definition", help="By the definition in force, not by its own."),
    ] = False,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Submit an ended run again: the nodes that did not succeed, or those from a named one on."""
    from openbell.cli.running import param_of

    if from_node is not None and not from_failed:
        raise CliError(USAGE, "--from NODE and --whole contradict each other")
    body = {
        "from_failed": from_failed,
        "from_node": from_node,
        "params": dict(map(param_of, param or ())),
        "new_definition": new_definition,
    }
    daemon = client(socket, state_dir)
    answer = daemon.call("PUT", f"/api/pipeline/jobs/{part(run)}/retry", body=body)
    _show(answer, output, f"run {answer['run_id']} retries {answer['retry_of']}")


def pause(
    *,
    name: What = None,
    everything: Everything = False,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Start no more runs of a pipeline, or no more nodes of a run; what runs goes on."""
    _switch("pause", name, client(socket, state_dir), output, everything=everything)


def resume(
    *,
    name: What = None,
    everything: Everything = False,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Let a paused run, a paused or parked pipeline, or everything go on."""
    _switch("resume", name, client(socket, state_dir), output, everything=everything)


def _switch(
    how: str, name: str | None, daemon: Client, output: Format, *, everything: bool
) -> None:
    if everything == (name is not None):
        raise CliError(USAGE, "name a pipeline or a run, or say --all", hint=f"mdp {how} --all")
    if name is None:
        items = daemon.call("POST", f"/api/v1/{how}")["items"]
        say(f"everything is {how}d")
        if output is not Format.TABLE:
            Printer(output).rows(items, ("name", "state"))
        return
    if name.startswith(_RUN_ID):
        answer = daemon.call("POST", f"/api/v1/runs/{part(name)}/{how}")
        state = "paused" if answer["paused"] else answer["state"]
        _show(answer, output, f"run {answer['run_id']} is {state}")
        return
    answer = daemon.call("POST", f"/api/v1/pipelines/{part(name)}/{how}")
    _show(answer, output, f"pipeline {answer['name']} is {answer['state']}")


def mark(
    *,
    run: RunId,
    node: NodeName,
    state: Annotated[str, typer.Argument(metavar="success|failed", help="How it is to end.")],
    reason: Reason,
    outcome: Annotated[
        str, typer.Option("--outcome", metavar="LABEL", help="What edges see of a success.")
    ] = "success",
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Let a node of an open run end as a success or a failure; an ended run is retried instead."""
    if state not in {"success", "failed"}:
        raise CliError(USAGE, f"{state!r} is no mark; there are: success, failed")
    body = {"state": state, "reason": reason, "outcome": outcome}
    answer = client(socket, state_dir).call("POST", f"{_node(run, node)}/mark", body=body)
    _show(answer, output, f"node {node} of run {answer['run_id']} is marked {state}")


def priority(
    *,
    run: RunId,
    value: Annotated[
        int, typer.Argument(metavar="0..9", min=0, max=9, help="The most urgent is 9.")
    ],
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Give an open run another priority; what of it waits stands accordingly at once."""
    daemon = client(socket, state_dir)
    answer = daemon.call("PUT", f"/api/v1/runs/{part(run)}/priority", body={"priority": value})
    _show(answer, output, f"run {answer['run_id']} has priority {answer['priority']}")


def approvals(
    *,
    run: Annotated[
        str | None, typer.Option("--run", help="Of this run, also those with an answer.")
    ] = None,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """List what waits for a person, since when and until when."""
    path = "/api/v1/approvals" if run is None else f"/api/v1/runs/{part(run)}/approvals"
    columns = _COLUMNS if run is None else (*_COLUMNS, "label", "answered_by", "comment")
    asked = client(socket, state_dir).items(path)
    Printer(output, tz).rows(of_whole_nodes(asked, output), columns)


def approve(
    *,
    run: RunId,
    node: NodeName,
    label: Annotated[
        str | None,
        typer.Argument(
            metavar="[LABEL]", help="One of the answers; unset: approved, or the first."
        ),
    ] = None,
    comment: Comment = "",
    item: Item = -1,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Answer what a node asks people, with yes or with one of its labels."""
    daemon = client(socket, state_dir)
    chosen = label or _usual(daemon, run, (node, item), "approved")
    body = {"label": chosen, "comment": comment, "item": item}
    _answered(daemon.call("POST", f"{_node(run, node)}/answer", body=body), output)


def reject(
    *,
    run: RunId,
    node: NodeName,
    comment: Comment = "",
    item: Item = -1,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Answer what a node asks people with no: `rejected`, which its question must offer."""
    body = {"label": "rejected", "comment": comment, "item": item}
    daemon = client(socket, state_dir)
    _answered(daemon.call("POST", f"{_node(run, node)}/answer", body=body), output)


def _usual(daemon: Client, run: str, place: tuple[str, int], wanted: str) -> str:
    """Return `wanted` if the question has this answer, else the first one that it has."""
    for asked in daemon.items(f"/api/v1/runs/{part(run)}/approvals"):
        if (asked["node"], asked["item"]) == place and wanted not in asked["labels"]:
            return str(asked["labels"][0])
    return wanted


def _answered(answer: dict[str, Any], output: Format) -> None:
    words = f"node {answer['node']} of run {answer['run_id']} has its answer: {answer['label']}"
    _show(answer, output, words)


def _node(run: str, node: str) -> str:
    return f"/api/v1/runs/{part(run)}/nodes/{part(node)}"


def _show(record: dict[str, Any], output: Format, words: str) -> None:
    say(words)
    if output is not Format.TABLE:
        Printer(output).record(record)
