"""What a correction does to fires is told without a daemon too."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.command import mdp

pytestmark = pytest.mark.integration

CONFIG = """\
version: 2
providers: {made_up: {type: synthetic}}
storage: {primary: {type: lake, uri: ./lake}}
datasets: {bars: {provider: made_up, symbols: [A], interval: 1d, calendar: 24/7}}
jobs:
  fill: {dataset: bars, mode: backfill, schedule: 24/7 open + 1h}
  often: {dataset: bars, mode: backfill, schedule: "24/7 every 10m in [open, close)"}
"""


def test_schedules_of_the_configuration_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENBELL_SOCKET", "OPENBELL_CONFIG", "XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBELL_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "openbell.yaml").write_text(CONFIG)
    closed = ("calendar", "overlay", "add", "24/7", "2027-02-02", "closed", "--reason", "moved")
    tried = mdp(*closed, "--dry-run", "-o", "json")
    assert tried.json["fire_count"] == 1 + 144
    assert {fire["after"] for fire in tried.json["fires"]} == {None}
    assert "145 fires of schedules changed" in tried.err
    assert "fill, 24/7 open + 1h: 2027-02-02 01:00:00+00:00 vanishes" in tried.err
    assert "and 125 more; -o json has the first 145" in tried.err
    made = mdp(*closed, "-o", "json").json
    back = mdp("calendar", "overlay", "remove", "24/7", made["id"])
    assert "fill, 24/7 open + 1h: 2027-02-02 01:00:00+00:00 appears" in back.err
