"""Dead letters when their work is done again, or given up."""

from __future__ import annotations

from openbell.model.events import LetterReplayed, RunSubmitted
from openbell.model.letters import LetterFilter, LetterState
from openbell.model.runs import RunRecord
from openbell.supervisor.services import Services


async def replayed(
    services: Services, submitted: RunSubmitted, source: RunRecord, *, by: str, letter_id: str = ""
) -> list[LetterReplayed]:
    """Return what is recorded with a run that does `source` again: its letters wait no more.

    `letter_id` is the letter that somebody replays; history refuses the whole if that waits no more.
    """
    wanted = LetterFilter(run_id=source.run_id, state=LetterState.WAITING, limit=1)
    if not letter_id and not await services.history.dead_letters(wanted):
        return []
    settled = LetterReplayed(
        at=submitted.at,
        letter_id=letter_id,
        run_id=submitted.run_id,
        pipeline=source.pipeline,
        by=by,
        of_run=source.run_id,
    )
    return [settled]
