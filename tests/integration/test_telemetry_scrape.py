"""`/metrics` on a port of its own, read over real TCP and judged by promtool."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from doubles import story

from openbell.model import events as ev
from openbell.model.pipelines import TelemetryOptions
from openbell.model.runs import NodeState, RunState
from openbell.sdk.clock import SystemClock
from openbell.sdk.errors import SettingsError
from openbell.telemetry import names
from openbell.telemetry.scrape import MAX_CONNECTIONS, serve_metrics
from openbell.telemetry.station import Sources, Telemetry, open_telemetry

pytestmark = pytest.mark.integration


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    fd = os.open(os.devnull, os.O_WRONLY)
    with open_telemetry(TelemetryOptions(), SystemClock(), version="1", env={}, fd=fd) as made:
        yield made
    os.close(fd)


@asynccontextmanager
async def _served(telemetry: Telemetry) -> AsyncIterator[httpx.AsyncClient]:
    async with anyio.create_task_group() as tasks:
        port = await tasks.start(telemetry.serve, "127.0.0.1", 0)
        with anyio.fail_after(30):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                yield client
        tasks.cancel_scope.cancel()


def _tell_everything(telemetry: Telemetry) -> None:
    """Let every counter and histogram have a value."""
    at = story.START
    for event in (
        story.submitted(),
        story.started(),
        story.committed(1),
        story.node("publish", NodeState.FAILED, error_kind="transient"),
        story.attempt_finished(state="failed"),
        story.checked(),
        ev.ProviderRequested(at=at, provider="v", status="rate_limited", waited_s=1.0),
        ev.ActorCrashed(at=at, pipeline="eod", error="x", restart_in_s=1),
        ev.WorkerStopped(at=at, pid=7, reason="idle"),
        ev.ConfigReloaded(at=at, digest="d"),
        ev.CalendarFailed(at=at, calendar="XTAE", policy="block", reason="x"),
        ev.FireLetGo(at=at, pipeline="eod", run_id="r", late_s=0.1),
        ev.FireDecided(
            at=at,
            schedule_id="s",
            pipeline="eod",
            identity="f/-/every/1",
            session=None,
            event="every",
            index=1,
            due_at=at,
            outcome="run",
            run_id="r",
        ),
        story.finished(state=RunState.FAILED),
    ):
        telemetry.observer.see(event)
    telemetry.watch(Sources(mailbox_depths=lambda: {"eod": 1}, database_bytes=lambda: 4096))


async def test_metrics_are_served_as_prometheus_expects(telemetry: Telemetry) -> None:
    _tell_everything(telemetry)
    async with _served(telemetry) as client:
        answer = await client.get("/metrics")
        head = await client.head("/metrics?x=1")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'pipeline_job_runs_total{job="eod",status="failed"} 1.0' in answer.text
    assert head.status_code == 200
    assert head.content == b""


async def test_everything_else_is_turned_away(telemetry: Telemetry) -> None:
    async with _served(telemetry) as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405
        assert (await client.get("/metrics", headers={"x": "y" * 20_000})).status_code == 431


async def test_noise_and_silence_disturb_nobody(telemetry: Telemetry) -> None:
    async with _served(telemetry) as client:
        port = client.base_url.port
        assert port is not None
        noisy = await anyio.connect_tcp("127.0.0.1", port)
        await noisy.send(b"\x16\x03\x01 hello\r\n\r\n")
        assert b"400 Bad Request" in await noisy.receive()
        await noisy.aclose()
        hasty = await anyio.connect_tcp("127.0.0.1", port)
        await hasty.aclose()
        silent = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        await anyio.sleep(0.2)
        assert (await client.get("/metrics")).status_code == 503
        for line in silent:
            await line.aclose()
        await anyio.sleep(0.2)
        assert (await client.get("/metrics")).status_code == 200


async def test_a_port_that_is_taken_is_named(telemetry: Telemetry) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            SettingsError, match=rf"metrics.port: cannot listen on 127.0.0.1:{port}"
        ):
            await serve_metrics(telemetry.render, "127.0.0.1", port)


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (Debian: apt-get install --no-install-recommends prometheus)",
)
async def test_promtool_finds_nothing_wrong_with_the_metrics(telemetry: Telemetry) -> None:
    _tell_everything(telemetry)
    async with _served(telemetry) as client:
        exposed = (await client.get("/metrics")).content
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exposed,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert b"pipeline_provider_rate_limit_violations_total" in exposed
    shown = {line.split()[2] for line in exposed.decode().splitlines() if line.startswith("# TYPE")}
    counters = {metric.prometheus for metric in names.METRICS if metric.kind != "gauge"}
    assert counters <= shown
