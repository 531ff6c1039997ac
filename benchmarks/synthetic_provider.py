"""How many bars a second does the synthetic provider make on one core, by page size and width?

    uv run python benchmarks/synthetic_provider.py [--runs 5]

500 symbols, 21 sessions of one-minute bars (4.1 million), and an hour of one-second bars (1.8 million); pages are made and dropped.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from datetime import UTC, date, datetime

import pyarrow as pa

from openbell.testing.requests import fetch_request, weekday_sessions
from openbell_provider_synthetic.provider import SyntheticProvider
from openbell_provider_synthetic.settings import SyntheticSettings

SYMBOLS = tuple(f"S{i:03d}" for i in range(500))
MONTH = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 2, 3, tzinfo=UTC)
HOUR = datetime(2026, 1, 5, 15, tzinfo=UTC), datetime(2026, 1, 5, 16, tzinfo=UTC)
FAULTS = {"gaps": 0.001, "duplicates": 0.001, "late": 0.001, "nulls": 0.001, "bad_ohlc": 0.001}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    os.sched_setaffinity(0, {0})
    pa.set_cpu_count(1)
    sessions = weekday_sessions(date(2026, 1, 5), date(2026, 2, 2))
    for interval, (start, end), batch_rows, faults in (
        ("1min", MONTH, 1_000_000, {}),
        ("1min", MONTH, 200_000, {}),
        ("1min", MONTH, 50_000, {}),
        ("1min", MONTH, 1_000, {}),
        ("1s", HOUR, 200_000, {}),
        ("1min", MONTH, 200_000, FAULTS),
    ):
        request = fetch_request(
            SYMBOLS,
            interval=interval,
            start=start,
            end=end,
            sessions=sessions,
            batch_rows=batch_rows,
        )
        provider = SyntheticProvider(SyntheticSettings.model_validate({"faults": faults}))
        durations = []
        for _ in range(runs):
            begin = time.perf_counter()
            rows = sum(b.num_rows for page in provider.fetch(request) for b in page.batches)
            durations.append(time.perf_counter() - begin)
        median, worst = statistics.median(durations), max(durations)
        print(
            f"{interval:>5} pages of {batch_rows:>9,}{' with faults' if faults else '':12} {rows:>9,} rows"
            f"  median {median * 1e3:7.1f} ms  max {worst * 1e3:7.1f} ms  {rows / median / 1e6:6.1f} M bars/s"
        )


if __name__ == "__main__":
    main()
