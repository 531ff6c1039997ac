"""Does anything get lost, done twice or done too early when processes are killed at random instants?

    uv run python benchmarks/chaos.py [--kills 1000] [--minutes 25] [--seed 1] [--keep FOLDER]

Runs random graphs, fan-outs, sub-runs, questions, loads into the lake, live jobs and schedules
under a driver that kills the daemon and its workers, stops workers for a while, tears the unsynced
end of the log of history, and fills the disk (a small one of its own, as root). Meanwhile somebody
pauses and resumes runs, pipelines, schedules and everything, cancels runs and nodes, marks nodes,
answers questions, changes priorities, retries runs (also from a named node), replays and purges
dead letters, reloads a changed configuration, defines pipelines, adds and removes schedules, and
begins and ends live jobs, over the socket and now and then by `mdp`.

Then the driver leaves the daemon alone and checks the laws of `tests/doubles/chaos/laws`. Ends after
so many kills, or so many minutes; exit code 1 when a law is broken. `--keep` names an empty folder
to work in, which stays; `said.txt` there tells what was asked for and answered. `--seed`, which is
printed, says what is run, asked for and harmed, and in which order; when it happens is up to the
machine, so the same seed gives a storm of the same kind. A thousand kills take about 20 minutes on
two quiet cores. `tests/acceptance/test_chaos.py` is the short storm of every build.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from doubles.chaos.damage import small_disk
from doubles.chaos.laws import summary, violations
from doubles.chaos.storm import Storm

DISK_MB = 1500
CALM_S = 600.0
PACE = {"meddle_s": 0.05, "longest_s": 0.4}
SIZE = {"graphs": 6, "tables": 2}


def rage(storm: Storm, options: argparse.Namespace) -> list[str]:
    """Run the storm; return every breach of a law."""
    began_s = time.monotonic()
    try:
        storm.rage(options.kills, until=began_s + options.minutes * 60)
        raged_s = time.monotonic() - began_s
        show = {"kills": storm.kills, "raged_s": round(raged_s, 1)}
        show["kills_per_minute"] = round(storm.kills / raged_s * 60, 1)
        print(json.dumps(show | {"counts": dict(storm.counts)}), flush=True)
        storm.calm(CALM_S)
        found = violations(storm)
    finally:
        storm.end()
        said = "\n".join(map(repr, storm.meddler.said))
        (storm.folder / "said.txt").write_text(said, encoding="utf-8")
    calm_s = round(time.monotonic() - began_s - raged_s, 1)
    print(json.dumps({"calm_s": calm_s, **summary(storm), "violations": len(found)}), flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    machine = {"machine": platform.platform(), "cores": os.cpu_count()}
    print(json.dumps({**machine, "seed": options.seed, "kills": options.kills}), flush=True)
    with tempfile.TemporaryDirectory(prefix="ob-") as made:
        folder = options.keep or Path(made)
        disk = folder / "disk"
        disk.mkdir(parents=True)
        with small_disk(disk, DISK_MB) as may_fill:
            storm = Storm(folder, disk, options.seed, may_fill=may_fill, **PACE, **SIZE)
            found = rage(storm, options)
    for breach in found:
        print(breach)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
