"""Sockets to listen on: a Unix socket, TCP."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from openbell.model.places import MAX_SOCKET_PATH_BYTES
from openbell.sdk.errors import Problem, SettingsError

_PROBE_S = 1.0


@contextmanager
def unix_listener(path: Path, *, group: str | int | None = None) -> Iterator[socket.socket]:
    """Yield a socket that listens on `path`, mode 0660, of `group` if given; the file goes at the end.

    Whoever finds the file can connect, and is answered once somebody accepts.
    A file that nobody listens on any more is replaced. Raises SettingsError when the path is too
    long, somebody listens there, or something else stands in the way.
    """
    _check_length(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the socket's folder {path.parent} cannot be made: {error.strerror}"
        raise _refused(message, hint="name another place with --socket") from error
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        inode = _bind(listener, path, group)
        try:
            yield listener
        finally:
            with suppress(FileNotFoundError):
                if path.lstat().st_ino == inode:
                    path.unlink()
    finally:
        listener.close()


@contextmanager
def tcp_listener(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket bound to `host` and `port`; port 0 takes any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise _refused(
                f"cannot listen on {host}:{port}: {error.strerror}", key="daemon.tcp_port"
            ) from error
        yield listener
    finally:
        listener.close()


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise _refused(
            f"the socket path {path} is {length} bytes long; a Unix socket's path has at most "
            f"{MAX_SOCKET_PATH_BYTES}",
            hint="name a shorter one with --socket or OPENBELL_SOCKET",
        )


def _clear(path: Path) -> None:
    """Remove a socket file that nobody listens on."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _refused(f"{path} exists and is no socket", hint="move it away, or name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise _refused(f"{path} cannot be taken over: {error.strerror}") from error
    raise _refused(
        f"another process listens on {path}",
        hint="stop it, or name another path with --socket",
    )


def _bind(listener: socket.socket, path: Path, group: str | int | None) -> int:
    """Bind and listen, so that nobody outside the owner and the group could ever connect."""
    umask = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        raise _refused(f"cannot make the socket {path}: {error.strerror}") from error
    finally:
        os.umask(umask)
    if group is not None:
        try:
            shutil.chown(path, group=group)
        except LookupError as error:
            path.unlink()
            raise _refused(f"group {group!r} does not exist", key="daemon.socket_group") from error
        except OSError as error:
            path.unlink()
            reason = "not permitted" if error.errno == errno.EPERM else error.strerror
            raise _refused(
                f"cannot give the socket to group {group!r}: {reason}", key="daemon.socket_group"
            ) from error
    path.chmod(0o660)
    listener.listen()
    return path.lstat().st_ino


def _refused(message: str, *, key: str = "daemon.socket", hint: str = "") -> SettingsError:
    return SettingsError([Problem(message=message, key=key, hint=hint)])
