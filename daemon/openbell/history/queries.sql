-- Every statement that history runs. A block begins with `name:` and a sentence; python knows it by that name.

-- name: table_names
-- Tables that a database has, other than SQLite's own.
SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name;

-- name: applied_migrations
-- Migrations that this database has been through.
SELECT number, name, checksum FROM schema_migrations ORDER BY number;

-- name: insert_migration
-- Note that a migration was applied.
INSERT INTO schema_migrations (number, name, checksum) VALUES (:number, :name, :checksum);

-- name: append_events
-- Add events to the ordered log; their ids are the order in which clients see them.
INSERT INTO events (at_us, name, run_id, pipeline, body)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
    json_extract(value, '$[4]')
FROM json_each(:rows);

-- name: newest_workflow
-- The newest version of a definition.
SELECT pipeline, version, fingerprint, definition, active, created_at_us
FROM pipeline_workflows WHERE pipeline = :pipeline ORDER BY version DESC LIMIT 1;

-- name: workflow_version
-- One version of a definition.
SELECT pipeline, version, fingerprint, definition, active, created_at_us
FROM pipeline_workflows WHERE pipeline = :pipeline AND version = :version;

-- name: newest_workflows
-- The newest version of every definition, by name.
SELECT w.pipeline, w.version, w.fingerprint, w.definition, w.active, w.created_at_us
FROM pipeline_workflows AS w
WHERE w.version = (SELECT max(v.version) FROM pipeline_workflows AS v WHERE v.pipeline = w.pipeline)
ORDER BY w.pipeline;

-- name: insert_workflow
-- Keep a new version of a definition, in force.
INSERT INTO pipeline_workflows (pipeline, version, fingerprint, job, mode, definition, active, created_at_us)
VALUES (:pipeline, :version, :fingerprint, :job, :mode, :definition, 1, :at_us);

-- name: insert_dependency
-- Keep one edge of a definition.
INSERT INTO job_dependencies (pipeline, version, node, needs_node, outcomes)
VALUES (:pipeline, :version, :node, :needs_node, :outcomes);

-- name: retire_workflow
-- Take every version of a definition out of force.
UPDATE pipeline_workflows SET active = 0, retired_at_us = :at_us WHERE pipeline = :pipeline AND active = 1;

-- name: revive_workflow
-- Put the newest version of a retired definition in force again.
UPDATE pipeline_workflows SET active = 1, retired_at_us = NULL
WHERE pipeline = :pipeline AND version = :version;

-- name: run_of_key
-- The run that was submitted under an idempotency key.
SELECT run_id FROM pipeline_runs WHERE idempotency_key = :idempotency_key;

-- name: durations
-- How long the newest successful runs of a pipeline took, in seconds, newest first.
SELECT (finished_at_us - started_at_us) / 1e6 FROM pipeline_runs
WHERE pipeline = :pipeline AND state = 'success' AND dry_run = 0 AND started_at_us IS NOT NULL
ORDER BY run_id DESC LIMIT :limit;

-- name: node_durations
-- How long the nodes took of the newest successful runs of a pipeline, in seconds, newest run first.
SELECT n.node, (n.finished_at_us - n.started_at_us) / 1e6
FROM (
    SELECT run_id FROM pipeline_runs
    WHERE pipeline = :pipeline AND state = 'success' AND dry_run = 0 ORDER BY run_id DESC LIMIT :limit
) AS r CROSS JOIN pipeline_nodes AS n ON n.run_id = r.run_id
WHERE n.state = 'success' AND n.started_at_us IS NOT NULL AND n.attempts > 0
ORDER BY n.run_id DESC;

-- name: upsert_jobs
-- Note submitted work, or one more run of it.
INSERT INTO pipeline_jobs (
    job_id, pipeline, mode, state, params, origin, run_count, last_run_id, submitted_at_us
)
SELECT
    json_extract(value, '$.event.job_id'), json_extract(value, '$.event.pipeline'), json_extract(value, '$.event.mode'),
    'queued', json_extract(value, '$.event.params'), json_extract(value, '$.event.origin'), 1,
    json_extract(value, '$.event.run_id'), json_extract(value, '$.at_us')
FROM json_each(:rows) WHERE true
ON CONFLICT (job_id) DO UPDATE
SET state = 'queued', run_count = run_count + 1, last_run_id = excluded.last_run_id, finished_at_us = NULL;

-- name: insert_runs
-- Accept runs.
INSERT INTO pipeline_runs (
    run_id, job_id, pipeline, workflow_version, mode, state, params, origin, session, retry_of,
    idempotency_key, dry_run, trace_id, submitted_at_us, calendar, fire, due_at_us, priority, parent_run_id
)
SELECT
    json_extract(value, '$.event.run_id'), json_extract(value, '$.event.job_id'),
    json_extract(value, '$.event.pipeline'), json_extract(value, '$.event.workflow_version'),
    json_extract(value, '$.event.mode'), 'queued', json_extract(value, '$.event.params'),
    json_extract(value, '$.event.origin'), json_extract(value, '$.event.session'),
    json_extract(value, '$.event.retry_of'), json_extract(value, '$.event.idempotency_key'),
    json_extract(value, '$.event.dry_run'), json_extract(value, '$.event.trace_id'), json_extract(value, '$.at_us'),
    json_extract(value, '$.event.calendar'), json_extract(value, '$.event.fire'), json_extract(value, '$.other_us'),
    json_extract(value, '$.event.priority'), json_extract(value, '$.event.parent_run_id')
FROM json_each(:rows);

-- name: insert_nodes
-- Give runs their nodes.
INSERT INTO pipeline_nodes (run_id, node, position, op, state)
SELECT c.run_id, json_extract(n.value, '$[0]'), n.key, json_extract(n.value, '$[1]'), 'pending'
FROM (
    SELECT json_extract(value, '$.event.run_id') AS run_id, json_extract(value, '$.event.nodes') AS nodes
    FROM json_each(:rows) LIMIT -1
) AS c, json_each(c.nodes) AS n;

-- name: run_state
-- Where a run stands.
SELECT state FROM pipeline_runs WHERE run_id = :run_id;

-- name: start_runs
-- Runs left the queue.
UPDATE pipeline_runs AS r SET state = 'running', started_at_us = c.at_us, reason = ''
FROM (
    SELECT json_extract(value, '$.event.run_id') AS run_id, json_extract(value, '$.at_us') AS at_us
    FROM json_each(:rows) LIMIT -1
) AS c
WHERE r.run_id = c.run_id AND r.state = 'queued';

