"""Rows go from a task into a gate and a table, none lost, none doubled."""

from __future__ import annotations

import pytest
from doubles.commands import Mdp

pytestmark = pytest.mark.acceptance

CONFIG = """
version: 2
providers: {made: {type: synthetic, seed: 3}}
storage: {primary: {type: lake, uri: ./lake, write: {batch_size: 100}}}
datasets:
  bars: {provider: made, symbols: [AAPL, MSFT], interval: 1min, calendar: XNYS}
  copy: {provider: made, symbols: [AAPL, MSFT], interval: 1min, calendar: XNYS}
pipelines:
  flow:
    nodes:
      fetch: {op: ingest, dataset: bars}
      same: {op: python, needs: [fetch], function: "steps:same"}
      check: {op: gate, needs: [same], rules: [ohlc]}
      publish: {op: write, needs: {check: [pass, warn]}, to: primary, dataset: copy}
  plain:
    nodes:
      fetch: {op: ingest, dataset: bars}
      half: {op: sql, needs: [fetch], query: "SELECT * FROM \\"fetch\\" WHERE symbol = 'AAPL'"}
      keep: {op: write, needs: [half], to: primary, dataset: bars}
"""
STEPS = "def same(fetch):\n    return fetch\n"


def stored(mdp: Mdp, dataset: str) -> int:
    (stats,) = [
        each
        for each in mdp.json("data", "stats", "--config", "c.yaml")
        if each["dataset"] == dataset
    ]
    return int(stats["row_count"])


def test_every_row_that_a_task_made_is_checked_and_stored_once(mdp: Mdp) -> None:
    mdp.write("c.yaml", CONFIG)
    mdp.write("steps.py", STEPS)
    for _ in range(2):
        mdp.run("run", "--config", "c.yaml", "--pipeline", "flow", "--session", "2026-03-02")
    assert stored(mdp, "copy") == 2 * 390
    mdp.run("run", "--config", "c.yaml", "--pipeline", "plain", "--session", "2026-03-02")
    assert stored(mdp, "bars") == 390
