"""Chains in real workers: whatever a node does, its attempt ends with a word about it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from doubles.worker_nodes import chain_task

from openbell.execution import process
from openbell.execution.last_words import LastWords
from openbell.execution.pool import PoolLimits, StopSignal, WorkerPool
from openbell.execution.process import WorkerLostError, describe_exit, start_worker
from openbell.execution.protocol import (
    Ask,
    CallTask,
    ChunkDone,
    Done,
    Failed,
    Found,
    FrameError,
    FromWorker,
    Logged,
    Progressed,
)
from openbell.model.events import Event, WorkerStopped
from openbell.sdk.clock import SystemClock

pytestmark = pytest.mark.integration

TESTS = Path(__file__).parents[2]


class Ear:
    """Hears everything; answers questions once `open_gate` is set."""

    def __init__(self) -> None:
        self.heard: list[FromWorker] = []
        self.gate = anyio.Event()

    async def hear(self, message: FromWorker) -> None:
        self.heard.append(message)

    def left_behind(self, words: LastWords) -> None:
        self.words = words

    async def answer(self, question: Ask, stop: StopSignal) -> tuple[bool, int]:
        await self.gate.wait()
        return True, 1_767_625_200_000_000

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]


class Works:
    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool
        self.events: list[Event] = []
        self.ear = Ear()

    async def run(self, task: Any, stop: StopSignal | None = None) -> Done | Failed:
        with anyio.fail_after(60):
            answer, _ = await self.pool.submit(task, self.ear, stop or StopSignal())
        return answer

    def stopped(self) -> list[str]:
        return [e.reason for e in self.events if isinstance(e, WorkerStopped)]


@asynccontextmanager
async def works(tmp_path: Path, **limits: Any) -> AsyncIterator[Works]:
    found: list[Works] = []

    async def tell(event: Event) -> None:
        found[0].events.append(event)

    pool = WorkerPool(
        limits=PoolLimits(**limits),
        clock=SystemClock(),
        scratch_dir=tmp_path / "workers",
        environment={**os.environ, "PYTHONPATH": str(TESTS)},
        tell=tell,
    )
    found.append(Works(pool))
    async with pool:
        yield found[0]


async def test_chunks_go_through_every_node_and_are_told(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        answer = await at.run(chain_task(tmp_path, source="progress"))
        assert isinstance(answer, Done)
        assert answer.ends["source"].totals.rows_in == 3
        assert [c.next_chunk for c in at.ear.of(ChunkDone)] == [1, 2, 3]
        assert [p.rows for p in at.ear.of(Progressed)] == [1, 2, 3]
        assert not answer.is_worn


@pytest.mark.parametrize(
    ("source", "sink", "expected"),
    [
        ("", "fail_open", ("sink", "cannot open")),
        ("", "fail_sink", ("sink", "disk of the sink")),
        ("", "fail_after", ("sink", "after emitting")),
        ("", "fail_finish", ("sink", "cannot finish")),
        ("fail_outcome", "", ("source", "no numbers")),
        ("", "fail_outcome", ("source", "no numbers")),
        ("quota", "", ("source", "used up")),
    ],
)
async def test_a_node_that_raises_fails_the_attempt_and_the_worker_stays(
    tmp_path: Path, source: str, sink: str, expected: tuple[str, str]
) -> None:
    async with works(tmp_path) as at:
        answer = await at.run(chain_task(tmp_path, source=source, sink=sink))
        assert isinstance(answer, Failed)
        node, words = expected
        assert (answer.node, words in answer.message) == (node, True)
        assert isinstance(await at.run(chain_task(tmp_path)), Done)
        assert at.stopped() == []
        if source == "quota":
            assert answer.retry_after_s == pytest.approx(90, abs=2)


async def test_an_error_in_closing_does_not_undo_what_was_done(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        assert isinstance(await at.run(chain_task(tmp_path, sink="fail_close")), Done)
        texts = [line.text for message in at.ear.of(Logged) for line in message.lines]
        assert any("cannot close" in text for text in texts)
        assert at.stopped() == []


async def test_settings_that_do_not_fit_are_not_tried_again(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        answer = await at.run(chain_task(tmp_path, chunks="many"))
        assert isinstance(answer, Failed)
        assert (answer.node, answer.kind, answer.is_retryable) == ("source", "fatal", False)


@pytest.mark.parametrize("do", ["wait_for_budget", "wait_until"])
async def test_a_failing_sink_ends_a_source_that_waits_for_the_daemon(
    tmp_path: Path, do: str
) -> None:
    async with works(tmp_path) as at:
        answer = await at.run(chain_task(tmp_path, source=do, sink="fail_sink"))
        assert isinstance(answer, Failed)
        assert "disk of the sink" in answer.message
        assert not answer.is_worn
        at.ear.gate.set()
        assert isinstance(await at.run(chain_task(tmp_path, source=do)), Done)


async def test_a_worker_whose_source_does_not_end_is_not_used_again(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        answer = await at.run(chain_task(tmp_path, source="sleep", sink="fail_sink"))
        assert isinstance(answer, Failed)
        assert answer.is_worn
        assert at.stopped() == ["recycled: its task left a thread or a process"]


async def test_what_a_thread_says_after_its_task_is_of_no_other_task(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        await at.run(chain_task(tmp_path, source="late_talk"))
        at.ear.heard.clear()
        await anyio.sleep(1.2)
        quiet = CallTask(attempt_id="b", function="doubles.worker_nodes:silence", arguments={})
        await at.run(quiet)
        assert at.ear.of(Logged) == []


async def test_numbers_of_numpy_in_findings_are_numbers(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        assert isinstance(await at.run(chain_task(tmp_path, source="report")), Done)
        finding = at.ear.of(Found)[0].findings[0]
        assert (finding.row_count, finding.metric) == (3, 0.5)


async def test_an_answer_that_cannot_be_sent_is_an_error_of_the_task(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        task = CallTask(
            attempt_id="a", function="doubles.worker_tasks:unserialisable", arguments={}
        )
        answer = await at.run(task)
        assert isinstance(answer, Failed)
        assert (answer.kind, "cannot be sent" in answer.message) == ("plugin", True)
        assert at.stopped() == []


async def test_a_task_that_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        task = CallTask(attempt_id="a", function="x:y", arguments={"a": 2**80})
        with pytest.raises(FrameError, match="cannot be sent"):
            await at.run(task)


async def test_a_worker_that_dies_is_noticed_though_its_child_holds_the_line(
    tmp_path: Path,
) -> None:
    async with works(tmp_path) as at:
        with pytest.raises(WorkerLostError, match="SIGKILL"):
            await at.run(chain_task(tmp_path, source="fork_and_die"))
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


async def test_a_stop_that_comes_before_the_task_ends_it_after_a_chunk(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        stop = StopSignal()
        stop.ask(is_interrupt=False)
        many = chain_task(tmp_path, source="progress", chunks=100_000)
        assert isinstance(await at.run(many, stop), Done)
        assert len(at.ear.of(ChunkDone)) < 100_000


async def test_a_run_that_is_to_be_interrupted_takes_no_worker(tmp_path: Path) -> None:
    async with works(tmp_path) as at:
        stop = StopSignal()
        stop.ask(is_interrupt=True)
        answer = await at.run(chain_task(tmp_path), stop)
        assert isinstance(answer, Done)
        assert answer.is_interrupted
        assert at.pool.status() == []


async def test_a_worker_that_does_not_come_up_is_lost_and_its_turn_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with works(tmp_path, max_workers=1) as at:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(tmp_path / "no-python"))
            with pytest.raises(WorkerLostError, match="no worker can be started"):
                await at.run(chain_task(tmp_path))
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", "/bin/false")
            with pytest.raises(WorkerLostError, match="exit code 1"):
                await at.run(chain_task(tmp_path))
        assert isinstance(await at.run(chain_task(tmp_path)), Done)


async def test_a_worker_that_says_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\nexec sleep 60\n")
    mute.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(mute))
    with pytest.raises(WorkerLostError, match="said nothing"):
        await start_worker(
            scratch_dir=tmp_path, environment={}, now=SystemClock().now(), hello_s=0.3
        )
    assert list(tmp_path.glob("worker-*")) == []


async def test_a_worker_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PROTOCOL_VERSION", 99)
    with pytest.raises(WorkerLostError, match="unexpected greeting"):
        await start_worker(
            scratch_dir=tmp_path, environment=dict(os.environ), now=SystemClock().now()
        )


def test_every_end_of_a_process_has_words() -> None:
    assert describe_exit(-40) == "killed by signal 40"
    assert describe_exit(None) == "it broke the protocol"
