"""Work that failed for good becomes a dead letter, recorded together with its failure.

A letter says what is needed to understand the failure and to do the work again: references to what
the node was given, never the rows themselves, and no secret. Dry runs leave none: they did no work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from openbell.model.events import AttemptFinished, DeadLettered, NodeChanged
from openbell.model.items import ItemChange
from openbell.model.runs import NodeState, RunRecord
from openbell.sdk.values import to_us
from openbell.supervisor.runs.context import Completion, RunContext
from openbell.supervisor.services import Services

ITEMS_FAILED = "items"
"""The error kind of a node whose items failed: each of those has a letter of its own."""

MAX_SHOWN_BYTES = 1024
"""A value that a node was given stands in a letter up to this size, else its size does."""


def letters_of(context: RunContext, completion: Completion) -> list[DeadLettered]:
    """Return the letters of the nodes that failed for good as a unit ended."""
    changes = [each for each in completion.events if isinstance(each, NodeChanged)]
    return [
        _of_node(context, change, completion)
        for change in changes
        if change.state is NodeState.FAILED
        and change.error_kind != ITEMS_FAILED
        and not context.run.dry_run
    ]


def _of_node(context: RunContext, change: NodeChanged, completion: Completion) -> DeadLettered:
    tries = [each for each in completion.events if isinstance(each, AttemptFinished)]
    before = context.before.nodes.get(change.node)
    numbers = [change.attempt, before.attempts if before else 0, *(each.number for each in tries)]
    return letter(
        context.services,
        context.run,
        node=change.node,
        error_kind=change.error_kind,
        error=change.error,
        traceback=next((each.traceback for each in reversed(tries)), ""),
        attempts=max(numbers),
        given=given(context, change.node),
    )


def letter_of_item(
    context: RunContext, node: str, item: object, change: ItemChange, *, traceback: str
) -> Sequence[DeadLettered]:
    """Return the letter of an instance that failed for good, and nothing for any other change."""
    if change.state is not NodeState.FAILED or context.run.dry_run:
        return ()
    written = letter(
        context.services,
        context.run,
        node=node,
        item=change.number,
        error_kind=change.error_kind,
        error=change.error,
        traceback=traceback,
        attempts=change.attempt,
        given={"item": _shown(item), **given(context, node)},
    )
    return (written,)


def letter(
    services: Services,
    run: RunRecord,
    *,
    node: str,
    error_kind: str,
    error: str,
    item: int | None = None,
    traceback: str = "",
    attempts: int = 0,
    given: Mapping[str, Any] | None = None,
) -> DeadLettered:
    """Return a letter about a node of `run`, or with `node` empty about all that was still open."""
    now = services.clock.now()
    return DeadLettered(
        at=now,
        letter_id=services.ids.letter(to_us(now)),
        run_id=run.run_id,
        pipeline=run.pipeline,
        node=node,
        item=item,
        error_kind=error_kind or "fatal",
        error=services.redact(error),
        traceback=services.redact(traceback),
        attempts=attempts,
        params=_redacted(services, run.params),
        input=_redacted(services, given) if given else None,
    )


def given(context: RunContext, node: str) -> dict[str, Any]:
    """Return references to what a node was given: what the nodes above made, what it fetches."""
    definition = context.pipeline.node(node)
    above = {
        name: _reference(context.outputs[name])
        for name in definition.needs
        if name in context.outputs
    }
    found: dict[str, Any] = {}
    if above:
        found["nodes"] = above
    if definition.settings.get("dataset"):
        found["dataset"] = str(definition.settings["dataset"])
    if context.run.session is not None:
        found["session"] = context.run.session
    return found


def _reference(output: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _shown(value) for name, value in output.items()}


def _shown(value: object) -> Any:  # noqa: ANN401 - plain JSON
    """Return a value that is small, and the size of any other."""
    size_bytes = len(msgspec.json.encode(value, enc_hook=_plain))
    return value if size_bytes <= MAX_SHOWN_BYTES else {"size_bytes": size_bytes}


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _redacted(services: Services, value: Any) -> Any:  # noqa: ANN401 - plain JSON
    """Return plain JSON without secrets, in names and in values."""
    if isinstance(value, Mapping):
        return {services.redact(str(k)): _redacted(services, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(services, child) for child in value]
    return services.redact(value) if isinstance(value, str) else value
