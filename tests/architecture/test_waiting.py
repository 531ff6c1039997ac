"""The control plane waits on the injected clock alone, so that a rehearsal can be a whole year."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.architecture

PACKAGE = Path(__file__).resolve().parents[2] / "daemon" / "openbell"
DATA_PLANE = (
    "calendars/build.py",
    "execution/worker",
    "operators",
    "quality",
    "storage",
    "testing",
)
WAITS = {
    "anyio": {"sleep", "sleep_until", "move_on_after", "move_on_at", "fail_after", "fail_at"}
    | {"current_time"},
    "asyncio": {"sleep", "wait", "wait_for", "timeout", "timeout_at"},
}
"""What goes by the time of the machine or of the loop; of `time` everything does."""

MAY_WAIT = {
    "sdk/clock.py": "the clock itself",
    "cli/client.py": "a command waits for the daemon's answer",
    "cli/waiting.py": "a command gives up after --timeout",
    "execution/process.py": "a process that starts, or that ignores SIGTERM",
    "history/lock.py": "another process holds the state directory; before the loop runs",
    "http/connections.py": "a client that says nothing",
    "http/server.py": "connections at the end of the server",
    "http/sse.py": "a client that does not read; heartbeats",
    "service/notify.py": "systemd is told the monotonic time of a reload",
    "telemetry/scrape.py": "a client that does not read",
}


def waits(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each use of real time; a shielded limit of a clean-up is none."""
    tree = ast.parse(source)
    shielded = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and any(word.arg == "shield" for word in node.keywords)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if any(name.name == "time" for name in names):
                yield node.lineno, "import time"
            case ast.ImportFrom(module="time"):
                yield node.lineno, "from time import"
            case ast.ImportFrom(module=("anyio" | "asyncio") as module, names=names):
                for name in names:
                    if name.name in WAITS[module]:
                        yield node.lineno, f"from {module} import {name.name}"
            case ast.Attribute(value=ast.Name(id=("anyio" | "asyncio") as module), attr=attr):
                if attr in WAITS[module] and id(node) not in shielded:
                    yield node.lineno, f"{module}.{attr}"
            case _:
                pass


def control_plane() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(DATA_PLANE):
            yield place, path


def test_the_control_plane_waits_on_its_clock() -> None:
    found = [
        f"{place}:{line}: {name}"
        for place, path in control_plane()
        if place not in MAY_WAIT
        for line, name in waits(path.read_text(encoding="utf-8"))
    ]
    assert not found, "wait on the injected Clock, or say in MAY_WAIT why it cannot be"


def test_whoever_may_wait_does() -> None:
    idle = [
        place
        for place in MAY_WAIT
        if not list(waits((PACKAGE / place).read_text(encoding="utf-8")))
    ]
    assert not idle


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from time import monotonic",
        "import anyio\nasync def f(): await anyio.sleep(1)",
        "import anyio\nasync def f():\n    with anyio.move_on_after(1): ...",
        "from anyio import fail_after",
        "import asyncio\nasync def f(): await asyncio.wait_for(g(), 1)",
    ],
)
def test_real_time_is_seen(source: str) -> None:
    assert list(waits(source))


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import time",
        "import anyio\nasync def f():\n    with anyio.move_on_after(1, shield=True): ...",
        "async def f(clock): await clock.sleep(1)",
    ],
)
def test_what_is_no_real_time_is_left_alone(source: str) -> None:
    assert not list(waits(source))
