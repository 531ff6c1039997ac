"""Waits: where their files are, and deadlines of items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from doubles.scripted import REGISTRY, run_state, world

from openbell.model.control import Submission
from openbell.model.pipelines import Node, Pipeline
from openbell.model.runs import RunState
from openbell.operators.control import CONTROL

pytestmark = pytest.mark.unit

CONTROLLED = replace(
    REGISTRY, operators={**REGISTRY.operators, **{spec.name: spec for spec in CONTROL}}
)


async def test_a_file_that_is_waited_for_is_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("x", encoding="utf-8")
    node = Node(name="file", op="wait", settings={"file": "there.csv", "poll": 1})
    async with world(Pipeline(name="flow", nodes=(node,)), registry=CONTROLLED) as at:
        at.services.deployment = replace(at.services.deployment, source=str(tmp_path / "c.yaml"))
        run_id = (await at.engine.submit(Submission(pipeline="flow"))).run_id
        for _ in range(500):
            await anyio.sleep(0.01)
            await at.settle(1)
            if await run_state(at, run_id) is RunState.SUCCESS:
                break
        (found,) = await at.history.nodes(run_id)
        assert found.output == {
            "kind": "value",
            "value": {"path": str(tmp_path / "there.csv"), "size_bytes": 1},
        }


@pytest.mark.parametrize(("op", "settings"), [("wait", {"seconds": 99}), ("approve", {})])
async def test_an_item_whose_deadline_passed_is_not_tried_again(
    op: str, settings: Mapping[str, Any]
) -> None:
    each = Node(name="each", op=op, for_each=[1], settings={**settings, "deadline": 10})
    async with world(Pipeline(name="flow", nodes=(each,)), registry=CONTROLLED) as at:
        run_id = (await at.engine.submit(Submission(pipeline="flow"))).run_id
        await at.settle(11)
        assert await run_state(at, run_id) is RunState.FAILED
        (item,) = await at.history.items(run_id, "each")
        assert (item.attempts, item.error_kind) == (1, "timeout")
