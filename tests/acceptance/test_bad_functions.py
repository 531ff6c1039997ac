"""Functions, programs, queries and callbacks that go wrong in every way, on one real daemon.

Each leaves a clear record: state, kind of error, message, attempts, dead letter, log. None leaves
a process or a file, and none keeps the daemon from answering and from doing other work.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doubles.bad.misdeeds import MISDEEDS
from doubles.bad.place import Place, Record, is_gone, place_with, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

MIB = 1024 * 1024
LIMIT_MB = 768
WORKERS = 3
SLOW_S = 6
RETRY = {"max_attempts": 2, "backoff_seconds": 0.05}
EATERS = ("eat", "eat_arrow", "eat_and_crash", "eat_and_abort")
ENDLESS = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c WHERE a.range = b.range + c.range"


def function(how: str, folder: Path, **more: Any) -> dict[str, Any]:
    args = {"how": how, "mark": str(folder / f"{how}.mark")}
    node = {"op": "python", "function": "doubles.bad.misdeeds:commit", "args": args}
    return {"nodes": {"n": {**node, "retry": RETRY, **more}}}


def alone(**node: Any) -> dict[str, Any]:
    return {"nodes": {"n": {"retry": {"max_attempts": 1}, **node}}}


def configuration(folder: Path, url: str) -> dict[str, Any]:
    once = {"timeout": SLOW_S, "retry": {"max_attempts": 1}}
    pipelines = {how: function(how, folder) for how in MISDEEDS}
    pipelines |= {how: function(how, folder, **once) for how in ("hang", "stay")}
    stubborn = f"trap '' TERM; echo $$ > {folder}/trap.mark; while :; do sleep 0.2; done"
    pipelines |= {f"warm_{number}": function("", folder) for number in range(WORKERS)}
    pipelines |= {
        "idle": alone(op="noop"),
        "trap": alone(
            op="command", command=["sh", "-c", stubborn], timeout=SLOW_S, grace_seconds=1
        ),
        "endless": alone(op="sql", query=ENDLESS, timeout=2),
        "large": alone(op="sql", query="SELECT list(range) FROM range(80_000_000)", memory_mb=64),
        "ask": alone(op="http", url=url, timeout_seconds=1),
        "notify": alone(op="notify", message="done", webhook=url, timeout_seconds=1),
        "notify_drip": alone(op="notify", message="done", webhook=f"{url}drip", timeout_seconds=1),
        "items": {
            "nodes": {
                "n": {
                    "op": "python",
                    "function": "doubles.bad.misdeeds:commit",
                    "args": {"how": "${item}"},
                    "for_each": ["", "exit", "raise", ""],
                    "retry": {"max_attempts": 1},
                }
            }
        },
    }
    daemon = {"max_workers": WORKERS, "worker_max_memory_mb": LIMIT_MB}
    return {"version": 2, "daemon": daemon, "pipelines": pipelines}


class Mute:
    """A server that takes every connection and never answers; under `/drip` it begins to."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"

    def _serve(self) -> None:
        while not self._is_over.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            if b"/drip" in connection.recv(4096):
                threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not self._is_over.wait(0.1):
                connection.sendall(b"x-more: x\r\n")
        except OSError:
            return

    def close(self) -> None:
        self._is_over.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        for connection in self._open:
            connection.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("functions")
    mute = Mute()
    try:
        with place_with(folder, configuration(folder, mute.url)) as made:
            yield made
    finally:
        mute.close()


@pytest.fixture(scope="module")
def slow(place: Place) -> dict[str, str]:
    """Runs that take their time, in workers that have loaded everything, begun before all others."""
    warm = [place.submit(f"warm_{number}") for number in range(WORKERS)]
    assert {place.ended(run_id).state for run_id in warm} == {"success"}
    return {name: place.submit(name) for name in ("hang", "stay", "trap", "endless")}


@pytest.fixture(autouse=True)
def _nothing_is_left(place: Place, slow: dict[str, str]) -> Iterator[None]:
    yield
    assert place.get("/livez") is not None
    assert place.ended(place.submit("idle")).state == "success"


