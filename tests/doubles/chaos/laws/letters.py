"""Laws of work that is done again: retries and dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from doubles.chaos.laws.aftermath import Aftermath, Law

_ITEMS_FAILED = "items"
_AGAIN = ("retry", "retry from node")


def _retries_go_on_from_their_run(after: Aftermath) -> Iterator[str]:
    for said in after.granted(*_AGAIN):
        assert said.reply is not None
        run_id, source = said.reply.body["run_id"], said.wish.target
        run = after.runs.get(run_id)
        if run is None:
            continue
        if (run.retry_of, run.job_id) != (source, after.runs[source].job_id):
            yield f"{run_id} was to retry {source} and retries {run.retry_of}"
        if not said.wish.value and run.version != after.runs[source].version:
            yield f"{run_id} has version {run.version}, {source} {after.runs[source].version}"
        if said.wish.node and (run_id, said.wish.node) in after.taken_over:
            yield f"{run_id} was to do {said.wish.node} again and took it over"


def _what_is_taken_over_stays_as_it_ended(after: Aftermath) -> Iterator[str]:
    question = "SELECT run_id, node, state, coalesce(outcome, '') FROM pipeline_nodes"
    ends = {(run_id, node): end for run_id, node, *end in after.db.execute(question)}
    for event in after.events("nodes.taken_over"):
        for node in event.body["nodes"]:
            before, now = ends[event.body["source_run_id"], node], ends[event.run_id, node]
            if before != now or now[0] not in {"success", "skipped"}:
                yield f"{event.run_id} took {node} over as {now}, it was {before}"
    for run_id, node in after.db.execute("SELECT run_id, node FROM job_executions"):
        if (run_id, node) in after.taken_over:
            yield f"{run_id} took {node} over and worked on it"


def _letters_are_done_again_by_a_retry(after: Aftermath) -> Iterator[str]:
    question = "SELECT letter_id, run_id, state, replayed_by, node FROM dead_letters"
    for letter_id, run_id, state, replayed_by, node in after.db.execute(question):
        if (replayed_by, node) in after.taken_over:
            yield f"{replayed_by} replays {letter_id} and took its {node} over"
        again = after.runs.get(replayed_by) if replayed_by else None
        if (state == "replayed") != (again is not None):
            yield f"{letter_id} is {state} by {replayed_by}"
        elif again is not None and again.retry_of != run_id:
            yield f"{letter_id} of {run_id} is replayed by {replayed_by}, of {again.retry_of}"


def _letters_are_settled_once(after: Aftermath) -> Iterator[str]:
    settled = Counter(
        event.body["letter_id"]
        for event in after.events("letter.replayed", "letter.purged")
        if event.body["letter_id"]
    )
    for letter_id, count in settled.items():
        if count > 1:
            yield f"{letter_id} was settled {count} times"
    question = "SELECT letter_id, state, replayed_by FROM dead_letters"
    letters = {letter_id: tuple(rest) for letter_id, *rest in after.db.execute(question)}
    for said in after.granted("replay", "purge"):
        assert said.reply is not None
        is_replay = said.wish.what == "replay"
        wanted = ("replayed", said.reply.body["run_id"]) if is_replay else ("purged", None)
        if letters[said.wish.target] != wanted:
            yield f"{said.wish} was granted, the letter is {letters[said.wish.target]}"


def _every_failure_has_its_letter(after: Aftermath) -> Iterator[str]:
    question = (
        "SELECT run_id, node, coalesce(item, -1), count(*) FROM dead_letters GROUP BY 1, 2, 3"
    )
    letters = {
        (run_id, node, item): count for run_id, node, item, count in after.db.execute(question)
    }
    for place, count in letters.items():
        if count > 1:
            yield f"{place} has {count} letters"
    question = "SELECT run_id, node, error_kind FROM pipeline_nodes WHERE state = 'failed'"
    for run_id, node, kind in after.db.execute(question):
        is_here = (run_id, node) not in after.taken_over and kind != _ITEMS_FAILED
        if is_here and (run_id, node, -1) not in letters:
            yield f"{run_id} {node} failed ({kind}) and has no letter"
    question = "SELECT run_id, node, idx FROM node_items WHERE state = 'failed'"
    for place in after.db.execute(question):
        if place not in letters and place[:2] not in after.taken_over:
            yield f"{place} failed and has no letter"
    told = {run_id for run_id, _, _ in letters}
    told |= {said.wish.target for said in after.said("cancel node")}
    for run_id, run in after.runs.items():
        if run.state == "failed" and run_id not in told:
            yield f"{run_id} of {run.pipeline} failed and has no letter"


LAWS: tuple[Law, ...] = (
    _retries_go_on_from_their_run,
    _what_is_taken_over_stays_as_it_ended,
    _letters_are_done_again_by_a_retry,
    _letters_are_settled_once,
    _every_failure_has_its_letter,
)
