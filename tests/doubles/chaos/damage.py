"""What a storm breaks: the tail of a write-ahead log, room on the disk, and whom it kills."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WAL_HEAD = 32
_FRAME_HEAD = 24
_MAGIC = (0x377F0682, 0x377F0683)


def _checksum(data: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    """Return the checksum of a write-ahead log (SQLite file format, section 4.2)."""
    one, two = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + two) & 0xFFFFFFFF
        two = (two + odd + one) & 0xFFFFFFFF
    return one, two


def committed_bytes(log: bytes) -> int:
    """Return how much of a write-ahead log belongs to committed transactions."""
    if len(log) < _WAL_HEAD:
        return 0
    magic, _, page_size, _, salt_1, salt_2, sum_1, sum_2 = struct.unpack(">8I", log[:_WAL_HEAD])
    order = ">" if magic == _MAGIC[1] else "<"
    if magic not in _MAGIC or _checksum(log[:24], (0, 0), order) != (sum_1, sum_2):
        return 0
    so_far, at, committed = (sum_1, sum_2), _WAL_HEAD, 0
    while at + _FRAME_HEAD + page_size <= len(log):
        head = log[at : at + _FRAME_HEAD]
        _, size_after, *salts_and_sums = struct.unpack(">6I", head)
        so_far = _checksum(head[:8], so_far, order)
        so_far = _checksum(log[at + _FRAME_HEAD : at + _FRAME_HEAD + page_size], so_far, order)
        if salts_and_sums != [salt_1, salt_2, *so_far]:
            break
        at += _FRAME_HEAD + page_size
        if size_after:
            committed = at
    return committed


def tear(database: Path, chance: random.Random) -> str:
    """Do to the log of a dead daemon what a power cut may: harm what follows the last commit.

    Whatever was acknowledged was synced, so no byte up to the last commit's last frame changes.
    """
    path = database.with_name(database.name + "-wal")
    try:
        log = path.read_bytes()
    except FileNotFoundError:
        return "no log"
    kept = committed_bytes(log)
    how = chance.choice(("cut", "garbage", "flip", "half a frame"))
    if how == "cut" and kept:
        log = log[: chance.randint(kept, len(log))]
    elif how == "flip" and len(log) > kept > 0:
        broken = bytearray(log)
        for _ in range(chance.randrange(1, 20)):
            broken[chance.randrange(kept, len(log))] ^= 1 << chance.randrange(8)
        log = bytes(broken)
    elif how == "half a frame" and kept > _WAL_HEAD:
        log = log[:kept] + log[_WAL_HEAD : _WAL_HEAD + chance.randrange(1, 4000)]
    elif kept:
        log = log[:kept] + chance.randbytes(chance.randrange(1, 20_000))
    with contextlib.suppress(OSError):  # a full disk tears by itself
        path.write_bytes(log)
    return how


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[bool]:
    """Mount a disk of `size_mb` at `folder`; yield whether that was possible."""
    options = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "openbell", str(folder)]
    is_root = os.geteuid() == 0
    is_mounted = (
        is_root and subprocess.run(options, capture_output=True, check=False).returncode == 0
    )
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, *, left_bytes: int) -> Path:
    """Fill a disk up to `left_bytes`; delete what is returned to free it again."""
    path = disk / "filler"
    found = os.statvfs(disk)
    size_bytes = max(0, found.f_bavail * found.f_frsize - left_bytes)
    with path.open("ab") as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(1, size_bytes))
    return path


def children(pid: int) -> list[int]:
    """Return the processes that `pid` started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.extend(int(child) for child in task.read_text().split())
    return found


def marked(folder: Path) -> list[int]:
    """Return living processes whose environment names `folder`."""
    wanted, own, found = str(folder).encode(), os.getpid(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != own:
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found