-- name: finish_runs
-- Runs ended.
UPDATE pipeline_runs AS r
SET state = c.state, finished_at_us = c.at_us, duration_s = c.duration_s, reason = c.reason, error = c.error,
    provider = c.provider
FROM (
    SELECT
        json_extract(value, '$.event.run_id') AS run_id, json_extract(value, '$.event.state') AS state,
        json_extract(value, '$.event.duration_s') AS duration_s, json_extract(value, '$.event.reason') AS reason,
        json_extract(value, '$.event.error') AS error, json_extract(value, '$.event.provider') AS provider,
        json_extract(value, '$.at_us') AS at_us
    FROM json_each(:rows) LIMIT -1
) AS c
WHERE r.run_id = c.run_id AND (r.state = 'running' OR (r.state = 'queued' AND c.state IN ('failed', 'cancelled')));

-- name: move_jobs
-- Submissions stand where their last runs stand.
UPDATE pipeline_jobs AS j SET state = c.state, finished_at_us = c.finished_at_us
FROM (
    SELECT r.job_id, r.run_id, r.state, r.finished_at_us FROM json_each(:rows) AS e CROSS JOIN pipeline_runs AS r
    WHERE r.run_id = json_extract(e.value, '$.event.run_id') LIMIT -1
) AS c
WHERE j.job_id = c.job_id AND j.last_run_id = c.run_id;

-- name: request_cancel
-- Somebody asked for a run to end.
UPDATE pipeline_runs SET cancel_requested = 1 WHERE run_id = :run_id;

-- name: insert_run_metrics
-- Keep finished runs' numbers, one row a metric.
INSERT INTO pipeline_metrics (run_id, metric, pipeline, value, recorded_at_us)
SELECT t.run_id, m.key, t.pipeline, m.value, c.at_us
FROM (
    SELECT
        json_extract(value, '$.event.run_id') AS run_id, json_extract(value, '$.event.duration_s') AS duration_s,
        json_extract(value, '$.at_us') AS at_us
    FROM json_each(:rows) LIMIT -1
) AS c CROSS JOIN run_totals AS t CROSS JOIN json_each(
    json_object(
        'duration_s', c.duration_s, 'rows_in', t.rows_in, 'rows_written', t.rows_written,
        'rows_unchanged', t.rows_unchanged, 'rows_quarantined', t.rows_quarantined,
        'size_bytes', t.size_bytes, 'batches', t.batches, 'attempts', t.attempts
    )
) AS m
WHERE t.run_id = c.run_id;

-- name: node_state
-- Where a node and its run stand.
SELECT n.state, r.state FROM pipeline_nodes AS n JOIN pipeline_runs AS r ON r.run_id = n.run_id
WHERE n.run_id = :run_id AND n.node = :node;

-- name: change_nodes
-- Nodes of open runs went to other states; a skipped one was never tried, and one that ended stays as it is.
UPDATE pipeline_nodes AS n
SET state = c.state, attempts = CASE WHEN c.state = 'skipped' THEN 0 ELSE max(n.attempts, c.attempt) END,
    outcome = c.outcome, error = c.error, error_kind = c.error_kind, retry_at_us = c.retry_at_us,
    output = coalesce(c.output, n.output), reason = c.reason,
    started_at_us = CASE WHEN c.state IN ('running', 'success', 'failed') THEN coalesce(n.started_at_us, c.at_us) ELSE n.started_at_us END,
    finished_at_us = CASE WHEN c.state NOT IN ('pending', 'queued', 'running', 'retrying') THEN c.at_us END
FROM (
    SELECT
        json_extract(value, '$.event.run_id') AS run_id, json_extract(value, '$.event.node') AS node,
        json_extract(value, '$.event.state') AS state, json_extract(value, '$.event.attempt') AS attempt,
        json_extract(value, '$.event.outcome') AS outcome, json_extract(value, '$.event.error') AS error,
        json_extract(value, '$.event.error_kind') AS error_kind, json_extract(value, '$.other_us') AS retry_at_us,
        json_extract(value, '$.event.output') AS output, json_extract(value, '$.event.reason') AS reason,
        json_extract(value, '$.at_us') AS at_us
    FROM json_each(:rows) LIMIT -1
) AS c
WHERE n.run_id = c.run_id AND n.node = c.node AND n.state IN ('pending', 'queued', 'running', 'retrying')
    AND EXISTS (SELECT 1 FROM pipeline_runs AS r WHERE r.run_id = c.run_id AND r.state IN ('queued', 'running'));

-- name: set_totals_of_nodes
-- The numbers that came with new states of nodes.
UPDATE pipeline_nodes AS n
SET rows_in = json_extract(c.totals, '$.rows_in'), rows_out = json_extract(c.totals, '$.rows_out'),
    rows_written = json_extract(c.totals, '$.rows_written'), rows_unchanged = json_extract(c.totals, '$.rows_unchanged'),
    rows_quarantined = json_extract(c.totals, '$.rows_quarantined'), size_bytes = json_extract(c.totals, '$.size_bytes'),
    verdict = json_extract(c.totals, '$.verdict')
FROM (
    SELECT
        json_extract(value, '$.event.run_id') AS run_id, json_extract(value, '$.event.node') AS node,
        json_extract(value, '$.event.totals') AS totals
    FROM json_each(:rows) LIMIT -1
) AS c
WHERE n.run_id = c.run_id AND n.node = c.node;

-- name: set_node_totals
-- A node's numbers so far.
UPDATE pipeline_nodes
SET rows_in = :rows_in, rows_out = :rows_out, rows_written = :rows_written,
    rows_unchanged = :rows_unchanged, rows_quarantined = :rows_quarantined, size_bytes = :size_bytes,
    verdict = :verdict
WHERE run_id = :run_id AND node = :node;

-- name: insert_attempts
-- Attempts at nodes of open runs, or at items of these, were handed to workers.
INSERT INTO job_executions (attempt_id, run_id, node, item, number, state, started_at_us)
SELECT c.attempt_id, c.run_id, c.node, c.item, c.number, 'running', c.at_us
FROM (
    SELECT
        json_extract(value, '$.event.attempt_id') AS attempt_id, json_extract(value, '$.event.run_id') AS run_id,
        json_extract(value, '$.event.node') AS node, json_extract(value, '$.event.item') AS item,
        json_extract(value, '$.event.number') AS number, json_extract(value, '$.at_us') AS at_us
    FROM json_each(:rows) LIMIT -1
) AS c CROSS JOIN pipeline_runs AS r
WHERE r.run_id = c.run_id AND r.state IN ('queued', 'running');

