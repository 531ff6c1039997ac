"""Tell the service manager how the daemon stands: sd_notify(3) over `NOTIFY_SOCKET`."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping

SEND_TIMEOUT_S = 1.0


def monotonic_us() -> int:
    """Return microseconds of CLOCK_MONOTONIC, the one clock that systemd compares with."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


class Notifier:
    """Sends state changes to `address`, a datagram socket's path; `@` begins an abstract one.

    Without an address every call does nothing: the daemon then runs in a terminal. A manager that
    is gone is no reason to stop working: `failure_count` says how many messages did not arrive.
    """

    def __init__(self, address: str | None, *, now_us: Callable[[], int] = monotonic_us) -> None:
        self._address = _socket_address(address)
        self._now_us = now_us
        self.failure_count = 0

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> Notifier:
        """Return the notifier for `NOTIFY_SOCKET` of `env`."""
        return cls(env.get("NOTIFY_SOCKET"))

    @property
    def is_enabled(self) -> bool:
        """Whether somebody listens."""
        return self._address is not None

    def ready(self, status: str = "") -> bool:
        """Say that start-up, or the reload begun with `reloading`, is complete."""
        return self.send(READY="1", STATUS=status)

    def status(self, status: str) -> bool:
        """Set the one line that `systemctl status` shows."""
        return self.send(STATUS=status)

    def reloading(self, status: str = "") -> bool:
        """Say that a reload has begun; `ready` must follow."""
        return self.send(RELOADING="1", MONOTONIC_USEC=str(self._now_us()), STATUS=status)

    def stopping(self, status: str = "") -> bool:
        """Say that the daemon is on its way out."""
        return self.send(STOPPING="1", STATUS=status)

    def extend_timeout(self, by_us: int) -> bool:
        """Ask for `by_us` microseconds more to start, reload or stop in."""
        return self.send(EXTEND_TIMEOUT_USEC=str(by_us))

    def watchdog(self) -> bool:
        """Say that the daemon is alive."""
        return self.send(WATCHDOG="1")

    def main_pid(self, pid: int) -> bool:
        """Say which process is the daemon, when it is not the one that was started."""
        return self.send(MAINPID=str(pid))

    def send(self, **fields: str) -> bool:
        """Send the fields that are not empty as one datagram; return whether it was taken.

        Line breaks inside a value are sent as spaces. Waits at most `SEND_TIMEOUT_S` for a
        manager whose queue is full.
        """
        if self._address is None:
            return False
        lines = [f"{key}={' '.join(text.splitlines())}" for key, text in fields.items() if text]
        with contextlib.closing(
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        ) as line:
            line.settimeout(SEND_TIMEOUT_S)
            try:
                line.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                self.failure_count += 1
                return False
        return True


def _socket_address(address: str | None) -> str | None:
    """Return `address` as the kernel wants it; None for a kind that is not a Unix socket."""
    if not address:
        return None
    if address.startswith("@"):
        return "\0" + address[1:]
    return address if address.startswith("/") else None
