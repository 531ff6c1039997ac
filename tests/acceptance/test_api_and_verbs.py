"""The daemon as a process, its API and the verbs that talk to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doubles.commands import MDP, Mdp

pytestmark = pytest.mark.acceptance

CONFIG = """\
version: 2
providers:
  made: {type: synthetic, seed: 42}
storage:
  primary: {type: lake, uri: "./lake"}
datasets:
  smoke: {provider: made, schema: bars_ohlcv, symbols: [AAPL, MSFT], interval: 1d, calendar: XNYS}
jobs:
  fill: {dataset: smoke, mode: backfill, from: 2024-01-02, to: 2024-01-31}
pipelines:
  wide:
    nodes:
      fetch: {op: ingest, dataset: smoke}
      check: {op: gate, needs: [fetch], rules: [ohlc]}
      publish: {op: write, needs: {check: [pass, warn]}, to: primary}
"""


def ask(path: Path, method: str, url: str, body: object = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("openbell", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(path))
        sent = None if body is None else json.dumps(body)
        head = {"content-type": "application/json", **headers}
        connection.request(method, url, body=sent, headers=head)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture
def daemon(mdp: Mdp) -> Iterator[Path]:
    mdp.write("openbell.yaml", CONFIG)
    path = mdp.state / "openbell.sock"
    with mdp.start("daemon", "run") as process:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    if ask(path, "GET", "/readyz")[0] == 200:
                        break
                except OSError:
                    time.sleep(0.02)
            else:
                pytest.fail("the daemon did not get ready")
            yield path
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert process.returncode == 0
    assert not path.exists()


def test_a_job_goes_through_the_api_to_rows_that_can_be_read(mdp: Mdp, daemon: Path) -> None:
    headers = {"idempotency-key": "once"}
    status, run = ask(daemon, "POST", "/api/pipeline/jobs", {"job": "fill"}, **headers)
    again, same = ask(daemon, "POST", "/api/pipeline/jobs", {"job": "fill"}, **headers)
    other, _ = ask(
        daemon, "POST", "/api/pipeline/jobs", {"job": "fill", "dry_run": True}, **headers
    )
    waited = mdp.json("wait", run["run_id"], "--timeout", "60s")

    assert (status, again, other) == (202, 202, 422)
    assert same == run
    assert (waited["state"], waited["rows_written"]) == ("success", 42)
    rows = mdp.run("data", "read", "smoke", "--symbol", "AAPL").stdout.splitlines()
    assert len(rows) == 1 + 21
    assert mdp.json("data", "stats", "smoke")["row_count"] == 42
    lineage = mdp.json("lineage", "smoke")
    assert sum(commit["rows"] for commit in lineage) == 42


def test_the_verbs_see_the_same_run(mdp: Mdp, daemon: Path) -> None:
    _, run = ask(daemon, "POST", "/api/pipeline/jobs", {"job": "fill"})
    mdp.run("wait", run["job_id"])

    assert mdp.json("status", "--job", "fill")["last_run"]["run_id"] == run["run_id"]
    assert [item["run_id"] for item in mdp.json("get", "runs")] == [run["run_id"]]
    nodes = {node["node"]: node["state"] for node in mdp.json("get", "nodes", run["run_id"])}
    assert set(nodes.values()) <= {"success", "skipped"}
    described = mdp.json("describe", "run", run["run_id"])
    assert described["attempts"][0]["state"] == "success"
    names = [event["name"] for event in mdp.json("events", "--run", run["run_id"])]
    assert names[0] == "run.submitted"
    assert names[-1] == "run.finished"
    assert "flowchart" not in mdp.run("describe", "pipeline", "wide").stdout


def test_followed_events_reach_a_client_from_submission_to_the_end(mdp: Mdp, daemon: Path) -> None:
    with mdp.start("events", "-f", "--after", "0", "-o", "jsonl") as follower:
        _, run = ask(daemon, "POST", "/api/pipeline/jobs", {"job": "fill"})
        seen = []
        assert follower.stdout is not None
        for line in follower.stdout:
            event = json.loads(line)
            seen.append(event)
            if event["name"] == "run.finished":
                break
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=20)

    assert follower.returncode == 130
    ids = [event["id"] for event in seen if event["id"] is not None]
    assert ids == sorted(set(ids))
    of_run = [event["name"] for event in seen if event["run_id"] == run["run_id"]]
    assert of_run[:2] == ["run.submitted", "run.started"]


def test_a_paused_pipeline_takes_no_work_until_it_is_resumed(mdp: Mdp, daemon: Path) -> None:
    mdp.run("pause", "fill")
    _, run = ask(daemon, "POST", "/api/pipeline/jobs", {"job": "fill"})
    late = mdp.run("wait", str(run.get("run_id", "none")), "--timeout", "0.5s", code=124)
    mdp.run("resume", "fill")
    done = mdp.json("wait", run["run_id"], "--timeout", "60s")

    assert "has not ended after 0.5 s" in late.stderr
    assert done["state"] == "success"


def test_a_wrong_reload_is_refused_and_changes_nothing(mdp: Mdp, daemon: Path) -> None:
    before = mdp.json("get", "pipelines")
    mdp.write("openbell.yaml", CONFIG.replace("mode: backfill", "mode: fill"))
    refused = mdp.run("reload", code=78)
    after = mdp.json("get", "pipelines")
    mdp.write("openbell.yaml", CONFIG.replace("fill:", "fill_more:"))
    reloaded = mdp.json("reload")

    assert "jobs.fill.mode" in refused.stderr
    assert before == after
    assert reloaded["added"] == ["fill_more"]
    assert reloaded["removed"] == ["fill"]


def test_a_workflow_can_be_defined_drawn_and_executed(mdp: Mdp, daemon: Path) -> None:
    document = {
        "name": "from_api",
        "nodes": {
            "fetch": {"op": "ingest", "dataset": "smoke"},
            "publish": {"op": "write", "needs": ["fetch"], "to": "primary"},
        },
    }
    made, _ = ask(daemon, "POST", "/api/pipeline/workflows", document)
    _, dag = ask(daemon, "GET", "/api/pipeline/workflows/from_api/dag")
    session = {"session": "2024-02-01"}
    accepted, run = ask(daemon, "POST", "/api/pipeline/workflows/from_api/execute", session)
    done = mdp.json("wait", run["run_id"], "--timeout", "60s")

    assert (made, accepted) == (201, 202)
    assert dag["levels"] == [["fetch"], ["publish"]]
    assert (done["state"], done["rows_written"]) == ("success", 2)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_gets_403_from_the_daemon(mdp: Mdp, daemon: Path) -> None:
    for folder in (daemon, *daemon.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o005)
    daemon.chmod(0o666)
    script = (
        "import os, socket; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"s = socket.socket(socket.AF_UNIX); s.connect({str(daemon)!r})\n"
        "s.sendall(b'GET /api/v1/status HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n'); print(s.makefile('rb').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "403" in done.stdout
    assert "urn:openbell:problem:forbidden" in done.stdout


def test_a_second_daemon_on_the_same_state_is_refused(mdp: Mdp, daemon: Path) -> None:
    pid = mdp.json("status")["pid"]
    second = mdp.run("daemon", "run", "--socket", str(daemon.with_name("other.sock")), code=75)

    assert str(pid) in second.stderr


def test_a_socket_path_that_is_too_long_is_refused_before_anything_begins(mdp: Mdp) -> None:
    mdp.write("openbell.yaml", CONFIG)
    done = mdp.run("daemon", "run", "--socket", "/tmp/" + "x" * 120, code=78)

    assert "125 bytes long" in done.stderr
    assert not (mdp.state / "history.sqlite").exists()


def test_tcp_without_a_token_file_is_refused(mdp: Mdp) -> None:
    mdp.write("openbell.yaml", CONFIG + "daemon: {tcp_port: 0}\n")
    done = subprocess.run(
        [MDP, "daemon", "run"],
        cwd=mdp.folder,
        env=mdp.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 78
    assert "tcp" in done.stderr
