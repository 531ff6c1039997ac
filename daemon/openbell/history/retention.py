"""Forgetting old runs, a few at a time, so that nobody waits long for the writer."""

from __future__ import annotations

from dataclasses import dataclass

from openbell.history.queries import Statements

RUNS_A_STEP = 10
EVENTS_A_STEP = 500


@dataclass(slots=True, kw_only=True)
class Pruning:
    """What is left to forget: finished runs that ended before an instant, or beyond the newest."""

    before_us: int
    keep_runs: int
    is_done: bool = False

    def step(self, db: Statements) -> int:
        """Forget some runs with all that depends on them, else some events of no run; return how many runs."""
        oldest_kept = db.first("oldest_kept_run", {"keep_runs": max(1, self.keep_runs)})
        limits = {
            "before_us": self.before_us,
            "oldest_kept": oldest_kept[0] if oldest_kept else "",
            "limit": RUNS_A_STEP,
        }
        run_ids = [run_id for (run_id,) in db.run("runs_to_prune", limits)]
        for run_id in run_ids:
            _forget(db, run_id)
        if not run_ids:
            old = {"before_us": self.before_us, "limit": EVENTS_A_STEP}
            self.is_done = db.run("delete_old_events", old).rowcount < EVENTS_A_STEP
        return len(run_ids)


def _forget(db: Statements, run_id: str) -> None:
    db.run("delete_events_of_run", {"run_id": run_id})
    deleted = db.run("delete_run", {"run_id": run_id}).fetchall()
    for (job_id,) in deleted:
        db.run("delete_job_without_runs", {"job_id": job_id})
