from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from doubles.command import mdp

pytestmark = pytest.mark.integration

CONFIG = """\
version: 2
providers: {made: {type: synthetic, seed: 42}}
storage: {primary: {type: lake, uri: "./lake"}}
datasets:
  smoke: {provider: made, schema: bars_ohlcv, symbols: [AAPL, MSFT], interval: 1d, calendar: "24/7"}
jobs:
  fill: {dataset: smoke, mode: backfill, from: 2026-01-01, to: 2026-01-10}
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose job ran once."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("OPENBELL_STATE_DIR", str(folder / "state"))
        patch.delenv("OPENBELL_CONFIG", raising=False)
        (folder / "openbell.yaml").write_text(CONFIG)
        done = mdp("run", "--job", "fill", "-o", "json")
        assert done.code == 0, done.err
        assert done.json["rows_written"] == 20
        yield folder


def test_csv_has_every_row_in_order_of_symbol_and_time(filled: Path) -> None:
    done = mdp("data", "read", "smoke")

    rows = list(csv.DictReader(io.StringIO(done.out)))
    keys = [(row["symbol"], row["ts"]) for row in rows]
    assert done.code == 0
    assert len(rows) == 20
    assert keys == sorted(keys)


def test_days_are_both_included_and_an_instant_as_end_is_not(filled: Path) -> None:
    days = mdp(
        *("data", "read", "smoke", "-s", "AAPL", "--from", "2026-01-03", "--to", "2026-01-05"),
        *("--columns", "symbol,ts", "-o", "jsonl"),
    )
    instants = mdp(
        *("data", "read", "smoke", "-s", "AAPL", "--from", "2026-01-03T00:00:00Z"),
        *("--to", "2026-01-05T00:00:00", "--columns", "symbol,ts", "-o", "jsonl"),
    )

    seen = [json.loads(line)["ts"][:10] for line in days.out.splitlines()]
    assert seen == ["2026-01-03", "2026-01-04", "2026-01-05"]
    assert len(instants.out.splitlines()) == 2


def test_parquet_goes_to_a_file_that_appears_when_it_is_whole(filled: Path) -> None:
    done = mdp("data", "read", "smoke", "-o", "parquet", "--out", "bars.parquet")

    assert pq.read_table(filled / "bars.parquet").num_rows == 20
    assert (done.out, done.err) == ("", "wrote 20 rows to bars.parquet\n")
    assert not list(filled.glob("*.partial"))


def test_a_file_that_cannot_be_written_is_a_clear_error(filled: Path) -> None:
    done = mdp("data", "read", "smoke", "--out", "nowhere/bars.csv")

    assert done.code == 2
    assert done.err == "error: cannot write nowhere/bars.csv: No such file or directory\n"


def test_rows_that_do_not_exist_are_said_on_stderr_only(filled: Path) -> None:
    done = mdp("data", "read", "smoke", "-s", "NOPE", "-o", "json")

    assert (done.code, done.json) == (0, [])
    assert done.err == "no rows match\nsmoke has no NOPE; its symbols are AAPL, MSFT\n"


def test_an_unknown_column_names_those_there_are(filled: Path) -> None:
    done = mdp("data", "read", "smoke", "--columns", "cloze")

    assert done.code == 4
    assert "cloze" in done.err
    assert "close" in done.err
    assert "hint" not in done.err


def test_stats_are_of_one_dataset_or_all(filled: Path) -> None:
    one = mdp("data", "stats", "smoke", "-o", "json")
    every = mdp("data", "stats")

    assert one.json["row_count"] == 20
    assert one.json["first_ts"] == "2026-01-01T00:00:00Z"
    assert every.out.splitlines()[1].split()[:2] == ["smoke", "20"]


def test_the_same_run_again_writes_nothing(filled: Path) -> None:
    again = mdp("backfill", "--job", "fill", "-o", "json")

    assert (again.json["rows_written"], again.json["rows_unchanged"]) == (0, 20)