-- name: count_attempts
-- Nodes have been tried this often; attempts at items are none at their node.
UPDATE pipeline_nodes AS n SET attempts = max(n.attempts, c.number)
FROM (
    SELECT
        json_extract(value, '$.event.run_id') AS run_id, json_extract(value, '$.event.node') AS node,
        json_extract(value, '$.event.number') AS number
    FROM json_each(:rows) WHERE json_extract(value, '$.event.item') = -1 LIMIT -1
) AS c
WHERE n.run_id = c.run_id AND n.node = c.node;

-- name: attempt_state
-- Where an attempt stands.
SELECT state FROM job_executions WHERE attempt_id = :attempt_id;

-- name: finish_attempts
-- Running attempts ended.
UPDATE job_executions AS a
SET state = c.state, finished_at_us = c.at_us, duration_s = c.duration_s, worker_pid = c.worker_pid,
    error_kind = c.error_kind, error = c.error, traceback = c.traceback, cpu_s = c.cpu_s,
    peak_memory_bytes = c.peak_memory_bytes, io_read_bytes = c.io_read_bytes, io_written_bytes = c.io_written_bytes
FROM (
    SELECT
        json_extract(value, '$.event.attempt_id') AS attempt_id, json_extract(value, '$.event.state') AS state,
        json_extract(value, '$.event.duration_s') AS duration_s, json_extract(value, '$.event.worker_pid') AS worker_pid,
        json_extract(value, '$.event.error_kind') AS error_kind, json_extract(value, '$.event.error') AS error,
        json_extract(value, '$.event.traceback') AS traceback, json_extract(value, '$.event.cpu_s') AS cpu_s,
        json_extract(value, '$.event.peak_memory_bytes') AS peak_memory_bytes,
        json_extract(value, '$.event.io_read_bytes') AS io_read_bytes,
        json_extract(value, '$.event.io_written_bytes') AS io_written_bytes, json_extract(value, '$.at_us') AS at_us
    FROM json_each(:rows) LIMIT -1
) AS c
WHERE a.attempt_id = c.attempt_id AND a.state = 'running';

-- name: advance_checkpoint
-- A source came further; one that would go back or stand still is left alone.
INSERT INTO checkpoints (run_id, node, next_chunk, batch_count, cursor, totals, committed_at_us)
VALUES (:run_id, :node, :next_chunk, 1, :cursor, :totals, :at_us)
ON CONFLICT (run_id, node) DO UPDATE
SET next_chunk = excluded.next_chunk, batch_count = batch_count + 1, cursor = excluded.cursor,
    totals = excluded.totals, committed_at_us = excluded.committed_at_us
WHERE excluded.next_chunk > checkpoints.next_chunk;

-- name: insert_commit
-- Keep a receipt; the same idempotency key keeps its first one.
INSERT INTO data_lineage (
    key, run_id, node, pipeline, dataset, provider, start_at_us, end_at_us, row_count, written_count,
    unchanged_count, size_bytes, digest, version, committed_at_us
)
VALUES (
    :key, :run_id, :node, :pipeline, :dataset, :provider, :start_at_us, :end_at_us, :row_count, :written_count,
    :unchanged_count, :size_bytes, :digest, :version, :committed_at_us
)
ON CONFLICT (key) DO NOTHING;

-- name: insert_finding
-- Keep what a gate found.
INSERT INTO quality_results (
    run_id, node, chunk, verdict, rule, severity, message, column_name, row_count, metric, threshold,
    examples, checked_at_us
)
VALUES (
    :run_id, :node, :chunk, :verdict, :rule, :severity, :message, :column_name, :row_count, :metric, :threshold,
    :examples, :at_us
);

-- name: log_size
-- How many bytes an attempt has logged.
SELECT size_bytes FROM node_log_sizes
WHERE run_id = :run_id AND node = :node AND item = :item AND attempt = :attempt;

-- name: grow_log
-- Count what an attempt logged and what of it was dropped.
INSERT INTO node_log_sizes (run_id, node, item, attempt, size_bytes, dropped_count)
VALUES (:run_id, :node, :item, :attempt, :size_bytes, :dropped_count)
ON CONFLICT (run_id, node, item, attempt) DO UPDATE
SET size_bytes = size_bytes + excluded.size_bytes, dropped_count = dropped_count + excluded.dropped_count;

-- name: insert_log_line
-- Keep a log line.
INSERT INTO node_logs (run_id, node, item, attempt, stream, level, text, written_at_us)
VALUES (:run_id, :node, :item, :attempt, :stream, :level, :text, :at_us);

-- name: run
-- One run.
SELECT run_id, job_id, pipeline, workflow_version, mode, state, params, submitted_at_us, started_at_us,
    finished_at_us, reason, error, session, retry_of, origin, dry_run, cancel_requested, trace_id,
    calendar, fire, due_at_us, priority, parent_run_id, paused
FROM pipeline_runs WHERE run_id = :run_id;

-- name: runs_newest
-- Runs, newest first.
SELECT run_id, job_id, pipeline, workflow_version, mode, state, params, submitted_at_us, started_at_us,
    finished_at_us, reason, error, session, retry_of, origin, dry_run, cancel_requested, trace_id,
    calendar, fire, due_at_us, priority, parent_run_id, paused
FROM pipeline_runs WHERE run_id < :before ORDER BY run_id DESC LIMIT :limit;

-- name: runs_in_state
-- Runs that stand in one state, newest first.
SELECT run_id, job_id, pipeline, workflow_version, mode, state, params, submitted_at_us, started_at_us,
    finished_at_us, reason, error, session, retry_of, origin, dry_run, cancel_requested, trace_id,
    calendar, fire, due_at_us, priority, parent_run_id, paused
FROM pipeline_runs WHERE state = :state AND run_id < :before ORDER BY run_id DESC LIMIT :limit;

-- name: runs_of_pipeline
-- Runs of one pipeline, newest first.
SELECT run_id, job_id, pipeline, workflow_version, mode, state, params, submitted_at_us, started_at_us,
    finished_at_us, reason, error, session, retry_of, origin, dry_run, cancel_requested, trace_id,
    calendar, fire, due_at_us, priority, parent_run_id, paused
FROM pipeline_runs WHERE pipeline = :pipeline AND run_id < :before ORDER BY run_id DESC LIMIT :limit;

-- name: runs_of_pipeline_in_state
-- Runs of one pipeline that stand in one state, newest first.
SELECT run_id, job_id, pipeline, workflow_version, mode, state, params, submitted_at_us, started_at_us,
    finished_at_us, reason, error, session, retry_of, origin, dry_run, cancel_requested, trace_id,
    calendar, fire, due_at_us, priority, parent_run_id, paused
