"""How long does a rehearsal of a year of 200 pipelines of 4 nodes take, and does memory stay flat?

    uv run python benchmarks/rehearsal.py [--pipelines 200] [--days 365] [--repeats 3]

Each pipeline fires half an hour or so after every close of XNYS in 2027: fetch -> check -> publish
| hold, 2 % of the fetches fail and are tried again, 32 workers. Each repeat is a process of its own
that builds the session tables (told apart) and rehearses; its memory is read from outside each
time a quarter of the lines was written.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

FIRST = date(2027, 1, 1)


def configuration(pipelines: int) -> str:
    """Return a configuration with so many pipelines, each with a dataset of its own."""
    lines = [
        "version: 2",
        "daemon: {max_workers: 32}",
        "providers: {made_up: {type: synthetic}}",
        "storage: {primary: {type: lake, uri: ./lake}}",
        "datasets:",
    ]
    lines += [
        f"  bars_{n:03}: {{provider: made_up, symbols: [AAPL, MSFT], interval: 1d, calendar: XNYS}}"
        for n in range(pipelines)
    ]
    lines.append("pipelines:")
    for n in range(pipelines):
        lines.append(
            f"""\
  eod_{n:03}:
    schedule: ["XNYS close + {10 + n % 50}m"]
    nodes:
      fetch:   {{op: ingest, dataset: bars_{n:03}}}
      check:   {{op: gate, needs: [fetch], rules: [ohlc]}}
      publish: {{op: write, needs: {{check: [pass, warn]}}, to: primary}}
      hold:    {{op: quarantine, needs: {{check: [fail]}}}}
    rehearsal: {{fetch: {{duration: 40s, fail_rate: 0.02}}, check: {{duration: 2s}}}}"""
        )
    return "\n".join(lines)


def rss_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def once(path: Path, days: int) -> dict[str, object]:
    """Rehearse in this process and return what it cost."""
    import anyio

    from openbell.app.rehearsal.run import seldom_collected
    from openbell.app.rehearsal.stage import Span, Stage, tables
    from openbell.cli.configuration import load
    from openbell.testing.clock import ManualClock

    span = Span(first=FIRST, last=FIRST + timedelta(days=days - 1))
    loaded, registry = load(path, None, None)
    clock = ManualClock(span.start)
    began = time.perf_counter()
    store = anyio.run(partial(tables, loaded.deployment, span, clock=clock, env=os.environ))
    tables_s = time.perf_counter() - began
    stage = Stage(loaded.deployment, registry, store, seed=0)
    quarter = timedelta(days=days) / 4
    marks: list[float] = []
    add = stage.watcher.timeline.add

    def watched(at: Any, entry: Any) -> None:
        while len(marks) < 4 and at >= span.start + quarter * (len(marks) + 0.5):
            marks.append(rss_mb())
        add(at, entry)

    stage.watcher.timeline.add = watched  # type: ignore[method-assign]
    began, cpu = time.perf_counter(), time.process_time()
    with seldom_collected():
        digest = stage.run(span)
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "tables_s": tables_s,
        "runs": stage.watcher.timeline.line_count,
        "digest": digest,
        "quarters_mb": [round(mark, 1) for mark in marks],
        "end_mb": round(rss_mb(), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipelines", type=int, default=200)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(once(options.child, options.days)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "openbell.yaml"
        path.write_text(configuration(options.pipelines))
        command = [sys.executable, __file__, "--child", str(path), "--days", str(options.days)]
        found = []
        for _ in range(options.repeats):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
            print(found[-1])
    seconds = [float(one["seconds"]) for one in found]
    runs = found[0]["runs"]
    print(
        f"{runs} runs: median {statistics.median(seconds):.1f} s (best {min(seconds):.1f}), "
        f"{statistics.median(seconds) / runs * 1e6:.0f} us a run; session tables "
        f"{statistics.median(float(one['tables_s']) for one in found):.1f} s; "
        f"{len({one['digest'] for one in found})} digest"
    )


if __name__ == "__main__":
    main()
