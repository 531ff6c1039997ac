from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from doubles.history import START
from doubles.serving import Served, serving

from openbell.model.control import Submission
from openbell.model.events import NodeProgressed

pytestmark = pytest.mark.integration

JOB = Submission(pipeline="lean_daily")


async def read(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.strip()
        elif fields:
            data = json.loads(fields["data"])
            yield {"id": fields.get("id"), "event": fields["event"], "data": data}
            fields = {}


async def take(answer: httpx.Response, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with anyio.fail_after(5):
        async for event in read(answer):
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_events_come_as_they_happen(served: Served, client: httpx.AsyncClient) -> None:
    run = await served.engine.submit(JOB)
    async with client.stream("GET", "/api/v1/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        await served.subscribed()
        await served.engine.start(run.run_id)
        (event,) = await take(answer, 1)

    assert event["event"] == "run.started"
    assert event["id"] == "1"
    assert event["data"]["run_id"] == run.run_id
    assert event["data"]["at"] == "2026-01-05T12:00:00Z"


async def test_a_change_reaches_a_client_within_100_ms(
    served: Served, client: httpx.AsyncClient
) -> None:
    run = await served.engine.submit(JOB)
    delays_s = []
    async with client.stream("GET", "/api/v1/events") as answer:
        await served.subscribed()
        events = read(answer)
        for _ in range(20):
            before = time.perf_counter()
            await served.engine.change_node(run.run_id)
            await anext(events)
            delays_s.append(time.perf_counter() - before)

    assert sorted(delays_s)[10] < 0.1


async def test_history_is_replayed_and_goes_over_into_live_without_gap_or_repeat(
    served: Served, client: httpx.AsyncClient
) -> None:
    run = await served.engine.submit(JOB)
    for _ in range(2500):
        await served.engine.change_node(run.run_id)

    async def more() -> None:
        for _ in range(500):
            await served.engine.change_node(run.run_id)
            await anyio.sleep(0)

    async with (
        client.stream("GET", "/api/v1/events", headers={"last-event-id": "7"}) as answer,
        anyio.create_task_group() as tg,
    ):
        tg.start_soon(more)
        events = await take(answer, 2993)

    assert [event["id"] for event in events] == [str(number) for number in range(8, 3001)]


async def test_what_is_not_kept_has_no_id(served: Served, client: httpx.AsyncClient) -> None:
    progressed = NodeProgressed(
        at=START, run_id="run_1", pipeline="lean_daily", node="fetch", rows=10, batches=1
    )
    async with client.stream("GET", "/api/v1/events") as answer:
        await served.subscribed()
        await served.engine.emit(progressed)
        (event,) = await take(answer, 1)

    assert event["id"] is None
    assert event["data"]["body"]["rows"] == 10


async def test_a_stream_can_be_of_one_run_only(served: Served, client: httpx.AsyncClient) -> None:
    mine = await served.engine.submit(JOB)
    other = await served.engine.submit(JOB)
    await served.engine.start(other.run_id)
    await served.engine.start(mine.run_id)
    query: dict[str, str | int] = {"run": mine.run_id, "after": 0}
    async with client.stream("GET", "/api/v1/events", params=query) as answer:
        await served.subscribed()
        await served.engine.finish(other.run_id)
        await served.engine.finish(mine.run_id)
        events = await take(answer, 2)

    assert [event["event"] for event in events] == ["run.started", "run.finished"]
    assert {event["data"]["run_id"] for event in events} == {mine.run_id}


async def test_a_client_that_leaves_ends_its_subscription(
    served: Served, client: httpx.AsyncClient
) -> None:
    async with client.stream("GET", "/api/v1/events"):
        await served.subscribed()
    with anyio.fail_after(5):
        while served.engine.subscriber_count:
            await anyio.sleep(0.01)


async def test_a_client_that_does_not_read_loses_its_stream_and_harms_nobody(
    served: Served,
) -> None:
    run = await served.engine.submit(JOB)
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(served.socket))
        slow.sendall(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
        await served.subscribed()
        with anyio.fail_after(20):
            while served.engine.subscriber_count:
                await served.engine.log(run.run_id, "x" * 10_000)
                await anyio.sleep(0)
        async with served.client() as client:
            assert (await client.get("/livez")).status_code == 200


async def test_a_page_of_events_is_plain_json(served: Served, client: httpx.AsyncClient) -> None:
    run = await served.engine.submit(JOB)
    for _ in range(3):
        await served.engine.change_node(run.run_id)

    first = (await client.get("/api/v1/events", params={"follow": False, "limit": 2})).json()
    query = {"follow": False, "limit": 2, "after": first["next"]}
    second = (await client.get("/api/v1/events", params=query)).json()

    assert [event["id"] for event in first["items"]] == [1, 2]
    assert [event["id"] for event in second["items"]] == [3]
    assert second["next"] is None


async def test_logs_are_followed_to_the_end_of_the_run(
    served: Served, client: httpx.AsyncClient
) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.log(run.run_id, "one", "two")
    path = f"/api/v1/runs/{run.run_id}/logs"
    async with client.stream("GET", path, params={"follow": True}) as answer:
        await served.subscribed()
        await served.engine.log(run.run_id, "three")
        await served.engine.finish(run.run_id)
        events = await take(answer, 4)

    assert [event["data"].get("text") for event in events[:3]] == ["one", "two", "three"]
    assert events[3] == {"id": None, "event": "end", "data": {"state": "success"}}


async def test_logs_resume_after_the_last_line_that_was_read(
    served: Served, client: httpx.AsyncClient
) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.log(run.run_id, "one", "two", "three")
    await served.engine.finish(run.run_id)
    path = f"/api/v1/runs/{run.run_id}/logs"
    headers = {"accept": "text/event-stream", "last-event-id": "2"}
    async with client.stream("GET", path, headers=headers) as answer:
        events = await take(answer, 2)

    assert [event["event"] for event in events] == ["log", "end"]
    assert events[0]["data"]["text"] == "three"


async def test_silence_is_broken_by_heartbeats(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, heartbeat_s=0.02) as served,
        served.client() as client,
        client.stream("GET", "/api/v1/events") as answer,
    ):
        lines = answer.aiter_lines()
        with anyio.fail_after(5):
            seen = [await anext(lines) for _ in range(5)]
    assert seen.count(": still here") == 2
