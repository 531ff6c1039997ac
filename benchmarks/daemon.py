"""How soon is the daemon ready, how little does it take idle, how fast does it take work?

    uv run python benchmarks/daemon.py [--runs 5] [--submissions 300]

Starts `mdp daemon run` on a configuration with 200 pipelines and a fresh state directory and waits
for READY=1 on a real NOTIFY_SOCKET (cold: the first start after the byte code is there). Then it
measures the memory (PSS) of all processes with no worker up, the time of a submission over the Unix
socket (accepted means durable) with one client and with fifty at once, and how long after a change of
state an SSE client hears of it.
"""

from __future__ import annotations

import argparse
import asyncio
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
from pathlib import Path

MDP = Path(sys.executable).with_name("mdp")
HEAD = """
version: 2
providers: {synthetic: {type: synthetic, seed: 7}}
storage: {primary: {type: lake, uri: ./lake}}
datasets:
  bars: {provider: synthetic, schema: bars_ohlcv, symbols: [AAPL, MSFT], interval: 1d, calendar: "24/7"}
jobs:
"""
JOB = "  job_{n:03d}: {{dataset: bars, mode: backfill, from: 2026-01-02, to: 2026-03-31}}\n"


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def start(folder: Path) -> tuple[subprocess.Popen[bytes], float]:
    """Return the daemon and the seconds until READY."""
    address = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(address)
        notify.settimeout(60)
        began = time.perf_counter()
        process = subprocess.Popen(
            [MDP, "daemon", "run", "--config", "c.yaml", "--socket", str(folder / "s")],
            cwd=folder,
            env={
                **os.environ,
                "NOTIFY_SOCKET": address,
                "OPENBELL_STATE_DIR": str(folder / "state"),
            },
            stderr=subprocess.DEVNULL,
        )
        while b"READY=1" not in notify.recv(4096):
            pass
        elapsed_s = time.perf_counter() - began
    Path(address).unlink()
    return process, elapsed_s


def pss_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


async def request(path: Path, method: str, url: str, body: object = None) -> float:
    """Send one request on a connection of its own; return seconds until the answer."""
    payload = json.dumps(body).encode() if body is not None else b""
    began = time.perf_counter()
    reader, writer = await asyncio.open_unix_connection(str(path))
    head = f"{method} {url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    if payload:
        head += f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n"
    writer.write(head.encode() + b"\r\n" + payload)
    answer = await reader.read()
    elapsed = time.perf_counter() - began
    writer.close()
    assert answer.split(b" ", 2)[1] in {b"200", b"202"}, answer[:300]
    return elapsed


async def load(path: Path, count: int) -> dict[str, float]:
    """Submit to paused pipelines, so that only acceptance is measured."""
    for number in range(200):
        await request(path, "POST", f"/api/v1/pipelines/job_{number:03d}/pause")
    for number in range(20):
        await request(path, "POST", "/api/pipeline/jobs", {"job": f"job_{number % 200:03d}"})
    one = [
        await request(path, "POST", "/api/pipeline/jobs", {"job": f"job_{n % 200:03d}"})
        for n in range(count)
    ]
    many: list[float] = []

    async def client(first: int) -> None:
        for n in range(max(1, count // 50)):
            body = {"job": f"job_{(first + n) % 200:03d}"}
            elapsed_s = await request(path, "POST", "/api/pipeline/jobs", body)
            many.append(elapsed_s)

    await asyncio.gather(*(client(first) for first in range(50)))
    return {
        "one_client_p50_ms": statistics.median(one) * 1e3,
        "one_client_p99_ms": quantile(one, 0.99) * 1e3,
        "fifty_clients_p50_ms": statistics.median(many) * 1e3,
        "fifty_clients_p99_ms": quantile(many, 0.99) * 1e3,
    }


async def hearing(path: Path, count: int) -> float:
    """Return the worst seconds between a cancellation's answer and its event."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    worst = 0.0
    for number in range(count):
        began = time.perf_counter()
        asked = asyncio.create_task(
            request(path, "POST", "/api/pipeline/jobs", {"job": f"job_{number:03d}"})
        )
        while b"event: run.submitted" not in await reader.readline():
            pass
        worst = max(worst, time.perf_counter() - began)
        await asked
    writer.close()
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--submissions", type=int, default=300)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    starts, idle = [], []
    found: dict[str, float] = {}
    for number in range(options.runs + 1):
        folder = Path(tempfile.mkdtemp(prefix="ob-"))
        try:
            (folder / "c.yaml").write_text(HEAD + "".join(JOB.format(n=n) for n in range(200)))
            process, elapsed = start(folder)
            try:
                time.sleep(1.0)
                if number:  # the first start may still be compiling byte code
                    starts.append(elapsed)
                    idle.append(pss_mb(process.pid))
                if number == options.runs:
                    found = asyncio.run(load(folder / "s", options.submissions))
                    found["sse_worst_ms"] = asyncio.run(hearing(folder / "s", 50)) * 1e3
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
        finally:
            shutil.rmtree(folder)
    print(json.dumps({"machine": platform.platform(), "cores": os.cpu_count()}))
    print(
        json.dumps(
            {
                "cold_start_200_pipelines_median_s": round(statistics.median(starts), 3),
                "cold_start_worst_s": round(max(starts), 3),
                "idle_pss_mb_median": round(statistics.median(idle), 1),
                **{name: round(value, 2) for name, value in found.items()},
            }
        )
    )
    helps = []
    for _ in range(max(5, options.runs)):
        began = time.perf_counter()
        subprocess.run([MDP, "--help"], stdout=subprocess.DEVNULL, check=True)
        helps.append(time.perf_counter() - began)
    print(json.dumps({"help_median_s": round(statistics.median(helps), 3)}))


if __name__ == "__main__":
    main()
