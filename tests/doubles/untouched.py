"""Sees whatever a block of code does to the world outside its process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CODE = (sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parents[2] / "daemon"))
_TOUCHES = (
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "subprocess.Popen",
    "os.system",
    "os.posix_spawn",
    "os.fork",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "sqlite3.connect",
)
_listening: list[list[str]] = []
_hooked: list[bool] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listening:
        return
    if event == "open":
        path = str(arguments[0])
        if not path.startswith(_CODE) and "zoneinfo" not in path and "tzdata" not in path:
            _listening[-1].append(f"open {path}")
    elif event in _TOUCHES:
        _listening[-1].append(f"{event} {arguments!r}")


@contextmanager
def touches() -> Iterator[list[str]]:
    """Yield the list of files, sockets and processes that the block opens; code and zones aside."""
    if not _hooked:  # a hook of audits stays for good
        sys.addaudithook(_hear)
        _hooked.append(True)
    found: list[str] = []
    _listening.append(found)
    try:
        yield found
    finally:
        _listening.remove(found)
