"""Real signals to a real process, answered through the engine and the notify socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import pytest

pytestmark = pytest.mark.integration

_DAEMON = """
import sys
import anyio
from datetime import UTC, datetime
from openbell.model.events import ConfigReloaded
from openbell.sdk.errors import Problem, SettingsError
from openbell.service.notify import Notifier
from openbell.service.signals import run_signals

class Engine:
    def __init__(self): self.reloads = 0; self.stopped = anyio.Event()
    async def reload(self):
        self.reloads += 1
        if self.reloads == 2:
            raise SettingsError([Problem(message="unknown key", key="jobs.x", file="f.yaml", line=3)])
        return ConfigReloaded(at=datetime(2026, 1, 2, tzinfo=UTC), digest="d", added=["a", "b"])
    def request_stop(self, *, fast):
        print("fast" if fast else "drain", flush=True)
        if fast: self.stopped.set()

async def main():
    engine, notifier = Engine(), Notifier.from_environment()
    async with anyio.create_task_group() as tasks:
        await tasks.start(run_signals, engine, notifier)
        notifier.ready("up")
        await engine.stopped.wait()
        tasks.cancel_scope.cancel()

anyio.run(main)
"""


class _Daemon:
    def __init__(self, process: subprocess.Popen[str], manager: socket.socket) -> None:
        self.process = process
        self._manager = manager

    def told(self) -> list[str]:
        lines = self._manager.recv(4096).decode().split("\n")
        return [line for line in lines if not line.startswith("MONOTONIC_USEC=")]

    def signal(self, number: Signals) -> None:
        self.process.send_signal(number)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[_Daemon]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        with subprocess.Popen(
            [sys.executable, "-c", _DAEMON],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            running = _Daemon(process, manager)
            assert running.told() == ["READY=1", "STATUS=up"]
            yield running
            if process.poll() is None:
                process.kill()


def test_hup_reloads_and_tells_before_and_after(daemon: _Daemon) -> None:
    daemon.signal(Signals.SIGHUP)
    assert daemon.told() == ["RELOADING=1", "STATUS=reloading the configuration"]
    assert daemon.told() == ["READY=1", "STATUS=reloaded: 2 added, 0 changed, 0 removed"]


def test_a_refused_reload_is_shown_and_the_daemon_goes_on(daemon: _Daemon) -> None:
    for _ in range(2):
        daemon.signal(Signals.SIGHUP)
        daemon.told()
        last = daemon.told()
    assert last == ["READY=1", "STATUS=reload refused: f.yaml:3: jobs.x: unknown key"]
    assert daemon.process.poll() is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Signals.SIGTERM, Signals.SIGTERM),
        (Signals.SIGINT, Signals.SIGINT),
        (Signals.SIGTERM, Signals.SIGINT),
    ],
)
def test_the_first_request_drains_and_the_second_stops_at_once(
    daemon: _Daemon, first: Signals, second: Signals
) -> None:
    daemon.signal(first)
    assert daemon.told() == ["STOPPING=1", "STATUS=draining: letting work in hand end"]
    daemon.signal(second)
    assert daemon.told() == ["STOPPING=1", "STATUS=stopping at once"]
    assert daemon.process.wait(timeout=20) == 0
    assert daemon.process.stdout is not None
    assert daemon.process.stdout.read().split() == ["drain", "fast"]
