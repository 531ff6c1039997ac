-- The sum of all migrations, written by a test's rule: one statement a block, by name. Read it; never edit it.

CREATE TABLE approvals (
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    item INTEGER NOT NULL,
    pipeline TEXT NOT NULL,
    question TEXT NOT NULL,
    labels TEXT NOT NULL CHECK (json_valid(labels)),
    asked_at_us INTEGER NOT NULL,
    deadline_at_us INTEGER,
    label TEXT,
    answered_by TEXT NOT NULL DEFAULT '',
    answered_at_us INTEGER,
    comment TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, node, item),
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE calendar_overlays (
    overlay_id TEXT NOT NULL PRIMARY KEY,
    calendar TEXT NOT NULL,
    session TEXT NOT NULL,
    closed INTEGER NOT NULL CHECK (closed IN (0, 1)),
    open_time TEXT,
    close_time TEXT,
    reason TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added_at_us INTEGER NOT NULL,
    removed_by TEXT NOT NULL DEFAULT '',
    removed_at_us INTEGER
) STRICT;

CREATE TABLE checkpoints (
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    next_chunk INTEGER NOT NULL,
    batch_count INTEGER NOT NULL,
    cursor TEXT,
    totals TEXT NOT NULL,
    committed_at_us INTEGER NOT NULL,
    PRIMARY KEY (run_id, node),
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TRIGGER checkpoints_advanced AFTER UPDATE OF batch_count ON checkpoints
BEGIN
    UPDATE history_counts SET value = value + new.batch_count - old.batch_count WHERE name = 'batches';
END;

CREATE TRIGGER checkpoints_begun AFTER INSERT ON checkpoints
BEGIN
    UPDATE history_counts SET value = value + new.batch_count WHERE name = 'batches';
END;

CREATE TRIGGER checkpoints_forgotten AFTER DELETE ON checkpoints
BEGIN
    UPDATE history_counts SET value = value - old.batch_count WHERE name = 'batches';
END;

CREATE TABLE data_lineage (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    dataset TEXT NOT NULL,
    provider TEXT NOT NULL,
    start_at_us INTEGER NOT NULL,
    end_at_us INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    written_count INTEGER NOT NULL,
    unchanged_count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    digest TEXT NOT NULL,
    version INTEGER NOT NULL,
    committed_at_us INTEGER NOT NULL,
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT;

CREATE INDEX data_lineage_by_dataset ON data_lineage (dataset, id);

CREATE INDEX data_lineage_by_run ON data_lineage (run_id, node);

CREATE INDEX data_lineage_by_time ON data_lineage (dataset, end_at_us, start_at_us);

CREATE TABLE dead_letters (
    letter_id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    node TEXT NOT NULL,
    item INTEGER,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'replayed', 'purged')),
    error_kind TEXT NOT NULL,
    error TEXT NOT NULL,
    traceback TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    params TEXT NOT NULL CHECK (json_valid(params)),
    input TEXT CHECK (input IS NULL OR json_valid(input)),
    created_at_us INTEGER NOT NULL,
    replayed_by TEXT,
    settled_at_us INTEGER,
    settled_by TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX dead_letters_by_end ON dead_letters (settled_at_us) WHERE settled_at_us IS NOT NULL;

CREATE INDEX dead_letters_by_pipeline ON dead_letters (pipeline, letter_id, error_kind, created_at_us);

CREATE INDEX dead_letters_by_pipeline_and_state
ON dead_letters (pipeline, state, letter_id, error_kind, created_at_us);

CREATE INDEX dead_letters_by_run ON dead_letters (run_id, letter_id);

CREATE INDEX dead_letters_by_state ON dead_letters (state, letter_id, error_kind, created_at_us);

CREATE INDEX dead_letters_newest ON dead_letters (letter_id, error_kind, created_at_us);

CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    noted_at_us INTEGER NOT NULL,
    pipeline TEXT NOT NULL,
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;

CREATE INDEX decisions_by_age ON decisions (noted_at_us) WHERE run_id = '';

CREATE INDEX decisions_by_pipeline ON decisions (pipeline, id);

CREATE INDEX decisions_by_run ON decisions (run_id, id);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us INTEGER NOT NULL,
    name TEXT NOT NULL,
    run_id TEXT,
    pipeline TEXT,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_age ON events (at_us) WHERE run_id IS NULL;

CREATE INDEX events_by_run ON events (run_id, id) WHERE run_id IS NOT NULL;

CREATE TABLE fires (
    pipeline TEXT NOT NULL,
    identity TEXT NOT NULL,
    schedule_id TEXT NOT NULL,
    session TEXT,
    event TEXT NOT NULL,
    idx INTEGER NOT NULL,
    due_at_us INTEGER NOT NULL,
    decided_at_us INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('run', 'skipped')),
    reason TEXT NOT NULL,
    run_id TEXT,
    PRIMARY KEY (pipeline, identity)
) STRICT, WITHOUT ROWID;

