"""Sockets that systemd opened for us before we started: sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import MutableMapping
from dataclasses import dataclass

FIRST_FD = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class InheritedFd:
    """A descriptor and the name that `FileDescriptorName=` of its socket unit gave it."""

    fd: int
    name: str


class NotASocketError(Exception):
    """An inherited descriptor is no listening stream socket."""

    def __init__(self, inherited: InheritedFd) -> None:
        super().__init__(
            f"descriptor {inherited.fd} ({inherited.name}), handed over through LISTEN_FDS, is no "
            "listening stream socket; the socket unit must use ListenStream= with Accept=no"
        )
        self.inherited = inherited


def inherited_fds(env: MutableMapping[str, str], pid: int) -> tuple[InheritedFd, ...]:
    """Return the descriptors handed to process `pid`, and take the variables out of `env`.

    Nothing when they are meant for another process: a child must not serve its parent's sockets.
    """
    given = {name: env.pop(name, "") for name in _VARIABLES}
    count = given["LISTEN_FDS"]
    if given["LISTEN_PID"] != str(pid) or not (count.isascii() and count.isdigit()):
        return ()
    names = given["LISTEN_FDNAMES"].split(":") if given["LISTEN_FDNAMES"] else []
    names += ["unknown"] * int(count)
    return tuple(InheritedFd(FIRST_FD + index, names[index]) for index in range(int(count)))


def inherited_sockets(
    env: MutableMapping[str, str] | None = None,
) -> dict[str, list[socket.socket]]:
    """Return the listening sockets that were handed to this process, by name.

    They are closed on exec from now on, so no worker keeps them. The caller closes them. Raises
    NotASocketError for anything else that was handed over.
    """
    found: dict[str, list[socket.socket]] = {}
    for inherited in inherited_fds(os.environ if env is None else env, os.getpid()):
        found.setdefault(inherited.name, []).append(_listening(inherited))
    return found


def _listening(inherited: InheritedFd) -> socket.socket:
    try:
        is_socket = stat.S_ISSOCK(os.fstat(inherited.fd).st_mode)
    except OSError as error:
        raise NotASocketError(inherited) from error
    if not is_socket:
        raise NotASocketError(inherited)
    taken = socket.socket(fileno=inherited.fd)
    if taken.type != socket.SOCK_STREAM or not taken.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        taken.detach()
        raise NotASocketError(inherited)
    taken.set_inheritable(False)
    return taken
