"""Configurations that tests start from, and the short way to load them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from doubles.registry import RegistryDouble
from openbell.config.load import Document, Loaded, load
from openbell.config.reader import read_text
from openbell.sdk.errors import Problem, SettingsError

FILE = "openbell.yaml"
FOLDER = Path("/etc/openbell")

EXAMPLE = """\
version: 2
profile: dev
profiles:                          # deep-merged over the file by --profile NAME
  prod: {storage: {primary: {uri: "file:///var/lib/lake"}}}
calendars:
  overlays: [{calendar: XNYS, date: 2025-01-09, closed: true, reason: "national day of mourning"}]
providers:
  synthetic_1: {type: synthetic, enabled: true, seed: 42,
                pacing: {requests_per_minute: 40, burst: 10, cooldown_seconds: 60}}
storage:
  primary: {type: lake, uri: "./data/lake",
            write: {batch_size: 1000, upsert_keys: [provider, symbol, interval, ts]}}
datasets:
  synthetic_smoke: {provider: synthetic_1, schema: bars_ohlcv, symbols: [AAPL, MSFT],
                    interval: 1min, calendar: XNYS}
  eod_bars: {provider: synthetic_1, symbols: [AAPL, MSFT], interval: 1d, calendar: NYSE}
jobs:
  synthetic_live: {dataset: synthetic_smoke, mode: live,
                   execution: {concurrency: 1, retry: {max_attempts: 3, backoff_seconds: 5}}}
  synthetic_backfill: {dataset: synthetic_smoke, mode: backfill, from: 2026-01-02, to: 2026-03-31}
pipelines:
  eod_equities:
    schedule: ["XNYS close + 30m"]
    params: {universe: [AAPL, MSFT]}
    timeout: 45m
    nodes:
      fetch:   {op: ingest, dataset: eod_bars}
      check:   {op: gate, needs: [fetch], rules: [ohlc, complete_session,
                {name: null_share, column: close, warn: 0.0, fail: 0.01}]}
      publish: {op: write, needs: {check: [pass, warn]}, to: primary}
      hold:    {op: quarantine, needs: {check: [fail]}}
features: {write_enabled: true, export_enabled: false}
telemetry: {log_level: INFO, metrics: {enabled: true, port: 9090}}
"""

SMALL = """\
version: 2
providers:
  made_up: {type: synthetic}
storage:
  primary: {type: lake}
datasets:
  bars: {provider: made_up, symbols: [A], interval: 1d}
"""


def loaded(
    text: str,
    *,
    registry: RegistryDouble | None = None,
    env: Mapping[str, str] | None = None,
    profile: str | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Loaded:
    """Return what `text` loads to, as if it stood in /etc/openbell/openbell.yaml."""
    document = Document(tree=read_text(text, FILE), source=FILE, folder=FOLDER)
    return load(
        document,
        registry=registry or RegistryDouble(),
        env=env or {},
        profile=profile,
        overrides=overrides or {},
    )


def problems_of(text: str, **how: Any) -> tuple[Problem, ...]:
    """Return the problems of `text`; fails the test if it loads."""
    try:
        loaded(text, **how)
    except SettingsError as error:
        return error.problems
    raise AssertionError("the configuration loads")


def told(text: str, **how: Any) -> list[str]:
    """Return the problems of `text` as people read them."""
    return [str(problem) for problem in problems_of(text, **how)]
