from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest
from doubles.serving import TOKEN, Served, serving

from openbell.http.listeners import unix_listener
from openbell.sdk.errors import SettingsError
from openbell.service.peers import allowed, peer_of

pytestmark = pytest.mark.integration

STRANGER = 65534
ASK = """
import http.client, os, socket, sys
os.setgroups([int(g) for g in sys.argv[3].split(",") if g])
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
connection = http.client.HTTPConnection("openbell")
connection.sock = socket.socket(socket.AF_UNIX); connection.sock.connect(sys.argv[1])
connection.request("GET", "/api/v1/status")
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter."""
    made = Path(tempfile.mkdtemp(prefix="openbell-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


async def ask_as(uid: int, path: Path, groups: str = "") -> str:
    """Ask for the status as another user, who was let past the file's mode."""
    path.chmod(0o666)
    command = [sys.executable, "-c", ASK, str(path), str(uid), groups]
    done = await anyio.run_process(command, check=False)
    return (done.stdout or done.stderr).decode()


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@needs_root
async def test_another_user_is_refused_with_403(open_directory: Path) -> None:
    own_uid = os.getuid()
    async with serving(open_directory, lambda line: allowed(peer_of(line), own_uid)) as served:
        answer = await ask_as(STRANGER, served.socket)
        root = await ask_as(0, served.socket)

    assert answer.startswith("403 ")
    assert "urn:openbell:problem:forbidden" in answer
    assert "uid 65534 may not use this socket" in answer
    assert root.startswith("200 ")


@needs_root
async def test_members_of_the_configured_group_pass(open_directory: Path) -> None:
    def authorize(line: object) -> bool:
        return allowed(peer_of(line), 12345, group=4242)  # type: ignore[arg-type]

    async with serving(open_directory, authorize) as served:
        member = await ask_as(STRANGER, served.socket, "4242")
        stranger = await ask_as(STRANGER, served.socket, "4243")

    assert member.startswith("200 ")
    assert stranger.startswith("403 ")


async def test_every_route_is_closed_to_a_refused_peer(tmp_path: Path) -> None:
    async with serving(tmp_path, lambda _: False) as served, served.client() as client:
        for path in ("/livez", "/metrics", "/openapi.json", "/api/v1/events", "/nope"):
            assert (await client.get(path)).status_code == 403


async def test_tcp_needs_the_token(served: Served) -> None:
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {TOKEN}x"},
    ):
        async with served.tcp_client(**headers) as client:
            answer = await client.get("/api/v1/status")
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["type"] == "urn:openbell:problem:unauthorized"

    async with served.tcp_client(authorization=f"Bearer {TOKEN}") as client:
        assert (await client.get("/api/v1/status")).status_code == 200


async def test_liveness_over_tcp_needs_no_token(served: Served) -> None:
    async with served.tcp_client() as client:
        assert (await client.get("/livez")).json() == {"status": "alive"}
        assert (await client.get("/metrics")).status_code == 401


async def test_the_socket_is_for_owner_and_group_and_goes_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert stat.S_IMODE(served.socket.stat().st_mode) == 0o660
    assert not served.socket.exists()


async def test_a_socket_path_that_is_too_long_is_refused_with_its_length(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(SettingsError, match=rf"{len(str(path))} bytes long.*at most 107"):
        unix_listener(path).__enter__()


def test_a_file_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "openbell.sock"
    script = "import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(path)], check=True)
    assert path.is_socket()

    with unix_listener(path) as listener:
        assert listener.getsockname() == str(path)
    assert not path.exists()


def test_a_socket_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "openbell.sock"
    with unix_listener(path) as first:
        first.listen()
        with pytest.raises(SettingsError, match="another process listens on"):
            unix_listener(path).__enter__()
        assert path.is_socket()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "openbell.sock"
    path.write_text("precious")
    with pytest.raises(SettingsError, match="is no socket"):
        unix_listener(path).__enter__()
    assert path.read_text() == "precious"


def test_an_unknown_group_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "openbell.sock"
    with pytest.raises(SettingsError, match="group 'no-such-group' does not exist"):
        unix_listener(path, group="no-such-group").__enter__()
    assert not path.exists()


async def test_a_body_that_is_too_large_is_refused(client: httpx.AsyncClient) -> None:
    body = {"job": "lean_daily", "params": {"x": "y" * 2_000_000}}
    answer = await client.post("/api/pipeline/jobs", json=body)

    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:openbell:problem:body-too-large"


async def test_a_body_of_unknown_length_that_is_too_large_is_refused(
    client: httpx.AsyncClient,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"job": "'
        for _ in range(20):
            yield b"x" * 100_000

    answer = await client.post(
        "/api/pipeline/jobs", content=chunks(), headers={"content-type": "application/json"}
    )

    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:openbell:problem:body-too-large"


async def test_a_server_asked_to_stop_ends_its_streams(tmp_path: Path) -> None:
    with anyio.fail_after(5):
        async with (
            serving(tmp_path) as served,
            served.client() as client,
            client.stream("GET", "/api/v1/events") as answer,
        ):
            lines = answer.aiter_lines()
            assert await anext(lines) == ": openbell"
            served.stop()
            rest = [line async for line in lines]
    assert rest == [""]
