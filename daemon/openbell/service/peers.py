"""Who is on the other end of the Unix socket, and may it come in: SO_PEERCRED of unix(7)."""

from __future__ import annotations

import grp
import pwd
import socket
import struct
from dataclasses import dataclass

_CREDENTIALS = struct.Struct("iII")
_SO_PEERGROUPS = 59  # asm-generic/socket.h; python has no name for it
_MAX_GROUPS = 256  # python's getsockopt takes at most 1,024 bytes
_GID = struct.Struct("I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process that connected, as the kernel knew it then; `groups` are all its group ids."""

    pid: int
    uid: int
    groups: frozenset[int]


class UnknownGroupError(Exception):
    """The configured group does not exist on this machine."""

    def __init__(self, group: str) -> None:
        super().__init__(
            f"group {group!r} (daemon.socket_group) does not exist; create it, for example with "
            f"systemd-sysusers or 'groupadd --system {group}'"
        )
        self.group = group


def peer_of(line: socket.socket) -> Peer:
    """Return who connected to the other end of `line`, an AF_UNIX stream socket.

    The kernel fixed the answer when the connection was made: a peer cannot change it later.
    """
    raw = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(pid=pid, uid=uid, groups=frozenset({gid}) | _supplementary(line, uid))


def allowed(peer: Peer, own_uid: int, group: int | None = None) -> bool:
    """Return whether `peer` may use the socket of a daemon that runs as `own_uid`.

    The same user, root, and members of the configured group (its id) may.
    """
    return peer.uid in {own_uid, 0} or (group is not None and group in peer.groups)


def group_id(name: str | None) -> int | None:
    """Return the id of group `name`, which may also be a number; None for no name.

    Raises UnknownGroupError.
    """
    if not name:
        return None
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise UnknownGroupError(name) from error


def _supplementary(line: socket.socket, uid: int) -> frozenset[int]:
    """Return the peer's further groups: from the kernel, else (too many) from the database."""
    try:
        raw = line.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS * _GID.size)
    except OSError:
        return _groups_in_database(uid)
    return frozenset(gid for (gid,) in _GID.iter_unpack(raw))


def _groups_in_database(uid: int) -> frozenset[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    listed = {group.gr_gid for group in grp.getgrall() if user.pw_name in group.gr_mem}
    return frozenset(listed | {user.pw_gid})
