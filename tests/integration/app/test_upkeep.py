"""A live job owns its worker: others find theirs, and its table is folded beside it."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from openbell.app.assembly import Place, Running, load, running
from openbell.app.housekeeping import keep_house
from openbell.execution.pool import SilentListener, StopSignal
from openbell.execution.protocol import Ask
from openbell.model.control import Submission
from openbell.model.runs import RunState
from openbell.plugin_host import load_plugins
from openbell.sdk import TableStats
from openbell.sdk.errors import RetryableError
from openbell.supervisor.dispatch import Dispatcher
from openbell.supervisor.upkeep import fold
from openbell_storage_lake.backend import LakeBackend
from openbell_storage_lake.settings import LakeSettings

pytestmark = pytest.mark.integration

CONFIG = """
version: 2
daemon: {max_workers: 1}
providers:
  synthetic: {type: synthetic, seed: 3}
storage:
  primary: {type: lake, uri: ./lake}
datasets:
  ticks: {provider: synthetic, schema: bars_ohlcv, symbols: [BTC], interval: 1s, calendar: 24/7}
  bars: {provider: synthetic, schema: bars_ohlcv, symbols: [AAPL], interval: 1h, calendar: XNYS}
jobs:
  follow: {dataset: ticks, mode: live}
  fill: {dataset: bars, mode: backfill, from: 2026-01-05, to: 2026-01-09}
"""


def stats(tmp_path: Path, dataset: str) -> TableStats:
    backend = LakeBackend(LakeSettings(uri=str(tmp_path / "lake")))
    try:
        return backend.stats(dataset)
    finally:
        backend.close()


async def batches(whole: Running, run_id: str) -> int:
    found = await whole.history.checkpoint(run_id, "fetch")
    return found.next_chunk if found else 0


async def test_live_jobs_leave_room_for_others_and_are_folded_under_way(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG)
    place = Place(config=tmp_path / "c.yaml", state_dir=tmp_path / "state")
    registry = load_plugins()
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBELL_")}
    deployment = load(place, registry, env)
    failed: list[RetryableError] = []
    with anyio.fail_after(90):
        async with running(place, registry, deployment, env=env) as whole:
            live = await whole.engine.submit(Submission(pipeline="follow"))
            while await batches(whole, live.run_id) < 2:
                await anyio.sleep(0.05)
            fill = await whole.engine.submit(Submission(pipeline="fill"))
            while (found := await whole.history.run(fill.run_id)) and not found.state.is_final:
                await anyio.sleep(0.05)
            assert found is not None
            assert found.state is RunState.SUCCESS
            assert stats(tmp_path, "ticks").pending_file_count > 0
            before = await batches(whole, live.run_id)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keep_house, whole, failed.append)
                while stats(tmp_path, "ticks").pending_file_count > 1:
                    await anyio.sleep(0.05)
                tasks.cancel_scope.cancel()
            while await batches(whole, live.run_id) <= before:
                await anyio.sleep(0.05)
            still = await whole.history.run(live.run_id)
            assert still is not None
            assert still.state is RunState.RUNNING
            with pytest.raises(RetryableError, match="could not be folded"):
                await fold(
                    whole.services.executor, Dispatcher(whole.services, deployment), "primary", "no"
                )
    assert failed == []


async def test_a_silent_listener_grants_nothing() -> None:
    listener = SilentListener()
    assert await listener.answer(Ask(ask_id=1, what="pace"), StopSignal()) == (False, 0)