FROM pipeline_runs
WHERE pipeline = :pipeline AND state = :state AND run_id < :before ORDER BY run_id DESC LIMIT :limit;

-- name: run_ids_in_state
-- Ids of runs that stand in one state, newest first.
SELECT run_id FROM pipeline_runs WHERE state = :state AND run_id < :before ORDER BY run_id DESC LIMIT :limit;

-- name: run_ids_of_pipeline_in_state
-- Ids of runs of one pipeline that stand in one state, newest first.
SELECT run_id FROM pipeline_runs
WHERE pipeline = :pipeline AND state = :state AND run_id < :before ORDER BY run_id DESC LIMIT :limit;

-- name: runs_of_ids
-- Some runs, in the order of their ids.
SELECT r.run_id, r.job_id, r.pipeline, r.workflow_version, r.mode, r.state, r.params, r.submitted_at_us, r.started_at_us,
    r.finished_at_us, r.reason, r.error, r.session, r.retry_of, r.origin, r.dry_run, r.cancel_requested, r.trace_id,
    r.calendar, r.fire, r.due_at_us, r.priority, r.parent_run_id, r.paused
FROM json_each(:run_ids) AS i CROSS JOIN pipeline_runs AS r
WHERE r.run_id = i.value ORDER BY i.key;

-- name: runs_of_job
-- Runs of one submission in some states, newest first.
SELECT run_id, job_id, pipeline, workflow_version, mode, state, params, submitted_at_us, started_at_us,
    finished_at_us, reason, error, session, retry_of, origin, dry_run, cancel_requested, trace_id,
    calendar, fire, due_at_us, priority, parent_run_id, paused
FROM pipeline_runs
WHERE job_id = :job_id AND run_id < :before AND +state IN (SELECT value FROM json_each(:states))
    AND (:pipeline IS NULL OR +pipeline = :pipeline)
ORDER BY run_id DESC LIMIT :limit;

-- name: nodes
-- A run's nodes in definition order.
SELECT run_id, node, op, state, attempts, started_at_us, finished_at_us, outcome, error, error_kind,
    retry_at_us, rows_in, rows_out, rows_written, rows_unchanged, rows_quarantined, size_bytes, verdict, output,
    reason
FROM pipeline_nodes WHERE run_id = :run_id ORDER BY position;

-- name: attempts
-- Attempts of a run, or of one of its nodes, oldest first; at items only those that run.
SELECT attempt_id, run_id, node, number, state, started_at_us, finished_at_us, worker_pid, error_kind,
    error, traceback, cpu_s, peak_memory_bytes, io_read_bytes, io_written_bytes, item
FROM job_executions
WHERE rowid IN (
    SELECT rowid FROM job_executions WHERE run_id = :run_id AND item = -1
    UNION ALL SELECT rowid FROM job_executions WHERE run_id = :run_id AND state = 'running'
) AND (:node IS NULL OR node = :node)
ORDER BY rowid;

-- name: attempts_of_item
-- Attempts at one item of a node, oldest first.
SELECT attempt_id, run_id, node, number, state, started_at_us, finished_at_us, worker_pid, error_kind,
    error, traceback, cpu_s, peak_memory_bytes, io_read_bytes, io_written_bytes, item
FROM job_executions WHERE run_id = :run_id AND node = :node AND item = :item ORDER BY rowid;

-- name: checkpoint
-- How far a source came.
SELECT run_id, node, next_chunk, cursor, totals, committed_at_us FROM checkpoints WHERE run_id = :run_id AND node = :node;

-- name: logs_of_run
-- A run's log lines after an id, oldest first.
SELECT id, node, attempt, stream, level, text, written_at_us, item
FROM node_logs WHERE run_id = :run_id AND id > :after_id ORDER BY id LIMIT :limit;

-- name: logs_of_node
-- A node's log lines after an id, oldest first.
SELECT id, node, attempt, stream, level, text, written_at_us, item
FROM node_logs WHERE run_id = :run_id AND node = :node AND id > :after_id ORDER BY id LIMIT :limit;

-- name: logs_of_item
-- Log lines of one item of a node after an id, oldest first.
SELECT id, node, attempt, stream, level, text, written_at_us, item
FROM node_logs
WHERE run_id = :run_id AND node = :node AND id > :after_id AND item = :item ORDER BY id LIMIT :limit;

-- name: quality
-- What a run's gates found, oldest first.
SELECT id, run_id, node, chunk, rule, severity, message, column_name, row_count, metric, threshold,
    examples, checked_at_us
FROM quality_results WHERE run_id = :run_id ORDER BY id;

-- name: events_after
-- Events after an id, oldest first.
SELECT id, at_us, name, run_id, pipeline, body FROM events WHERE id > :after_id ORDER BY id LIMIT :limit;

-- name: events_of_run
-- A run's events after an id, oldest first.
SELECT id, at_us, name, run_id, pipeline, body
FROM events WHERE run_id = :run_id AND id > :after_id ORDER BY id LIMIT :limit;

-- name: last_event_id
-- The id of the newest event that was ever stored.
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0);

-- name: lineage
-- The newest commits into a dataset.
SELECT key, run_id, node, pipeline, dataset, start_at_us, end_at_us, row_count, written_count,
    unchanged_count, size_bytes, digest, version, committed_at_us
FROM data_lineage WHERE dataset = :dataset ORDER BY id DESC LIMIT :limit;

-- name: counts
-- Totals over everything that history holds: runs by state, rows, batches, log lines that were dropped.
SELECT name, value FROM history_counts;

-- name: database_size
-- Bytes of the database's pages.
SELECT c.page_count * s.page_size FROM pragma_page_count() AS c, pragma_page_size() AS s;

-- name: runs_ended_before
-- Some runs that ended before an instant.
SELECT run_id FROM pipeline_runs WHERE finished_at_us < :before_us LIMIT :limit;

-- name: oldest_kept_run
-- The oldest of the newest runs that are kept by count.
SELECT run_id FROM pipeline_runs ORDER BY run_id DESC LIMIT 1 OFFSET :skipped;

-- name: runs_older_than
-- Some finished runs that are older than a run.
SELECT run_id FROM pipeline_runs
WHERE run_id < :oldest_kept AND finished_at_us IS NOT NULL ORDER BY run_id LIMIT :limit;

-- name: delete_events_of_run
-- Forget some of a run's events.
DELETE FROM events WHERE id IN (SELECT id FROM events WHERE run_id = :run_id ORDER BY id LIMIT :limit);