def check_letter(record: Record, kind: str, attempts: int) -> None:
    """The node, its attempts and its dead letter tell the same."""
    assert record.state == "failed"
    assert (record.failed["error_kind"], record.failed["attempts"]) == (kind, attempts)
    assert record.failed["error"] in record.run["error"]
    assert [each["error_kind"] for each in record.attempts] == [kind] * attempts
    (letter,) = record.letters
    assert (letter["node"], letter["error_kind"], letter["attempts"]) == ("n", kind, attempts)
    assert letter["error"] == record.failed["error"]
    assert letter["traceback"] == record.attempts[-1]["traceback"]


def test_one_that_raises_is_told_with_its_traceback_and_the_cause(place: Place) -> None:
    record = place.ended(place.submit("raise"))
    check_letter(record, "error", attempts=2)
    assert record.failed["error"] == 'ValueError("the vendor\'s answer makes no sense")'
    trace = record.attempts[-1]["traceback"]
    assert "KeyError: 'price'" in trace
    assert "direct cause" in trace
    assert "misdeeds.py" in trace
    shown = place.mdp.run("describe", "run", record.run["run_id"]).stdout
    assert "the vendor's answer makes no sense" in shown


def test_one_that_returns_the_wrong_type_is_told_what_to_return(place: Place) -> None:
    record = place.ended(place.submit("wrong"))
    check_letter(record, "fatal", attempts=1)
    assert "returned a value of type set; return a pyarrow Table" in record.failed["error"]


def test_one_that_leaves_by_os_exit_is_lost_and_its_last_words_are_kept(place: Place) -> None:
    record = place.ended(place.submit("exit"))
    check_letter(record, "worker_lost", attempts=2)
    assert record.failed["error"].endswith("was lost: exit code 3")
    assert record.lines == ["the last words"] * 2
    assert all(each["peak_memory_bytes"] > 10 * MIB for each in record.attempts)


def test_one_that_crashes_is_told_with_the_place_of_the_crash(place: Place) -> None:
    record = place.ended(place.submit("crash"))
    check_letter(record, "worker_lost", attempts=2)
    assert "killed by SIGSEGV" in record.failed["error"]
    trace = record.attempts[-1]["traceback"]
    assert "Segmentation fault" in trace
    assert "in _crash" in trace


def test_one_that_is_killed_is_lost_and_not_said_to_lack_memory(place: Place) -> None:
    record = place.ended(place.submit("kill"))
    check_letter(record, "worker_lost", attempts=2)
    assert record.failed["error"].endswith("was lost: killed by SIGKILL")


@pytest.mark.parametrize("how", EATERS)
def test_one_that_eats_memory_is_told_so_with_peak_and_limit_and_not_tried_again(
    place: Place, how: str
) -> None:
    record = place.ended(place.submit(how))
    check_letter(record, "memory", attempts=1)
    error = record.failed["error"]
    assert f"of {LIMIT_MB} MiB allowed)" in error
    assert error.endswith("; raise daemon: worker_max_memory_mb")
    peak = record.attempts[0]["peak_memory_bytes"]
    assert LIMIT_MB / 3 < peak / MIB < LIMIT_MB + 64
    assert f"peak {peak / MIB:,.0f} MiB" in error or how in {"eat", "eat_arrow"}
    assert ("likely" in error) == (how == "eat_and_crash"), "what is inferred is said to be"
    assert ("std::bad_alloc" in error) == (how == "eat_and_abort")


def test_one_that_forks_answers_once(place: Place) -> None:
    record = place.ended(place.submit("fork"))
    assert (record.state, record.letters) == ("success", [])
    assert record.run["nodes"]["n"]["attempts"] == 1
    child = int((place.mdp.folder / "fork.mark").read_text())
    wait_for(lambda: is_gone(child))


def test_what_one_leaves_running_in_another_session_is_ended(place: Place) -> None:
    record = place.ended(place.submit("leave"))
    assert record.state == "success"
    child = int((place.mdp.folder / "leave.mark").read_text())
    wait_for(lambda: is_gone(child))


