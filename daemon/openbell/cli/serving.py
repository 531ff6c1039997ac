"""`mdp daemon run`: serve in this process, as the systemd unit does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from openbell.cli.configuration import bad_config, found_file
from openbell.cli.errors import TRY_LATER, CliError, of_fatal
from openbell.cli.options import ConfigFile, Profile, Set, StateDir


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(no_args_is_help=True, help="Be the daemon.")
    group.callback()(_group)
    group.command("run")(run)
    app.add_typer(group, name="daemon")


def _group() -> None:
    """Be the daemon."""


def run(
    *,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Set = None,
    socket: Annotated[
        Path | None,
        typer.Option("--socket", envvar="OPENBELL_SOCKET", help="Where to listen."),
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Serve until SIGTERM (lets batches in hand end) or a second one (stops at once)."""
    import anyio

    from openbell.app.assembly import Place
    from openbell.app.daemon import run_daemon
    from openbell.cli.running import unwrapped
    from openbell.history.errors import HistoryBusyError
    from openbell.history.lock import StateInUseError
    from openbell.model.places import socket_to_serve
    from openbell.model.places import state_dir as find_state_dir
    from openbell.sdk.errors import FatalError, RetryableError, SettingsError

    state = find_state_dir(os.environ, state_dir)
    place = Place(
        config=found_file(config).absolute(),
        state_dir=state,
        profile=profile,
        overrides=tuple(item.partition("=")[::2] for item in overrides or ()),
    )
    path = socket_to_serve(os.environ, state, socket)
    try:
        with unwrapped():
            anyio.run(run_daemon, place, path, os.environ)
    except SettingsError as error:
        raise bad_config(error) from error
    except (StateInUseError, HistoryBusyError, RetryableError) as error:
        raise CliError(TRY_LATER, str(error)) from error
    except FatalError as error:
        raise of_fatal(error) from error