CREATE INDEX fires_by_decision ON fires (decided_at_us);

CREATE INDEX fires_by_due ON fires (due_at_us);

CREATE INDEX fires_by_pipeline ON fires (pipeline, decided_at_us, due_at_us);

CREATE INDEX fires_by_schedule ON fires (schedule_id, due_at_us);

CREATE TABLE history_counts (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job_dependencies (
    pipeline TEXT NOT NULL,
    version INTEGER NOT NULL,
    node TEXT NOT NULL,
    needs_node TEXT NOT NULL,
    outcomes TEXT NOT NULL CHECK (json_valid(outcomes)),
    PRIMARY KEY (pipeline, version, node, needs_node),
    FOREIGN KEY (pipeline, version) REFERENCES pipeline_workflows (pipeline, version) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE job_executions (
    attempt_id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'success', 'failed', 'interrupted')),
    worker_pid INTEGER,
    error_kind TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    traceback TEXT NOT NULL DEFAULT '',
    cpu_s REAL,
    peak_memory_bytes INTEGER,
    duration_s REAL,
    started_at_us INTEGER NOT NULL,
    finished_at_us INTEGER, io_read_bytes INTEGER, io_written_bytes INTEGER, item INTEGER NOT NULL DEFAULT -1,
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT;

CREATE INDEX job_executions_by_item ON job_executions (run_id, item, node);

CREATE INDEX job_executions_running ON job_executions (run_id) WHERE state = 'running';

CREATE VIEW job_runs AS
SELECT
    w.job,
    r.run_id,
    r.job_id,
    r.pipeline,
    r.mode,
    r.state,
    r.provider,
    r.session,
    r.dry_run,
    r.retry_of,
    r.reason,
    r.error,
    t.rows_in,
    t.rows_written,
    t.rows_unchanged,
    t.rows_quarantined,
    t.size_bytes,
    t.batches,
    r.submitted_at_us,
    r.started_at_us,
    r.finished_at_us,
    r.duration_s
FROM pipeline_runs AS r
JOIN pipeline_workflows AS w ON w.pipeline = r.pipeline AND w.version = r.workflow_version
JOIN run_totals AS t ON t.run_id = r.run_id
WHERE w.job IS NOT NULL;

CREATE TABLE node_items (
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    idx INTEGER NOT NULL,
    item TEXT NOT NULL CHECK (json_valid(item)),
    state TEXT NOT NULL CHECK (
        state IN (
            'pending', 'queued', 'running', 'retrying',
            'success', 'failed', 'skipped', 'upstream_failed', 'cancelled'
        )
    ),
    attempts INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    error TEXT NOT NULL DEFAULT '',
    error_kind TEXT NOT NULL DEFAULT '',
    retry_at_us INTEGER,
    output TEXT CHECK (output IS NULL OR json_valid(output)),
    started_at_us INTEGER,
    finished_at_us INTEGER,
    PRIMARY KEY (run_id, node, idx),
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE "node_log_sizes" (
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    item INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    dropped_count INTEGER NOT NULL,
    PRIMARY KEY (run_id, node, item, attempt),
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TRIGGER node_log_sizes_begun AFTER INSERT ON node_log_sizes WHEN new.dropped_count <> 0
BEGIN
    UPDATE history_counts SET value = value + new.dropped_count WHERE name = 'log_lines_dropped';
END;

CREATE TRIGGER node_log_sizes_forgotten AFTER DELETE ON node_log_sizes WHEN old.dropped_count <> 0
BEGIN
    UPDATE history_counts SET value = value - old.dropped_count WHERE name = 'log_lines_dropped';
END;

CREATE TRIGGER node_log_sizes_grown AFTER UPDATE OF dropped_count ON node_log_sizes
WHEN new.dropped_count <> old.dropped_count
BEGIN
    UPDATE history_counts SET value = value + new.dropped_count - old.dropped_count
    WHERE name = 'log_lines_dropped';
END;

CREATE TABLE node_logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stream TEXT NOT NULL,
    level TEXT NOT NULL,
    text TEXT NOT NULL,
    written_at_us INTEGER NOT NULL, item INTEGER NOT NULL DEFAULT -1,
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT;

CREATE INDEX node_logs_by_node ON node_logs (run_id, node, id);

CREATE INDEX node_logs_by_run ON node_logs (run_id, id);

CREATE TABLE node_requests (
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('success', 'failed', 'cancelled')),
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at_us INTEGER NOT NULL,
    PRIMARY KEY (run_id, node),
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE pipeline_jobs (
    job_id TEXT NOT NULL PRIMARY KEY,
    pipeline TEXT NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'success', 'failed', 'cancelled')),
    params TEXT NOT NULL CHECK (json_valid(params)),
    origin TEXT NOT NULL,
    run_count INTEGER NOT NULL,
    last_run_id TEXT NOT NULL,
    submitted_at_us INTEGER NOT NULL,
    finished_at_us INTEGER
) STRICT;

CREATE TABLE pipeline_metrics (
    run_id TEXT NOT NULL REFERENCES pipeline_runs (run_id) ON DELETE CASCADE,
    metric TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    value REAL NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    PRIMARY KEY (run_id, metric)
) STRICT, WITHOUT ROWID;

CREATE INDEX pipeline_metrics_by_metric ON pipeline_metrics (metric, recorded_at_us);

CREATE TABLE pipeline_nodes (
    run_id TEXT NOT NULL REFERENCES pipeline_runs (run_id) ON DELETE CASCADE,
    node TEXT NOT NULL,
    position INTEGER NOT NULL,
    op TEXT NOT NULL,
    state TEXT NOT NULL CHECK (
        state IN (
            'pending', 'queued', 'running', 'retrying',
            'success', 'failed', 'skipped', 'upstream_failed', 'cancelled'
        )
    ),
    attempts INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    verdict TEXT,
    error TEXT NOT NULL DEFAULT '',
    error_kind TEXT NOT NULL DEFAULT '',
    rows_in INTEGER NOT NULL DEFAULT 0,
    rows_out INTEGER NOT NULL DEFAULT 0,
    rows_written INTEGER NOT NULL DEFAULT 0,
    rows_unchanged INTEGER NOT NULL DEFAULT 0,
    rows_quarantined INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    started_at_us INTEGER,
    finished_at_us INTEGER,
    retry_at_us INTEGER, output TEXT CHECK (output IS NULL OR json_valid(output)), reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, node)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER pipeline_nodes_forgotten AFTER DELETE ON pipeline_nodes WHEN old.rows_written <> 0
BEGIN
    UPDATE history_counts SET value = value - old.rows_written WHERE name = 'rows_written';
END;

CREATE TRIGGER pipeline_nodes_written AFTER UPDATE OF rows_written ON pipeline_nodes
WHEN new.rows_written <> old.rows_written
BEGIN
    UPDATE history_counts SET value = value + new.rows_written - old.rows_written WHERE name = 'rows_written';
END;

CREATE TABLE pipeline_pauses (
    pipeline TEXT NOT NULL PRIMARY KEY,
    paused_at_us INTEGER NOT NULL,
    paused_by TEXT NOT NULL
) STRICT;

CREATE TABLE pipeline_runs (
    run_id TEXT NOT NULL PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES pipeline_jobs (job_id),
    pipeline TEXT NOT NULL,
    workflow_version INTEGER NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'success', 'failed', 'cancelled')),
    params TEXT NOT NULL CHECK (json_valid(params)),
    origin TEXT NOT NULL,
    session TEXT,
    retry_of TEXT,
    idempotency_key TEXT UNIQUE,
    dry_run INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    trace_id TEXT NOT NULL,
    provider TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    submitted_at_us INTEGER NOT NULL,
    started_at_us INTEGER,
    finished_at_us INTEGER,
    duration_s REAL, calendar TEXT NOT NULL DEFAULT '', fire TEXT NOT NULL DEFAULT '', due_at_us INTEGER, priority INTEGER NOT NULL DEFAULT 5, parent_run_id TEXT, paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    FOREIGN KEY (pipeline, workflow_version) REFERENCES pipeline_workflows (pipeline, version)
) STRICT;

