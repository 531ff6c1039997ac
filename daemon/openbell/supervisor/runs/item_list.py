"""Where the items of a node with `for_each` come from, and what becomes of what they make."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import anyio
import msgspec

from openbell.config.substitution import fill_params
from openbell.execution.pool import SilentListener
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import CallTask, Done, Failed
from openbell.execution.retry import is_retried
from openbell.model.items import ItemRecord
from openbell.model.pipelines import Node, RetryPolicy
from openbell.model.runs import NodeState
from openbell.sdk.errors import FatalError, RetryableError
from openbell.sdk.tasks import MAX_VALUE_BYTES
from openbell.sdk.values import to_us
from openbell.supervisor.runs.context import RunContext

MOST_ITEMS = 1_000_000
_READ_OUTPUT = "openbell.execution.worker.outputs:items"
_PAGE = 1000
_DISK = anyio.CapacityLimiter(4)


async def listed(context: RunContext, node: Node) -> Sequence[Any]:
    """Return the items of a node; raises FatalError for what is no list of plain values."""
    source = node.for_each
    if isinstance(source, Mapping):
        ((where, name),) = source.items()
        match where:
            case "param":
                source = context.params.get(name)
            case "file":
                path = str(fill_params(name, context.params))
                source = await anyio.to_thread.run_sync(_read, path, limiter=_DISK)
            case _:
                source = await _from_output(context, node, str(name))
    if not isinstance(source, list | tuple):
        raise FatalError(f"for_each of node {node.name!r} gives {type(source).__name__}, no list")
    if len(source) > MOST_ITEMS:
        raise FatalError(f"{len(source):,} items; at most {MOST_ITEMS:,} can be fanned out")
    return source


def _read(path: str) -> list[Any]:
    """Return the items in a file: a JSON list, or one item a line, as JSON or as plain text."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise FatalError(f"items cannot be read from {path}: {reason}") from error
    if text.lstrip().startswith("["):
        try:
            found: list[Any] = json.loads(text)
        except ValueError as error:
            raise FatalError(f"{path} begins like a JSON list and is none: {error}") from error
        return found
    return [_item(line) for line in text.splitlines() if line.strip()]


def _item(line: str) -> Any:  # noqa: ANN401 - plain JSON
    try:
        return json.loads(line)
    except ValueError:
        return line.strip()


async def _from_output(context: RunContext, node: Node, name: str) -> list[Any]:
    made = context.outputs.get(name)
    if made is None:
        raise FatalError(f"node {name!r} made nothing that could be fanned out")
    if made.get("kind") == "value" and isinstance(made["value"], list):
        found: list[Any] = made["value"]
        return found
    answer = await _read_in_worker(context, node.retry, made)
    if isinstance(answer, Failed):
        raise FatalError(f"items of {name!r} cannot be read: {answer.message}")
    items: list[Any] = answer.result
    return items


async def _read_in_worker(
    context: RunContext, policy: RetryPolicy, made: Mapping[str, Any]
) -> Done | Failed:
    """Return what a worker read; one that is lost is replaced as often as the policy allows."""
    services, failures = context.services, 0
    is_tried_again = is_retried(policy, "worker_lost", is_retryable=True)
    while True:
        task = CallTask(
            attempt_id=services.ids.attempt(to_us(services.clock.now())),
            function=_READ_OUTPUT,
            arguments={"reference": dict(made), "limit": MOST_ITEMS},
        )
        try:
            answer, _ = await services.executor.submit(task, SilentListener(), context.stop)
        except WorkerLostError as error:
            failures += 1
            if not is_tried_again or failures >= policy.max_attempts:
                raise RetryableError(f"the items could not be read: {error}") from error
        else:
            return answer


async def pages(
    context: RunContext, node: str, *, only_open: bool
) -> AsyncIterator[Sequence[ItemRecord]]:
    """Yield the instances of a node as history knows them, some at a time, in order."""
    after = -1
    while True:
        found = await context.services.history.items(
            context.run.run_id, node, after=after, only_open=only_open, limit=_PAGE
        )
        if found:
            yield found
            after = found[-1].number
        if len(found) < _PAGE:
            return


async def collected(context: RunContext, node: str) -> Mapping[str, Any]:
    """Return the reference to what the instances made together, one object an item, in order.

    A short list is a value; a longer one is a file of lines.
    """
    folder = context.services.state_dir / "spool" / context.run.run_id
    lines: list[bytes] = []
    size_bytes, count = 0, 0
    file: Collected | None = None
    async for found in pages(context, node, only_open=False):
        lines += [msgspec.json.encode(_object(item)) for item in found]
        count += len(found)
        size_bytes += sum(len(line) + 1 for line in lines[-len(found) :])
        if size_bytes > MAX_VALUE_BYTES:
            file = file or Collected(folder / f"{node}.jsonl")
            await anyio.to_thread.run_sync(file.write, lines, limiter=_DISK)
            lines = []
    if file is None:
        return {"kind": "value", "value": [msgspec.json.decode(line) for line in lines]}
    path = await anyio.to_thread.run_sync(file.close, lines, limiter=_DISK)
    return {"kind": "spool", "path": path, "rows": count}


class Collected:
    """A file of lines that is there once it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scratch = path.with_suffix(".partial")
        self._file: TextIO | None = None

    def write(self, lines: Sequence[bytes]) -> None:
        """Add lines."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._scratch.open("w", encoding="utf-8")
        self._file.writelines(line.decode() + "\n" for line in lines)

    def close(self, lines: Sequence[bytes]) -> str:
        """Add the last lines, make the file durable and return its path."""
        self.write(lines)
        assert self._file is not None
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())
        self._scratch.replace(self._path)
        return str(self._path)


def _object(item: ItemRecord) -> dict[str, Any]:
    made = item.output or {}
    value = made.get("value") if made.get("kind") == "value" else None
    found = {
        "number": item.number,
        "item": item.item,
        "outcome": item.outcome if item.state is NodeState.SUCCESS else str(item.state),
        "value": value,
    }
    if item.error:
        found["error"] = item.error
    return found if made.get("kind") in {None, "value"} else {**found, "output": made}
