"""A secret is used and never shown: not in a word, an answer, a log or a file of the state."""

from __future__ import annotations

import http.client
import signal
import socket
import time
from pathlib import Path

import pytest
from doubles.commands import Mdp

pytestmark = pytest.mark.acceptance

SECRET = "hunter2-of-the-vault"
TOKEN = "a-bearer-token-of-36-characters-00001"
CONFIG = """\
version: 2
providers:
  vault: {type: files, profile: yahoo-csv, root: "./${secret:vault}", path: "{symbol}.csv"}
  wrong: {type: files, profile: "${secret:vault}", root: ./x}
storage:
  primary: {type: lake, uri: "./lake-${secret:vault}"}
datasets:
  good: {provider: vault, schema: bars_ohlcv, symbols: [GOOD], interval: 1d, calendar: XNYS}
  gone: {provider: vault, schema: bars_ohlcv, symbols: [GONE], interval: 1d, calendar: XNYS}
jobs:
  good: {dataset: good, mode: backfill, from: 2024-01-02, to: 2024-01-05}
  gone: {dataset: gone, mode: backfill, from: 2024-01-02, to: 2024-01-05}
daemon: {tcp_port: 0, tcp_token_file: token}
"""
WRONG = CONFIG.splitlines(keepends=True)[3]
ROWS = """\
Date,Open,High,Low,Close,Adj Close,Volume
2024-01-02,10,11,9,10,10,500
2024-01-03,ten,11,9,10,10,500
2024-01-04,10,11,9,10,10,500
"""
PAGES = (
    "/api/v1/status",
    "/api/v1/runs",
    "/api/v1/pipelines",
    "/api/v1/datasets",
    "/api/v1/plugins",
    "/api/v1/workers",
    "/api/v1/budgets",
    "/api/pipeline/metrics",
    "/api/pipeline/workflows/gone/dag",
    "/api/pipeline/lineage/good",
    "/openapi.json",
    "/metrics",
)


def hidden(text: str) -> bool:
    return SECRET not in text and TOKEN not in text


def leaks(folder: Path) -> list[str]:
    """Return the files under `folder` that hold a secret."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and any(secret.encode() in path.read_bytes() for secret in (SECRET, TOKEN))
    ]


def get(path: Path, url: str) -> str:
    connection = http.client.HTTPConnection("openbell", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", url)
        answer = connection.getresponse()
        assert answer.status == 200, url
        return answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def vault(mdp: Mdp) -> Mdp:
    """A configuration whose files lie in a folder with a secret name."""
    (mdp.folder / "secrets").mkdir()
    (mdp.folder / "secrets" / "vault").write_text(SECRET)
    mdp.write("token", TOKEN)
    mdp.write("c.yaml", CONFIG.replace(WRONG, ""))
    (mdp.folder / SECRET).mkdir()
    (mdp.folder / SECRET / "GOOD.csv").write_text(ROWS)
    return mdp


def test_commands_and_the_state_they_leave_hold_no_secret(vault: Mdp) -> None:
    env = {"OPENBELL_SECRETS_DIR": str(vault.folder / "secrets")}
    vault.write("wrong.yaml", CONFIG)
    said = [
        vault.run("run", "--config", "c.yaml", "--job", "good", "-o", "json", env=env),
        vault.run("run", "--config", "c.yaml", "--job", "gone", env=env, code=1),
        vault.run("config", "view", "--config", "c.yaml", "--show-origin", env=env),
        vault.run("validate", "--config", "wrong.yaml", env=env, code=78),
        vault.run("data", "read", "gone", "--config", "c.yaml", env=env),
    ]

    assert '"rows_written": 2' in said[0].stdout
    assert "no such file" in said[1].stderr
    assert "providers.wrong: profile '********' is unknown" in said[3].stderr
    assert [done.args for done in said if not hidden(done.stdout + done.stderr)] == []
    assert leaks(vault.state) == []
    (held,) = (vault.state / "quarantine").rglob("*.jsonl")
    assert '/[redacted]/GOOD.csv","line":3' in held.read_text()


def test_a_daemon_shows_no_secret_in_answers_events_logs_or_state(vault: Mdp) -> None:
    env = {"OPENBELL_SECRETS_DIR": str(vault.folder / "secrets")}
    sock = vault.folder / "s"
    daemon = vault.start("daemon", "run", "--config", "c.yaml", "--socket", "s", env=env)
    try:
        end = time.monotonic() + 30
        while not sock.exists():
            assert time.monotonic() < end, "the daemon did not begin"
            time.sleep(0.02)
        vault.run("run", "--job", "good", env=env)
        failed = vault.run("run", "--job", "gone", env=env, code=1)
        runs = [run["run_id"] for run in vault.json("get", "runs", "--socket", "s")]
        of_runs = [f"/api/v1/runs/{run}" for run in runs]
        pages = {url: get(sock, url) for url in (*PAGES, *of_runs)}
        events = vault.run("events", "--socket", "s", "-o", "jsonl").stdout
        logs = [vault.run("logs", run, "--socket", "s", "-o", "json").stdout for run in runs]
    finally:
        daemon.send_signal(signal.SIGTERM)
        out, err = daemon.communicate(timeout=30)

    assert "no such file" in failed.stderr
    assert "run.finished" in events
    assert [url for url, text in pages.items() if not hidden(text)] == []
    assert hidden("".join([failed.stdout, failed.stderr, events, *logs, out, err]))
    assert leaks(vault.state) == []
