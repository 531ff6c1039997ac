"""What a dead worker's remains are taken for, and how sure anybody can be of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from openbell.execution import remains
from openbell.execution.black_box import NOTHING, BlackBox, Page, mark_of
from openbell.execution.last_words import MEMORY_EXIT, Death, LastWords, out_of_memory, stacks
from openbell.execution.process import WorkerLostError, describe_exit
from openbell.execution.protocol import Beat
from openbell.model.pipelines import Node
from openbell.sdk.clock import SystemClock
from openbell.supervisor.lost import lost, overtime, unheard

pytestmark = pytest.mark.unit

MIB = 1024 * 1024
ABORT = "terminate called after throwing an instance of 'std::bad_alloc'"
OWN = "/usr/lib/openbell/execution/worker"


def death(exit_code: int | None, peak: int = 100, *, was_oom_kill: bool = False) -> Death:
    return Death(
        exit_code=exit_code,
        how=describe_exit(exit_code),
        peak_bytes=peak * MIB,
        limit_bytes=1000 * MIB,
        was_oom_kill=was_oom_kill,
    )


@pytest.mark.parametrize(
    ("how", "words", "told"),
    [
        (death(MEMORY_EXIT), "", "it needs more memory than a worker may have (peak 100 MiB of"),
        (death(-6), ABORT, "it ran out of memory: killed by SIGABRT after 'std::bad_alloc'"),
        (death(1), "MemoryError", "it ran out of memory: exit code 1 after 'MemoryError'"),
        (death(-6), "memory allocation of 8 bytes failed", "it ran out of memory: killed by"),
        (death(-11, 900), "", "it likely ran out of memory: killed by SIGSEGV near its limit"),
        (death(-9, 900), "", "it likely ran out of memory: killed by SIGKILL near its limit"),
        (death(-9, was_oom_kill=True), "", "killed by SIGKILL while the kernel's out-of-memory"),
        (death(-9), "", ""),
        (death(-11), "", ""),
        (death(3, 900), "all is well", ""),
        (death(3, 900), "MyMemoryErrors: 0", ""),
        (death(None), ABORT, ""),
    ],
)
def test_a_lack_of_memory_is_told_as_surely_as_it_is_known(
    how: Death, words: str, told: str
) -> None:
    found = out_of_memory(how, words)
    assert found.startswith(told)
    assert bool(found) == bool(told)
    assert ("likely" in found) == (how.exit_code in {-9, -11} and bool(told))


def test_without_a_limit_nothing_is_near_it() -> None:
    unlimited = Death(exit_code=-9, how="killed", peak_bytes=10**12, limit_bytes=None)
    assert out_of_memory(unlimited, "") == ""


def test_stacks_show_calls_of_others_newest_first() -> None:
    report = (
        "said before\n"
        "Thread 0x00007f01 (most recent call first):\n"
        f'  File "{OWN}/output.py", line 130 in _read\n'
        '  File "/usr/lib/python3.11/threading.py", line 982 in run\n\n'
        "Current thread 0x00007f02 (most recent call first):\n"
        '  File "/srv/research.py", line 7 in slow\n'
        '  File "<frozen importlib._bootstrap>", line 241 in _call\n'
        f'  File "{OWN}/task.py", line 105 in run_task\n'
    )
    assert stacks(report) == (
        "said before\n"
        "Current thread 0x00007f02 (most recent call first):\n"
        '  File "/srv/research.py", line 7 in slow\n'
    )
    assert stacks("Fatal Python error: Segmentation fault\n") == (
        "Fatal Python error: Segmentation fault\n"
    )


def test_a_kill_by_the_kernel_is_put_down_to_one_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\noom 3\noom_kill 3\n")
    monkeypatch.setattr(remains, "_counter", lambda: counter)
    kills = remains.OomKills()
    assert not kills.take()
    counter.write_text("oom_kill 5\n")
    assert [kills.take() for _ in range(3)] == [True, True, False]
    counter.unlink()
    assert not kills.take()


def test_a_box_keeps_what_was_written_and_not_reported() -> None:
    box = BlackBox()
    page, out_reader, out_writer, _, err_writer = map(os.dup, box.descriptors)
    box.handed_over()
    worker = Page(page)
    worker.say(0, mark_of("check"))
    worker.say(1, mark_of("fetch"))
    assert box.at_work() == ("check", "fetch")
    worker.say(0, NOTHING)
    assert box.at_work() == ("fetch",)
    with worker.held(0) as held:
        held[:9] = b"read\nhalf"
    os.write(out_writer, b" a line\n")
    os.write(err_writer, b"to stderr")
    assert list(box.unheard()) == [
        ("stdout", "read"),
        ("stdout", "half a line"),
        ("stderr", "to stderr"),
    ]
    for descriptor in (page, out_reader, out_writer, err_writer):
        os.close(descriptor)
    worker.close()
    box.close()
    box.close()


def test_the_node_that_was_at_work_is_blamed_and_two_are_both_named() -> None:
    error = WorkerLostError(7, 3, "report")
    beat = Beat(cpu_s=1.5, memory_bytes=9, io_read_bytes=2, io_written_bytes=3)
    one = lost(error, LastWords(at_work=("check",)), head="fetch", beat=beat)
    assert (one.node, one.kind, one.is_retryable) == ("check", "worker_lost", True)
    assert (one.cpu_s, one.io_written_bytes, one.traceback) == (1.5, 3, "report")
    two = lost(error, LastWords(at_work=("check", "fetch")), head="fetch", beat=None)
    assert two.node == "fetch"
    assert two.message.endswith("exit code 3 ('check' and 'fetch' were at work)")
    assert lost(error, LastWords(), head="fetch", beat=None).node == "fetch"


def test_overtime_says_who_was_at_work_where_that_is_not_who_was_limited() -> None:
    limit = Node(name="fetch", op="ingest", timeout_s=4.0)
    own = overtime(limit, LastWords(at_work=("fetch",), tail="stack"), beat=None)
    assert (own.message, own.traceback, own.kind) == ("took longer than 4 s", "stack", "timeout")
    other = overtime(limit, LastWords(at_work=("check",)), beat=None)
    assert other.message == "took longer than 4 s ('check' was at work)"
    assert overtime(limit, LastWords(), beat=None).message == "took longer than 4 s"


def test_lines_that_nobody_heard_become_the_log() -> None:
    now = SystemClock().now()
    words = LastWords(output=(("stdout", "a"), ("stderr", "b" * 9000)))
    found = unheard(words, now)
    assert [(line.stream, line.level, len(line.text)) for line in found] == [
        ("stdout", "INFO", 1),
        ("stderr", "WARNING", 8192),
    ]
