"""A job as the pipeline that it stands for: fetch -> check -> publish | hold."""

from __future__ import annotations

from typing import Any

from openbell.config.schema import JobSection

PRICES = ("open", "high", "low", "close")
ROW_RULES: tuple[Any, ...] = (
    "ohlc",
    "not_null",
    {"name": "positive", "columns": list(PRICES)},
    {"name": "range", "column": "volume", "min": 0},
)
"""Rules that each row meets or not. A job of mode `live` asks the last bars again on every poll, so
keys that come twice and times that go back are no fault there."""

SERIES_RULES: tuple[Any, ...] = (
    "unique_key",
    {"name": "monotonic_time", "severity": "warn"},
)
"""Rules about a whole history, for mode `backfill`. Rows out of order are only worth a warning:
storage sorts them, and many files stand newest first."""

GATE_SEVERITY = "quarantine"
"""What a job's gate does with bad rows: holds them and publishes the others."""


def default_rules(job: JobSection) -> list[Any]:
    """Return the gate's rules for a job that names none."""
    return [*ROW_RULES, *(SERIES_RULES if job.mode == "backfill" else ())]


def job_nodes(job: JobSection) -> dict[str, dict[str, Any]]:
    """Return the nodes of `job` as a configuration would write them."""
    rules = default_rules(job) if job.rules is None else list(job.rules)
    nodes: dict[str, dict[str, Any]] = {
        "fetch": {"op": "ingest", "dataset": job.dataset},
        "check": {
            "op": "gate",
            "needs": ["fetch"],
            "severity": GATE_SEVERITY,
            "rules": rules,
        },
        "publish": {
            "op": "write",
            "needs": {"check": ["pass", "warn", "quarantine"]},
            "to": job.storage,
            "dataset": job.dataset,
        },
        "hold": {"op": "quarantine", "needs": {"check": ["quarantine", "fail"]}},
    }
    for node in nodes.values():
        node["retry"] = job.execution.retry.model_dump()
    return nodes
