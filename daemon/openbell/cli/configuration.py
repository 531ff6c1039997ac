"""Verbs about the configuration: validate, schema, config view."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openbell.cli import conflicts
from openbell.cli.errors import BAD_CONFIG, NOT_FOUND, USAGE, CliError, is_about_a_run
from openbell.cli.options import ConfigFile, Output, Profile, Set, StateDir
from openbell.cli.render import Format, Printer, say
from openbell.model.places import config_file

if TYPE_CHECKING:
    from openbell.config.load import Loaded
    from openbell.plugin_host import Registry
    from openbell.sdk.errors import SettingsError


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(validate)
    app.command()(schema)
    config = typer.Typer(no_args_is_help=True, help="Look at the configuration.")
    config.callback()(_config)
    config.command("view")(view)
    app.add_typer(config, name="config")


def _config() -> None:
    """Look at the configuration."""


def validate(
    *,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Set = None,
    horizon: Annotated[
        str | None,
        typer.Option(
            "--horizon", metavar="DAYS", help="Look for conflicts so far ahead, such as 400d."
        ),
    ] = None,
    state_dir: StateDir = None,
    output: Output = Format.TABLE,
) -> None:
    """Check a configuration as the daemon would. Exit 78 with every problem if it is wrong.

    With --horizon also say what will not go as planned; exit 3 if anything will not.
    """
    days = None if horizon is None else conflicts.length(horizon)
    loaded, _ = load(config, profile, overrides)
    deployment = loaded.deployment
    for name, reason in deployment.refused.items():
        say(f"warning: pipeline {name} is refused: {reason}")
    found = {
        "source": deployment.source,
        "profile": deployment.profile,
        "digest": deployment.digest,
        "providers": len(deployment.providers),
        "storage": len(deployment.storage),
        "datasets": len(deployment.datasets),
        "pipelines": len(deployment.pipelines),
        "refused": dict(deployment.refused),
    }
    if days is None:
        Printer(output).record(found)
        return
    ahead = conflicts.look(deployment, state_dir, first=None, days=days)
    Printer(output).record({**found, "conflicts": conflicts.rows_of(ahead)})
    if output is Format.TABLE:
        conflicts.tell(ahead, days)
    conflicts.leave(ahead)


def schema(
    output: Annotated[
        Path | None, typer.Option("--out", help="Write to this file.", show_default=False)
    ] = None,
) -> None:
    """Print the JSON Schema of the configuration, installed plugins included."""
    import json

    from openbell.config.json_schema import json_schema
    from openbell.plugin_host import load_plugins

    text = json.dumps(json_schema(load_plugins()), indent=2)
    if output is None:
        print(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")
        say(f"wrote {output}")


def view(
    *,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Set = None,
    show_origin: Annotated[
        bool, typer.Option("--show-origin", help="Say where each value comes from.")
    ] = False,
    output: Output = Format.YAML,
) -> None:
    """Show every setting in force, without secrets."""
    from openbell.config.origins import nested, settings_in_force

    loaded, registry = load(config, profile, overrides)
    settings = settings_in_force(loaded, registry)
    if not show_origin and output is not Format.TABLE:
        Printer(output).record(nested(settings))
        return
    rows = [
        {"key": setting.key, "value": setting.value, "origin": setting.origin}
        for setting in settings
    ]
    shown = Format.TABLE if output is Format.YAML and show_origin else output
    Printer(shown).rows(rows, ("key", "value", "origin") if show_origin else ("key", "value"))


def load(
    config: Path | None, profile: str | None, overrides: list[str] | None
) -> tuple[Loaded, Registry]:
    """Return the configuration and the plugins; raises CliError with every problem."""
    from openbell.app.loading import load_whole
    from openbell.plugin_host import load_plugins
    from openbell.sdk.errors import SettingsError

    path = found_file(config)
    registry = load_plugins()
    try:
        loaded = load_whole(
            path,
            registry=registry,
            env=os.environ,
            profile=profile,
            overrides=dict(map(_override, overrides or ())),
        )
    except SettingsError as error:
        raise bad_config(error) from error
    return loaded, registry


def found_file(config: Path | None) -> Path:
    """Return the configuration file to read; raises CliError when none is there."""
    path = config_file(os.environ, config)
    if path is None:
        raise CliError(
            NOT_FOUND,
            "there is no configuration file",
            hint="name one with --config FILE; `mdp demo` needs none",
        )
    return path


def bad_config(error: SettingsError) -> CliError:
    """Return the error for a configuration that cannot be used."""
    count = len(error.problems)
    words = "1 problem" if count == 1 else f"{count} problems"
    if is_about_a_run([problem.key for problem in error.problems]):
        return CliError(
            USAGE,
            f"the run cannot be asked for like this: {words}",
            details=[str(problem) for problem in error.problems],
        )
    return CliError(
        BAD_CONFIG,
        f"the configuration cannot be used: {words}",
        details=[str(problem) for problem in error.problems],
    )


def _override(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CliError(USAGE, f"--set {text!r} is not understood", hint="write --set KEY=VALUE")
    return key, value
