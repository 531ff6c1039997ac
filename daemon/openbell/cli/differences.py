"""`mdp diff`: what a reload of a configuration would change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbell.cli.errors import NOT_MET
from openbell.cli.options import Output, Profile, Set, Socket, StateDir
from openbell.cli.render import Format, Printer, say

if TYPE_CHECKING:
    from openbell.app.differences import InForce
    from openbell.model.changes import Change, Plan

_LONGEST_VALUE = 70

File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        "--config",
        "-c",
        envvar="OPENBELL_CONFIG",
        readable=False,
        help="The configuration file [./openbell.yaml, /etc/openbell/openbell.yaml].",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(diff)


def diff(
    *,
    file: File = None,
    profile: Profile = None,
    overrides: Set = None,
    socket: Socket = None,
    state_dir: StateDir = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what a reload of a configuration would change. Exit 0: nothing; 3: something.

    Compared with the definitions of the daemon that serves the state directory, else with those
    that its history holds.
    """
    from openbell.app.differences import plan
    from openbell.cli.configuration import load

    loaded, _ = load(file, profile, overrides)
    against, in_force = _in_force(socket, state_dir)
    found = plan(loaded.deployment, in_force)
    for name, reason in loaded.deployment.refused.items():
        say(f"warning: pipeline {name} is refused: {reason}")
    if output is Format.TABLE:
        for line in _lines(found):
            print(line)
        say(f"compared with {against}" + ("" if found else ": nothing would change"))
    else:
        Printer(output).record({"against": against, **_document(found)})
    if found:
        raise typer.Exit(NOT_MET)


def _in_force(socket: Path | None, state: Path | None) -> tuple[str, Sequence[InForce]]:
    """Return what is in force, and who says so."""
    import anyio

    from openbell.app.differences import InForce, kept_definitions
    from openbell.cli.client import Client
    from openbell.history.lock import serving
    from openbell.model.places import SOCKET_NAME, socket_to_call, state_dir

    directory = state_dir(os.environ, state)
    path = socket_to_call(os.environ, directory, socket)
    holder = serving(directory)
    if path == directory / SOCKET_NAME and holder is not None and holder.socket:
        path = Path(holder.socket)
    if holder is not None or path != directory / SOCKET_NAME:
        found = [
            InForce(
                name=record["name"],
                fingerprint=record["fingerprint"],
                definition=record["definition"],
            )
            for record in Client(path).items("/api/v1/workflows")
            if record["active"]
        ]
        return f"the daemon at {path}", found
    kept = anyio.run(kept_definitions, directory / "history.sqlite")
    if kept is None:
        return f"nothing: there is no history in {directory}", ()
    return f"the history in {directory}", kept


def _document(found: Plan) -> dict[str, Any]:
    return {
        "added": list(found.added),
        "removed": list(found.removed),
        "changed": [
            {"pipeline": name, "changes": [asdict(change) for change in changes]}
            for name, changes in found.changed.items()
        ],
        "schedules_added": [asdict(change) for change in found.schedules_added],
        "schedules_removed": [asdict(change) for change in found.schedules_removed],
    }


def _lines(found: Plan) -> Iterator[str]:
    for name in found.added:
        yield f"+ pipeline {name}"
    for name in found.removed:
        yield f"- pipeline {name}"
    for name, changes in found.changed.items():
        yield f"~ pipeline {name}"
        for change in changes:
            yield f"    {_line(change)}"
        if not changes:
            yield "    ~ something that is kept secret"
    for sign, moves in (("+", found.schedules_added), ("-", found.schedules_removed)):
        for move in moves:
            yield f"{sign} schedule {move.pipeline}: {move.expression}"


def _line(change: Change) -> str:
    match change.kind:
        case "added":
            return f"+ {change.key}: {_short(change.after)}"
        case "removed":
            return f"- {change.key}: {_short(change.before)}"
        case _:
            return f"~ {change.key}: {_short(change.before)} -> {_short(change.after)}"


def _short(value: object) -> str:
    if isinstance(value, dict) and "op" in value:
        needs = ", ".join(value.get("needs", ()))
        return f"op {value['op']}" + (f", needs {needs}" if needs else "")
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
