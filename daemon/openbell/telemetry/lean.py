"""structlog without rich.

structlog imports rich when it is installed, for tracebacks that show local variables: 7 MB and
0.14 s of a daemon's start, and a way for secrets into the log. It asks with a plain import that
may fail, so for that moment rich is not there. Where rich is loaded already nothing is gained
and nothing is done.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


with _hidden("rich"):
    import structlog as structlog  # noqa: PLC0414 - after rich is hidden; given on
