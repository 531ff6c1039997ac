"""The whole daemon in this process: real history, workers and socket, and a client of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from openbell.app.assembly import Place
from openbell.app.daemon import run_daemon

_PATIENCE_S = 60.0
PROBLEM = "urn:openbell:problem:"


@dataclass(frozen=True, slots=True)
class Living:
    """A daemon at work. Methods assert that the answer has the status that is expected."""

    http: httpx.AsyncClient
    folder: Path

    async def ask(
        self, what: str, body: Any = None, *, status: int = 200, key: str | None = None
    ) -> Any:
        """Ask `what` (`GET /path`) and return the answer's JSON."""
        method, _, path = what.partition(" ")
        headers = {} if key is None else {"idempotency-key": key}
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, f"{what}: {answer.status_code} {answer.text}"
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
        return answer.json()

    async def refused(self, what: str, body: Any = None, *, status: int) -> str:
        """Ask what is refused, and return the problem's stable word."""
        problem = await self.ask(what, body, status=status)
        assert problem["status"] == status
        assert problem["detail"]
        return str(problem["type"]).removeprefix(PROBLEM)

    async def submit(self, pipeline: str, **how: Any) -> str:
        """Ask for a run and return its id."""
        body = {"pipeline": pipeline, **how}
        run = await self.ask("POST /api/pipeline/jobs", body, status=202)
        return str(run["run_id"])

    async def nodes(self, run_id: str) -> dict[str, str]:
        """Return the states of a run's nodes by name."""
        page = await self.ask(f"GET /api/v1/runs/{run_id}/nodes")
        return {node["node"]: node["state"] for node in page["items"]}

    async def until(self, what: str, is_so: Callable[[Any], bool]) -> Any:
        """Ask until the answer is as wanted, and return it."""
        found: Any = None
        with anyio.move_on_after(_PATIENCE_S):
            while True:
                found = await self.ask(what)
                if is_so(found):
                    return found
                await anyio.sleep(0.02)
        raise AssertionError(f"{what} is still {found}")

    async def until_run(self, run_id: str, *states: str) -> Any:
        """Wait until a run stands in one of `states`."""
        return await self.until(f"GET /api/v1/runs/{run_id}", lambda run: run["state"] in states)

    async def until_node(self, run_id: str, node: str, *states: str) -> None:
        """Wait until a node stands in one of `states`."""
        await self.until(
            f"GET /api/v1/runs/{run_id}", lambda run: run["nodes"][node]["state"] in states
        )


@asynccontextmanager
async def living(folder: Path, config: str, functions: str = "") -> AsyncIterator[Living]:
    """Yield a daemon that serves `config`; python nodes call `functions` as module `steps`."""
    (folder / "openbell.yaml").write_text(config, encoding="utf-8")
    (folder / "steps.py").write_text(functions, encoding="utf-8")
    place = Place(config=folder / "openbell.yaml", state_dir=folder / "state")
    env = {key: value for key, value in os.environ.items() if not key.startswith("OPENBELL_")}
    socket = folder / "openbell.sock"
    daemon = asyncio.create_task(run_daemon(place, socket, env))
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://openbell", timeout=30
    ) as http:
        try:
            await _ready(daemon, http)
            yield Living(http, folder)
        finally:
            if not daemon.done():
                await http.post("/api/v1/stop", json={"how": "fast"})
            await asyncio.wait_for(daemon, 30)


async def _ready(daemon: asyncio.Task[None], http: httpx.AsyncClient) -> None:
    with anyio.fail_after(_PATIENCE_S):
        while not daemon.done():
            try:
                if (await http.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await anyio.sleep(0.02)
        await daemon
