"""Dead letters when their work is done again, or given up."""

from __future__ import annotations

from typing import Protocol

from openbell.model.control import ConflictError
from openbell.model.events import LetterPurged, LetterReplayed, RunSubmitted
from openbell.model.history import RecordRefusedError
from openbell.model.letters import DeadLetter, LetterFilter, LetterState, UnknownLetterError
from openbell.model.retries import Retry
from openbell.model.runs import RunRecord
from openbell.supervisor.services import Services


class Retries(Protocol):
    """Does an ended run again."""

    async def retry(
        self, run_or_job_id: str, *, by: str, how: Retry | None = None, letter_id: str = ""
    ) -> RunRecord:
        """Submit an ended run again; it replays the letter."""
        ...


class LetterDesk:
    """Replays dead letters and gives them up."""

    def __init__(self, services: Services, retries: Retries) -> None:
        self._services = services
        self._retries = retries

    async def replay(self, letter_id: str, *, by: str) -> RunRecord:
        """Submit a run that goes on from what failed; see `Engine.replay`."""
        letter = await self._waiting(letter_id)
        run = await self._services.history.run(letter.run_id)
        if run is None:
            raise ConflictError(
                f"run {letter.run_id} of dead letter {letter_id} was forgotten; "
                f"submit {letter.pipeline!r} anew with its parameters, then purge the letter"
            )
        if not run.state.is_final:
            raise ConflictError(
                f"run {run.run_id} of dead letter {letter_id} is {run.state}; "
                "it is replayed once that has ended"
            )
        how = Retry(is_replay=True)
        return await self._retries.retry(run.run_id, by=by, how=how, letter_id=letter_id)

    async def purge(self, letter_id: str, *, by: str) -> DeadLetter:
        """Give a letter up; see `Engine.purge`."""
        letter = await self._waiting(letter_id)
        purged = LetterPurged(
            at=self._services.clock.now(), letter_id=letter_id, pipeline=letter.pipeline, by=by
        )
        try:
            await self._services.journal.record(purged)
        except RecordRefusedError as error:
            raise ConflictError(error.reason) from None
        return await self._find(letter_id)

    async def _waiting(self, letter_id: str) -> DeadLetter:
        letter = await self._find(letter_id)
        if letter.state is not LetterState.WAITING:
            told = f" by run {letter.replayed_by}" if letter.replayed_by else ""
            raise ConflictError(f"dead letter {letter_id} is {letter.state} already{told}")
        return letter

    async def _find(self, letter_id: str) -> DeadLetter:
        letter = await self._services.history.dead_letter(letter_id)
        if letter is None:
            raise UnknownLetterError(letter_id)
        return letter


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