def test_a_gigabyte_on_stdout_costs_a_megabyte_and_no_time_of_others(place: Place) -> None:
    wal = place.mdp.state / "history.sqlite-wal"
    before, memory = _size(place), place.daemon.memory_info().rss
    run_id = place.submit("shout")
    slowest = highest = 0.0
    while place.get(f"/api/v1/runs/{run_id}")["finished_at"] is None:
        began = time.monotonic()
        assert place.ended(place.submit("idle")).state == "success"
        slowest = max(slowest, time.monotonic() - began)
        highest = max(highest, place.daemon.memory_info().rss)
    record = place.ended(run_id)
    assert record.state == "success"
    assert wal.exists()
    logged = _all_lines(place, run_id)
    assert sum(len(line) for line in logged) <= MIB + 200
    dropped = 1024 * MIB - sum(len(line) + 1 for line in logged[:-1])
    assert logged[-1] == f"output truncated: {dropped} bytes over the limit were dropped"
    assert _size(place) - before < 8 * MIB
    assert max(highest, memory) - memory < 32 * MIB
    assert slowest < 10


def _size(place: Place) -> int:
    return sum(file.stat().st_size for file in place.mdp.state.glob("history.sqlite*"))


def _all_lines(place: Place, run_id: str) -> list[str]:
    found: list[str] = []
    after = 0
    while page := place.get(f"/api/v1/runs/{run_id}/logs?limit=1000&after={after}")["items"]:
        found += [line["text"] for line in page]
        after = page[-1]["id"]
    return found


def test_one_item_that_goes_wrong_has_a_letter_and_the_others_are_done(place: Place) -> None:
    record = place.ended(place.submit("items"))
    assert record.state == "failed"
    told = {letter["item"]: letter["error_kind"] for letter in record.letters}
    assert told == {1: "worker_lost", 2: "error"}
    assert record.lines == ["the last words"]


@pytest.mark.parametrize("name", ["ask", "notify", "notify_drip"])
def test_a_callback_that_never_answers_is_given_up_and_named(place: Place, name: str) -> None:
    began = time.monotonic()
    record = place.ended(place.submit(name))
    assert time.monotonic() - began < 30
    assert record.state == "failed"
    assert record.failed["error_kind"] == "transient"
    assert "http://127.0.0.1:" in record.failed["error"]
    assert "within 1 s" in record.failed["error"]
    assert [letter["error_kind"] for letter in record.letters] == ["transient"]


def test_a_query_that_wants_too_much_is_told_so_with_a_way_out(place: Place) -> None:
    record = place.ended(place.submit("large"))
    check_letter(record, "memory", attempts=1)
    assert record.failed["error"].endswith("raise memory_mb of the node")


def test_one_that_hangs_is_ended_and_told_where_it_was(place: Place, slow: dict[str, str]) -> None:
    record = place.ended(slow["hang"])
    check_letter(record, "timeout", attempts=1)
    assert record.failed["error"] == f"took longer than {SLOW_S} s"
    assert "in _hang" in record.attempts[0]["traceback"]


def test_one_that_ignores_sigterm_is_killed(place: Place, slow: dict[str, str]) -> None:
    record = place.ended(slow["stay"])
    check_letter(record, "timeout", attempts=1)
    assert "in _stay" in record.attempts[0]["traceback"]
    assert is_gone(int((place.mdp.folder / "stay.mark").read_text()))


def test_a_program_that_ignores_sigterm_is_killed(place: Place, slow: dict[str, str]) -> None:
    record = place.ended(slow["trap"])
    check_letter(record, "timeout", attempts=1)
    assert is_gone(int((place.mdp.folder / "trap.mark").read_text()))


def test_a_query_without_end_is_ended(place: Place, slow: dict[str, str]) -> None:
    record = place.ended(slow["endless"])
    check_letter(record, "timeout", attempts=1)


def test_nobody_left_anything(place: Place) -> None:
    place.check_unharmed()
    shown = place.mdp.json("dlq", "list", "--kind", "memory")
    assert {letter["pipeline"] for letter in shown} == {*EATERS, "large"}
    why = place.mdp.json("explain", shown[0]["run_id"])
    assert "memory" in why["sentences"][0]["text"]
