"""Forgetting old runs, a few at a time, so that nobody waits long for the writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

from openbell.history.queries import Statements

RUNS_A_STEP = 10
ROWS_A_STEP = 500
PAGES_A_STEP = 250

_OLD_ROWS = ("delete_old_events", "delete_settled_letters", "delete_old_decisions")
_ROWS_OF_RUN = (
    "delete_events_of_run",
    "delete_logs_of_run",
    "delete_log_sizes_of_run",
    "delete_items_of_run",
    "delete_attempts_of_run",
    "delete_nodes_of_run",
)


@dataclass(slots=True, kw_only=True)
class Pruning:
    """What is left to forget: finished runs that ended before an instant, or before a run."""

    before_us: int
    oldest_kept: str
    is_done: bool = False

    def step(self, db: Statements) -> int:
        """Do a small part and return how many runs it forgot; sets `is_done` when all is done.

        First runs with all that depends on them go, then old fires and events of no run, then the file shrinks.
        """
        run_ids = self._some_runs(db)
        if run_ids:
            return sum(1 for _ in takewhile(partial(_forget, db), run_ids))
        old = {"before_us": self.before_us, "limit": ROWS_A_STEP}
        if _forget_fires(db, old):
            return 0
        forgotten = [db.run(query, old).rowcount for query in _OLD_ROWS]
        if max(forgotten) < ROWS_A_STEP:
            (free_count,) = db.first("free_pages", {})
            for _ in range(min(free_count, PAGES_A_STEP)):
                db.run("give_back_page", {})
            self.is_done = free_count <= PAGES_A_STEP
        return 0

    def _some_runs(self, db: Statements) -> Sequence[str]:
        row = {"before_us": self.before_us, "limit": RUNS_A_STEP}
        ended = db.run("runs_ended_before", row).fetchall()
        if not ended:
            beyond = {"oldest_kept": self.oldest_kept, "limit": RUNS_A_STEP}
            ended = db.run("runs_older_than", beyond).fetchall()
        return [run_id for (run_id,) in ended]


def _forget(db: Statements, run_id: str) -> bool:
    """Forget a run, or a part of one with many rows; return whether it is gone."""
    for query in _ROWS_OF_RUN:
        if db.run(query, {"run_id": run_id, "limit": ROWS_A_STEP}).rowcount == ROWS_A_STEP:
            return False
    db.run("delete_decisions_of_run", {"run_id": run_id})
    for (job_id,) in db.run("delete_run", {"run_id": run_id}).fetchall():
        db.run("delete_job_without_runs", {"job_id": job_id})
    return True


def _forget_fires(db: Statements, old: Mapping[str, int]) -> bool:
    """Forget some old fires; return whether there were any. None so old fires ever again."""
    found = db.run("old_fires", old).fetchall()
    floors: dict[str, int] = {}
    for pipeline, identity, schedule_id, due_at_us in found:
        db.run("delete_fire", {"pipeline": pipeline, "identity": identity})
        floors[schedule_id] = due_at_us
    for schedule_id, due_at_us in floors.items():
        db.run("raise_floor", {"schedule_id": schedule_id, "due_at_us": due_at_us})
    return bool(found)
