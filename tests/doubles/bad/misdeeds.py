"""What a function, a provider, a rule or a backend can do to its process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 1024 * 1024


def commit(how: str, mark: str = "") -> Any:
    """Do wrong as told, once; `mark` is a file that some misdeeds leave a word in."""
    if how:
        return MISDEEDS[how](mark)
    return "well"


def _raise(_mark: str) -> None:
    try:
        {}["price"]  # type: ignore[index]
    except KeyError as error:
        raise ValueError("the vendor's answer makes no sense") from error


def _hang(_mark: str) -> None:
    while True:
        time.sleep(60)


def _stay(mark: str) -> None:
    """Take no notice of SIGTERM and of the exception that it becomes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    Path(mark).write_text(str(os.getpid()))
    while True:
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001 - that is the misdeed
            continue


def _exit(_mark: str) -> None:
    print("the last words")
    sys.stdout.flush()
    os._exit(3)


def _crash(_mark: str) -> None:
    ctypes.string_at(0)


def _kill(_mark: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _eat(_mark: str) -> None:
    kept = []
    while True:
        kept.append(bytearray(16 * MIB))


def _eat_arrow(_mark: str) -> None:
    import pyarrow as pa

    kept = []
    while True:
        kept.append(pa.nulls(2 * MIB, pa.int64()).fill_null(1))


def _eat_and_crash(_mark: str) -> None:
    """Do what native code does that asks no allocation whether it got anything."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while True:
        found = libc.malloc(ctypes.c_size_t(4 * MIB))
        ctypes.memset(found or 0, 1, 4 * MIB)


def _eat_and_abort(_mark: str) -> None:
    """Do what native code does whose `std::bad_alloc` nobody catches."""
    kept = []
    try:
        while True:
            kept.append(bytearray(4 * MIB))
    except MemoryError:
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
        os.abort()


def _fork(mark: str) -> str:
    """Leave a child that goes on as if it were the parent."""
    child = os.fork()
    if child:
        Path(mark).write_text(str(child))
    return "child" if child == 0 else "parent"


def _leave(mark: str) -> str:
    """Leave a process in a session of its own."""
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    Path(mark).write_text(str(child.pid))
    return "left"


def _shout(_mark: str) -> str:
    """Write a gigabyte to stdout."""
    block = (b"x" * 1023 + b"\n") * 1024
    for _ in range(1024):
        os.write(1, block)
    return "hoarse"


MISDEEDS: dict[str, Callable[[str], Any]] = {
    "raise": _raise,
    "hang": _hang,
    "stay": _stay,
    "exit": _exit,
    "crash": _crash,
    "kill": _kill,
    "eat": _eat,
    "eat_arrow": _eat_arrow,
    "eat_and_crash": _eat_and_crash,
    "eat_and_abort": _eat_and_abort,
    "fork": _fork,
    "leave": _leave,
    "shout": _shout,
    "wrong": lambda _mark: {1, 2},
}
