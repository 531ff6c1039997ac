"""A full disk, a damaged file, a folder that is something else: clear errors, nothing lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from openbell.sdk.backends import Backend
from openbell.sdk.errors import FatalError, RetryableError
from openbell.testing.batches import bars
from openbell.testing.conformance.backend_case import T0, TABLE, put, read, stage
from openbell.testing.requests import START
from openbell_storage_lake.backend import LakeBackend
from openbell_storage_lake.settings import LakeSettings

pytestmark = pytest.mark.integration


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if made.returncode != 0:
        pytest.skip(f"a small file system needs root: {made.stderr.strip()}")
    yield place
    subprocess.run(
        ["umount", "--lazy", str(place)], check=True
    )  # a thread of a library may hold a file


def noise(count: int, seed: int) -> list[float]:
    values: list[float] = (100 + np.random.default_rng(seed).random(count)).tolist()
    return values


def random_bars(count: int, seed: int) -> pa.RecordBatch:
    return bars(
        count=count,
        start=START + timedelta(days=seed),
        close=noise(count, seed),
        volume=noise(count, seed + 1),
        vwap=noise(count, seed + 2),
    )


def fill(place: Path) -> Path:
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return ballast
    return ballast


@pytest.mark.parametrize("base_rows", [10, 1_000_000], ids=["base", "L0"])
def test_a_full_disk_leaves_the_table_as_it_was(small_disk: Path, base_rows: int) -> None:
    options = {"uri": str(small_disk / "lake"), "fold": {"base_rows": base_rows}}
    store = LakeBackend(LakeSettings.model_validate(options))
    store.ensure(TABLE)
    put(store, [random_bars(500, 0)], key="a")
    before, stats = read(store), store.stats("bars")
    files = sorted(small_disk.rglob("*.parquet"))
    ballast = fill(small_disk)
    with pytest.raises(RetryableError, match=r"full|busy"):
        put(store, [random_bars(500, 5)], key="b")
    assert read(store) == before
    assert store.stats("bars") == stats
    assert sorted(small_disk.rglob("*.parquet")) == files
    ballast.unlink()
    assert put(store, [random_bars(500, 5)], key="b").written_count == 500
    store.maintain("bars")
    assert (
        len(read(store)) == DeltaTable(small_disk / "lake/bars").to_pyarrow_table().num_rows == 1000
    )
    store.close()


def test_a_full_disk_between_stage_and_commit_loses_nothing(small_disk: Path) -> None:
    store = LakeBackend(LakeSettings(uri=str(small_disk / "lake")))
    store.ensure(TABLE)
    put(store, [bars()], key="a")
    staged = stage(store, [bars("MSFT")], key="b")
    ballast = fill(small_disk)
    try:
        store.commit(staged)
    except RetryableError:
        assert len(read(store)) == 5
    ballast.unlink()
    assert store.commit(staged).written_count == 5
    assert len(read(store)) == 10
    store.close()


def test_a_fold_on_a_full_disk_changes_nothing(small_disk: Path) -> None:
    store = LakeBackend(LakeSettings(uri=str(small_disk / "lake")))
    store.ensure(TABLE)
    for n in range(10):
        put(store, [random_bars(500, n)], key=f"k{n}")
    before = read(store)
    ballast = fill(small_disk)
    with pytest.raises(RetryableError):
        store.maintain("bars")
    assert read(store) == before
    ballast.unlink()
    assert store.maintain("bars") == 5000
    assert read(store) == before
    store.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Backend]:
    backend = LakeBackend(LakeSettings(uri=str(tmp_path / "lake")))
    yield backend
    backend.close()


def test_a_folder_that_is_no_delta_table_is_refused(store: Backend, tmp_path: Path) -> None:
    place = tmp_path / "lake" / "bars"
    place.mkdir(parents=True)
    (place / "prices.csv").write_text("a,b\n")
    with pytest.raises(
        FatalError, match=r"lake/bars is no Delta table \(it holds prices.csv\).*uri"
    ):
        store.ensure(TABLE)
    assert [p.name for p in place.iterdir()] == ["prices.csv"]


def test_a_file_in_place_of_the_folder_is_refused(store: Backend, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "bars").write_text("")
    with pytest.raises(FatalError, match="is a file"):
        store.ensure(TABLE)


def test_a_delta_table_of_someone_else_is_refused(store: Backend, tmp_path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(tmp_path / "lake" / "bars", bars())
    with pytest.raises(FatalError, match="without openbell's manifest"):
        store.ensure(TABLE)
    assert DeltaTable(tmp_path / "lake" / "bars").version() == 0


def test_a_foreign_writer_is_noticed_before_anything_is_folded(
    store: Backend, tmp_path: Path
) -> None:
    store.ensure(TABLE)
    put(store, [bars()], key="a")
    store.maintain("bars")
    put(store, [bars("MSFT")], key="b")
    DeltaTable(tmp_path / "lake/bars").delete()
    with pytest.raises(FatalError, match="0 files were added and 1 removed"):
        store.maintain("bars")
    assert len(read(store)) == 10
    DeltaTable(tmp_path / "lake/bars").restore(1)
    store.maintain("bars")
    assert DeltaTable(tmp_path / "lake/bars").to_pyarrow_table().num_rows == 10


def test_a_log_that_is_gone_is_named(store: Backend, tmp_path: Path) -> None:
    store.ensure(TABLE)
    put(store, [bars()], key="a")
    (tmp_path / "lake/bars/_delta_log").rename(tmp_path / "log")
    other = LakeBackend(LakeSettings(uri=str(tmp_path / "lake")))
    with pytest.raises(FatalError, match=r"_openbell without its _delta_log"):
        other.ensure(TABLE)
    other.close()


def test_a_damaged_file_is_named(store: Backend, tmp_path: Path) -> None:
    store.ensure(TABLE)
    put(store, [bars()], key="a")
    (file,) = (tmp_path / "lake").rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:100])
    other = LakeBackend(LakeSettings(uri=str(tmp_path / "lake")))
    with pytest.raises(FatalError, match=file.name):
        read(other)
    other.close()


def test_a_damaged_manifest_is_named(store: Backend, tmp_path: Path) -> None:
    (tmp_path / "lake/bars/_openbell").mkdir(parents=True)
    (tmp_path / "lake/bars/_openbell/manifest.sqlite").write_bytes(b"rubbish " * 1000)
    with pytest.raises(FatalError, match=r"manifest of the lake at .*bars is damaged"):
        store.stats("bars")


def test_a_batch_that_fails_half_way_leaves_nothing(store: Backend, tmp_path: Path) -> None:
    def broken() -> Iterator[object]:
        yield bars()
        raise ConnectionError

    store.ensure(TABLE)
    with pytest.raises(ConnectionError):
        stage(store, broken(), key="a", at=T0)  # type: ignore[arg-type] # any iterable will do
    assert list((tmp_path / "lake").rglob("*.parquet")) == []
