"""Answers about what is open, dead letters and decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from openbell.history import letter_records, records
from openbell.history.connections import ABOVE_EVERY_ID, Readers
from openbell.model.bodies import encode_plain
from openbell.model.letters import DeadLetter, Decision, LetterFilter
from openbell.model.runs import AttemptRecord, NodeRecord, OpenRun
from openbell.sdk.values import to_us

_ABOVE_EVERY_NUMBER = (1 << 63) - 1


class LetterAnswers:
    """A part of the reading half of `History`."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def open_runs(
        self, *, pipeline: str | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[OpenRun]:
        """See `History`."""
        query = "open_runs" if pipeline is None else "open_runs_of_pipeline"
        row = {"pipeline": pipeline, "after": after, "limit": limit}
        runs = await self._readers.rows(query, row, records.run_record)
        ids = {"run_ids": encode_plain([run.run_id for run in runs])}
        nodes: dict[str, list[NodeRecord]] = defaultdict(list)
        for node in await self._readers.rows("nodes_of_runs", ids, records.node_record):
            nodes[node.run_id].append(node)
        attempts: dict[str, list[AttemptRecord]] = defaultdict(list)
        for attempt in await self._readers.rows("attempts_of_runs", ids, records.attempt_record):
            attempts[attempt.run_id].append(attempt)
        return [
            OpenRun(run=run, nodes=tuple(nodes[run.run_id]), attempts=tuple(attempts[run.run_id]))
            for run in runs
        ]

    async def dead_letter(self, letter_id: str) -> DeadLetter | None:
        """See `History`."""
        row = {"letter_id": letter_id}
        return await self._readers.first("letter", row, letter_records.dead_letter)

    async def dead_letters(self, wanted: LetterFilter) -> Sequence[DeadLetter]:
        """See `History`."""
        row = {
            "pipeline": wanted.pipeline,
            "state": wanted.state,
            "before": wanted.before or ABOVE_EVERY_ID,
            "limit": wanted.limit,
            "run_id": wanted.run_id,
            "kind": wanted.kind,
            "since_us": None if wanted.since is None else to_us(wanted.since),
        }
        match wanted.pipeline, wanted.state:
            case _ if wanted.run_id is not None:
                query = "letters_of_run"
            case None, None:
                query = "letters_newest"
            case None, _:
                query = "letters_in_state"
            case _, None:
                query = "letters_of_pipeline"
            case _:
                query = "letters_of_pipeline_in_state"
        return await self._readers.rows_within(query, row, letter_records.dead_letter, column=8)

    async def decisions(
        self,
        *,
        run_id: str | None = None,
        pipeline: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Decision]:
        """See `History`."""
        row = {
            "run_id": run_id,
            "pipeline": pipeline,
            "before": _ABOVE_EVERY_NUMBER if before is None else before,
            "limit": limit,
        }
        if run_id is not None:
            query = "decisions_of_run"
        elif pipeline is not None:
            query = "decisions_of_pipeline"
        else:
            query = "decisions_newest"
        return await self._readers.rows(query, row, letter_records.decision)
