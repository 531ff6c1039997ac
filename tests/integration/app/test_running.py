"""The whole engine on real history, workers, providers and the lake, in this process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import pytest

from openbell.app.assembly import Place, Running, load, running
from openbell.app.documents import tree_of
from openbell.app.foreground import run_in_foreground
from openbell.app.housekeeping import keep_house
from openbell.history.errors import HistoryWriteError
from openbell.model.control import Submission
from openbell.model.runs import RunRecord, RunState
from openbell.plugin_host import Registry, load_plugins
from openbell.sdk import SettingsError
from openbell.sdk.errors import FatalError, RetryableError

pytestmark = pytest.mark.integration

CONFIG = """
version: 2
providers:
  synthetic: {type: synthetic, seed: 3}
storage:
  primary: {type: lake, uri: ./lake, write: {batch_size: 500}}
datasets:
  bars: {provider: synthetic, schema: bars_ohlcv, symbols: [AAPL, MSFT], interval: 1min, calendar: 24/7}
jobs:
  fill: {dataset: bars, mode: backfill, from: 2026-01-05, to: 2026-01-05}
  follow: {dataset: bars, mode: live}
"""


def place_of(tmp_path: Path, text: str = CONFIG) -> Place:
    (tmp_path / "c.yaml").write_text(text)
    return Place(config=tmp_path / "c.yaml", state_dir=tmp_path / "state")


@asynccontextmanager
async def at_work(place: Place, **how: Any) -> AsyncIterator[Running]:
    registry = load_plugins()
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBELL_")}
    deployment = load(place, registry, env)
    with anyio.fail_after(90):
        async with running(place, registry, deployment, env=env, **how) as whole:
            yield whole


async def ended(whole: Running, run: RunRecord) -> RunRecord:
    while True:
        found = await whole.history.run(run.run_id)
        assert found is not None
        if found.state.is_final:
            return found
        await anyio.sleep(0.02)


async def test_a_job_runs_to_its_end_and_again_writes_nothing(tmp_path: Path) -> None:
    async with at_work(place_of(tmp_path)) as whole:
        totals = []
        for _ in range(2):
            run = await whole.engine.submit(Submission(pipeline="fill"))
            assert (await ended(whole, run)).state is RunState.SUCCESS
            nodes = {n.node: n for n in await whole.history.nodes(run.run_id)}
            written = next(n for n in nodes.values() if n.op == "write").totals
            totals.append((written.rows_written, written.rows_unchanged))
            assert {n.attempts for n in nodes.values()} == {0, 1}
        assert totals == [(2880, 0), (0, 2880)]


async def test_rows_that_wait_for_the_whole_input_have_receipts_as_well(tmp_path: Path) -> None:
    text = (
        CONFIG
        + """
pipelines:
  whole:
    nodes:
      fetch: {op: ingest, dataset: bars}
      check: {op: gate, needs: [fetch], rules: [{name: row_count, min: 1}]}
      publish: {op: write, needs: {check: [pass, warn]}, to: primary}
