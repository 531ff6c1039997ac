"""What a plugin serves under `/x/`: mounted, guarded, and never an outage."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from doubles.serving import TOKEN, serving

from openbell.app.mounts import mount_plugins
from openbell.plugin_host import Registry, load_plugins
from openbell.plugin_host.guard import Failure
from openbell.sdk import RouteSpec, hookimpl

pytestmark = pytest.mark.integration

MODULE = "sample_routes_of_a_test"


async def greet(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"].endswith("/bug"):
        raise RuntimeError("a bug of the plugin")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello from " + scope["path"].encode()})


def broken() -> None:
    raise OSError("no such file: page.html")


def leaving() -> None:
    sys.exit(3)


class Routes:
    """A plugin with five groups of routes, of which one works."""

    @staticmethod
    @hookimpl
    def openbell_register_routes() -> Sequence[RouteSpec]:
        return [
            RouteSpec(name="good", factory=f"{MODULE}:good"),
            RouteSpec(name="broken", factory=f"{MODULE}:broken"),
            RouteSpec(name="leaving", factory=f"{MODULE}:leaving"),
            RouteSpec(name="missing", factory=f"{MODULE}:missing"),
            RouteSpec(name="wrong", factory=f"{MODULE}:wrong"),
        ]


@pytest.fixture
def registry() -> Iterator[Registry]:
    """The installed plugins, and one of this process."""
    module = types.ModuleType(MODULE)
    vars(module).update(good=lambda: greet, broken=broken, leaving=leaving, wrong=lambda: 42)
    sys.modules[MODULE] = module
    yield load_plugins([("sample", Routes)])
    del sys.modules[MODULE]


def test_routes_that_fail_are_told_and_warned_of_and_the_good_one_stands(
    registry: Registry,
) -> None:
    told: dict[str, Failure] = {}
    mounts = mount_plugins(registry, lambda name, failure: told.update({name: failure}))

    assert [name for name, _ in mounts.apps] == ["good"]
    assert sorted(told) == ["broken", "leaving", "missing", "wrong"]
    assert "no such file: page.html" in told["broken"].traceback
    (sample,) = (info for info in mounts.plugins if info.name == "sample")
    assert sample.state == "loaded"
    missing = f"factory '{MODULE}:missing' failed: module {MODULE} has no 'missing'"
    wrong = f"factory '{MODULE}:wrong' returned int, not an application"
    assert list(sample.warnings) == [
        "routes 'broken' are not served: OSError: no such file: page.html",
        "routes 'leaving' are not served: SystemExit: 3",
        f"routes 'missing' are not served: PluginError: plugin sample of (in process): {missing}",
        f"routes 'wrong' are not served: {wrong}",
    ]


async def test_a_plugins_routes_are_served_behind_the_same_doors(
    registry: Registry, tmp_path: Path
) -> None:
    mounts = mount_plugins(registry, lambda *_: None)
    async with serving(tmp_path, mounts=mounts.apps) as served:
        async with served.client() as client:
            page = await client.get("/x/good/page")
            bug = await client.get("/x/good/bug")
            after = await client.get("/livez")
        async with served.tcp_client() as stranger:
            refused = await stranger.get("/x/good/page")

    assert (page.status_code, page.text) == (200, "hello from /x/good/page")
    assert (bug.status_code, bug.json()["type"]) == (500, "urn:openbell:problem:internal")
    assert [where for _, where in served.failures] == ["GET /x/good/bug"]
    assert after.status_code == 200
    assert refused.status_code == 401


@pytest.mark.parametrize("door", ["unix", "tcp", "token"])
async def test_a_websocket_is_no_way_around_the_doors(
    registry: Registry, tmp_path: Path, door: str
) -> None:
    mounts = mount_plugins(registry, lambda *_: None)
    head = (
        b"GET /x/good/page HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    if door == "token":
        head += f"authorization: Bearer {TOKEN}\r\n".encode()
    async with serving(tmp_path, mounts=mounts.apps) as served:
        line = (
            await anyio.connect_unix(served.socket)
            if door == "unix"
            else await anyio.connect_tcp("127.0.0.1", served.port)
        )
        async with line:
            await line.send(head + b"\r\n")
            with anyio.fail_after(5):
                answer = await line.receive()
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(served.socket))
        ) as client:
            assert (await client.get("http://x/livez")).status_code == 200

    assert answer.startswith(b"HTTP/1.1 403")
    assert served.failures == []
