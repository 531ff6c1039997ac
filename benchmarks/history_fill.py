"""A history of many runs, written straight into the tables: what `history_scale.py` measures on."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

PIPELINES = 50
OPEN = 1000
SINCE = datetime(2026, 6, 1, tzinfo=UTC)
CONFIG = (
    "version: 2\ndaemon: {history_keep_days: 3650, history_keep_runs: 10000000}\npipelines:\n"
    + "".join(
        f"""
  job_{number:03d}:
    schedule: ["cron '0 0 1 1 *' UTC"]
    nodes:
      fetch: {{op: wait, until: 2099-01-01T00:00:00Z}}
      publish: {{op: noop, needs: [fetch]}}
"""
        for number in range(PIPELINES)
    )
)

_RUN = "printf('run_%026d', n)"
_JOB = "printf('job_%026d', n)"
_RICH = "printf('run_%026d', :runs - :open)"
"""The newest run that ended: it has much of everything."""

_COUNT = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {})"
_SUBMITTED = f"""json_object(
    'at', '2026-06-01T00:00:00.123456Z', 'run_id', {_RUN}, 'job_id', {_JOB}, 'pipeline', pipeline, 'workflow_version', 1,
    'mode', 'interval', 'nodes', json('[["fetch", "wait"], ["publish", "noop"]]'), 'params', json('{{}}'),
    'origin', 'schedule', 'session', NULL, 'retry_of', NULL, 'idempotency_key', NULL, 'dry_run', json('false'),
    'trace_id', printf('%032x', n), 'parent_span_id', '', 'calendar', '', 'fire', '', 'due_at', NULL, 'priority', 5,
    'parent_run_id', NULL)"""
_FINISHED = f"""json_object(
    'at', '2026-06-01T00:00:09.123456Z', 'run_id', {_RUN}, 'pipeline', pipeline, 'job', '', 'state', state,
    'duration_s', 9.0, 'reason', '', 'error', '', 'provider', '')"""

FILL = {
    "numbers": f"CREATE TEMP TABLE numbers AS {_COUNT.format(':runs')} "
    f"SELECT n, printf('job_%03d', n % {PIPELINES}) AS pipeline, :since + n * 8640000 AS at_us, "
    "CASE WHEN n > :runs - :open THEN 'queued' WHEN n % 100 = 7 THEN 'failed' ELSE 'success' END AS state FROM c",
    "jobs": f"INSERT INTO pipeline_jobs SELECT {_JOB}, pipeline, 'interval', state, '{{}}', 'api', 1, "
    f"{_RUN}, at_us, CASE WHEN state <> 'queued' THEN at_us + 9000000 END FROM numbers",
    "runs": "INSERT INTO pipeline_runs (run_id, job_id, pipeline, workflow_version, mode, state, params, origin, "
    "dry_run, trace_id, submitted_at_us, started_at_us, finished_at_us, duration_s) "
    f"SELECT {_RUN}, {_JOB}, pipeline, 1, 'interval', state, '{{}}', 'api', 0, "
    "printf('%032x', n), at_us, CASE WHEN state <> 'queued' THEN at_us END, "
    "CASE WHEN state <> 'queued' THEN at_us + 9000000 END, "
    "CASE WHEN state <> 'queued' THEN 9.0 END FROM numbers",
    "nodes": "INSERT INTO pipeline_nodes (run_id, node, position, op, state, rows_written) "
    f"SELECT {_RUN}, j.value, j.key, 'wait', CASE state WHEN 'queued' THEN 'pending' ELSE state END, 100 * j.key "
    """FROM numbers, json_each('["fetch", "publish"]') AS j""",
    "attempts": "INSERT INTO job_executions (attempt_id, run_id, node, number, state, started_at_us, finished_at_us) "
    f"SELECT printf('att_%026d', n), {_RUN}, 'fetch', 1, state, at_us, at_us + 1 FROM numbers "
    "WHERE state <> 'queued'",
    "attempts of one run": "INSERT INTO job_executions (attempt_id, run_id, node, number, state, started_at_us, "
    "finished_at_us, error_kind, error, traceback) "
    f"{_COUNT.format(500)} SELECT printf('att_x%025d', n), {_RICH}, 'fetch', n, 'failed', :since, :since + 1, "
    "'transient', 'late', hex(zeroblob(500)) FROM c",
    "logs of one run": "INSERT INTO node_logs (run_id, node, attempt, stream, level, text, written_at_us) "
    f"{_COUNT.format(20_000)} SELECT {_RICH}, 'fetch', 1, 'stdout', 'info', "
    "printf('%d rows of symbol %d, page %d of 400 was read in 12 ms', n, n % 50, n % 400), :since + n FROM c",
    "findings of one run": "INSERT INTO quality_results (run_id, node, chunk, verdict, rule, severity, message, "
    "column_name, row_count, examples, checked_at_us) "
    f"{_COUNT.format(500)} SELECT {_RICH}, 'fetch', n, 'warn', 'ohlc', 'warn', 'high below low', 'high', 3, "
    """'["a", "b"]', :since FROM c""",
    "items of one run": "INSERT INTO node_items (run_id, node, idx, item, state, attempts) "
    f"""{_COUNT.format(100_000)} SELECT {_RICH}, 'fetch', n - 1, '"item"', 'success', 1 FROM c""",
    "questions of one run": "INSERT INTO approvals (run_id, node, item, pipeline, question, labels, asked_at_us) "
    f"""{_COUNT.format(500)} SELECT {_RICH}, 'fetch', n, 'job_000', 'well?', '["yes", "no"]', :since FROM c""",
    "commits": "INSERT INTO data_lineage (key, run_id, node, pipeline, dataset, provider, start_at_us, end_at_us, "
    "row_count, written_count, unchanged_count, size_bytes, digest, version, committed_at_us) "
    f"SELECT printf('%032x', n), {_RUN}, 'publish', pipeline, 'bars_' || (n % 10), 'p', at_us, at_us + 1, 100, 100, "
    "0, 1000, 'd', n, at_us FROM numbers WHERE state = 'success'",
    "metrics": "INSERT INTO pipeline_metrics (run_id, metric, pipeline, value, recorded_at_us) "
    f"SELECT {_RUN}, 'duration_s', pipeline, 9.0, at_us FROM numbers WHERE state <> 'queued'",
    "events": "INSERT INTO events (at_us, name, run_id, pipeline, body) "
    f"SELECT at_us, j.value, {_RUN}, pipeline, iif(j.key, {_FINISHED}, {_SUBMITTED}) "
    """FROM numbers, json_each('["run.submitted", "run.finished"]') AS j""",
    "fires": "INSERT INTO fires (pipeline, identity, schedule_id, session, event, idx, due_at_us, decided_at_us, "
    "outcome, reason, run_id) SELECT n.pipeline, printf('%012d', n), s.schedule_id, NULL, 'cron', 0, at_us, "
    f"at_us, 'run', '', {_RUN} FROM numbers AS n JOIN schedules AS s ON s.pipeline = n.pipeline WHERE n % 3 = 0",
    "letters": "INSERT INTO dead_letters (letter_id, run_id, pipeline, node, state, error_kind, error, traceback, "
    "attempts, params, created_at_us) SELECT printf('letter_%026d', n), "
    f"{_RUN}, pipeline, 'fetch', 'waiting', 'transient', 'late', hex(zeroblob(1000)), 3, '{{}}', at_us FROM numbers "
    "WHERE state = 'failed'",
    "decisions": "INSERT INTO decisions (noted_at_us, pipeline, run_id, node, what, reason) "
    f"SELECT at_us, pipeline, iif(n % 100, {_RUN}, ''), '', 'queued', 'pool full' FROM numbers WHERE n % 10 = 0",
    "totals": "UPDATE history_counts SET value = 100 * :runs WHERE name = 'rows_written'",
}


def fill(path: Path, runs: int) -> None:
    """Write a history of so many runs to `path`, where a daemon has put the definitions."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -400000")
        db.execute("BEGIN")
        known = {"runs": runs, "open": OPEN, "since": int(SINCE.timestamp() * 1e6)}
        for name, statement in FILL.items():
            began = time.perf_counter()
            db.execute(statement, known)
            print(f"  {name}: {time.perf_counter() - began:.1f} s", flush=True)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
