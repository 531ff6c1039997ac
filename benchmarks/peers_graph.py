"""How fast does openbell run a 200-node graph and a one-node run, beside its peers on this machine?

    uv run python benchmarks/peers_graph.py [--runs 5] [--peers luigi dagster prefect]

Each peer is installed into a virtual environment of its own below a temporary folder (the package
registry must be reachable); one that does not install is named and left out. The graph has 10 layers
of 20 nodes that do nothing, each needing 2 of the layer above. The clock stops when the states are
stored: openbell's and Dagster's are in SQLite when the call returns, Prefect's are asked of its
server, Luigi stores none but one file a task. openbell runs it twice: nodes in the daemon (`noop`)
and in worker processes (`task`). Prints medians and openbell's ratio to each peer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SPECS = {
    "luigi": ("luigi",),
    "dagster": ("dagster",),
    "prefect": ("prefect", "fastapi<0.151"),  # Prefect 3.8 does not import with newer ones
}
NODES = 200
QUIET = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
}
HERE = Path(__file__).parent


def install(peer: str, folder: Path) -> Path:
    """Return the interpreter of a new environment that holds the peer."""
    uv = shutil.which("uv") or "uv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(python)]
    subprocess.run([*command, *SPECS[peer]], check=True, capture_output=True, text=True)
    return python


def measure(command: list[str], folder: Path) -> dict[str, Any]:
    """Run one script; its last line is JSON: seconds of each graph and each one-node run."""
    environment = {**os.environ, **QUIET, "HOME": str(folder), "PEER_HOME": str(folder)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def show(name: str, found: dict[str, Any], ours: dict[str, float]) -> None:
    graph_s = statistics.median(found["graph_s"])
    one_s = statistics.median(found["one_s"])
    line = f"{name:<22} {NODES / graph_s:>8.0f} nodes/s {one_s * 1e3:>9.1f} ms a one-node run"
    if ours and name not in ours:
        rate = ours["openbell, daemon"] / (NODES / graph_s)
        rate_workers = ours["openbell, workers"] / (NODES / graph_s)
        line += f"   openbell {rate:.1f} times (daemon), {rate_workers:.1f} times (workers)"
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=list(SPECS))
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores", flush=True)
    ours: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ob-peers-") as temporary:
        root = Path(temporary)
        for name, script in (("openbell, daemon", "noop"), ("openbell, workers", "task")):
            folder = root / script
            folder.mkdir()
            command = [sys.executable, str(HERE / "graph.py"), "--json", script]
            found = measure([*command, "--runs", str(options.runs)], folder)
            show(name, found, {})
            ours[name] = NODES / statistics.median(found["graph_s"])
        for peer in options.peers:
            folder = root / peer
            try:
                python = install(peer, folder)
            except subprocess.CalledProcessError as error:
                print(f"{peer:<22} does not install here: {str(error.stderr)[-300:]}", flush=True)
                continue
            script = HERE / "peers" / f"{peer}_graph.py"
            show(peer, measure([str(python), str(script), str(options.runs)], folder), ours)


if __name__ == "__main__":
    main()
