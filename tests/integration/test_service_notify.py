"""What arrives at a real datagram socket, as systemd's would be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from openbell.service.notify import Notifier
from openbell.service.watchdog import Watchdog
from openbell.testing.clock import ManualClock

pytestmark = pytest.mark.integration


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Yield a bound datagram socket and its NOTIFY_SOCKET spelling."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(5)
        if request.param == "path":
            address = str(tmp_path / "notify")
            receiver.bind(address)
        else:
            address = f"@openbell-{os.getpid()}-{tmp_path.name}"
            receiver.bind("\0" + address[1:])
        yield address, receiver


def _received(receiver: socket.socket) -> dict[str, str]:
    lines = receiver.recv(4096).decode().split("\n")
    return dict(line.split("=", maxsplit=1) for line in lines)


def test_every_message_arrives_as_the_protocol_writes_it(
    manager: tuple[str, socket.socket],
) -> None:
    address, receiver = manager
    notifier = Notifier(address)
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert notifier.ready("3 pipelines")
    assert _received(receiver) == {"READY": "1", "STATUS": "3 pipelines"}
    assert notifier.status("fetching\nall of it")
    assert _received(receiver) == {"STATUS": "fetching all of it"}
    assert notifier.reloading()
    reloading = _received(receiver)
    assert reloading["RELOADING"] == "1"
    now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before_us <= int(reloading["MONOTONIC_USEC"]) <= now_us
    assert notifier.stopping("draining")
    assert _received(receiver) == {"STOPPING": "1", "STATUS": "draining"}
    assert notifier.watchdog()
    assert _received(receiver) == {"WATCHDOG": "1"}
    assert notifier.main_pid(77)
    assert _received(receiver) == {"MAINPID": "77"}
    assert notifier.extend_timeout(5_000_000)
    assert _received(receiver) == {"EXTEND_TIMEOUT_USEC": "5000000"}
    assert notifier.failure_count == 0


def test_another_process_reaches_the_socket_through_its_environment(
    manager: tuple[str, socket.socket],
) -> None:
    address, receiver = manager
    code = (
        "from openbell.service.notify import Notifier as N; assert N.from_environment().ready('up')"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NOTIFY_SOCKET": address},
        check=True,
        timeout=30,
    )
    assert _received(receiver) == {"READY": "1", "STATUS": "up"}


async def test_beats_become_watchdog_datagrams_and_silence_becomes_none(
    manager: tuple[str, socket.socket],
) -> None:
    address, receiver = manager
    clock = ManualClock(datetime(2026, 1, 2, tzinfo=UTC))
    watchdog = Watchdog(Notifier(address), clock, 2.0)
    async with anyio.create_task_group() as tasks:
        watchdog.beat()
        tasks.start_soon(watchdog.run)
        await clock.advance(timedelta(seconds=1))
        await clock.advance(timedelta(seconds=60))
        tasks.cancel_scope.cancel()
    assert [_received(receiver), _received(receiver)] == [{"WATCHDOG": "1"}] * 2
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recv(4096)


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234"])
def test_without_a_manager_nothing_is_sent_and_nothing_fails(address: str | None) -> None:
    notifier = Notifier(address)
    assert not notifier.is_enabled
    assert not notifier.ready()
    assert notifier.failure_count == 0


def test_a_manager_that_is_gone_is_counted_and_survived(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "gone"))
    assert not notifier.ready()
    assert notifier.failure_count == 1
