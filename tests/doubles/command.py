"""The command line, called in this process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from openbell.cli.main import main


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def mdp(*args: object) -> Done:
    """Run `mdp` with these arguments."""
    out, err = _Stream(), _Stream()
    code = 0
    with _argv(["mdp", *(str(arg) for arg in args)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return Done(code, out.text, err.text)


async def mdp_beside(*args: object) -> Done:
    """Run `mdp` in a thread, so that a server in this loop can answer it."""
    return await anyio.to_thread.run_sync(mdp, *args)


@contextmanager
def _argv(args: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = args
    try:
        yield
    finally:
        sys.argv = before


class _Stream(io.TextIOWrapper):
    """A text stream with a `buffer`, as the real stdout has."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()
