-- Everything that the events of issues B and C need.

ALTER TABLE pipeline_nodes ADD COLUMN output TEXT CHECK (output IS NULL OR json_valid(output));
ALTER TABLE pipeline_nodes ADD COLUMN reason TEXT NOT NULL DEFAULT '';

ALTER TABLE pipeline_runs ADD COLUMN calendar TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_runs ADD COLUMN fire TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_runs ADD COLUMN due_at_us INTEGER;
ALTER TABLE pipeline_runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 5;
ALTER TABLE pipeline_runs ADD COLUMN parent_run_id TEXT;
ALTER TABLE pipeline_runs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1));

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
CREATE INDEX fires_by_schedule ON fires (schedule_id, due_at_us);
CREATE INDEX fires_by_due ON fires (due_at_us);
CREATE INDEX fires_by_decision ON fires (decided_at_us);

CREATE TABLE pipeline_pauses (
    pipeline TEXT NOT NULL PRIMARY KEY,
    paused_at_us INTEGER NOT NULL,
    paused_by TEXT NOT NULL
) STRICT;

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
CREATE INDEX dead_letters_by_state ON dead_letters (state, letter_id);
CREATE INDEX dead_letters_by_pipeline ON dead_letters (pipeline, letter_id);
CREATE INDEX dead_letters_by_pipeline_and_state ON dead_letters (pipeline, state, letter_id);
CREATE INDEX dead_letters_by_run ON dead_letters (run_id, letter_id);
CREATE INDEX dead_letters_by_end ON dead_letters (settled_at_us) WHERE settled_at_us IS NOT NULL;

CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    noted_at_us INTEGER NOT NULL,
    pipeline TEXT NOT NULL,
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_by_run ON decisions (run_id, id);
CREATE INDEX decisions_by_pipeline ON decisions (pipeline, id);
CREATE INDEX decisions_by_age ON decisions (noted_at_us) WHERE run_id = '';

CREATE INDEX events_by_age ON events (at_us) WHERE run_id IS NULL;
CREATE INDEX fires_by_pipeline ON fires (pipeline, decided_at_us, due_at_us);

-- Pages of 900,000 runs and more.
CREATE INDEX pipeline_runs_by_pipeline_and_state ON pipeline_runs (pipeline, state, run_id);

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

CREATE INDEX approvals_open ON approvals (asked_at_us) WHERE label IS NULL;
CREATE INDEX data_lineage_by_time ON data_lineage (dataset, end_at_us, start_at_us);

-- Totals over the whole history, so that nobody adds up millions of rows.
CREATE TABLE history_counts (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO history_counts (name, value)
SELECT s.value, (SELECT count(*) FROM pipeline_runs AS r WHERE r.state = s.value)
FROM json_each('["queued", "running", "success", "failed", "cancelled"]') AS s
UNION ALL SELECT 'rows_written', (SELECT coalesce(sum(rows_written), 0) FROM pipeline_nodes)
UNION ALL SELECT 'batches', (SELECT coalesce(sum(batch_count), 0) FROM checkpoints)
UNION ALL SELECT 'log_lines_dropped', (SELECT coalesce(sum(dropped_count), 0) FROM node_log_sizes);

CREATE TRIGGER pipeline_runs_counted AFTER INSERT ON pipeline_runs
BEGIN
    UPDATE history_counts SET value = value + 1 WHERE name = new.state;
END;
CREATE TRIGGER pipeline_runs_moved AFTER UPDATE OF state ON pipeline_runs
BEGIN
    UPDATE history_counts SET value = value - 1 WHERE name = old.state;
    UPDATE history_counts SET value = value + 1 WHERE name = new.state;
END;
CREATE TRIGGER pipeline_runs_forgotten AFTER DELETE ON pipeline_runs
BEGIN
    UPDATE history_counts SET value = value - 1 WHERE name = old.state;
END;
CREATE TRIGGER pipeline_nodes_written AFTER UPDATE OF rows_written ON pipeline_nodes
WHEN new.rows_written <> old.rows_written
BEGIN
    UPDATE history_counts SET value = value + new.rows_written - old.rows_written WHERE name = 'rows_written';
END;
CREATE TRIGGER pipeline_nodes_forgotten AFTER DELETE ON pipeline_nodes WHEN old.rows_written <> 0
BEGIN
    UPDATE history_counts SET value = value - old.rows_written WHERE name = 'rows_written';
END;
CREATE TRIGGER checkpoints_begun AFTER INSERT ON checkpoints
BEGIN
    UPDATE history_counts SET value = value + new.batch_count WHERE name = 'batches';
END;
CREATE TRIGGER checkpoints_advanced AFTER UPDATE OF batch_count ON checkpoints
BEGIN
    UPDATE history_counts SET value = value + new.batch_count - old.batch_count WHERE name = 'batches';
END;
CREATE TRIGGER checkpoints_forgotten AFTER DELETE ON checkpoints
BEGIN
    UPDATE history_counts SET value = value - old.batch_count WHERE name = 'batches';
END;
CREATE TRIGGER node_log_sizes_begun AFTER INSERT ON node_log_sizes WHEN new.dropped_count <> 0
BEGIN
    UPDATE history_counts SET value = value + new.dropped_count WHERE name = 'log_lines_dropped';
END;
CREATE TRIGGER node_log_sizes_grown AFTER UPDATE OF dropped_count ON node_log_sizes
WHEN new.dropped_count <> old.dropped_count
BEGIN
    UPDATE history_counts SET value = value + new.dropped_count - old.dropped_count
    WHERE name = 'log_lines_dropped';
END;
CREATE TRIGGER node_log_sizes_forgotten AFTER DELETE ON node_log_sizes WHEN old.dropped_count <> 0
BEGIN
    UPDATE history_counts SET value = value - old.dropped_count WHERE name = 'log_lines_dropped';
END;

ALTER TABLE job_executions ADD COLUMN io_read_bytes INTEGER;
ALTER TABLE job_executions ADD COLUMN io_written_bytes INTEGER;
