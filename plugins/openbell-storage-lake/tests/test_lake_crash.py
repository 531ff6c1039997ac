"""A process may die anywhere: what had its receipt is there, once, and nothing else is."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from openbell.testing.batches import bars
from openbell.testing.conformance.backend_case import T0, TABLE, put, read, stage
from openbell_storage_lake.backend import LakeBackend
from openbell_storage_lake.settings import LakeSettings

pytestmark = pytest.mark.integration

PRELUDE = """
import os, sys
from datetime import timedelta
from openbell.testing.batches import bars
from openbell.testing.requests import START
from openbell.testing.conformance.backend_case import T0, TABLE, put, stage
from openbell_storage_lake.backend import LakeBackend
from openbell_storage_lake.settings import LakeSettings

uri, name = sys.argv[1:3]
store = LakeBackend(LakeSettings.model_validate({"uri": uri, "fold": {"base_rows": 40}}))
store.ensure(TABLE)
"""
WRITER = (
    PRELUDE
    + """
n = 0
while True:
    rows = 50 if n % 3 == 0 else 7
    batch = bars(name, count=rows, start=START + timedelta(hours=n))
    put(store, [batch], key=f"{name} {n}")
    print(n, rows, flush=True)
    if n % 5 == 4:
        store.maintain("bars")
    n += 1
"""
)
DIES_AT = (
    PRELUDE
    + """
import importlib
module, owner, method = sys.argv[3:6]
place = getattr(importlib.import_module(module), owner)
setattr(place, method, lambda *_, **__: os._exit(9))
store.maintain("bars")
os._exit(0)
"""
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LakeBackend]:
    settings = {"uri": str(tmp_path), "fold": {"base_rows": 40}}
    backend = LakeBackend(LakeSettings.model_validate(settings))
    backend.ensure(TABLE)
    yield backend
    backend.close()


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True
    )


def shown(root: Path) -> list[tuple[str, object]]:
    rows = DeltaTable(root).to_pyarrow_table().select(["symbol", "ts"]).to_pylist()
    return sorted((row["symbol"], row["ts"]) for row in rows)


def data_files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*.parquet") if "_delta_log" not in str(p)}


def test_a_killed_writer_loses_and_doubles_nothing(store: LakeBackend, tmp_path: Path) -> None:
    chance = random.Random(4)
    expected = 0
    for number in range(6):
        name = f"S{number}"
        writer = start(WRITER, str(tmp_path), name)
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(chance.uniform(0.0, 0.3))
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        done = [line.split() for line in lines if line.endswith("\n")]
        sizes = [int(rows) for _, rows in done]
        have = len(read(store, symbols=(name,)))
        unsaid = 50 if len(done) % 3 == 0 else 7
        assert have in {sum(sizes), sum(sizes) + unsaid}
        expected += have
        for n, size in done:
            again = stage(store, [bars(name, count=int(size))], key=f"{name} {n}")
            assert again.receipt is not None
    store.maintain("bars")
    rows = [(row["symbol"], row["ts"]) for row in read(store)]
    assert len(rows) == len(set(rows)) == expected == store.stats("bars").row_count
    assert shown(tmp_path / "bars") == sorted(rows)


@pytest.mark.parametrize(
    "place",
    [
        ("openbell_storage_lake.encode", "ParquetFile", "finish"),
        ("openbell_storage_lake.fold", "Folder", "_enter"),
        ("openbell_storage_lake.delta", "DeltaLog", "publish"),
        ("openbell_storage_lake.manifest", "Transaction", "set_published"),
        ("openbell_storage_lake.backend", "forget_superseded", "__call__"),
    ],
    ids=["while writing", "before the switch", "before the log", "after the log", "cleaning"],
)
def test_a_fold_that_dies_is_finished_by_the_next(
    store: LakeBackend, tmp_path: Path, place: tuple[str, str, str]
) -> None:
    root = tmp_path / "bars"
    for n in range(4):
        batch = bars(f"S{n}", count=10)
        put(store, [batch], key=f"k{n}")
    put(store, [bars("S1", close=[7.0] * 5)], key="z", at=T0 + timedelta(hours=1))
    before = read(store)
    if place[2] == "__call__":
        script = PRELUDE + (
            "import openbell_storage_lake.backend as b\n"
            "b.forget_superseded = lambda *_: os._exit(9)\nstore.maintain('bars')\n"
        )
        dead = start(script, str(tmp_path), "x")
    else:
        dead = start(DIES_AT, str(tmp_path), "x", *place)
    with dead:
        assert dead.wait() == 9
    assert read(store) == before
    store.maintain("bars")
    assert read(store) == before
    expected = sorted((row["symbol"], row["ts"]) for row in before)
    assert shown(root) == expected
    version = DeltaTable(root).version()
    assert store.maintain("bars") == 0
    assert DeltaTable(root).version() == version
    live = set(DeltaTable(root).get_add_actions()["path"].to_pylist())
    bases = {path for path in data_files(root) if path.startswith("period=")}
    assert bases == live


def test_strays_of_the_dead_are_swept_and_those_of_the_living_are_not(
    store: LakeBackend, tmp_path: Path
) -> None:
    root = tmp_path / "bars"
    script = PRELUDE + "stage(store, [bars()], key='never'); os._exit(0)\n"
    with start(script, str(tmp_path), "x") as dead:
        assert dead.wait() == 0
    script = PRELUDE + (
        "staged = stage(store, [bars('MSFT', count=50)], key='soon')\nprint('staged', flush=True)\n"
        "sys.stdin.readline()\nstore.commit(staged)\nstore.close()\n"
    )
    living = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), "x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with living:
        assert living.stdout is not None
        assert living.stdin is not None
        assert living.stdout.readline() == "staged\n"
        assert len(data_files(root)) == 2
        store.maintain("bars")
        assert len(data_files(root)) == 1
        living.stdin.write("\n")
        living.stdin.flush()
        assert living.wait() == 0
    assert len(read(store)) == 50


def test_many_processes_lose_no_row(store: LakeBackend, tmp_path: Path) -> None:
    script = PRELUDE + (
        "for n in range(25):\n"
        "    batch = bars('SAME', count=8, start=START + timedelta(minutes=4 * n))\n"
        "    mine = bars(name, count=3, start=START + timedelta(hours=n))\n"
        "    put(store, [batch, mine], key=f'{name} {n}')\n"
        "    if n % 10 == 9: store.maintain('bars')\n"
        "store.close()\n"
    )
    writers = [start(script, str(tmp_path), f"P{n}") for n in range(3)]
    for writer in writers:
        with writer:
            assert writer.wait() == 0
    rows = read(store)
    keys = [(row["symbol"], row["ts"]) for row in rows]
    assert len(keys) == len(set(keys)) == 104 + 3 * 75 == store.stats("bars").row_count
    store.maintain("bars")
    assert read(store) == rows
    assert shown(tmp_path / "bars") == sorted(keys)


def test_a_receipt_is_given_after_everything_is_on_the_disk(
    store: LakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    put(store, [bars(count=50)], key="base")
    put(store, [bars("MSFT")], key="small")
    root = tmp_path / "bars"
    expected = {str(root / path) for path in data_files(root)}
    expected |= {str((root / path).parent) for path in data_files(root)}
    expected |= {str(root), str(root / "_delta_log")}
    expected.add(str(root / "_delta_log" / f"{DeltaTable(root).version():020d}.json"))
    assert expected <= synced
