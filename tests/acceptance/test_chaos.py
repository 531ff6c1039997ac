"""A short storm: random work under random kills breaks no law. `benchmarks/chaos.py` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.chaos.laws import summary, violations
from doubles.chaos.storm import Storm
from doubles.chaos.wishes import WHATS

pytestmark = pytest.mark.acceptance

KILLS = 8
DAEMONS = 3
SEED = 76


@pytest.mark.timeout(400)  # about 30 s alone; the daemon is started anew after every other kill
def test_a_storm_of_kills_breaks_no_law(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    sizes = {"every_s": 0.5, "meddle_s": 0.05, "longest_s": 0.4}
    storm = Storm(tmp_path, disk, seed=SEED, graphs=3, tables=1, least=10, **sizes)
    try:
        storm.rage(KILLS, daemons=DAEMONS)
        storm.calm(150)
        found = violations(storm)
    finally:
        storm.end()

    assert found == [], f"in the storm of seed {SEED}"
    assert storm.kills >= KILLS
    seen = summary(storm)
    wanted = ("fires", "items", "receipts", "sub_runs", "live_chunks", "retries", "letters")
    assert [what for what in wanted if not seen[what]] == []
    assert WHATS - set(seen["granted"]) == set()
