"""How many items a second go through a node with `for_each`, and how much memory do they take?

A unit of work is one run whose one node has so many items, from its submission to the end that is
on disk (real SQLite, synchronous=FULL). `tasks`: each item is a task that does nothing in one of 2
warm workers, an attempt of its own in history. `control`: items that the daemon answers itself
(`noop`). Memory and CPU are those of this process, whose workers are others: on a busy machine
CPU an item compares better than items a second.

    uv run python benchmarks/fan_out.py [--items 20000] [--runs 3] [--only control|tasks]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import anyio
from graph import NOOP, NOTHING, TASK, engine, peak_mb, run_s

from openbell.model.pipelines import Node, Pipeline

WARM_UP = 200


def fan_out(name: str, node: Node, count: int) -> Pipeline:
    """Return a pipeline of one node with `count` items."""
    each = replace(node, name="each", for_each=tuple(range(count)))
    return Pipeline(name=name, nodes=(each,))


async def rates(title: str, node: Node, count: int, rounds: int) -> None:
    """Print items a second."""
    few, many = fan_out("few", node, WARM_UP), fan_out("many", node, count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "nothing.py").write_text(NOTHING, encoding="utf-8")
        async with engine(folder, few, many) as live:
            await run_s(live, few.name)
            began_s = time.process_time()
            found = sorted([await run_s(live, many.name) for _ in range(rounds)])
            cpu_us = (time.process_time() - began_s) / (rounds * count) * 1e6
        size_mb = (folder / "history.sqlite").stat().st_size / 2**20
    middle = statistics.median(found)
    print(
        f"{title:<28} {count / middle:>8,.0f} items/s   median {middle:.2f} s, "
        f"best {found[0]:.2f}, worst {found[-1]:.2f}, {cpu_us:.0f} us of CPU an item here, "
        f"peak {peak_mb():.0f} MB, history {size_mb / rounds:.1f} MB a run"
    )


async def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=("control", "tasks"))
    asked = parser.parse_args()
    print(f"{'machine':<28} Python {platform.python_version()}, {platform.machine()}")
    if asked.only in {None, "control"}:
        await rates(f"control, {asked.items:,} items", NOOP, asked.items, asked.runs)
    if asked.only in {None, "tasks"}:
        await rates(f"tasks, {asked.items:,} items", TASK, asked.items, asked.runs)


if __name__ == "__main__":
    anyio.run(main)
