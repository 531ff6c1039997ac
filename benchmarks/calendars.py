"""How long does the control plane take to load 20 calendars at start?

A unit of work is one fresh `SessionStore` that reads, checks and makes ready the snapshots of 20
exchanges (37 years each). For scale: the same from `exchange_calendars`, once, in this process.

    uv run python benchmarks/calendars.py
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path

from openbell.calendars.store import SessionStore

TODAY = date(2026, 11, 21)
NAMES = (
    *("XNYS", "XLON", "XTKS", "XHKG", "XTSE", "XASX", "XSWX", "XETR", "XPAR", "XAMS"),
    *("XMIL", "XMAD", "XSTO", "XOSL", "XHEL", "XKRX", "XTAI", "BVMF", "CMES", "XBOM"),
)
ROUNDS = 15


def main() -> None:
    from openbell.calendars.build import build

    with tempfile.TemporaryDirectory() as folder:
        store = SessionStore(Path(folder))
        through = store.wanted_through(TODAY).isoformat()
        began_s = time.perf_counter()
        for name in NAMES:
            store.save(build(name, through), today=TODAY)
        built_ms = (time.perf_counter() - began_s) * 1000
        rounds_ms = sorted(loaded_ms(Path(folder)) for _ in range(ROUNDS))
    machine = f"Python {platform.python_version()}, {platform.machine()}"
    print(f"machine            {machine}")
    print(f"build 20 (library) {built_ms:.0f} ms")
    print(
        f"load 20 calendars  median {statistics.median(rounds_ms):.1f} ms, max {rounds_ms[-1]:.1f} ms"
    )


def loaded_ms(folder: Path) -> float:
    store = SessionStore(folder)
    began_s = time.perf_counter()
    for name in NAMES:
        if store.table(name, today=TODAY) is None:
            raise SystemExit(f"{name} was not loaded")
    return (time.perf_counter() - began_s) * 1000


if __name__ == "__main__":
    main()
