"""A configuration that works, what it left, and a daemon that serves it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from doubles.commands import Mdp

IS_ROOT = os.getuid() == 0

GOOD = """\
version: 2
providers:
  made: {type: synthetic, seed: 42}
storage:
  primary: {type: lake, uri: "./lake"}
datasets:
  smoke: {provider: made, schema: bars_ohlcv, symbols: [AAPL, MSFT], interval: 1d, calendar: XNYS}
jobs:
  fill: {dataset: smoke, mode: backfill, from: 2024-01-02, to: 2024-01-31}
"""


def digests(folder: Path) -> dict[str, str]:
    """Return every file under `folder` with a digest of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def served(mdp: Mdp, config: str = "c.yaml") -> Iterator[subprocess.Popen[str]]:
    """Start a daemon that serves; end it at the end."""
    process = mdp.start("daemon", "run", "--config", config, "--socket", "s")
    try:
        end = time.monotonic() + 30
        while not (mdp.folder / "s").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "the daemon did not begin"
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)
