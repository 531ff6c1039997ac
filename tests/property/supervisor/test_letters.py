"""No failure is silent: every node that failed has a letter, and so every run that failed."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest
from doubles.scripted import REGISTRY, world
from hypothesis import given, settings
from hypothesis import strategies as st

from openbell.model.control import Submission
from openbell.model.letters import LetterFilter
from openbell.model.pipelines import Node, Pipeline
from openbell.model.runs import NodeState, RunState
from openbell.operators.control import CONTROL

pytestmark = pytest.mark.property

WITH_CONTROL = replace(
    REGISTRY, operators={**REGISTRY.operators, **{spec.name: spec for spec in CONTROL}}
)


@st.composite
def graphs(draw: st.DrawFn) -> Pipeline:
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 6))):
        names = [node.name for node in nodes]
        needs = draw(st.sets(st.sampled_from(names))) if names else set()
        outcome = draw(st.sampled_from(["success", "failed", "skipped"]))
        trigger = draw(st.sampled_from(["all_success", "all_done", "one_failed"]))
        nodes.append(
            Node(
                name=f"n{number}",
                op="noop",
                needs=dict.fromkeys(sorted(needs), ()),
                settings={"outcome": outcome},
                trigger=trigger if needs else "all_success",
            )
        )
    return Pipeline(name="flow", nodes=tuple(nodes))


@settings(max_examples=60, deadline=None)
@given(pipeline=graphs(), dry_run=st.booleans())
def test_every_failure_has_its_letter(pipeline: Pipeline, *, dry_run: bool) -> None:
    async def prove() -> None:
        async with world(pipeline, registry=WITH_CONTROL) as at:
            run = await at.engine.submit(Submission(pipeline="flow", dry_run=dry_run))
            await at.settle()
            ended = await at.history.run(run.run_id)
            nodes = await at.history.nodes(run.run_id)
            letters = await at.history.dead_letters(LetterFilter(run_id=run.run_id))
        assert ended is not None
        assert ended.state.is_final
        failed = sorted(node.node for node in nodes if node.state is NodeState.FAILED)
        assert sorted(letter.node for letter in letters) == ([] if dry_run else failed)
        if ended.state is RunState.FAILED and not dry_run:
            assert letters

    anyio.run(prove)
