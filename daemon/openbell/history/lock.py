"""One daemon a state directory: a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import msgspec

from openbell.sdk.errors import FatalError

LOCK_NAME = "openbell.lock"

_TRIES = 5
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInfo:
    """Who holds a state directory; `socket` is None for a run in the foreground."""

    pid: int
    socket: str | None
    version: str


class StateInUseError(FatalError):
    """Another openbell holds `state_dir`; `holder` says who, if it could be read."""

    kind: ClassVar[str] = "state_in_use"

    def __init__(self, state_dir: Path, holder: LockInfo | None) -> None:
        who = "another process"
        if holder is not None:
            serving = f", serving {holder.socket}" if holder.socket else ""
            who = f"process {holder.pid} (openbell {holder.version}{serving})"
        super().__init__(
            f"state directory {state_dir} is in use by {who}; "
            "stop it, or choose another state directory"
        )
        self.state_dir = state_dir
        self.holder = holder


class StateDirError(FatalError):
    """The state directory cannot be used at all: missing rights, a file in its place."""

    kind: ClassVar[str] = "state_dir"

    def __init__(self, state_dir: Path, error: OSError) -> None:
        super().__init__(f"state directory {state_dir} cannot be used: {error.strerror or error}")
        self.state_dir = state_dir


class StateLock:
    """Holds a state directory from `acquire` to `release`, or as a context manager."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._fd: int | None = None

    def acquire(self, *, version: str, socket: str | None = None) -> Self:
        """Take the directory, making it where there is none; says in it who we are.

        Raises StateInUseError while anyone holds it, and StateDirError if it cannot be used. The
        kernel lets go of it when the holder dies, however it dies.
        """
        try:
            self._state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
            fd = os.open(self._state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as error:
            raise StateDirError(self._state_dir, error) from error
        if not _locked(fd, fcntl.LOCK_EX):
            holder = _read(fd)
            os.close(fd)
            raise StateInUseError(self._state_dir, holder)
        self._fd = fd
        info = LockInfo(pid=os.getpid(), socket=socket, version=version)
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, msgspec.json.encode(asdict(info)) + b"\n", 0)
        except OSError as error:
            self.release()
            raise StateDirError(self._state_dir, error) from error
        return self

    def release(self) -> None:
        """Let go of the directory; does nothing when it is not held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.ftruncate(fd, 0)
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def serving(state_dir: Path) -> LockInfo | None:
    """Return who holds `state_dir`, or None when nobody does or it is not there."""
    try:
        fd = os.open(state_dir / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return None
    try:
        if _locked(fd, fcntl.LOCK_SH, tries=1):
            return None
        return _read(fd)
    finally:
        os.close(fd)


def _locked(fd: int, how: int, *, tries: int = _TRIES) -> bool:
    """Take the lock; tries a few times, since `serving` holds a shared one for an instant."""
    for left in reversed(range(tries)):
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if left:
                time.sleep(_PAUSE_S)
        else:
            return True
    return False


def _read(fd: int) -> LockInfo | None:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=LockInfo)
    except msgspec.MsgspecError:
        return None
