"""`mdp plan`: what a run would do."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from openbell.cli.configuration import bad_config, load
from openbell.cli.errors import BAD_CONFIG, NOT_FOUND, USAGE, CliError
from openbell.cli.options import ConfigFile, Output, Profile, Set, StateDir
from openbell.cli.render import Format, Printer, say, span
from openbell.cli.running import param_of

_UNIT_COLUMNS = ("level", "name", "kind", "nodes", "needs", "pools", "expected", "critical")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(plan)


def plan(
    *,
    pipeline: Annotated[
        str, typer.Option("--pipeline", "--job", "-j", help="The pipeline or job.")
    ],
    session: Annotated[str | None, typer.Option("--session", metavar="DATE")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="KEY=VALUE", help="A parameter.")
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Set = None,
    state_dir: StateDir = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what a run would do: order, units, critical path, what is skipped. Nothing runs."""
    found = _planned(
        (pipeline, session, param),
        config=config,
        profile=profile,
        overrides=overrides,
        state=state_dir,
    )
    printer = Printer(output)
    if output is not Format.TABLE:
        printer.record(found)
        return
    rows = [
        {**unit, "expected": _length(unit), "critical": "*" if unit["is_critical"] else None}
        for unit in found["units"]
    ]
    printer.rows(rows, _UNIT_COLUMNS)
    _tell(found)


def _planned(asked: tuple[str, str | None, list[str] | None], **where: Any) -> dict[str, Any]:  # noqa: ANN401 - options as typer gives them
    from datetime import date

    import anyio

    from openbell.app.planning import planned
    from openbell.execution.chains import GraphError
    from openbell.model.control import Submission, UnknownPipelineError
    from openbell.model.places import state_dir as find_state_dir
    from openbell.sdk.errors import SettingsError

    name, session, param = asked
    loaded, registry = load(where["config"], where["profile"], where["overrides"])
    refused = loaded.deployment.refused.get(name)
    if refused:
        raise CliError(BAD_CONFIG, f"pipeline {name!r} is refused: {refused}")
    try:
        label = date.fromisoformat(session) if session else None
    except ValueError as error:
        raise CliError(
            USAGE, f"--session {session!r} is no date", hint="write 2026-01-31"
        ) from error
    submission = Submission(pipeline=name, session=label, params=dict(map(param_of, param or ())))
    directory = find_state_dir(os.environ, where["state"])
    try:
        return anyio.run(planned, loaded.deployment, registry, submission, directory)
    except UnknownPipelineError as error:
        raise CliError(NOT_FOUND, str(error)) from error
    except SettingsError as error:
        raise bad_config(error) from error
    except GraphError as error:
        raise CliError(BAD_CONFIG, str(error)) from error


def _length(unit: dict[str, Any]) -> str:
    if unit["seconds"] is None:
        return "unknown"
    return f"{span(unit['seconds'])} ({unit['source']})"


def _tell(found: dict[str, Any]) -> None:
    path = found["critical_path"]
    unknown = f", and {', '.join(path['unknown'])} of unknown length" if path["unknown"] else ""
    say(f"critical path: {' > '.join(path['units'])}: {span(path['seconds'])}{unknown}")
    for skip in found["skips"]:
        say(f"{skip['node']} {'is' if skip['is_certain'] else 'may be'} skipped: {skip['reason']}")
    for need in found["needs"]:
        words = {True: "is there", False: "is not there yet", None: "is not known"}[need["met"]]
        say(f"{need['kind']} {need['name']} {words}: {need['why']}")
    for name, slots in found["pools"].items():
        say(f"pool {name} has {slots} slots")
    for note in found["notes"]:
        say(note)
