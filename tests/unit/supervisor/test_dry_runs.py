"""What nodes that the daemon answers do in a dry run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from doubles.scripted import REGISTRY, world

from openbell.model.control import Submission
from openbell.model.pipelines import Node, Pipeline
from openbell.operators.control import CONTROL

pytestmark = pytest.mark.unit

WITH_CONTROL = replace(
    REGISTRY, operators={**REGISTRY.operators, **{spec.name: spec for spec in CONTROL}}
)


async def test_a_dry_run_asks_nobody_for_approval() -> None:
    asked = {"question": "?", "labels": ["publish", "wait"]}
    by_default = {**asked, "on_deadline": "wait", "deadline": 9.0}
    nodes = (
        Node(name="default", op="approve", settings=by_default),
        Node(name="first", op="approve", settings=asked),
    )
    async with world(Pipeline(name="flow", nodes=nodes), registry=WITH_CONTROL) as at:
        run = await at.engine.submit(Submission(pipeline="flow", dry_run=True))
        await at.settle()
        found = {each.node: each.outcome for each in await at.history.nodes(run.run_id)}
        assert found == {"default": "wait", "first": "publish"}
        assert await at.history.approvals(run.run_id) == []