CREATE INDEX pipeline_runs_by_finish ON pipeline_runs (finished_at_us) WHERE finished_at_us IS NOT NULL;

CREATE INDEX pipeline_runs_by_job ON pipeline_runs (job_id, run_id);

CREATE INDEX pipeline_runs_by_pipeline ON pipeline_runs (pipeline, run_id);

CREATE INDEX pipeline_runs_by_pipeline_and_state ON pipeline_runs (pipeline, state, run_id);

CREATE INDEX pipeline_runs_by_session ON pipeline_runs (pipeline, session, state) WHERE session IS NOT NULL;

CREATE INDEX pipeline_runs_by_state ON pipeline_runs (state, run_id);

CREATE TRIGGER pipeline_runs_counted AFTER INSERT ON pipeline_runs
BEGIN
    UPDATE history_counts SET value = value + 1 WHERE name = new.state;
END;

CREATE TRIGGER pipeline_runs_forgotten AFTER DELETE ON pipeline_runs
BEGIN
    UPDATE history_counts SET value = value - 1 WHERE name = old.state;
END;

CREATE TRIGGER pipeline_runs_moved AFTER UPDATE OF state ON pipeline_runs
BEGIN
    UPDATE history_counts SET value = value - 1 WHERE name = old.state;
    UPDATE history_counts SET value = value + 1 WHERE name = new.state;
