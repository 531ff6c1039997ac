"""Pipelines of a node with `for_each`, and what workers answer for its items."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from doubles.scripted import REGISTRY, World, spec_of
from openbell.execution.protocol import Done, Failed, NodeEnd
from openbell.model.control import Submission
from openbell.model.items import ItemRecord
from openbell.model.pipelines import Node, Pipeline, RetryPolicy
from openbell.model.runs import Totals
from openbell.operators.control import CONTROL

WITH_TASKS = replace(
    REGISTRY,
    operators={
        **REGISTRY.operators,
        **{spec.name: spec for spec in CONTROL},
        "work": spec_of("work", "task"),
    },
)


def each(items: Any, op: str = "noop", **more: Any) -> Node:
    settings = {key: more.pop(key) for key in ("outcome", "seconds", "value") if key in more}
    retry = more.pop("retry", RetryPolicy(max_attempts=1))
    return Node(name="each", op=op, for_each=items, settings=settings, retry=retry, **more)


def flow(*nodes: Node, **params: Any) -> Pipeline:
    return Pipeline(name="flow", nodes=nodes, params=params)


async def submit(at: World, **params: Any) -> str:
    return (await at.engine.submit(Submission(pipeline="flow", params=params))).run_id


async def items_of(at: World, run_id: str) -> list[ItemRecord]:
    return list(await at.history.items(run_id, "each"))


def ended(task: Any, **more: Any) -> Done:
    name = task.node.name
    return Done(
        ends={name: NodeEnd(outcome="success", was_reached=True, totals=Totals())},
        outputs={name: {"kind": "value", "value": more.get("value")}},
    )


def failed(task: Any, kind: str = "transient") -> Failed:
    return Failed(
        node=task.node.name, kind=kind, message="trouble", traceback="", is_retryable=True
    )
