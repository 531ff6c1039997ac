"""What a careless or hostile client may send: nothing crashes, hangs or leaks."""

from __future__ import annotations

import socket
from pathlib import Path

import anyio
import anyio.abc
import httpx
import pytest
from doubles.serving import Served, serving

from openbell.model.control import Submission

pytestmark = pytest.mark.integration

HEAD = b"host: x\r\nconnection: close\r\n"
JSON = HEAD + b"content-type: application/json\r\n"
PROBLEM = b"urn:openbell:problem:"


async def shout(path: Path, noise: bytes, *, patience_s: float = 5.0) -> bytes:
    """Send `noise` and return all that comes until the daemon hangs up."""
    heard = b""
    async with await anyio.connect_unix(path) as line:
        await line.send(noise)
        with anyio.fail_after(patience_s):
            while True:
                try:
                    heard += await line.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return heard


def post(body: bytes) -> bytes:
    size = b"content-length: %d\r\n\r\n" % len(body)
    return b"POST /api/pipeline/jobs HTTP/1.1\r\n" + JSON + size + body


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET http://openbell/livez HTTP/1.1", b"200"),
        (b"GET http://openbell/api/v1/nope HTTP/1.1", b"404"),
        (b"GET http://openbell HTTP/1.1", b"404"),
        (b"GET //api/v1/config HTTP/1.1", b"404"),
        (b"GET /x/../api/v1/config HTTP/1.1", b"404"),
        (b"GET /api/v1/runs/%ff%fe HTTP/1.1", b"404"),
        (b"GET /api/v1/runs/%00 HTTP/1.1", b"404"),
        (b"GET /api/v1/runs?job=%ff%fe HTTP/1.1", b"200"),
        (b"GET /api/v1/runs/\xff\xfe HTTP/1.1", b"400"),
        (b"OPTIONS * HTTP/1.1", b"404"),
        (b"CONNECT vendor:443 HTTP/1.1", b"404"),
        (b"BREW /livez HTTP/1.1", b"405"),
    ],
)
async def test_strange_targets_have_one_answer_each(
    served: Served, request_line: bytes, status: bytes
) -> None:
    answer = await shout(served.socket, request_line + b"\r\n" + HEAD + b"\r\n")

    assert answer.split(b" ", 2)[1] == status
    if status in {b"404", b"405"}:
        assert PROBLEM in answer
    assert served.failures == []


async def test_the_absolute_form_shows_no_secret_either(served: Served) -> None:
    noise = b"GET http://openbell/api/v1/config HTTP/1.1\r\n" + HEAD + b"\r\n"
    answer = await shout(served.socket, noise)

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"[redacted]" in answer
    assert b"hunter2" not in answer


@pytest.mark.parametrize(
    "body",
    [
        b'{"job": "lean_daily", "params": {"a": "\\ud800"}}',
        b'{"job": "lean_daily", "params": {"a": NaN}}',
        b'{"job": "lean_daily", "params": {"a": -Infinity}}',
        b'{"job": "lean_daily", "for": 1e400}',
        b'{"job": "\xff"}',
        b'{"job": "lean_daily", "params": {"a": ' + b"9" * 5000 + b"}}",
        b"[" * 100_000,
        b'{"job": "lean_daily", "params": {"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
        b"",
        b"null",
    ],
    ids=[
        *("surrogate", "nan", "infinity", "overflow", "latin-1", "digits", "open", "deep"),
        *("empty", "null"),
    ],
)
async def test_a_body_that_is_no_plain_json_is_a_problem(served: Served, body: bytes) -> None:
    answer = await shout(served.socket, post(body))

    assert answer.split(b" ", 2)[1] in {b"400", b"422"}
    assert PROBLEM + b"invalid-request" in answer
    assert served.failures == []
    assert served.engine.submissions == []


