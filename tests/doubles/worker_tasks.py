"""Functions for workers to run: the good, the bad and the deadly."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def add(a: int, b: int) -> int:
    return a + b


def pid() -> int:
    return os.getpid()


def raise_error(text: str) -> None:
    raise ValueError(text)


def segfault() -> None:
    ctypes.string_at(0)


def leave(code: int) -> None:
    os._exit(code)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(ignore_sigterm: bool = False) -> None:
    if ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def spawn_and_hang(pid_file: str) -> None:
    child = subprocess.Popen(["sleep", "300"])
    with Path(pid_file).open("w") as file:
        file.write(str(child.pid))
    time.sleep(300)


def talk(lines: int, width: int = 90) -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    logging.getLogger("vendor").warning("to %s", "logging")
    subprocess.run(["echo", "from a child"], check=True)
    for number in range(lines):
        print(f"line {number} " + "x" * width)


def allocate(size_mb: int) -> int:
    data = bytearray(size_mb * 1024 * 1024)
    data[::4096] = b"x" * len(data[::4096])
    globals()["_kept"] = data
    return len(data)


def unserialisable() -> object:
    return object()


def environment() -> dict[str, str]:
    return dict(os.environ)
