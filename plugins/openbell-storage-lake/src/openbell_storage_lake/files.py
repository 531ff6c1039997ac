"""Files on disk: durable, named after the process that writes them, and swept when it is gone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from openbell.sdk.errors import FatalError, RetryableError

INTERNAL = "_openbell"
L0 = f"{INTERNAL}/l0"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def fsync_path(path: Path) -> None:
    """Return once the file or folder `path` is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Create `path` and its missing parents, durably."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    fsync_path(path.parent)


def _started(pid: int) -> str | None:
    """Return when process `pid` started (clock ticks since boot), None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rsplit(")", 1)[-1].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


@lru_cache(maxsize=1)
def _machine() -> str:
    """Return a word for this boot of this machine and this namespace of process ids."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    space = Path("/proc/self/ns/pid").stat().st_ino
    return f"{boot.replace('-', '')[:12]}{space:x}"


def new_name() -> str:
    """Return a file name that nobody else uses and that tells who writes it."""
    pid = os.getpid()
    return f"{_machine()}-{pid}-{_started(pid)}-{secrets.token_hex(6)}.parquet"


def owner_is_gone(name: str, *, age_s: float, stray_s: float) -> bool:
    """Return whether the writer of the file called `name` cannot commit it any more."""
    parts = name.removesuffix(".parquet").split("-")
    if len(parts) != 4 or parts[0] != _machine() or not parts[1].isdigit():
        return age_s > stray_s
    return _started(int(parts[1])) != parts[2]


@contextlib.contextmanager
def folder_lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock file `path`; yields False when another holds it and `wait` is off."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Delete the file `path` if it is there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _is_full(place: Path) -> bool:
    """Return whether the disk that holds `place` has no room for the memory of one connection."""
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    room = os.statvfs(there)
    return room.f_bavail * room.f_frsize < 65_536


@contextlib.contextmanager
def translated(place: Path) -> Iterator[None]:
    """Turn the disk's errors into openbell's: full or busy may pass, refused and broken do not."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "readonly" in str(error) or "unable to open" in str(error):
            raise FatalError(f"the lake at {place} cannot be written: {error}") from error
        if _is_full(place):  # SQLite then calls it an I/O error, or a lock it cannot make
            raise RetryableError(f"the disk of the lake at {place} is full: {error}") from error
        raise RetryableError(f"the lake at {place} is busy: {error}") from error
    except sqlite3.DatabaseError as error:
        raise FatalError(
            f"the manifest of the lake at {place} is damaged: {error}; "
            f"restore its {INTERNAL} folder from a backup"
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise RetryableError(f"the disk of the lake at {place} is full: {error}") from error
        if error.errno in _REFUSED:
            raise FatalError(f"the lake at {place} cannot be used: {error}") from error
        raise RetryableError(f"the lake at {place} failed: {error}") from error
