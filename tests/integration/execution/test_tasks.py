"""Tasks in real workers: whatever a function does, there is a clear record of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import pyarrow as pa
import pytest
from doubles.calls import calls_in, gone

from openbell.execution.orphans import (
    MARK,
    clean_spool,
    end_orphans,
    forget_run,
    mark_of,
    output_path,
)
from openbell.execution.pool import StopSignal
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import Done, Failed, Progressed
from openbell.execution.worker import __main__ as worker

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


def rows(answer: Done | Failed) -> list[dict[str, Any]]:
    assert isinstance(answer, Done), answer
    output = answer.outputs["n"]
    assert output["kind"] == "spool"
    table = pa.ipc.open_stream(pa.memory_map(output["path"])).read_all()
    assert table.num_rows == output["rows"]
    found: list[dict[str, Any]] = table.to_pylist()
    return found


async def test_what_a_node_makes_another_reads(tmp_path: Path) -> None:
    async with calls_in(tmp_path) as at:
        answer = await at.python("streamed", count=3)
        assert rows(answer) == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert isinstance(answer, Done)
        assert answer.ends["n"].totals.rows_out == 3
        query = "SELECT sum(made.n) AS total FROM made, listed WHERE made.n = listed.n"
        inputs = {
            "made": answer.outputs["n"],
            "listed": {"kind": "value", "value": [{"n": 1}, {"n": 2}]},
            "nothing": {},
        }
        path = str(output_path(tmp_path, "run_1", "total"))
        again = await at.run(at.call("sql", {"query": query}, inputs=inputs, spool_path=path))
        assert rows(again) == [{"total": 3}]
        assert not (tmp_path / "spool" / "att_1").exists()
        assert [m.rows for m in at.heard if isinstance(m, Progressed)] == [1, 2, 3, 1]


async def test_a_task_knows_its_run_and_talks_to_its_log(tmp_path: Path) -> None:
    async with calls_in(tmp_path) as at:
        settings = {"function": "doubles.task_functions:labelled"}
        call = at.call("python", settings, item="AAPL", params={"a": 1}, attempt=2)
        answer = await at.run(call)
        assert isinstance(answer, Done)
        assert answer.ends["n"].outcome == "late"
        assert answer.outputs["n"]["value"] == {"item": "AAPL", "params": {"a": 1}}
        assert "attempt 2 of n" in at.lines()
        shown = at.call(
            "command",
            {"command": ["sh", "-c", "echo $OPENBELL_RUN_ID $TRACEPARENT; echo err >&2"]},
            environment={"OPENBELL_RUN_ID": "run_1"},
            traceparent="00-1-2-01",
        )
        assert isinstance(await at.run(shown), Done)
        assert {"run_1 00-1-2-01", "err"} <= set(at.lines())


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("raises", {}, "error", "no such thing"),
    ("limited", {}, "rate_limited", "too fast"),
    ("exits", {}, "fatal", "called sys.exit(3)"),
    ("wrong", {"kind": "set"}, "fatal", "a value of type set"),
    ("wrong", {"kind": "rows"}, "fatal", "values of type int as rows"),
    ("wrong", {"kind": "mixed"}, "fatal", "batch 2 of node 'n' is ['b']"),
    ("wrong", {"kind": "nan"}, "fatal", "no plain JSON"),
    ("wrong", {"kind": "long"}, "fatal", "return rows instead"),
    ("wrong", {"kind": "both"}, "fatal", "rows and a value"),
]


async def test_a_function_that_goes_wrong_fails_its_attempt(tmp_path: Path) -> None:
    async with calls_in(tmp_path) as at:
        for function, args, kind, words in WRONG:
            failed = await at.python(function, **args)
            assert isinstance(failed, Failed)
            assert (failed.node, failed.kind) == ("n", kind)
            assert words in failed.message
            assert failed.is_retryable == (kind in {"error", "rate_limited"})
            assert failed.retry_after_s == (7.0 if function == "limited" else None)
            assert "task.py" in failed.traceback
        assert not list(tmp_path.glob("spool/run_1/*"))
        assert len(at.pool.status()) == 1


@pytest.mark.parametrize(
    ("function", "args", "words"),
    [("leaves", {"code": 3}, "exit code 3"), ("crashes", {}, "SIGSEGV")],
)
async def test_a_function_that_takes_its_process_down_is_lost_alone(
    tmp_path: Path, function: str, args: dict[str, Any], words: str
) -> None:
    async with calls_in(tmp_path) as pool:
        with pytest.raises(WorkerLostError, match=words):
            await pool.python(function, **args)
        assert isinstance(await pool.python("of"), Done)


async def test_a_function_that_eats_memory_fails_and_its_worker_is_replaced(
    tmp_path: Path,
) -> None:
    async with calls_in(tmp_path, max_memory_bytes=256 * MIB) as at:
        failed = await at.python("eats", mb=4096)
        assert isinstance(failed, Failed)
        assert (failed.kind, failed.is_retryable) == ("memory", False)
        assert "worker_max_memory_mb" in failed.message
        assert at.stopped() == ["recycled: its task left a thread or a process"]
        assert isinstance(await at.python("eats", mb=64), Done)


async def test_a_fork_answers_once(tmp_path: Path) -> None:
    async with calls_in(tmp_path) as pool:
        answer = await pool.python("forks")
        assert isinstance(answer, Done)
        assert answer.outputs["n"]["value"] == "parent"
        again = await pool.python("of")
        assert isinstance(again, Done)
        assert again.outputs["n"]["value"] == []


async def test_what_a_function_leaves_running_is_ended(tmp_path: Path) -> None:
    async with calls_in(tmp_path) as pool:
        path = tmp_path / "pid"
        answer = await pool.python("leaves_a_child", path=str(path))
        assert isinstance(answer, Done)
        assert answer.is_worn
        assert await gone(int(path.read_text()))


async def test_what_a_function_changes_in_its_process_the_next_does_not_find(
    tmp_path: Path,
) -> None:
    async with calls_in(tmp_path) as pool:
        before = await pool.python("surroundings")
        await pool.python("spoils")
        after = await pool.python("surroundings")
        assert isinstance(before, Done)
        assert isinstance(after, Done)
        assert after.outputs == before.outputs
        assert len(pool.pool.status()) == 1


async def test_a_worker_outlives_the_folder_that_the_daemon_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    monkeypatch.chdir(folder)
    async with calls_in(tmp_path) as pool:
        assert isinstance(await pool.python("spoils"), Done)
        monkeypatch.chdir(tmp_path)
        folder.rmdir()
        assert isinstance(await pool.python("spoils"), Done)
        assert len(pool.pool.status()) == 1


async def test_a_gigabyte_on_stdout_is_cut_and_counted(tmp_path: Path) -> None:
    async with calls_in(tmp_path) as pool:
        answer = await pool.python("shouts", mb=1024)
        assert isinstance(answer, Done)
        assert sum(len(line) for line in pool.lines()) < 2 * MIB
        assert "output truncated" in pool.lines()[-1]


@pytest.mark.parametrize("ignore_sigterm", [False, True])
async def test_a_function_that_hangs_is_ended_with_its_attempt(
    tmp_path: Path, ignore_sigterm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openbell.execution.process._GRACE_S", 0.5)
    async with calls_in(tmp_path) as at:
        scratch = tmp_path / "spool" / "att_1"
        scratch.mkdir(parents=True)
        with anyio.move_on_after(30) as limit:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: at.python("hangs", ignore_sigterm=ignore_sigterm))
                pid = await at.busy()
                await anyio.sleep(0.3)
                tasks.cancel_scope.cancel()
        assert not limit.cancelled_caught
        assert await gone(pid)
        assert not scratch.exists()
        assert at.stopped() == ["cancelled"]


async def test_a_worker_that_cannot_even_beat_is_given_up(tmp_path: Path) -> None:
    async with calls_in(tmp_path, silent_s=0.5) as at:
        with pytest.raises(WorkerLostError, match=r"said nothing for .* it hangs"):
            await at.python("holds_the_lock")


async def test_a_worker_at_work_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker.BEAT_S < 10
    async with calls_in(tmp_path, silent_s=worker.BEAT_S + 2) as at:
        stop = StopSignal()
        async with anyio.create_task_group() as tasks:

            async def ask_later() -> None:
                await anyio.sleep(worker.BEAT_S + 3)
                stop.ask(is_interrupt=True)

            tasks.start_soon(ask_later)
            call = at.call("python", {"function": "doubles.task_functions:waits"})
            answer = await at.run(call, stop)
        assert isinstance(answer, Done)
        assert answer.is_interrupted


async def test_an_interrupted_task_is_not_done_and_the_worker_stays(tmp_path: Path) -> None:
    async with calls_in(tmp_path) as pool:
        stop = StopSignal()
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                await pool.busy()
                await anyio.sleep(0.5)
                stop.ask(is_interrupt=True)

            tasks.start_soon(ask)
            command = {"command": ["sleep", "60"], "grace_seconds": 1}
            answer = await pool.run(pool.call("command", command), stop)
        assert isinstance(answer, Done)
        assert answer.is_interrupted
        assert pool.stopped() == []
        late = StopSignal()
        next_answer = await pool.run(pool.call("command", {"command": ["true"]}), late)
        late.ask(is_interrupt=True)
        assert isinstance(next_answer, Done)
        assert not next_answer.is_interrupted
        cancelled = StopSignal()
        cancelled.ask(is_interrupt=False)
        failed = await pool.run(pool.call("command", command), cancelled)
        assert isinstance(failed, Failed)
        assert failed.kind == "cancelled"


async def test_a_command_is_ended_with_its_worker(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    script = f"setsid sleep 300 & echo $! > {path}; sleep 300"
    async with calls_in(tmp_path) as at:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(at.run, at.call("command", {"command": ["sh", "-c", script]}))
            with anyio.fail_after(30):
                while not path.exists() or not path.read_text().strip():
                    await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
        assert await gone(int(path.read_text()))


async def test_an_attempt_knows_what_it_cost(tmp_path: Path) -> None:
    async with calls_in(tmp_path) as at:
        large = await at.python("eats", mb=200)
        assert isinstance(large, Done)
        assert large.peak_memory_bytes > 200 * MIB
        small = await at.python("writes", path=str(tmp_path / "file"), mb=8)
        assert isinstance(small, Done)
        assert small.peak_memory_bytes < large.peak_memory_bytes - 100 * MIB
        program = (
            "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
        )
        child = await at.run(at.call("command", {"command": [sys.executable, "-c", program]}))
        assert isinstance(child, Done)
        assert child.cpu_s > 0.3
        if at.heard and Path("/proc/self/io").exists():
            assert small.io_written_bytes >= 0


async def test_orphans_of_a_dead_daemon_are_found_by_their_mark(tmp_path: Path) -> None:
    scratch = tmp_path / "workers"
    mark = {MARK: mark_of(str(scratch / "worker-x.stderr")), "PATH": "/usr/bin:/bin"}
    async with await anyio.open_process(["sleep", "300"], env=mark, start_new_session=True) as left:
        assert end_orphans(scratch / "other") == 0
        assert end_orphans(scratch) == 1
        assert await left.wait() == -9


def test_spool_files_go_with_their_runs(tmp_path: Path) -> None:
    for name in ("run_a", "run_b", "att_1", "else"):
        (tmp_path / "spool" / name).mkdir(parents=True)
        (tmp_path / "spool" / name / "n.arrow").touch()
    assert clean_spool(tmp_path, is_kept=lambda run_id: run_id == "run_a") == ["run_b"]
    assert sorted(p.name for p in (tmp_path / "spool").iterdir()) == ["att_1", "else", "run_a"]
    forget_run(tmp_path, "run_a")
    forget_run(tmp_path, "../workers")
    assert clean_spool(tmp_path, is_kept=lambda _: False, is_start=True) == []
    assert sorted(p.name for p in (tmp_path / "spool").iterdir()) == ["else"]
    assert clean_spool(tmp_path / "gone", is_kept=lambda _: False) == []
