"""Definitions change and requests come in while the engine is at work."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest
from doubles.scripted import (
    JOB,
    deployment,
    pipeline,
    run_state,
    succeed,
    until_stopped,
    world,
)

from openbell.model.control import (
    ConflictError,
    NotAcceptedError,
    Submission,
    UnknownPipelineError,
    UnknownRunError,
)
from openbell.model.events import (
    ConfigReloaded,
    ReloadRefused,
    WorkflowDefined,
    WorkflowRetired,
)
from openbell.model.pipelines import Node
from openbell.model.runs import RunState
from openbell.sdk import Problem, SettingsError
from openbell.testing import MemoryHistory

pytestmark = pytest.mark.unit


async def test_the_same_idempotency_key_is_the_same_run() -> None:
    async with world() as at:
        one = await at.engine.submit(replace(JOB, idempotency_key="k"))
        await at.settle()
        two = await at.engine.submit(replace(JOB, idempotency_key="k"))
        assert one.run_id == two.run_id
        assert len(at.pool.tasks) == 1


async def test_what_does_not_exist_is_named() -> None:
    async with world() as at:
        with pytest.raises(UnknownPipelineError, match="there are: job"):
            await at.engine.submit(Submission(pipeline="jib"))
        with pytest.raises(UnknownRunError):
            await at.engine.cancel("run_none", by="me")
        with pytest.raises(UnknownPipelineError):
            await at.engine.pause("jib")


async def test_a_paused_pipeline_starts_nothing_until_it_is_resumed() -> None:
    async with world() as at:
        assert (await at.engine.pause("job")).state == "paused"
        run = await at.engine.submit(JOB)
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.QUEUED
        assert (await at.engine.resume("job")).state == "active"
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_definitions_get_versions_and_runs_keep_theirs() -> None:
    changed = pipeline(timeout_s=99.0)
    found = deployment()
    async with world(
        configured=found,
        scripts=[until_stopped, succeed],
        reloaded=lambda: replace(found, digest="2", pipelines={"job": changed}),
    ) as at:
        run = await at.engine.submit(JOB)
        await at.settle()
        reloaded = await at.engine.reload()
        assert (reloaded.changed, reloaded.added, reloaded.removed) == (["job"], [], [])
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.RUNNING
        newer = await at.engine.submit(JOB)
        assert (run.workflow_version, newer.workflow_version) == (1, 2)
        assert at.engine.deployment.digest == "2"


async def test_a_reload_without_a_difference_defines_nothing() -> None:
    async with world() as at:
        await at.settle()
        count = len(at.seen.of(WorkflowDefined))
        await at.engine.reload()
        assert len(at.seen.of(WorkflowDefined)) == count
        (event,) = at.seen.of(ConfigReloaded)
        assert (event.added, event.changed, event.removed) == ([], [], [])


async def test_a_removed_pipeline_ends_its_run_and_takes_no_more() -> None:
    found = deployment(pipeline(), pipeline("old"))
    async with world(
        configured=found,
        scripts=[until_stopped],
        reloaded=lambda: replace(found, pipelines={"job": pipeline()}),
    ) as at:
        run = await at.engine.submit(Submission(pipeline="old"))
        await at.settle()
        assert (await at.engine.reload()).removed == ["old"]
        assert [e.pipeline for e in at.seen.of(WorkflowRetired)] == ["old"]
        with pytest.raises(UnknownPipelineError):
            await at.engine.submit(Submission(pipeline="old"))
        await at.engine.cancel(run.run_id, by="me")
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.CANCELLED
        assert [p.name for p in at.engine.pipelines()] == ["job"]


async def test_a_wrong_configuration_changes_nothing() -> None:
    def wrong() -> object:
        raise SettingsError([Problem(key="jobs.x", message="is wrong")])

    async with world(reloaded=wrong) as at:  # type: ignore[arg-type]
        with pytest.raises(SettingsError):
            await at.engine.reload()
        assert len(at.seen.of(ReloadRefused)) == 1
        assert "jobs.x" in at.engine.status().last_error
        run = await at.engine.submit(JOB)
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS


async def test_a_pipeline_defined_through_the_api_survives_a_restart() -> None:
    history = MemoryHistory()
    async with world(history=history) as at:
        record = await at.engine.define({"name": "from_api"})
        assert (record.name, record.version) == ("from_api", 1)
        assert (await at.engine.define({"name": "from_api"})).version == 1
        run = await at.engine.submit(Submission(pipeline="from_api"))
        await at.settle()
        assert await run_state(at, run.run_id) is RunState.SUCCESS
    async with world(history=history) as at:
        assert {p.name for p in at.engine.pipelines()} == {"job", "from_api"}
        await at.engine.reload()
        assert {p.name for p in at.engine.pipelines()} == {"job", "from_api"}


async def test_the_api_cannot_replace_what_the_file_defines() -> None:
    async with world(parse=lambda _: pipeline("job")) as at:
        with pytest.raises(ConflictError, match="configuration file"):
            await at.engine.define({"name": "job"})


async def test_a_graph_that_cannot_run_is_refused_and_nothing_else_is() -> None:
    two = Node(name="second", op="ingest", settings={"dataset": "bars"})
    both = Node(name="both", op="gate", needs={"fetch": (), "second": ()}, settings={"rules": []})
    odd = pipeline("odd")
    async with world(pipeline(), replace(odd, nodes=(*odd.nodes, two, both))) as at:
        refused = {p.name: p for p in at.engine.pipelines()}["odd"]
        assert refused.state == "refused"
        assert "exactly one source" in refused.reason
        with pytest.raises(NotAcceptedError, match="refused"):
            await at.engine.submit(Submission(pipeline="odd"))


async def test_subscribers_see_events_in_order_and_a_slow_one_loses_its_stream() -> None:
    async with world() as at:
        with at.engine.subscribe(capacity=1000) as events, at.engine.subscribe(capacity=1) as slow:
            await at.engine.submit(JOB)
            await at.settle()
            names = [events.receive_nowait().name for _ in range(3)]
            assert names[0] == "run.submitted"
            slow.receive_nowait()
            with pytest.raises(anyio.EndOfStream):
                slow.receive_nowait()
        assert at.services.journal.dropped_subscribers == 1


async def test_status_counts_what_is_there() -> None:
    async with world(scripts=[until_stopped]) as at:
        await at.engine.submit(JOB)
        await at.engine.submit(JOB)
        await at.settle()
        status = at.engine.status()
        assert (status.state, status.active_runs, status.queued_runs) == ("running", 1, 1)
        assert at.engine.mailbox_depths() == {"job": 0}
        assert [b.provider for b in at.engine.budgets()] == ["v"]
        assert at.engine.workers() == []


async def test_a_reload_tells_of_pipelines_whose_provider_or_storage_changed() -> None:
    found = deployment()
    slower = replace(
        found,
        digest="2",
        providers={"v": replace(found.providers["v"], settings={"seed": 2})},
    )
    async with world(configured=found, reloaded=lambda: slower) as at:
        await at.settle()
        assert (await at.engine.reload()).changed == ["job"]
        assert (await at.engine.reload()).changed == []