-- name: delete_logs_of_run
-- Forget some of a finished run's log lines.
DELETE FROM node_logs WHERE id IN (
    SELECT id FROM node_logs
    WHERE run_id = (SELECT run_id FROM pipeline_runs WHERE run_id = :run_id AND finished_at_us IS NOT NULL)
    ORDER BY id LIMIT :limit
);

-- name: delete_items_of_run
-- Forget some of a finished run's items.
DELETE FROM node_items
WHERE run_id = (SELECT run_id FROM pipeline_runs WHERE run_id = :run_id AND finished_at_us IS NOT NULL)
    AND (node, idx) IN (SELECT i.node, i.idx FROM node_items AS i WHERE i.run_id = :run_id LIMIT :limit);

-- name: delete_attempts_of_run
-- Forget some of a finished run's attempts.
DELETE FROM job_executions WHERE attempt_id IN (
    SELECT attempt_id FROM job_executions
    WHERE run_id = (SELECT run_id FROM pipeline_runs WHERE run_id = :run_id AND finished_at_us IS NOT NULL)
    LIMIT :limit
);

-- name: delete_log_sizes_of_run
-- Forget some of what is known of how much a finished run's attempts logged.
DELETE FROM node_log_sizes
WHERE run_id = (SELECT run_id FROM pipeline_runs WHERE run_id = :run_id AND finished_at_us IS NOT NULL)
    AND (node, item, attempt) IN (
        SELECT s.node, s.item, s.attempt FROM node_log_sizes AS s WHERE s.run_id = :run_id LIMIT :limit
    );

-- name: delete_nodes_of_run
-- Forget some of a finished run's nodes, with their checkpoints, findings and commits.
DELETE FROM pipeline_nodes
WHERE run_id = (SELECT run_id FROM pipeline_runs WHERE run_id = :run_id AND finished_at_us IS NOT NULL)
    AND node IN (SELECT n.node FROM pipeline_nodes AS n WHERE n.run_id = :run_id LIMIT :limit);

-- name: delete_run
-- Forget a run; its nodes, attempts, checkpoints, logs, findings, commits and metrics go with it.
DELETE FROM pipeline_runs WHERE run_id = :run_id AND finished_at_us IS NOT NULL RETURNING job_id;

-- name: delete_job_without_runs
-- Forget submitted work whose last run is gone.
DELETE FROM pipeline_jobs
WHERE job_id = :job_id AND NOT EXISTS (SELECT 1 FROM pipeline_runs AS r WHERE r.job_id = pipeline_jobs.job_id);

-- name: delete_old_events
-- Forget some old events that belong to no run.
DELETE FROM events WHERE id IN (
    SELECT id FROM events WHERE run_id IS NULL AND at_us < :before_us LIMIT :limit
);

-- name: give_back_page
-- Give an unused page back to the file system; the driver takes one step of this statement, whatever number stands here.
PRAGMA incremental_vacuum(1);

-- name: free_pages
-- How many pages of the file are unused.
SELECT freelist_count FROM pragma_freelist_count();

-- name: insert_overlay
-- Keep a correction to a calendar.
INSERT INTO calendar_overlays (
    overlay_id, calendar, session, closed, open_time, close_time, reason, added_by, added_at_us
)
VALUES (:overlay_id, :calendar, :session, :closed, :open_time, :close_time, :reason, :by, :at_us);

-- name: remove_overlay
-- Note that a correction was taken back.
UPDATE calendar_overlays SET removed_by = :by, removed_at_us = :at_us
WHERE overlay_id = :overlay_id AND removed_at_us IS NULL;

-- name: overlays
-- Every correction, oldest first; those that were taken back too.
SELECT overlay_id, calendar, session, closed, open_time, close_time, reason, added_by, added_at_us,
    removed_by, removed_at_us
FROM calendar_overlays ORDER BY added_at_us, overlay_id;

-- name: schedule_of_key
-- The schedule of a pipeline that means this.
SELECT schedule_id, removed_at_us FROM schedules WHERE pipeline = :pipeline AND key = :key;

-- name: insert_schedule
-- Keep a schedule; its fires count from now on.
INSERT INTO schedules (
    schedule_id, pipeline, key, document, origin, added_at_us, added_by, decided_until_us, passed_until_us
)
VALUES (:schedule_id, :pipeline, :key, :document, :origin, :at_us, :by, :at_us, :at_us);

-- name: change_schedule
-- Take the fires of a schedule in another way; nothing else about it changes.
UPDATE schedules SET document = :document, origin = :origin WHERE schedule_id = :schedule_id;

-- name: revive_schedule
-- A schedule that was removed is there again; its fires count from now on.
UPDATE schedules
SET document = :document, origin = :origin, added_at_us = :at_us, added_by = :by, removed_at_us = NULL,
    removed_by = '', paused = 0, decided_until_us = max(decided_until_us, :at_us),
    passed_until_us = max(passed_until_us, :at_us)
WHERE schedule_id = :schedule_id;

-- name: remove_schedule
-- A schedule was deleted, or left the configuration.
UPDATE schedules SET removed_at_us = :at_us, removed_by = :by
WHERE schedule_id = :schedule_id AND removed_at_us IS NULL;

-- name: pause_schedule
-- A schedule was paused, or goes on.
UPDATE schedules SET paused = :paused WHERE schedule_id = :schedule_id AND removed_at_us IS NULL;

-- name: insert_fires
-- Keep what became of fires, unless their schedule is unknown or everything so old was forgotten.
INSERT INTO fires (
    pipeline, identity, schedule_id, session, event, idx, due_at_us, decided_at_us, outcome, reason, run_id
)
SELECT c.pipeline, c.identity, c.schedule_id, c.session, c.event, c.idx, c.due_at_us, c.at_us, c.outcome, c.reason,
    c.run_id
FROM (
    SELECT
        json_extract(value, '$.event.pipeline') AS pipeline, json_extract(value, '$.event.identity') AS identity,
        json_extract(value, '$.event.schedule_id') AS schedule_id, json_extract(value, '$.event.session') AS session,
        json_extract(value, '$.event.event') AS event, json_extract(value, '$.event.index') AS idx,
        json_extract(value, '$.other_us') AS due_at_us, json_extract(value, '$.at_us') AS at_us,
        json_extract(value, '$.event.outcome') AS outcome, json_extract(value, '$.event.reason') AS reason,
        json_extract(value, '$.event.run_id') AS run_id
    FROM json_each(:rows) LIMIT -1
) AS c CROSS JOIN schedules AS s
WHERE s.schedule_id = c.schedule_id AND (s.floor_at_us IS NULL OR s.floor_at_us < c.due_at_us);

