"""`mdp explain`: say why something did not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbell.cli.client import part
from openbell.cli.connect import client
from openbell.cli.errors import NOT_FOUND, UNREACHABLE, CliError
from openbell.cli.options import Output, Socket, StateDir, Tz
from openbell.cli.render import Format, Printer, say

if TYPE_CHECKING:
    from pathlib import Path

_IDS = ("run_", "job_")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(explain)


def explain(
    *,
    what: Annotated[
        str, typer.Argument(metavar="RUN|PIPELINE", help="A run's or submission's id, or a name.")
    ],
    node: Annotated[
        str | None, typer.Argument(metavar="[NODE]", help="Only this node of the run.")
    ] = None,
    output: Output = Format.TABLE,
    socket: Socket = None,
    state_dir: StateDir = None,
    tz: Tz = "UTC",
) -> None:
    """Say why a run, a node or a pipeline did not run, and when it will.

    Without a daemon it answers from what is on record in the state directory.
    """
    is_run = what.startswith(_IDS)
    if node is not None and not is_run:
        raise CliError(NOT_FOUND, f"{what!r} is no run", hint="a node is explained as RUN NODE")
    path = f"runs/{part(what)}" if is_run else f"pipelines/{part(what)}"
    at = f"/api/v1/explain/{path}" + (f"/nodes/{part(node)}" if node else "")
    try:
        found = client(socket, state_dir).get(at)
    except CliError as error:
        if error.code != UNREACHABLE or socket is not None:
            raise
        found = _on_record(state_dir, what, node, is_run=is_run)
        say("no daemon runs: this is what is on record")
    printer = Printer(output, tz)
    if output is not Format.TABLE:
        printer.record(found)
        return
    place = found["node"] or found["run_id"] or found["pipeline"]
    print(f"{found['about']} {place} is {found['state']}")
    for sentence in found["sentences"]:
        when = f"  [{printer.instant(sentence['at'])}]" if sentence["at"] else ""
        print(f"- {sentence['text']}{when}")


def _on_record(
    state_dir: Path | None, what: str, node: str | None, *, is_run: bool
) -> dict[str, Any]:
    """Return the answer that history gives without a daemon."""
    import os

    import anyio

    from openbell.app.records import explained
    from openbell.model.control import UnknownPipelineError, UnknownRunError
    from openbell.model.places import state_dir as find_state_dir

    directory = find_state_dir(os.environ, state_dir)
    try:
        return anyio.run(lambda: explained(directory, what, node, is_run=is_run))
    except (UnknownPipelineError, UnknownRunError, FileNotFoundError) as error:
        raise CliError(NOT_FOUND, str(error)) from error