END;

CREATE TABLE pipeline_workflows (
    pipeline TEXT NOT NULL,
    version INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    job TEXT,
    mode TEXT NOT NULL DEFAULT '',
    definition TEXT NOT NULL CHECK (json_valid(definition)),
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at_us INTEGER NOT NULL,
    retired_at_us INTEGER,
    PRIMARY KEY (pipeline, version)
) STRICT;

CREATE TABLE quality_results (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    chunk INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    message TEXT NOT NULL,
    column_name TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    metric REAL,
    threshold REAL,
    examples TEXT NOT NULL CHECK (json_valid(examples)),
    checked_at_us INTEGER NOT NULL,
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT;

CREATE INDEX quality_results_by_run ON quality_results (run_id, node);

CREATE VIEW run_totals AS
SELECT
    r.run_id,
    r.pipeline,
    (
        SELECT coalesce(sum(n.rows_in), 0) FROM pipeline_nodes AS n
        WHERE n.run_id = r.run_id AND NOT EXISTS (
            SELECT 1 FROM job_dependencies AS d
            WHERE d.pipeline = r.pipeline AND d.version = r.workflow_version AND d.node = n.node
        )
    ) AS rows_in,
    (SELECT coalesce(sum(n.rows_written), 0) FROM pipeline_nodes AS n WHERE n.run_id = r.run_id) AS rows_written,
    (SELECT coalesce(sum(n.rows_unchanged), 0) FROM pipeline_nodes AS n WHERE n.run_id = r.run_id) AS rows_unchanged,
    (SELECT coalesce(sum(n.rows_quarantined), 0) FROM pipeline_nodes AS n WHERE n.run_id = r.run_id) AS rows_quarantined,
    (SELECT coalesce(sum(n.size_bytes), 0) FROM pipeline_nodes AS n WHERE n.run_id = r.run_id) AS size_bytes,
    (SELECT coalesce(sum(n.attempts), 0) FROM pipeline_nodes AS n WHERE n.run_id = r.run_id) AS attempts,
    (SELECT coalesce(sum(c.batch_count), 0) FROM checkpoints AS c WHERE c.run_id = r.run_id) AS batches
FROM pipeline_runs AS r;

CREATE TABLE schedules (
    schedule_id TEXT NOT NULL PRIMARY KEY,
    pipeline TEXT NOT NULL,
    key TEXT NOT NULL,
    document TEXT NOT NULL CHECK (json_valid(document)),
    origin TEXT NOT NULL,
    added_at_us INTEGER NOT NULL,
    added_by TEXT NOT NULL,
    removed_at_us INTEGER,
    removed_by TEXT NOT NULL DEFAULT '',
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    decided_until_us INTEGER NOT NULL,
    passed_until_us INTEGER NOT NULL,
    floor_at_us INTEGER,
    UNIQUE (pipeline, key)
) STRICT;

CREATE TABLE schema_migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL
) STRICT;

