from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from doubles.engine import DoubleEngine
from doubles.serving import Served, app_of, serving

from openbell.history.errors import HistoryWriteError
from openbell.http.connections import Caller, WithCaller
from openbell.model.control import Submission
from openbell.model.runs import RunRecord

pytestmark = pytest.mark.integration

JOB = Submission(pipeline="lean_daily")


async def test_a_client_that_never_reads_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path, send_timeout_s=0.2) as served:
        run = await served.engine.submit(JOB)
        with socket.socket(socket.AF_UNIX) as slow:
            slow.connect(str(served.socket))
            slow.sendall(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
            await served.subscribed()
            with anyio.fail_after(10):
                while served.engine.subscriber_count:
                    await served.engine.log(run.run_id, "x" * 50_000)
                    await anyio.sleep(0.005)
            slow.settimeout(5)
            received = 0
            while chunk := await anyio.to_thread.run_sync(slow.recv, 1 << 20):
                received += len(chunk)
    assert received > 0


class Stubborn(DoubleEngine):
    """Fails the first submission, slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def submit(self, submission: Submission) -> RunRecord:  # type: ignore[explicit-override]
        self.calls += 1
        if self.calls == 1:
            await anyio.sleep(0.05)
            raise RuntimeError("the disk is on fire")
        return await super().submit(submission)


def inside(app: Any) -> httpx.AsyncClient:
    caller = Caller(uid=0, is_allowed=True, abort=lambda: None)
    transport = httpx.ASGITransport(app=WithCaller(app, caller))
    return httpx.AsyncClient(transport=transport, base_url="http://x")


async def test_a_request_whose_twin_failed_is_tried_itself() -> None:
    engine = Stubborn()
    answers: list[int] = []

    async def post() -> None:
        answer = await client.post(
            "/api/pipeline/jobs", json={"job": "lean_daily"}, headers={"idempotency-key": "k"}
        )
        answers.append(answer.status_code)

    async with inside(app_of(engine)) as client, anyio.create_task_group() as tg:
        tg.start_soon(post)
        tg.start_soon(post)

    assert sorted(answers) == [202, 500]
    assert engine.calls == 2


class FullDisk(DoubleEngine):
    """Cannot put the first submission on disk."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def submit(self, submission: Submission) -> RunRecord:  # type: ignore[explicit-override]
        self.calls += 1
        if self.calls == 1:
            raise HistoryWriteError(Path("history.sqlite"), "database or disk is full")
        return await super().submit(submission)


async def test_what_the_disk_did_not_take_is_to_be_sent_again_under_its_key() -> None:
    job = {"json": {"job": "lean_daily"}, "headers": {"idempotency-key": "k"}}
    async with inside(app_of(FullDisk())) as client:
        refused = await client.post("/api/pipeline/jobs", **job)
        again = await client.post("/api/pipeline/jobs", **job)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["type"] == "urn:openbell:problem:unavailable"
    assert refused.json()["kind"] == "history_write"
    assert again.status_code == 202


async def test_a_key_that_was_refused_gives_the_same_refusal_again() -> None:
    engine = DoubleEngine()
    async with inside(app_of(engine)) as client:
        headers = {"idempotency-key": "k"}
        body = {"name": "p", "nodes": {"fetch": {"op": "ingest"}}}
        first = await client.post("/api/pipeline/workflows", json=body, headers=headers)
        again = await client.post("/api/pipeline/workflows", json=body, headers=headers)

    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


async def test_applications_of_plugins_are_behind_the_same_doors() -> None:
    async def plugin(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    app = app_of(DoubleEngine(), mounts=[("mine", plugin)])
    async with inside(app) as client:
        allowed = await client.get("/x/mine/page")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as stranger:
        refused = await stranger.get("http://x/x/mine/page")

    assert (allowed.status_code, allowed.text) == (200, "/x/mine/page")
    assert refused.status_code == 401


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /api/pipeline/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/pipeline/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["bytes", "version", "header", "length", "short", "http2"],
)
async def test_noise_on_the_socket_harms_nobody(served: Served, noise: bytes) -> None:
    def shout() -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(served.socket))
            line.settimeout(2)
            try:
                line.sendall(noise)
                line.shutdown(socket.SHUT_WR)
                while line.recv(65536):
                    pass
            except OSError:
                pass

    await anyio.to_thread.run_sync(shout)
    async with served.client() as client:
        assert (await client.get("/livez")).status_code == 200
    assert served.failures == []


async def test_many_clients_at_once_are_all_answered(served: Served) -> None:
    statuses: list[int] = []

    async def one() -> None:
        async with served.client() as client:
            for _ in range(4):
                answer = await client.post("/api/pipeline/jobs", json={"job": "lean_daily"})
                statuses.append(answer.status_code)

    async with anyio.create_task_group() as tg:
        for _ in range(50):
            tg.start_soon(one)

    assert statuses == [202] * 200
    assert len(served.engine.submissions) == 200


async def test_instants_in_answers_are_utc(client: httpx.AsyncClient) -> None:
    status = (await client.get("/api/v1/status")).json()
    assert status["started_at"] == "2026-01-05T12:00:00Z"


async def test_too_many_connections_are_hung_up_on(tmp_path: Path) -> None:
    async with serving(tmp_path, max_connections=1) as served, served.client() as first:
        assert (await first.get("/livez")).status_code == 200
        async with served.client() as second:
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                await second.get("/livez")
        assert (await first.get("/livez")).status_code == 200


async def test_a_connection_that_its_client_closed_takes_no_room(tmp_path: Path) -> None:
    async with serving(tmp_path, max_connections=4) as served:
        for _ in range(50):
            async with served.client() as client:
                assert (await client.get("/livez")).status_code == 200
            await anyio.sleep(0.01)
