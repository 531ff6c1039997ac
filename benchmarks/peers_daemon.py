"""How do ready time, idle memory and submission compare with a Prefect server, in the same run?

    uv run python benchmarks/peers_daemon.py [--runs 5] [--submissions 200]

Installs Prefect into a virtual environment of its own below a temporary folder (the package registry
must be reachable), then starts `prefect server start` on SQLite and `mdp daemon run` with 200
pipelines in turn: seconds until the API answers, memory (PSS) of all processes a few seconds later,
and the time of one submission (a scheduled flow run there, a queued run here; both durable), one
client, one after the other. Prints both and the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

PREFECT = ("prefect", "fastapi<0.151")  # Prefect 3.8 does not import with newer ones
FLOW = "import time\nfrom prefect import flow\n\n@flow\ndef nothing():\n    pass\n"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("openbell", timeout=60)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def call(connection: http.client.HTTPConnection, method: str, url: str, body: Any = None) -> Any:
    """Send a request and return its JSON; a busy server (503) is asked again at once."""
    payload = None if body is None else json.dumps(body)
    for _ in range(100):
        connection.request(method, url, body=payload, headers={"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 503:
            break
        connection.close()  # it is opened again by the next request
    assert answer.status < 300, (answer.status, content[:300])
    return json.loads(content) if content else None


def wait_until(ready: Callable[[], Any]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            ready()
            return
        time.sleep(0.02)
    raise TimeoutError


def pss_mb(root: int) -> float:
    total = 0
    for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            total += sum(int(x.split()[1]) for x in text.splitlines() if x.startswith("Pss:"))
    return total / 1024


@contextlib.contextmanager
def running(command: list[str], folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measure(
    start: Callable[[Path], Any],
    connect: Callable[[Path], http.client.HTTPConnection],
    *,
    health: str,
    prepare: Callable[[http.client.HTTPConnection], tuple[str, Any]],
    count: int,
) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="ob-"))
    try:
        began = time.perf_counter()
        with start(folder) as process:
            wait_until(lambda: call(connect(folder), "GET", health))
            ready_s = time.perf_counter() - began
            time.sleep(4)
            memory = pss_mb(process.pid)
            connection = connect(folder)
            url, body = prepare(connection)
            taken = []
            for _ in range(count):
                began = time.perf_counter()
                call(connection, "POST", url, body)
                taken.append((time.perf_counter() - began) * 1e3)
        taken.sort()
        return {
            "ready_s": ready_s,
            "idle_pss_mb": memory,
            "submit_p50_ms": statistics.median(taken),
            "submit_p99_ms": taken[int(len(taken) * 0.99)],
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prefect(binary: Path, port: int, count: int) -> dict[str, float]:
    def start(folder: Path) -> Any:
        env = {
            "PREFECT_HOME": str(folder),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_LOGGING_LEVEL": "ERROR",
        }
        return running([str(binary), "server", "start", "--port", str(port)], folder, env)

    def prepare(connection: http.client.HTTPConnection) -> tuple[str, Any]:
        flow = call(connection, "POST", "/api/flows/", {"name": "bench"})
        body = {"name": "d", "flow_id": flow["id"]}
        deployment = call(connection, "POST", "/api/deployments/", body)
        return f"/api/deployments/{deployment['id']}/create_flow_run", {}

    return measure(
        start,
        lambda _: http.client.HTTPConnection("127.0.0.1", port, timeout=60),
        health="/api/health",
        prepare=prepare,
        count=count,
    )


def openbell(count: int) -> dict[str, float]:
    from daemon import HEAD, JOB, MDP

    def start(folder: Path) -> Any:
        (folder / "c.yaml").write_text(HEAD + "".join(JOB.format(n=n) for n in range(200)))
        command = [str(MDP), "daemon", "run", "--config", "c.yaml", "--socket", "s"]
        return running(command, folder, {"OPENBELL_STATE_DIR": str(folder / "state")})

    def prepare(connection: http.client.HTTPConnection) -> tuple[str, Any]:
        call(connection, "POST", "/api/v1/pipelines/job_000/pause")
        return "/api/pipeline/jobs", {"job": "job_000"}

    return measure(
        start,
        lambda folder: UnixConnection(str(folder / "s")),
        health="/readyz",
        prepare=prepare,
        count=count,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--submissions", type=int, default=200)
    parser.add_argument("--port", type=int, default=42719)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    venv = Path(tempfile.mkdtemp(prefix="ob-peer-"))
    try:
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, venv], check=True)
        python = venv / "bin" / "python"
        install = ["uv", "pip", "install", "-q", "--compile-bytecode", "--python", python]
        subprocess.run([*install, *PREFECT], check=True)
        rows: dict[str, list[dict[str, float]]] = {"openbell": [], "prefect": []}
        for _ in range(options.runs):
            rows["openbell"].append(openbell(options.submissions))
            rows["prefect"].append(
                prefect(venv / "bin" / "prefect", options.port, options.submissions)
            )
    finally:
        shutil.rmtree(venv, ignore_errors=True)
    medians = {
        name: {key: statistics.median(row[key] for row in found) for key in found[0]}
        for name, found in rows.items()
    }
    print(json.dumps({"machine": platform.platform(), "cores": os.cpu_count()}))
    for name, values in medians.items():
        print(json.dumps({"what": name, **{key: round(v, 2) for key, v in values.items()}}))
    ratios = {key: round(medians["prefect"][key] / v, 1) for key, v in medians["openbell"].items()}
    print(json.dumps({"what": "prefect / openbell", **ratios}))


if __name__ == "__main__":
    main()
