-- Whether a pipeline has a run of a session is found without a look at all of its runs.

CREATE INDEX pipeline_runs_by_session ON pipeline_runs (pipeline, session, state) WHERE session IS NOT NULL;

-- Questions that wait are found through the runs that are open.
DROP INDEX approvals_open;
