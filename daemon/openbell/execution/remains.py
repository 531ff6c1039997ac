"""Where a worker leaves what is to be known of it after its death, and what is read there."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from openbell.execution.black_box import BlackBox
from openbell.execution.child import Child
from openbell.execution.last_words import Death, LastWords, out_of_memory, stacks
from openbell.model.runs import LogLine

_REPORT_BYTES = 64 * 1024
_RECENT_LINES = 5
_OOM_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


class OomKills:
    """Counts what the kernel's out-of-memory killer did, in the daemon's cgroup where that tells."""

    def __init__(self) -> None:
        self._file = _counter()
        self._known = self._count()

    def take(self) -> bool:
        """Return whether it killed a process that no death was put down to yet, and take that one."""
        if self._count() <= self._known:
            return False
        self._known += 1
        return True

    def _count(self) -> int:
        try:
            found = _OOM_KILLS.search(self._file.read_text(encoding="ascii"))
        except OSError:
            return 0
        return int(found[1]) if found else 0


def _counter() -> Path:
    """Return the file that counts kills: of the daemon's own cgroup (v2), else of the machine."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        groups = []
    own = next((line[3:].lstrip("/") for line in groups if line.startswith("0::")), None)
    file = Path("/sys/fs/cgroup", own or "", "memory.events")
    return file if own is not None and file.is_file() else Path("/proc/vmstat")


class Remains:
    """What is left of one worker. Its crash file and its box are there until `clear`."""

    def __init__(
        self, box: BlackBox, crash_file: Path, *, limit_bytes: int | None, oom_kills: OomKills
    ) -> None:
        self._box = box
        self._limit_bytes = limit_bytes
        self._oom_kills = oom_kills
        self._recent: deque[str] = deque(maxlen=_RECENT_LINES)
        self._words: LastWords | None = None
        self.crash_file = crash_file

    def heard(self, lines: Iterable[LogLine]) -> None:
        """Remember the newest lines that it reported: they may say what it died of."""
        self._recent.extend(line.text for line in lines)

    def report_bytes(self) -> int:
        """Return how long its crash report is by now."""
        try:
            return self.crash_file.stat().st_size
        except OSError:
            return 0

    def tail(self) -> str:
        """Return the last of its crash report, and of what it wrote outside of tasks."""
        try:
            text = self.crash_file.read_bytes()[-_REPORT_BYTES:].decode("utf-8", "replace")
        except OSError:
            return ""
        return stacks(text)

    def last_words(self, child: Child) -> LastWords:
        """Return what it left behind; it has ended, or is given up."""
        if self._words is None:
            self._words = LastWords(
                tail=self.tail(),
                output=tuple(self._box.unheard()),
                at_work=self._box.at_work(),
                peak_memory_bytes=child.peak_memory_bytes,
            )
        return self._words

    def out_of_memory(self, child: Child, how: str) -> str:
        """Return why it ran out of memory, nothing if it died of something else."""
        words = self.last_words(child)
        death = Death(
            exit_code=child.returncode,
            how=how,
            peak_bytes=child.peak_memory_bytes,
            limit_bytes=self._limit_bytes,
            was_oom_kill=child.returncode == -9 and self._oom_kills.take(),
        )
        output = [*self._recent, *(line for _, line in words.output[-_RECENT_LINES:])]
        return out_of_memory(death, "\n".join([words.tail, *output]))

    def clear(self) -> None:
        """Keep nothing but what was read. Safe to call twice."""
        self._box.close()
        self.crash_file.unlink(missing_ok=True)
