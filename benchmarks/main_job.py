"""How fast is the main job, provider -> gate -> lake, and how much memory do all processes take?

    uv run python benchmarks/main_job.py [--bars 20_000_000] [--runs 5]

Runs `mdp backfill` on synthetic one-minute bars of 500 symbols, `--runs` times into a fresh lake and
as often again over what is there. Prints bars a second end to end (start of the process to its end),
the peak of the memory (PSS) of all its processes, and whether the second run changed anything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date, timedelta
from pathlib import Path

import psutil

BARS_A_SESSION = 390
MDP = Path(sys.executable).with_name("mdp")

CONFIG = """
version: 2
providers: {{synthetic: {{type: synthetic, seed: 7}}}}
storage: {{primary: {{type: lake, uri: ./lake, write: {{batch_size: {batch}}}}}}}
datasets:
  bars: {{provider: synthetic, schema: bars_ohlcv, symbols: [{symbols}], interval: 1min, calendar: XNYS}}
jobs:
  backfill: {{dataset: bars, mode: backfill, from: {start}, to: {end}}}
"""


def pss_mb(root: int) -> float:
    total = 0
    try:
        processes = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in processes:
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def run(folder: Path) -> tuple[float, float, dict[str, object]]:
    began = time.perf_counter()
    process = subprocess.Popen(
        [MDP, "backfill", "--config", "c.yaml", "--job", "backfill", "-o", "json"],
        cwd=folder,
        env={**os.environ, "OPENBELL_STATE_DIR": str(folder / "state")},
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = 0.0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, pss_mb(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stdout is not None
    summary = json.loads(process.stdout.read())
    process.wait()
    elapsed_s = time.perf_counter() - began
    over.set()
    watcher.join()
    return elapsed_s, peak, summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=20_000_000)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    sessions = options.bars // (BARS_A_SESSION * options.symbols)
    end = date(2026, 6, 30)
    start = end - timedelta(days=int(sessions * 365 / 251))
    names = ", ".join(f"S{number:03d}" for number in range(options.symbols))
    results: dict[str, list[tuple[float, float, dict[str, object]]]] = {"first": [], "again": []}
    for _ in range(options.runs):
        folder = Path(tempfile.mkdtemp(prefix="openbell-bench-"))
        try:
            text = CONFIG.format(batch=options.batch, symbols=names, start=start, end=end)
            (folder / "c.yaml").write_text(text)
            for kind in ("first", "again"):
                results[kind].append(run(folder))
        finally:
            shutil.rmtree(folder)
    print(json.dumps({"machine": platform.platform(), "cores": os.cpu_count()}))
    for kind, found in results.items():
        rows = int(str(found[0][2]["rows_in"]))
        seconds = [elapsed for elapsed, _, _ in found]
        print(
            json.dumps(
                {
                    "run": kind,
                    "rows": rows,
                    "rows_written": found[0][2]["rows_written"],
                    "rows_unchanged": found[0][2]["rows_unchanged"],
                    "median_s": round(statistics.median(seconds), 2),
                    "p95_s": round(sorted(seconds)[int(len(seconds) * 0.95)], 2),
                    "bars_per_s": round(rows / statistics.median(seconds)),
                    "peak_pss_mb": round(max(peak for _, peak, _ in found)),
                }
            )
        )


if __name__ == "__main__":
    main()
