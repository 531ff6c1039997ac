-- What many runs leave behind is found without a look at all of it.

CREATE INDEX pipeline_runs_by_session ON pipeline_runs (pipeline, session, state) WHERE session IS NOT NULL;

-- Questions that wait are found through the runs that are open.
DROP INDEX approvals_open;

-- Letters are chosen by what the index holds: their rows, with tracebacks, are read for those that are shown.
DROP INDEX dead_letters_by_pipeline;
DROP INDEX dead_letters_by_pipeline_and_state;
DROP INDEX dead_letters_by_state;
CREATE INDEX dead_letters_by_pipeline ON dead_letters (pipeline, letter_id, error_kind, created_at_us);
CREATE INDEX dead_letters_by_pipeline_and_state
ON dead_letters (pipeline, state, letter_id, error_kind, created_at_us);
CREATE INDEX dead_letters_by_state ON dead_letters (state, letter_id, error_kind, created_at_us);
CREATE INDEX dead_letters_newest ON dead_letters (letter_id, error_kind, created_at_us);
