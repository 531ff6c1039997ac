"""A daemon with bad code in its pipelines, and what anybody can learn of it afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from doubles.chaos.client import call
from doubles.commands import Mdp

TESTS = Path(__file__).parents[2]
WAIT_S = 100.0
METADATA = "Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n"
ENTRY_POINTS = "[openbell]\nbad = doubles.bad.plugin\n"


@dataclass(frozen=True)
class Record:
    """All that the daemon tells about a run that has ended."""

    run: dict[str, Any]
    attempts: list[dict[str, Any]]
    letters: list[dict[str, Any]]
    lines: list[str]

    @property
    def state(self) -> str:
        return str(self.run["state"])

    @property
    def states(self) -> dict[str, str]:
        return {name: node["state"] for name, node in self.run["nodes"].items()}

    @cached_property
    def failed(self) -> dict[str, Any]:
        """The one node that failed; its name is under `name`."""
        (found,) = [
            {**node, "name": name}
            for name, node in self.run["nodes"].items()
            if node["state"] == "failed"
        ]
        return found


@dataclass(frozen=True)
class Place:
    """A state folder, the daemon on it, and its API."""

    mdp: Mdp
    daemon: psutil.Process

    @property
    def socket(self) -> Path:
        return self.mdp.state / "openbell.sock"

    def ask(self, method: str, url: str, body: object = None) -> tuple[int, Any]:
        """Return status and body of the daemon's answer."""
        reply = call(self.socket, method, url, body)
        assert reply is not None, f"no answer to {method} {url}"
        return reply.status, reply.body

    def get(self, url: str) -> Any:
        status, body = self.ask("GET", url)
        assert status == 200, body
        return body

    def submit(self, pipeline: str, **more: Any) -> str:
        """Ask for a run; return its id."""
        status, body = self.ask("POST", "/api/pipeline/jobs", {"pipeline": pipeline, **more})
        assert status == 202, body
        return str(body["run_id"])

    def ended(self, run_id: str) -> Record:
        """Return what is known of a run, once it has ended."""
        wait_for(lambda: self.get(f"/api/v1/runs/{run_id}")["finished_at"] is not None)
        return Record(
            run=self.get(f"/api/v1/runs/{run_id}"),
            attempts=self.get(f"/api/v1/runs/{run_id}/attempts")["items"],
            letters=self.get(f"/api/v1/dlq?run={run_id}")["items"],
            lines=[
                line["text"] for line in self.get(f"/api/v1/runs/{run_id}/logs?limit=1000")["items"]
            ],
        )

    def check_unharmed(self) -> None:
        """Check that the daemon takes and does other work, and that nobody has left anything."""
        assert self.ended(self.submit("idle")).state == "success"
        wait_for(lambda: not [worker for worker in self._workers() if worker["run_id"]])
        known = {worker["pid"] for worker in self._workers()}
        left = [
            child.pid
            for child in self.daemon.children(recursive=True)
            if child.pid not in known and child.status() != psutil.STATUS_ZOMBIE
        ]
        assert left == []
        assert list(self.mdp.state.glob("spool/att_*")) == []

    def _workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/workers")["items"]
        return found


def is_gone(pid: int) -> bool:
    """Return whether a process has ended."""
    return not Path(f"/proc/{pid}/exe").exists()


def wait_for(what: Callable[[], object], seconds: float = WAIT_S) -> None:
    """Wait until `what` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def place_with(folder: Path, configuration: Mapping[str, Any]) -> Iterator[Place]:
    """Start a daemon with this configuration, and with the bad plugin installed; end it."""
    info = folder / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    mdp = Mdp(folder)
    mdp.write("openbell.yaml", json.dumps(configuration, indent=1))
    env = {"PYTHONPATH": os.pathsep.join([str(folder), str(TESTS)])}
    with (folder / "daemon.log").open("wb") as log:
        process = mdp.start("daemon", "run", env=env, output=log)
        try:
            place = Place(mdp, psutil.Process(process.pid))
            wait_for(lambda: _is_ready(place, process))
            yield place
        finally:
            process.terminate()
            process.wait(30)


def _is_ready(place: Place, process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, (place.mdp.folder / "daemon.log").read_text()
    reply = call(place.socket, "GET", "/readyz")
    return reply is not None and reply.status == 200
