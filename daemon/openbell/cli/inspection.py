"""Verbs that look at this installation: plugins, doctor."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from openbell.cli.connect import client
from openbell.cli.errors import NOT_MET, CliError
from openbell.cli.options import ConfigFile, Output, Profile, Socket, StateDir
from openbell.cli.render import Format, Printer, say
from openbell.model.places import (
    MAX_SOCKET_PATH_BYTES,
    config_file,
    socket_to_call,
)
from openbell.model.places import state_dir as find_state_dir

Check = tuple[str, str, str]
"""What was looked at, ok | warn | fail, and what was seen."""


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(plugins)
    app.command()(doctor)


def plugins(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="With the traceback of refused ones.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """List plugins: what each registers, or why it was refused."""
    from openbell.plugin_host import load_plugins

    registry = load_plugins()
    rows = [_plugin(info) for info in registry.plugins]
    Printer(output).rows(rows, ("name", "distribution", "version", "state", "registers", "reason"))
    for info in registry.plugins:
        for warning in info.warnings:
            say(f"warning: plugin {info.name}: {warning}")
        if verbose and info.traceback:
            say(f"plugin {info.name}:\n{info.traceback}")


def _plugin(info: Any) -> dict[str, Any]:  # noqa: ANN401 - a PluginInfo, imported late
    return {
        "name": info.name,
        "distribution": info.distribution,
        "version": info.version,
        "state": info.state,
        "registers": {kind: list(names) for kind, names in info.registers.items() if names},
        "reason": info.reason,
        "warnings": list(info.warnings),
    }


def doctor(
    *,
    config: ConfigFile = None,
    profile: Profile = None,
    socket: Socket = None,
    state_dir: StateDir = None,
    output: Output = Format.TABLE,
) -> None:
    """Look for what would stop the daemon. Exit 3 when something would."""
    state = find_state_dir(os.environ, state_dir)
    checks = [
        *_python(),
        *_plugins(),
        *_configuration(config, profile),
        *_state(state),
        *_history(state),
        *_daemon(socket, state_dir, state),
    ]
    rows = [{"check": what, "result": result, "seen": seen} for what, result, seen in checks]
    Printer(output).rows(rows, ("check", "result", "seen"))
    failures = [what for what, result, _ in checks if result == "fail"]
    if failures:
        raise CliError(NOT_MET, f"not in order: {', '.join(failures)}")


def _python() -> Iterator[Check]:
    version = ".".join(str(number) for number in sys.version_info[:3])
    yield "python", "ok" if sys.version_info >= (3, 11) else "fail", version


def _plugins() -> Iterator[Check]:
    from openbell.plugin_host import load_plugins

    for info in load_plugins().plugins:
        result = "ok" if info.state == "loaded" else "warn"
        yield f"plugin {info.name}", result, info.reason or f"{info.distribution} {info.version}"


def _configuration(given: Path | None, profile: str | None) -> Iterator[Check]:
    from openbell.cli.configuration import load

    path = config_file(os.environ, given)
    if path is None:
        yield "configuration", "warn", "there is none; name one with --config"
        return
    try:
        loaded, _ = load(path, profile, None)
    except CliError as error:
        yield "configuration", "fail", "; ".join((str(error), *error.details))
        return
    yield "configuration", "ok", f"{path}, {len(loaded.deployment.pipelines)} pipelines"
    for name, reason in loaded.deployment.refused.items():
        yield f"pipeline {name}", "warn", f"refused: {reason}"


def _state(directory: Path) -> Iterator[Check]:
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    is_writable = os.access(there, os.W_OK | os.X_OK) and there.is_dir()
    words = f"{directory}" if there == directory else f"{directory}, to be made in {there}"
    yield "state directory", "ok" if is_writable else "fail", words
    if is_writable:
        stats = os.statvfs(there)
        free = stats.f_bavail * stats.f_frsize
        yield "free space", "ok" if free > 1 << 30 else "warn", f"{free / (1 << 30):.1f} GiB"


def _history(directory: Path) -> Iterator[Check]:
    from openbell.history.errors import HistoryRefusedError
    from openbell.history.inspection import inspect

    path = directory / "history.sqlite"
    if not path.exists():
        yield "history", "ok", f"{path} is yet to be made"
        return
    try:
        facts = inspect(path)
    except (HistoryRefusedError, OSError) as error:
        yield "history", "fail", str(error)
        return
    if facts.schema > facts.known_schema:
        yield "history", "fail", f"{path}, schema {facts.schema}: a newer openbell wrote it"
    else:
        size = f"{facts.size_bytes / 1e6:.1f} MB, log {facts.log_bytes / 1e6:.1f} MB"
        schema = f"schema {facts.schema} of {facts.known_schema}"
        yield "history", "ok", f"{path}, every page in order, {schema}, {size}"
    backup = facts.backup
    yield (
        "backup",
        "ok" if backup else "warn",
        str(backup or "there is none yet; one is made daily"),
    )


def _daemon(socket: Path | None, given: Path | None, state: Path) -> Iterator[Check]:
    path = socket_to_call(os.environ, state, socket)
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        yield "socket", "fail", f"{path} is {length} bytes long, {MAX_SOCKET_PATH_BYTES} fit"
        return
    try:
        status = client(socket, given, timeout_s=5).get("/api/v1/status")
    except CliError as error:
        yield "daemon", "warn", str(error)
        return
    yield "daemon", "ok", f"pid {status['pid']}, {status['state']}, {status['pipelines']} pipelines"