-- name: advance_schedules
-- Every fire of some schedules up to an instant each is decided.
UPDATE schedules AS s SET decided_until_us = c.until_us
FROM (
    SELECT json_extract(value, '$.event.schedule_id') AS schedule_id, json_extract(value, '$.other_us') AS until_us
    FROM json_each(:rows) LIMIT -1
) AS c
WHERE s.schedule_id = c.schedule_id;

-- name: advance_schedule
-- Every fire up to an instant is decided.
UPDATE schedules SET decided_until_us = :until_us WHERE schedule_id = :schedule_id;

-- name: pass_over
-- Every fire up to an instant is decided, some of them as a whole.
UPDATE schedules
SET decided_until_us = :until_us, passed_until_us = max(passed_until_us, :until_us)
WHERE schedule_id = :schedule_id;

-- name: pause_pipeline
-- A pipeline was paused.
INSERT INTO pipeline_pauses (pipeline, paused_at_us, paused_by) VALUES (:pipeline, :at_us, :by)
ON CONFLICT (pipeline) DO NOTHING;

-- name: resume_pipeline
-- A pipeline goes on.
DELETE FROM pipeline_pauses WHERE pipeline = :pipeline;

-- name: pauses
-- The pipelines that are paused.
SELECT pipeline FROM pipeline_pauses ORDER BY pipeline;

-- name: schedules
-- Every schedule in force, and with a flag those that were removed too.
SELECT schedule_id, pipeline, key, document, origin, added_at_us, added_by, decided_until_us, passed_until_us,
    paused, removed_at_us, removed_by
FROM schedules WHERE :with_removed OR removed_at_us IS NULL ORDER BY pipeline, key;

-- name: fires_newest
-- Decided fires, newest decision first, from a place on.
SELECT pipeline, identity, schedule_id, session, event, idx, due_at_us, decided_at_us, outcome, reason, run_id
FROM fires WHERE decided_at_us <= :before_decided_us
    AND (decided_at_us, due_at_us, pipeline, identity)
        < (:before_decided_us, :before_due_us, :before_pipeline, :before_identity)
ORDER BY decided_at_us DESC, due_at_us DESC, pipeline DESC, identity DESC LIMIT :limit;

-- name: fires_of_pipeline
-- Decided fires of one pipeline, newest decision first, from a place on.
SELECT pipeline, identity, schedule_id, session, event, idx, due_at_us, decided_at_us, outcome, reason, run_id
FROM fires WHERE pipeline = :pipeline AND decided_at_us <= :before_decided_us
    AND (decided_at_us, due_at_us, pipeline, identity)
        < (:before_decided_us, :before_due_us, :before_pipeline, :before_identity)
ORDER BY decided_at_us DESC, due_at_us DESC, pipeline DESC, identity DESC LIMIT :limit;

-- name: last_fires
-- The newest decided fire of each schedule in force, by when it was due.
SELECT f.pipeline, f.identity, f.schedule_id, f.session, f.event, f.idx, f.due_at_us, f.decided_at_us, f.outcome,
    f.reason, f.run_id
FROM schedules AS s JOIN fires AS f ON f.pipeline = s.pipeline AND f.identity = (
    SELECT n.identity FROM fires AS n WHERE n.schedule_id = s.schedule_id ORDER BY n.due_at_us DESC LIMIT 1
)
WHERE s.removed_at_us IS NULL;

-- name: fires_ahead
-- Fires that were decided although others of their schedule before them, or the present, are not.
SELECT f.schedule_id, f.identity
FROM schedules AS s CROSS JOIN fires AS f
WHERE f.schedule_id = s.schedule_id AND s.removed_at_us IS NULL AND f.due_at_us > min(s.decided_until_us, :now_us);

-- name: take_back_fire
-- Forget what was decided about a fire whose run has not begun.
DELETE FROM fires
WHERE pipeline = :pipeline AND identity = :identity AND run_id = :run_id
    AND EXISTS (SELECT 1 FROM pipeline_runs AS r WHERE r.run_id = :run_id AND r.state = 'queued');

-- name: fires_within
-- Fires of one schedule that were decided, by when they were due.
SELECT identity FROM fires WHERE schedule_id = :schedule_id AND due_at_us > :after_us AND due_at_us <= :until_us;

-- name: old_fires
-- Some fires that were due before an instant, oldest first.
SELECT pipeline, identity, schedule_id, due_at_us FROM fires WHERE due_at_us < :before_us
ORDER BY due_at_us LIMIT :limit;

-- name: raise_floor
-- Nothing of a schedule that was due up to an instant fires any more.
UPDATE schedules SET floor_at_us = max(coalesce(floor_at_us, :due_at_us), :due_at_us)
WHERE schedule_id = :schedule_id;

-- name: delete_fire
-- Forget what became of a fire.
DELETE FROM fires WHERE pipeline = :pipeline AND identity = :identity;

-- name: open_runs
-- Some runs that have not ended, oldest first.
SELECT run_id, job_id, pipeline, workflow_version, mode, state, params, submitted_at_us, started_at_us,
    finished_at_us, reason, error, session, retry_of, origin, dry_run, cancel_requested, trace_id,
    calendar, fire, due_at_us, priority, parent_run_id, paused
FROM pipeline_runs WHERE state IN ('queued', 'running') AND run_id > :after ORDER BY run_id LIMIT :limit;

-- name: open_runs_of_pipeline
-- Some runs of one pipeline that have not ended, oldest first.
SELECT run_id, job_id, pipeline, workflow_version, mode, state, params, submitted_at_us, started_at_us,
    finished_at_us, reason, error, session, retry_of, origin, dry_run, cancel_requested, trace_id,
    calendar, fire, due_at_us, priority, parent_run_id, paused
FROM pipeline_runs INDEXED BY pipeline_runs_by_pipeline_and_state
WHERE pipeline = :pipeline AND state IN ('queued', 'running') AND run_id > :after ORDER BY run_id LIMIT :limit;

-- name: nodes_of_runs
-- The nodes of some runs, each run's in definition order.
SELECT n.run_id, n.node, n.op, n.state, n.attempts, n.started_at_us, n.finished_at_us, n.outcome, n.error, n.error_kind,
    n.retry_at_us, n.rows_in, n.rows_out, n.rows_written, n.rows_unchanged, n.rows_quarantined, n.size_bytes, n.verdict, n.output,
    n.reason
FROM json_each(:run_ids) AS r CROSS JOIN pipeline_nodes AS n
WHERE n.run_id = r.value ORDER BY r.key, n.position;

