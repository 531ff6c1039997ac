"""The command `mdp` (also `openbell`)."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from openbell.cli import (
    calendars,
    configuration,
    control,
    data,
    demo,
    differences,
    explain,
    inspection,
    letters,
    listing,
    planning,
    rehearsing,
    running,
    schedules,
    serving,
    steering,
    templates,
    waiting,
)
from openbell.cli.errors import CliError, of_system
from openbell.cli.render import say, use_colour

_HELP = "Keep market data complete, correct and on time."


def build() -> typer.Typer:
    """Return the command with all its verbs."""
    app = typer.Typer(
        name="mdp",
        help=_HELP,
        no_args_is_help=True,
        invoke_without_command=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(root)
    for module in (
        demo,
        running,
        serving,
        control,
        steering,
        configuration,
        differences,
        templates,
        listing,
        inspection,
        waiting,
        data,
        calendars,
        schedules,
        rehearsing,
        letters,
        explain,
        planning,
    ):
        module.register(app)
    return app


def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Keep market data complete, correct and on time."""
    if version:
        from openbell import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command and exit with its code."""
    try:
        build()()
    except (CliError, OSError) as error:
        told = of_system(error) if isinstance(error, OSError) else error
        say(_painted(told.text))
        sys.exit(told.code)


def _painted(text: str) -> str:
    if not use_colour(sys.stderr):
        return text
    return text.replace("error:", "\x1b[31merror:\x1b[0m", 1)
