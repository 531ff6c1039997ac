"""Killed at any instant, asked to stop, started twice: nothing is lost and nothing is done twice."""

from __future__ import annotations

import random
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from doubles.commands import Mdp

pytestmark = pytest.mark.acceptance

ROWS = 2 * 390 * 61
CONFIG = """
version: 2
providers:
  synthetic: {type: synthetic, seed: 3, pacing: {requests_per_minute: 1800, burst: 1}}
storage:
  primary: {type: lake, uri: ./lake, write: {batch_size: 780}}
datasets:
  bars: {provider: synthetic, schema: bars_ohlcv, symbols: [AAPL, MSFT], interval: 1min, calendar: XNYS}
jobs:
  fill: {dataset: bars, mode: backfill, from: 2026-01-02, to: 2026-03-31}
"""


def wait_for(what: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def ask(database: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute(question).fetchall()


@contextmanager
def daemon(mdp: Mdp, **env: str) -> Iterator[subprocess.Popen[str]]:
    """Start a daemon that serves; end it at the end, whatever happened."""
    process = mdp.start("daemon", "run", "--config", "c.yaml", "--socket", "s", env=env)
    try:
        wait_for(lambda: (mdp.folder / "s").exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def batches(mdp: Mdp) -> int:
    try:
        return int(ask(mdp.state / "history.sqlite", "SELECT count(*) FROM data_lineage")[0][0])
    except sqlite3.OperationalError:
        return 0


def check_exactly_once(mdp: Mdp) -> None:
    """Every bar is there once, every batch was committed once, the history is sound."""
    (stats,) = mdp.json("data", "stats", "--config", "c.yaml")
    assert stats["row_count"] == ROWS
    database = mdp.state / "history.sqlite"
    assert ask(database, "PRAGMA integrity_check") == [("ok",)]
    runs = ask(database, "SELECT state, rows_written, batches FROM job_runs")
    assert runs == [("success", ROWS, batches(mdp))]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_daemon_killed_again_and_again_finishes_the_run_exactly_once(mdp: Mdp, seed: int) -> None:
    chance = random.Random(seed)
    mdp.write("c.yaml", CONFIG)
    for attempt in range(3):
        with daemon(mdp) as process:
            if attempt == 0:
                body = mdp.json("status", "--socket", "s")
                assert body["state"] == "running"
                mdp.run("get", "runs", "--socket", "s")
                submit(mdp)
            before = batches(mdp)
            wait_for(lambda at=before: batches(mdp) > at + 3)
            time.sleep(chance.random() * 0.2)
            process.kill()
            process.wait()
        (mdp.folder / "s").unlink()
    with daemon(mdp):
        (run,) = mdp.json("get", "runs", "--socket", "s")
        mdp.run("wait", run["run_id"], "--socket", "s", "--timeout", "60s")
    check_exactly_once(mdp)


def submit(mdp: Mdp) -> None:
    """Submit the job and do not wait for it."""
    process = mdp.start("run", "--config", "c.yaml", "--job", "fill")
    wait_for(lambda: batches(mdp) > 0 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130, words
    assert "goes on in the daemon" in words


def test_a_drained_daemon_ends_after_the_batch_in_hand_and_goes_on_at_the_next_start(
    mdp: Mdp,
) -> None:
    mdp.write("c.yaml", CONFIG)
    with daemon(mdp) as process:
        submit(mdp)
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0
    assert not (mdp.folder / "s").exists()
    attempts = ask(mdp.state / "history.sqlite", "SELECT state FROM job_executions")
    assert attempts == [("interrupted",)]
    with daemon(mdp):
        (run,) = mdp.json("get", "runs", "--socket", "s")
        mdp.run("wait", run["run_id"], "--socket", "s", "--timeout", "60s")
    check_exactly_once(mdp)


def test_a_worker_that_is_killed_costs_its_attempt_and_nothing_else(mdp: Mdp) -> None:
    mdp.write(
        "c.yaml",
        CONFIG.replace(
            "mode: backfill,", "mode: backfill, execution: {retry: {backoff_seconds: 0.1}},"
        ),
    )
    with daemon(mdp) as process:
        starter = mdp.start("run", "--config", "c.yaml", "--job", "fill")
        wait_for(lambda: batches(mdp) > 0)
        (worker,) = psutil.Process(process.pid).children()
        worker.kill()
        starter.send_signal(signal.SIGINT)
        starter.communicate(timeout=30)
        (run,) = mdp.json("get", "runs", "--socket", "s")
        mdp.run("wait", run["run_id"], "--socket", "s", "--timeout", "60s")
    found = ask(mdp.state / "history.sqlite", "SELECT state, error_kind FROM job_executions")
    assert found[0] == ("failed", "worker_lost")
    assert found[-1][0] == "success"
    check_exactly_once(mdp)


def test_a_run_in_the_foreground_goes_on_where_it_was_killed(mdp: Mdp) -> None:
    mdp.write("c.yaml", CONFIG)
    process = mdp.start("run", "--config", "c.yaml", "--job", "fill")
    wait_for(lambda: batches(mdp) > 5)
    process.kill()
    process.communicate()
    before = batches(mdp)
    done = mdp.run("run", "--config", "c.yaml", "--job", "fill", "-o", "json")
    assert "going on with" in done.stderr
    assert batches(mdp) > before
    check_exactly_once(mdp)


def test_ctrl_c_in_the_foreground_ends_after_the_batch_in_hand(mdp: Mdp) -> None:
    mdp.write("c.yaml", CONFIG)
    process = mdp.start("run", "--config", "c.yaml", "--job", "fill")
    wait_for(lambda: batches(mdp) > 3)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130, words
    assert "the same command goes on from there" in words
    mdp.run("run", "--config", "c.yaml", "--job", "fill")
    check_exactly_once(mdp)


def test_systemd_hears_how_the_daemon_stands(mdp: Mdp) -> None:
    mdp.write("c.yaml", CONFIG)
    address = str(mdp.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(30)
        heard: list[str] = []

        def hear(word: str) -> None:
            while not any(word in message for message in heard):
                heard.append(manager.recv(4096).decode())

        with daemon(mdp, NOTIFY_SOCKET=address, WATCHDOG_USEC="400000") as process:
            hear("READY=1")
            assert "STATUS=running: 1 pipelines" in "\n".join(heard)
            hear("WATCHDOG=1")
            heard.clear()
            process.send_signal(signal.SIGHUP)
            hear("RELOADING=1")
            assert "MONOTONIC_USEC=" in "\n".join(heard)
            hear("READY=1")
            process.terminate()
            hear("STOPPING=1")
            process.communicate(timeout=20)
            assert process.returncode == 0


def test_a_second_sigterm_stops_at_once(mdp: Mdp) -> None:
    mdp.write("c.yaml", CONFIG)
    with daemon(mdp) as process:
        submit(mdp)
        process.terminate()
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0
    with daemon(mdp):
        (run,) = mdp.json("get", "runs", "--socket", "s")
        mdp.run("wait", run["run_id"], "--socket", "s", "--timeout", "60s")
    check_exactly_once(mdp)