-- name: attempts_of_runs
-- The attempts at nodes of some runs, oldest first; not those at items.
SELECT a.attempt_id, a.run_id, a.node, a.number, a.state, a.started_at_us, a.finished_at_us, a.worker_pid, a.error_kind,
    a.error, a.traceback, a.cpu_s, a.peak_memory_bytes, a.io_read_bytes, a.io_written_bytes, a.item
FROM json_each(:run_ids) AS r CROSS JOIN job_executions AS a
WHERE a.run_id = r.value AND a.item = -1 ORDER BY a.rowid;

-- name: insert_letter
-- Keep work that failed for good.
INSERT INTO dead_letters (
    letter_id, run_id, pipeline, node, item, state, error_kind, error, traceback, attempts, params, input, created_at_us
)
VALUES (
    :letter_id, :run_id, :pipeline, :node, :item, 'waiting', :error_kind, :error, :traceback, :attempts, :params, :input,
    :at_us
);

-- name: settle_letter
-- A letter is replayed, or given up.
UPDATE dead_letters SET state = :state, replayed_by = :run_id, settled_at_us = :at_us, settled_by = :by
WHERE letter_id = :letter_id AND state = 'waiting';

-- name: letter
-- One dead letter.
SELECT letter_id, run_id, pipeline, node, item, state, error_kind, error, traceback, attempts, params, input, created_at_us,
    replayed_by, settled_at_us, settled_by
FROM dead_letters WHERE letter_id = :letter_id;

-- name: letters_newest
-- Dead letters, newest first.
SELECT letter_id, run_id, pipeline, node, item, state, error_kind, error, traceback, attempts, params, input, created_at_us,
    replayed_by, settled_at_us, settled_by
FROM dead_letters INDEXED BY dead_letters_newest
WHERE letter_id < :before AND (:kind IS NULL OR error_kind = :kind)
    AND (:since_us IS NULL OR created_at_us >= :since_us)
ORDER BY letter_id DESC LIMIT :limit;

-- name: letters_in_state
-- Dead letters that stand in one state, newest first.
SELECT letter_id, run_id, pipeline, node, item, state, error_kind, error, traceback, attempts, params, input, created_at_us,
    replayed_by, settled_at_us, settled_by
FROM dead_letters WHERE state = :state AND letter_id < :before AND (:kind IS NULL OR error_kind = :kind)
    AND (:since_us IS NULL OR created_at_us >= :since_us)
ORDER BY letter_id DESC LIMIT :limit;

-- name: letters_of_pipeline
-- Dead letters of one pipeline, newest first.
SELECT letter_id, run_id, pipeline, node, item, state, error_kind, error, traceback, attempts, params, input, created_at_us,
    replayed_by, settled_at_us, settled_by
FROM dead_letters WHERE pipeline = :pipeline AND letter_id < :before AND (:kind IS NULL OR error_kind = :kind)
    AND (:since_us IS NULL OR created_at_us >= :since_us)
ORDER BY letter_id DESC LIMIT :limit;

-- name: letters_of_pipeline_in_state
-- Dead letters of one pipeline that stand in one state, newest first.
SELECT letter_id, run_id, pipeline, node, item, state, error_kind, error, traceback, attempts, params, input, created_at_us,
    replayed_by, settled_at_us, settled_by
FROM dead_letters
WHERE pipeline = :pipeline AND state = :state AND letter_id < :before AND (:kind IS NULL OR error_kind = :kind)
    AND (:since_us IS NULL OR created_at_us >= :since_us)
ORDER BY letter_id DESC LIMIT :limit;

-- name: letters_of_run
-- Dead letters of one run, newest first.
SELECT letter_id, run_id, pipeline, node, item, state, error_kind, error, traceback, attempts, params, input, created_at_us,
    replayed_by, settled_at_us, settled_by
FROM dead_letters
WHERE run_id = :run_id AND letter_id < :before AND (:state IS NULL OR state = :state)
    AND (:pipeline IS NULL OR pipeline = :pipeline) AND (:kind IS NULL OR error_kind = :kind)
    AND (:since_us IS NULL OR created_at_us >= :since_us)
ORDER BY letter_id DESC LIMIT :limit;

-- name: settle_letters_of_run
-- All that waits of a run is done again by another one.
UPDATE dead_letters SET state = 'replayed', replayed_by = :run_id, settled_at_us = :at_us, settled_by = :by
WHERE run_id = :of_run AND state = 'waiting';

-- name: delete_settled_letters
-- Forget some letters that were replayed or purged long ago.
DELETE FROM dead_letters WHERE letter_id IN (
    SELECT letter_id FROM dead_letters WHERE settled_at_us < :before_us LIMIT :limit
);

-- name: insert_decision
-- Keep why something did not run, unless that was the last thing said about it.
INSERT INTO decisions (noted_at_us, pipeline, run_id, node, what, reason)
SELECT :at_us, :pipeline, :run_id, :node, :what, :reason
WHERE (:what, :reason) IS NOT (
    SELECT what, reason FROM decisions
    WHERE run_id = :run_id AND pipeline = :pipeline AND node = :node ORDER BY id DESC LIMIT 1
);

-- name: delete_decisions_beyond
-- Forget what is older than the newest decisions about one run, or about a pipeline outside its runs.
DELETE FROM decisions WHERE run_id = :run_id AND pipeline = :pipeline AND id <= (
    SELECT id FROM decisions WHERE run_id = :run_id AND pipeline = :pipeline ORDER BY id DESC LIMIT 1 OFFSET :kept
);

-- name: decisions_newest
-- Decisions, newest first.
SELECT id, noted_at_us, pipeline, run_id, node, what, reason FROM decisions WHERE id < :before ORDER BY id DESC LIMIT :limit;

-- name: decisions_of_run
-- Decisions about one run, newest first.
SELECT id, noted_at_us, pipeline, run_id, node, what, reason FROM decisions
WHERE run_id = :run_id AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: decisions_of_pipeline
-- Decisions about one pipeline and its runs, newest first.
SELECT id, noted_at_us, pipeline, run_id, node, what, reason FROM decisions
WHERE pipeline = :pipeline AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: delete_decisions_of_run
-- Forget the decisions about a run.
DELETE FROM decisions WHERE run_id = :run_id;

-- name: delete_old_decisions
-- Forget some old decisions about no run.
DELETE FROM decisions WHERE id IN (
    SELECT id FROM decisions INDEXED BY decisions_by_age WHERE run_id = '' AND noted_at_us < :before_us LIMIT :limit
);

-- name: hold_run
-- Say why a run stays in the queue.
UPDATE pipeline_runs SET reason = :reason WHERE run_id = :run_id AND state = 'queued';

