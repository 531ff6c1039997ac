"""Files that cannot be read at all: one clear error that names the file."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from openbell.sdk.errors import MalformedError, NotFoundError, TransientError
from openbell.sdk.values import EPOCH, Interval, SessionTable
from openbell_provider_files.opening import reading

pytestmark = pytest.mark.integration

Ask = Callable[..., Any]
CSV = b"Date,Open,High,Low,Close,Volume\n" + b"".join(
    b"2024-01-%02d,1,2,0.5,1.5,100\n" % n for n in range(1, 29)
)


def yahoo(path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "profile": "yahoo-csv",
        "format": "auto",
        "root": str(path.parent),
        "path": path.name,
        **changes,
    }


def zipped(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return sink.getvalue()


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({name: [1.0] for name in ("Date", "Open", "High", "Low", "Close", "Volume")})
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.zip", zipped(**{"a.csv": CSV})[:-30]),
        ("a.csv.zip", zipped(**{"a.csv": CSV})[:60]),
        ("a.csv.zip", CSV),
        ("a.csv.gz", gzip.compress(CSV)[:-9]),
        ("a.csv.gz", gzip.compress(CSV)[:20]),
        ("a.csv.gz", CSV),
        ("a.csv.zst", bytes(pa.Codec("zstd").compress(CSV, asbytes=True))[:-5]),
        ("a.csv.zst", CSV),
        ("a.parquet", parquet()[:-10]),
        ("a.parquet", CSV),
        ("a.parquet", parquet()[:40] + b"\0" * 40 + parquet()[80:]),
        ("a.arrow", CSV),
        ("a.csv", b""),
        ("a.xyz", CSV),
    ],
    ids=[
        "cut zip",
        "shorter zip",
        "no zip",
        "cut gz",
        "shorter gz",
        "no gz",
        "cut zst",
        "no zst",
        "cut parquet",
        "no parquet",
        "parquet with a hole",
        "no arrow",
        "empty",
        "unknown ending",
    ],
)
def test_a_file_that_cannot_be_read_is_malformed_and_named(
    tmp_path: Path, ask: Ask, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MalformedError) as caught:
        ask(yahoo(path), "1d", ["A"])
    assert str(path) in str(caught.value)
    assert str(caught.value).count(". ") <= 3, "one sentence and what to do"


def test_a_wrong_checksum_is_malformed(tmp_path: Path, ask: Ask) -> None:
    content = bytearray(gzip.compress(CSV))
    content[-6] ^= 1
    (tmp_path / "a.csv.gz").write_bytes(content)
    with pytest.raises(MalformedError, match=r"a\.csv\.gz"):
        ask(yahoo(tmp_path / "a.csv.gz"), "1d", ["A"])


@pytest.mark.parametrize("how", ["zip", "gz"])
def test_a_zip_bomb_is_refused(tmp_path: Path, ask: Ask, how: str) -> None:
    zeros = CSV + (b"0" * 1023 + b"\n") * (64 << 10)
    path = tmp_path / f"a.csv.{how}"
    path.write_bytes(zipped(**{"a.csv": zeros}) if how == "zip" else gzip.compress(zeros))
    with pytest.raises(MalformedError, match="looks like a zip bomb; raise max_compression_ratio"):
        ask(yahoo(path), "1d", ["A"])


def test_the_limit_on_bytes_counts_what_is_read(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(CSV))
    with pytest.raises(MalformedError, match="more than 500 bytes; raise max_uncompressed_bytes"):
        ask(yahoo(path, max_uncompressed_bytes=500), "1d", ["A"])
    assert len(ask(yahoo(path, max_uncompressed_bytes=len(CSV)), "1d", ["A"]).rows) == 28


def test_a_line_without_end_is_malformed(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV[:40] + b"1" * (40 << 20))
    with pytest.raises(MalformedError, match=r"a\.csv:2: a line of more than"):
        ask(yahoo(path), "1d", ["A"])


def test_an_archive_needs_one_file_or_a_member(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(**{"x/A.csv": CSV, "x/B.csv": CSV[:70], "__MACOSX/A.csv": b"?"}))
    with pytest.raises(MalformedError, match=r"2 files in the archive fit \(x/A.csv, x/B.csv\)"):
        ask(yahoo(path), "1d", ["A"])
    assert len(ask(yahoo(path, member="x/{symbol}.csv"), "1d", ["A"]).rows) == 28
    with pytest.raises(MalformedError, match="0 files in the archive fit, one is needed"):
        ask(yahoo(path, member="{symbol}.csv"), "1d", ["A"])


def test_a_directory_in_place_of_a_file_is_told(tmp_path: Path, ask: Ask) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(NotFoundError, match=r"a\.csv: is a directory, not a file"):
        ask(yahoo(tmp_path / "a.csv"), "1d", ["A"])


def test_a_pipe_is_not_waited_for(tmp_path: Path, ask: Ask) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(MalformedError, match="is not a regular file"):
        ask(yahoo(tmp_path / "a.csv"), "1d", ["A"])


@pytest.mark.parametrize(
    ("error", "expected", "told"),
    [
        (
            PermissionError(13, "Permission denied"),
            NotFoundError,
            "let the user that runs openbell",
        ),
        (FileNotFoundError(2, "No such file"), NotFoundError, "no such file"),
        (OSError(5, "Input/output error"), TransientError, "Input/output error"),
        (OSError("Truncated compressed stream"), MalformedError, "Truncated compressed stream"),
        (RuntimeError("File is encrypted"), MalformedError, "File is encrypted"),
    ],
)
def test_errors_of_the_system_are_translated(
    error: Exception, expected: type[Exception], told: str
) -> None:
    with pytest.raises(expected, match=told) as caught, reading("/data/a.csv"):
        raise error
    assert str(caught.value).startswith("/data/a.csv: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told(tmp_path: Path, ask: Ask) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "a.csv").chmod(0)
    with pytest.raises(NotFoundError, match="permission denied"):
        ask(yahoo(tmp_path / "a.csv"), "1d", ["A"])


@pytest.mark.parametrize("symbol", ["../a", "/etc/passwd", "a/b", "..", "a\0", "x" * 300])
def test_a_symbol_cannot_leave_the_root(tmp_path: Path, ask: Ask, symbol: str) -> None:
    settings = {"profile": "yahoo-csv", "root": str(tmp_path)}
    with pytest.raises(NotFoundError, match="cannot be part of a file name"):
        ask(settings, "1d", [symbol])


def test_a_missing_directory_or_file_is_not_found(tmp_path: Path, ask: Ask) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere: no such directory; correct `root:`"):
        ask(yahoo(tmp_path / "nowhere" / "a.csv"), "1d", ["A"])
    (tmp_path / "A.csv").write_bytes(CSV)
    settings = {"profile": "yahoo-csv", "root": str(tmp_path)}
    with pytest.raises(
        NotFoundError, match=r"no such file: .*/B.csv \(symbol B\).*on_missing: skip"
    ):
        ask(settings, "1d", ["A", "B"])
    assert len(ask({**settings, "on_missing": "skip"}, "1d", ["A", "B"]).rows) == 28
    with pytest.raises(NotFoundError, match=r"B.csv \(symbol B\)"):
        ask({**settings, "on_missing": "skip"}, "1d", ["B"])
    [page] = ask({**settings, "on_missing": "no_data"}, "1d", ["B"]).pages
    assert page.no_data_confirmed


def test_files_a_month_are_read_once_and_only_expected_ones_are_missed(
    tmp_path: Path, ask: Ask
) -> None:
    (tmp_path / "A-202401.csv").write_bytes(CSV)
    days = [date(2024, 1, 30), date(2024, 1, 31)]
    request = {
        "span": Interval(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        "sessions": SessionTable(
            calendar="XNYS",
            labels_day=tuple((day - EPOCH.date()).days for day in days),
            opens_us=(0, 0),
            closes_us=(1, 1),
        ),
    }
    settings = {
        "profile": "yahoo-csv", "root": str(tmp_path), "path": "{symbol}-{date:%Y%m}.csv", "on_missing": "error",
    }  # fmt: skip
    assert len(ask(settings, "1d", ["A"], **request).rows) == 28


def test_corrupt_parquet_files_are_malformed_not_fatal(real: Path, ask: Ask) -> None:
    for path in sorted((real / "corrupt_parquet").glob("*.parquet")):
        settings = {
            "root": str(path.parent),
            "path": path.name,
            "columns": {"ts": 1, "open": 1, "high": 1, "low": 1, "close": 1},
        }
        with pytest.raises(MalformedError, match=path.name):
            ask(settings, "1d", ["X"])
