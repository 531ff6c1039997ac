"""Sockets handed over by another process, and the credentials of whoever connects."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from openbell.service import peers
from openbell.service.activation import NotASocketError, inherited_sockets
from openbell.service.peers import Peer, allowed, peer_of

pytestmark = pytest.mark.integration

_SERVE = """
import os, sys
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
from openbell.service.activation import inherited_sockets
found = inherited_sockets()
assert "LISTEN_FDS" not in os.environ
[(name, [listening])] = found.items()
assert not listening.get_inheritable()
line, _ = listening.accept()
line.sendall(name.encode())
line.close(); listening.close()
"""

_CONNECT = """
import os, socket, sys
groups, uid = [int(each) for each in sys.argv[2].split(",")], int(sys.argv[3])
if os.getuid() == 0:
    os.setgroups(groups); os.setgid(groups[0]); os.setuid(uid)
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
line.recv(1)
"""


def test_a_started_process_serves_the_socket_it_was_handed(tmp_path: Path) -> None:
    path = str(tmp_path / "api.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        env = {**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "openbell.socket"}
        fd = listening.fileno()
        # bash moves the descriptor to where systemd would put it
        command = ["bash", "-c", f'exec "$0" -c "$1" 3<&{fd}', sys.executable, _SERVE]
        with subprocess.Popen(command, env=env, pass_fds=[fd]) as server:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(path)
                assert client.recv(100) == b"openbell.socket"
            assert server.wait(timeout=20) == 0


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None,
    reason="systemd-socket-activate is not installed (Debian: apt-get install systemd)",
)
def test_what_systemd_itself_hands_over_is_served(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    command = [
        "systemd-socket-activate", f"--listen={path}", "--fdname=api",
        f"--setenv=PATH={os.environ['PATH']}", sys.executable, "-c", _SERVE,
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        assert server.stderr.readline().startswith(b"Listening on")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            assert client.recv(100) == b"api"
        assert server.wait(timeout=20) == 0


def test_a_file_in_the_place_of_a_socket_is_refused_by_name(tmp_path: Path) -> None:
    code = (
        "import os; os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "from openbell.service.activation import inherited_sockets as take\n"
        "take()"
    )
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        ["bash", "-c", 'exec "$0" -c "$1" 3<"$2"', sys.executable, code, str(tmp_path / "file")],
        env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "api"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "NotASocketError: descriptor 3 (api)" in done.stderr
    assert "ListenStream=" in done.stderr


def test_nothing_handed_over_is_no_sockets() -> None:
    assert inherited_sockets({}) == {}
    with pytest.raises(NotASocketError):
        inherited_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "999"})


def test_a_connection_knows_its_own_user() -> None:
    one, other = socket.socketpair()
    with one, other:
        peer = peer_of(one)
    assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())
    assert os.getgid() in peer.groups
    assert allowed(peer, os.getuid())


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become other users")
def test_another_users_process_is_seen_with_all_its_groups() -> None:
    own_uid, stranger_uid, group = 40_001, 40_002, 40_100
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        path = str(Path(folder) / "api.sock")
        listening.bind(path)
        Path(folder).chmod(0o755)
        Path(path).chmod(0o666)
        listening.listen()
        listening.settimeout(20)
        peer = _peer_that_connects(listening, path, groups="40500,40100", uid=stranger_uid)
    assert (peer.uid, peer.groups) == (stranger_uid, frozenset({40_500, group}))
    assert allowed(peer, own_uid, group)
    assert not allowed(peer, own_uid)
    assert not allowed(peer, own_uid, 40_999)


def _peer_that_connects(listening: socket.socket, path: str, *, groups: str, uid: int) -> Peer:
    with subprocess.Popen([sys.executable, "-c", _CONNECT, path, groups, str(uid)]) as client:
        line, _ = listening.accept()
        with line:
            peer = peer_of(line)
        assert client.wait(timeout=20) == 0
    return peer


def test_where_the_kernel_does_not_tell_the_user_database_does() -> None:
    assert 0 in peers._groups_in_database(0)
    assert peers._groups_in_database(4_000_000_000) == frozenset()
