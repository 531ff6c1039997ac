"""A short storm: random work under random kills breaks no law. `benchmarks/chaos.py` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.chaos.laws import summary, violations
from doubles.chaos.storm import Storm

pytestmark = pytest.mark.acceptance

KILLS = 14


@pytest.mark.timeout(120)  # about 25 s alone; the daemon is started anew after every other kill
def test_a_storm_of_kills_breaks_no_law(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    storm = Storm(tmp_path, disk, seed=76, every_s=0.3, longest_s=0.4, graphs=3, tables=1, least=12)
    try:
        storm.rage(KILLS)
        storm.calm(60)
        found = violations(storm)
    finally:
        storm.end()

    assert found == []
    assert storm.kills >= KILLS
    seen = summary(storm)
    assert [what for what in ("fires", "items", "receipts", "sub_runs") if not seen[what]] == []