"""
    )
    async with at_work(place_of(tmp_path, text)) as whole:
        run = await whole.engine.submit(
            Submission(pipeline="whole", start=date(2026, 1, 5), end=date(2026, 1, 5))
        )
        done = await ended(whole, run)
        assert (done.state, done.error) == (RunState.SUCCESS, "")
        commits = await whole.history.lineage("bars")
        assert sum(commit["rows"] for commit in commits) == 2880
        point = await whole.history.checkpoint(run.run_id, "fetch")
        assert point is not None
        assert (point.next_chunk, len(commits)) == (6, 6)


async def test_a_dry_run_leaves_nothing_behind(tmp_path: Path) -> None:
    async with at_work(place_of(tmp_path)) as whole:
        run = await whole.engine.submit(Submission(pipeline="fill", dry_run=True))
        assert (await ended(whole, run)).state is RunState.SUCCESS
        assert await whole.history.lineage("bars") == []
    assert not (tmp_path / "lake" / "bars").exists()


async def test_a_live_job_ends_well_when_its_time_is_over(tmp_path: Path) -> None:
    async with at_work(place_of(tmp_path)) as whole:
        run = await whole.engine.submit(Submission(pipeline="follow", stop_after_s=2.0))
        done = await ended(whole, run)
        assert (done.state, done.error) == (RunState.SUCCESS, "")


async def test_a_live_job_is_drained_and_goes_on(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    async with at_work(place) as whole:
        run = await whole.engine.submit(Submission(pipeline="follow"))
        while not (point := await whole.history.checkpoint(run.run_id, "fetch")):
            await anyio.sleep(0.02)
        whole.engine.request_stop(fast=False)
        await whole.engine.drained.wait()
    adopted: list[str] = []
    async with at_work(place, adopt=lambda r, nodes: adopted.append(r.run_id)) as whole:
        assert adopted == [run.run_id]
        while True:
            later = await whole.history.checkpoint(run.run_id, "fetch")
            assert later is not None
            if later.next_chunk > point.next_chunk:
                break
            await anyio.sleep(0.02)


async def test_a_reload_reads_the_file_again_and_tells_who_keeps_something(tmp_path: Path) -> None:
    place, heard = place_of(tmp_path), []
    async with at_work(place, loaded=lambda d: heard.append(d.digest)) as whole:
        place_of(tmp_path, CONFIG.replace("  follow:", "  watch:"))
        found = await whole.engine.reload()
        assert (found.added, found.removed) == (["watch"], ["follow"])
        assert len(heard) == 1
        place_of(tmp_path, "version: 9")
        with pytest.raises(SettingsError):
            await whole.engine.reload()
        assert len(heard) == 1


async def test_a_pipeline_of_the_api_uses_what_is_configured(tmp_path: Path) -> None:
    document = {
        "name": "mine",
        "nodes": {
            "get": {"op": "ingest", "dataset": "bars"},
            "put": {"op": "write", "needs": ["get"], "to": "primary"},
        },
    }
    async with at_work(place_of(tmp_path)) as whole:
        assert (await whole.engine.define(document)).version == 1
        run = await whole.engine.submit(Submission(pipeline="mine", session=None))
        assert (await ended(whole, run)).state is RunState.SUCCESS
        with pytest.raises(SettingsError, match="name"):
            await whole.engine.define({"nodes": {}})
        with pytest.raises(SettingsError):
            await whole.engine.define({**document, "nodes": {"x": {"op": "none"}}})


def test_only_json_becomes_a_document() -> None:
    assert tree_of({"a": [1, None, "x"]}, "request").value
    with pytest.raises(SettingsError, match="no JSON value"):
        tree_of({"a": object()}, "request")


async def test_a_house_is_kept_although_the_disk_refuses_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[RetryableError] = []
    async with at_work(place_of(tmp_path)) as whole, anyio.create_task_group() as tasks:

        async def full(**_: object) -> int:
            raise HistoryWriteError(whole.history.path, "disk full")

        monkeypatch.setattr(whole.history, "prune", full)
        tasks.start_soon(keep_house, whole, failed.append)
        while not list(tmp_path.glob("state/history.sqlite.backup-*")):
            await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert "disk full" in str(failed[0])


async def in_foreground(place: Place, submission: Submission, **how: Any) -> dict[str, Any]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBELL_")}
    registry: Registry = how.pop("registry", None) or load_plugins()
    with anyio.fail_after(90):
        return await run_in_foreground(
            place,
            registry,
            submission,
            env=env,
            **{"show": lambda news: None, "say": lambda text: None, **how},
        )


async def test_a_run_in_the_foreground_tells_its_numbers(tmp_path: Path) -> None:
    seen: list[int] = []
    summary = await in_foreground(
        place_of(tmp_path), Submission(pipeline="fill"), show=lambda news: seen.append(news.rows)
    )
    assert (summary["state"], summary["rows_written"]) == ("success", 2880)
    assert seen[-1] == 2880
    assert summary["batches"] == len(seen)


async def test_what_was_left_is_gone_on_with_in_the_foreground(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    async with at_work(place) as whole:
        await whole.engine.pause("fill")
        run = await whole.engine.submit(Submission(pipeline="fill"))
    said: list[str] = []
    summary = await in_foreground(place, Submission(pipeline="fill"), say=said.append)
    assert summary["run_id"] == run.run_id
    assert said == [f"going on with {run.run_id}, which was interrupted"]


INSIDE = """
version: 2
pipelines:
  outer: {params: {which: inner}, nodes: {start: {op: pipeline, pipeline: inner}}}
  any: {params: {which: inner}, nodes: {start: {op: pipeline, pipeline: "${which}"}}}
  inner: {nodes: {ask: {op: approve, question: "go?", deadline: 0.2, on_deadline: approved}}}
"""


@pytest.mark.parametrize("pipeline", ["outer", "any"])
async def test_runs_inside_runs_go_in_the_foreground_and_questions_are_told(
    tmp_path: Path, pipeline: str
) -> None:
    said: list[str] = []
    place = place_of(tmp_path, INSIDE)
    summary = await in_foreground(place, Submission(pipeline=pipeline), say=said.append)
    assert summary["state"] == "success"
    (told,) = said
    assert "asks people 'go?': only a daemon takes answers" in told


async def test_a_run_that_cannot_go_on_does_not_hang_in_the_foreground(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openbell.supervisor import crashes, roster
    from openbell.supervisor.runs.driver import RunDriver

    async def bug(self: RunDriver) -> RunState:
        raise ValueError("a bug")

    made = crashes.Supervised

    def impatient(services: Any, pipeline: Any, version: int, policy: Any) -> Any:
        return made(services, pipeline, version, replace(policy, limit=0))

    monkeypatch.setattr(RunDriver, "drive", bug)
    monkeypatch.setattr(roster, "Supervised", impatient)
    with pytest.raises(BaseExceptionGroup) as caught:
        await in_foreground(place_of(tmp_path), Submission(pipeline="fill"))
    from openbell.supervisor.innermost import leaves

    (leaf,) = leaves(caught.value)
    assert isinstance(leaf, FatalError)
    assert "a bug" in str(leaf)
