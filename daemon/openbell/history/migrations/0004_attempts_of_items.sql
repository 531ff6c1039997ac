-- Attempts and logs of the items of a node with `for_each`; an item of -1 is the node as a whole.

ALTER TABLE job_executions ADD COLUMN item INTEGER NOT NULL DEFAULT -1;
DROP INDEX job_executions_by_node;
CREATE INDEX job_executions_by_item ON job_executions (run_id, item, node);
CREATE INDEX job_executions_running ON job_executions (run_id) WHERE state = 'running';

ALTER TABLE node_logs ADD COLUMN item INTEGER NOT NULL DEFAULT -1;

CREATE TABLE node_log_sizes_of_items (
    run_id TEXT NOT NULL,
    node TEXT NOT NULL,
    item INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    dropped_count INTEGER NOT NULL,
    PRIMARY KEY (run_id, node, item, attempt),
    FOREIGN KEY (run_id, node) REFERENCES pipeline_nodes (run_id, node) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO node_log_sizes_of_items (run_id, node, item, attempt, size_bytes, dropped_count)
SELECT run_id, node, -1, attempt, size_bytes, dropped_count FROM node_log_sizes;
DROP TABLE node_log_sizes;
ALTER TABLE node_log_sizes_of_items RENAME TO node_log_sizes;

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
