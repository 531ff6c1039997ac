"""Prefect against a local server on SQLite; the clock stops when the server holds every state."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
URL = f"http://127.0.0.1:{PORT}/api"
os.environ["PREFECT_API_URL"] = URL
os.environ["PREFECT_HOME"] = os.environ["PEER_HOME"] + "/prefect"

from prefect import flow, task  # noqa: E402
from prefect.task_runners import ThreadPoolTaskRunner  # noqa: E402
from shape import shape  # noqa: E402


@task(cache_policy=None)
def node():
    pass


@flow(task_runner=ThreadPoolTaskRunner(max_workers=8))
async def wide():
    made = {}
    for name, needs in shape():
        waits = [made[need] for need in needs]
        made[name] = node.with_options(name=name).submit(wait_for=waits)
    for future in made.values():
        future.wait()


@flow
async def alone():
    node()


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def wait_until(ready):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            if ready():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.01)
    raise TimeoutError


def stored(run_id):
    wanted = {
        "flow_runs": {"id": {"any_": [run_id]}},
        "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    return ask("/task_runs/count", wanted)


def seconds(which, count):
    began = time.perf_counter()
    state = asyncio.run(which(return_state=True))
    assert state.is_completed(), state
    run_id = str(state.state_details.flow_run_id)
    wait_until(lambda: stored(run_id) == count)
    return time.perf_counter() - began


def main() -> None:
    runs = int(sys.argv[1])
    binary = Path(sys.executable).parent / "prefect"
    command = [str(binary), "server", "start", "--host", "127.0.0.1", "--port", str(PORT)]
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    server = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: ask("/health"))
        found = {}
        for key, which, count in (("graph_s", wide, 200), ("one_s", alone, 1)):
            found[key] = [seconds(which, count) for _ in range(runs + 1)][1:]
        print(json.dumps(found))
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


if __name__ == "__main__":
    main()