-- name: ask_approval
-- Keep a question to a person; asked again it stays as it is.
INSERT INTO approvals (run_id, node, item, pipeline, question, labels, asked_at_us, deadline_at_us)
VALUES (:run_id, :node, :item, :pipeline, :question, :labels, :at_us, :deadline_at_us)
ON CONFLICT (run_id, node, item) DO NOTHING;

-- name: answer_approval
-- Keep the answer to a question that has none.
UPDATE approvals SET label = :label, answered_by = :by, answered_at_us = :at_us, comment = :comment
WHERE run_id = :run_id AND node = :node AND item = :item AND label IS NULL;

-- name: approvals_of_run
-- The questions of a run.
SELECT run_id, pipeline, node, item, question, labels, asked_at_us, deadline_at_us, label, answered_by,
    answered_at_us, comment
FROM approvals WHERE run_id = :run_id ORDER BY asked_at_us, node, item;

-- name: open_approvals
-- Questions that nobody answered in runs that are under way, oldest first.
SELECT a.run_id, a.pipeline, a.node, a.item, a.question, a.labels, a.asked_at_us, a.deadline_at_us, a.label,
    a.answered_by, a.answered_at_us, a.comment
FROM pipeline_runs AS r CROSS JOIN approvals AS a ON a.run_id = r.run_id
JOIN pipeline_nodes AS n ON n.run_id = a.run_id AND n.node = a.node
WHERE r.state IN ('queued', 'running') AND a.label IS NULL AND n.finished_at_us IS NULL
ORDER BY a.asked_at_us, a.run_id, a.node, a.item;

-- name: insert_item
-- Give a node one of its items.
INSERT INTO node_items (run_id, node, idx, item, state) VALUES (:run_id, :node, :number, :item, 'pending');

-- name: change_item
-- An instance of a node went to another state; one that ended stays as it ended.
UPDATE node_items
SET state = :state, attempts = max(attempts, :attempt), outcome = :outcome, error = :error,
    error_kind = :error_kind, retry_at_us = :retry_at_us, output = coalesce(:output, output),
    started_at_us = CASE WHEN :is_begun THEN coalesce(started_at_us, :at_us) ELSE started_at_us END,
    finished_at_us = CASE WHEN :is_final THEN :at_us END
WHERE run_id = :run_id AND node = :node AND idx = :number AND finished_at_us IS NULL;

-- name: items
-- Items of a node after one, in order.
SELECT run_id, node, idx, item, state, attempts, outcome, error, error_kind, retry_at_us, output,
    started_at_us, finished_at_us
FROM node_items
WHERE run_id = :run_id AND node = :node AND idx > :after AND (:only_open = 0 OR finished_at_us IS NULL)
    AND (:state IS NULL OR state = :state)
ORDER BY idx LIMIT :limit;

-- name: items_of_node
-- How many items of a node stand in each state.
SELECT node, state, count(*) FROM node_items WHERE run_id = :run_id AND node = :node GROUP BY state;

-- name: items_of_run
-- How many items of a run's nodes stand in each state.
SELECT node, state, count(*) FROM node_items WHERE run_id = :run_id GROUP BY node, state;

-- name: succeeded
-- Whether a pipeline has a successful run of a session.
SELECT 1 FROM pipeline_runs
WHERE pipeline = :pipeline AND session = :session AND state = 'success' AND dry_run = 0 LIMIT 1;

-- name: committed
-- Whether a span of a dataset is there: committed before its pipeline last succeeded, or live and passed.
SELECT 1
FROM data_lineage AS l JOIN pipeline_runs AS r ON r.run_id = l.run_id
WHERE l.dataset = :dataset AND l.end_at_us > :start_at_us AND l.start_at_us < :end_at_us
    AND CASE r.mode
        WHEN 'live' THEN EXISTS (
            SELECT 1 FROM data_lineage AS n JOIN pipeline_runs AS m ON m.run_id = n.run_id
            WHERE n.dataset = :dataset AND n.end_at_us >= :end_at_us AND m.mode = 'live'
        )
        ELSE l.committed_at_us <= (
            SELECT s.finished_at_us FROM pipeline_runs AS s
            WHERE s.pipeline = l.pipeline AND s.state = 'success' ORDER BY s.run_id DESC LIMIT 1
        )
    END
LIMIT 1;

-- name: pause_run
-- Somebody paused an open run, or let it go on.
UPDATE pipeline_runs SET paused = :paused WHERE run_id = :run_id;

-- name: prioritize_run
-- Somebody gave an open run another priority.
UPDATE pipeline_runs SET priority = :priority WHERE run_id = :run_id;

-- name: insert_node_request
-- Somebody asked for a node to end; asked alike again it stays as it is.
INSERT INTO node_requests (run_id, node, state, outcome, reason, asked_by, asked_at_us)
VALUES (:run_id, :node, :state, :outcome, :reason, :by, :at_us)
ON CONFLICT (run_id, node) DO UPDATE SET asked_by = node_requests.asked_by
WHERE node_requests.state = excluded.state AND node_requests.outcome = excluded.outcome;

-- name: node_requests
-- How people asked for nodes of a run to end, oldest first.
SELECT run_id, node, state, outcome, reason, asked_by, asked_at_us
FROM node_requests WHERE run_id = :run_id ORDER BY asked_at_us, node;

-- name: take_over_nodes
-- Nodes of a retry end as they did in the run before; their rows are counted there.
UPDATE pipeline_nodes AS n
SET state = o.state, outcome = o.outcome, error = o.error, error_kind = o.error_kind, output = o.output,
    finished_at_us = :at_us,
    reason = CASE WHEN o.reason LIKE 'taken over from run %' THEN o.reason ELSE 'taken over from run ' || o.run_id END
FROM pipeline_nodes AS o
WHERE n.run_id = :run_id AND n.state = 'pending' AND n.node IN (SELECT value FROM json_each(:nodes))
    AND o.run_id = :source_run_id AND o.node = n.node AND o.finished_at_us IS NOT NULL;

-- name: take_over_items
-- Items that succeeded in the run before stay so; the others are to be done again.
INSERT INTO node_items (
    run_id, node, idx, item, state, attempts, outcome, output, started_at_us, finished_at_us
)
SELECT :run_id, o.node, o.idx, o.item, iif(o.state = 'success', 'success', 'pending'),
    iif(o.state = 'success', o.attempts, 0), iif(o.state = 'success', o.outcome, NULL),
    iif(o.state = 'success', o.output, NULL), iif(o.state = 'success', o.started_at_us, NULL),
    iif(o.state = 'success', o.finished_at_us, NULL)
FROM node_items AS o
WHERE o.run_id = :source_run_id AND o.node IN (SELECT value FROM json_each(:nodes));
