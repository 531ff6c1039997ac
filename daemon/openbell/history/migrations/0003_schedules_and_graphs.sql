-- Everything that the events of issues B and C need.

ALTER TABLE pipeline_nodes ADD COLUMN output TEXT CHECK (output IS NULL OR json_valid(output));
ALTER TABLE pipeline_nodes ADD COLUMN reason TEXT NOT NULL DEFAULT '';

ALTER TABLE pipeline_runs ADD COLUMN calendar TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_runs ADD COLUMN fire TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_runs ADD COLUMN due_at_us INTEGER;
ALTER TABLE pipeline_runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 5;
ALTER TABLE pipeline_runs ADD COLUMN parent_run_id TEXT;

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
