"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openbell.cli.render import Format

Output = Annotated[
    Format, typer.Option("--output", "-o", help="How to write data.", show_default=True)
]
Socket = Annotated[
    Path | None,
    typer.Option(
        "--socket", envvar="OPENBELL_SOCKET", help="The daemon's Unix socket.", show_default=False
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", envvar="OPENBELL_STATE_DIR", help="Where history is.", show_default=False
    ),
]
Tz = Annotated[
    str,
    typer.Option("--tz", envvar="OPENBELL_TZ", help="Time zone of tables: UTC, local or a name."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="OPENBELL_CONFIG",
        readable=False,  # the loader says what is wrong, as it does for every other fault
        help="The configuration file [./openbell.yaml, /etc/openbell/openbell.yaml].",
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", envvar="OPENBELL_PROFILE", help="A profile to merge over the file."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the configuration."),
]