@pytest.mark.parametrize(
    "given", ["garbage", "-1", "1.5", "9" * 26, "", "\xff", "1, 2", "0x10", "run_1"]
)
async def test_a_last_event_id_that_is_none_is_a_problem(served: Served, given: str) -> None:
    field = f"last-event-id: {given}\r\n".encode("latin-1")
    await served.engine.submit(Submission(pipeline="lean_daily"))
    run_id = next(iter(served.engine.history.run_records))
    for target in ("/api/v1/events", f"/api/v1/runs/{run_id}/logs?follow=true"):
        noise = f"GET {target} HTTP/1.1\r\n".encode() + HEAD + field + b"\r\n"
        answer = await shout(served.socket, noise)
        assert answer.startswith(b"HTTP/1.1 422")
        assert b"last-event-id" in answer
    assert served.engine.subscriber_count == 0


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/events?after=",
        "/api/v1/runs/RUN/logs?after=",
        "/api/v1/workflows/lean_daily?version=",
    ],
)
async def test_a_number_beyond_all_bounds_is_a_problem(
    served: Served, client: httpx.AsyncClient, target: str
) -> None:
    run = await served.engine.submit(Submission(pipeline="lean_daily"))
    answer = await client.get(target.replace("RUN", run.run_id) + str(2**63))

    assert answer.status_code == 422


async def test_requests_in_a_row_are_answered_in_order(served: Served) -> None:
    ask = b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = await shout(
        served.socket, ask % b"livez" + ask % b"readyz" + b"GET /nope HTTP/1.1\r\n" + HEAD + b"\r\n"
    )

    places = [answer.index(text) for text in (b"alive", b"ready", b"not-found")]
    assert places == sorted(places)
    assert answer.count(b"HTTP/1.1 ") == 3


async def test_a_smuggled_request_is_refused(served: Served) -> None:
    noise = (
        b"POST /api/pipeline/jobs HTTP/1.1\r\n" + JSON + b"content-length: 3\r\n"
        b"transfer-encoding: chunked\r\n\r\n0\r\n\r\nPOST /api/v1/stop HTTP/1.1\r\nhost: x\r\n\r\n"
    )
    answer = await shout(served.socket, noise)

    assert answer.startswith(b"HTTP/1.1 400")
    assert served.engine.stops == []


async def test_a_head_that_trickles_is_hung_up_on(tmp_path: Path) -> None:
    async with serving(tmp_path, idle_s=0.2) as served:
        async with await anyio.connect_unix(served.socket) as line:
            await line.send(b"GET /livez HTTP/1.1\r\n")
            with anyio.fail_after(5):
                while not await _hung_up(line):
                    pass
        async with served.client() as client:
            assert (await client.get("/livez")).status_code == 200


async def _hung_up(line: anyio.abc.SocketStream) -> bool:
    """Send one more field of a head; return whether the other side has had enough."""
    try:
        await line.send(b"x: y\r\n")
        with anyio.move_on_after(0.02):
            await line.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return True
    return False


async def test_a_body_that_stops_coming_is_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path, send_timeout_s=0.2) as served:
        noise = b"POST /api/pipeline/jobs HTTP/1.1\r\n" + JSON + b"content-length: 30\r\n\r\n{"
        answer = await shout(served.socket, noise)
        assert served.failures == []

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"nothing more of the body came for 0.2 s" in answer


async def test_tcp_cannot_take_the_room_of_the_unix_socket(tmp_path: Path) -> None:
    noise = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
    async with (
        serving(tmp_path, max_connections=2) as served,
        await anyio.connect_tcp("127.0.0.1", served.port) as first,
    ):
        await first.send(noise)
        assert (await first.receive()).startswith(b"HTTP/1.1 200")
        async with await anyio.connect_tcp("127.0.0.1", served.port) as second:
            assert await _hung_up(second)
        async with served.client() as client:
            assert (await client.get("/livez")).status_code == 200


async def test_a_client_that_leaves_in_the_middle_harms_nobody(served: Served) -> None:
    whole = post(b'{"job": "lean_daily"}')
    for noise in (whole, whole[:-5], whole[:40], b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n"):
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(served.socket))
                line.sendall(noise)
            await anyio.sleep(0.01)
    with anyio.fail_after(5):
        while served.engine.subscriber_count or len(served.engine.submissions) < 5:
            await anyio.sleep(0.01)

    assert len(served.engine.submissions) == 5
    assert served.failures == []


@pytest.mark.parametrize("is_upgrade", [True, False])
async def test_http_2_is_refused_and_the_line_closed(tmp_path: Path, is_upgrade: bool) -> None:
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    async with serving(tmp_path, idle_s=0.3) as served:
        asked = b"GET /api/v1/config HTTP/1.1\r\nhost: x\r\n" + upgrade + b"\r\n"
        noise = asked if is_upgrade else b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        answer = await shout(served.socket, noise)
        assert served.failures == []

    assert b"HTTP/1.1 505" in answer
    assert b"providers" not in answer
