"""A process that the daemon started, and what the kernel says of it when it has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO


class Child:
    """Leads a session of its own. `peak_memory_bytes` and `returncode` are known once it ended.

    The peak is of the process alone and, where it set its own back, since then.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: IO[bytes],
        pass_fds: Sequence[int],
        env: Mapping[str, str],
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - a worker of our own
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
            env=env,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.peak_memory_bytes = 0
        self._ended = asyncio.Event()
        self._handle = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(self._handle, self._reap)

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal of one that was killed, None of one that is alive."""
        return self._process.returncode

    async def wait(self) -> int:
        """Return the exit code, once there is one. Anybody may wait."""
        await self._ended.wait()
        assert self._process.returncode is not None
        return self._process.returncode

    def kill(self) -> None:
        """Kill it and everything of its session that stayed in its group."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and its group; nothing, when that is gone."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def _reap(self) -> None:
        _, status, usage = os.wait4(self.pid, 0)
        self.peak_memory_bytes = usage.ru_maxrss * 1024
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.close()
        self._ended.set()

    def close(self) -> None:
        """Hear nothing more of it. Safe to call twice."""
        if self._handle >= 0:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1
