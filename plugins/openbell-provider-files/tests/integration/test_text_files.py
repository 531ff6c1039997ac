"""Text files as people have them: marks, line ends, quotes, separators, nulls, line numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openbell.sdk.errors import FatalError, MalformedError, SchemaChangedError, SettingsError
from openbell.sdk.values import Interval
from openbell_provider_files import blocks

pytestmark = pytest.mark.integration

Ask = Callable[..., Any]
HEADER = "Date,Open,High,Low,Close,Volume\n"
DAY = "2024-01-0{n},1,2,0.5,1.5,100\n"


def days(*numbers: int) -> str:
    return "".join(DAY.format(n=n) for n in numbers)


def yahoo(path: Path, **changes: Any) -> dict[str, Any]:
    return {"profile": "yahoo-csv", "root": str(path.parent), "path": path.name, **changes}


def put(folder: Path, text: str | bytes, name: str = "A.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        HEADER + days(1, 2),
        (HEADER + days(1, 2)).rstrip("\n"),
        "\ufeff" + HEADER + days(1, 2),
        (HEADER + days(1, 2)).replace("\n", "\r\n"),
        (HEADER + days(1, 2)).replace("\n", "\r"),
        HEADER + "\n" + days(1) + "\n  \n" + days(2) + "\n\n",
        (HEADER + days(1, 2)).encode("utf-16"),
        HEADER + days(1) + '"2024-01-02","1","2","0.5","1.5","100"\n',
        HEADER.lower() + days(1, 2),
        " Date , Open,High,Low,Close,Volume\n" + days(1, 2),
        HEADER + days(2, 1),
        HEADER + days(1) + "2024-01-02, 1 ,2.,+.5,15e-1,1e2\n",
    ],
)
def test_the_same_two_days_come_out(tmp_path: Path, ask: Ask, content: str | bytes) -> None:
    answer = ask(yahoo(put(tmp_path, content)), "1d", ["A"])
    assert answer.column("ts") == [datetime(2024, 1, n, tzinfo=UTC) for n in (1, 2)]
    assert [tuple(row.values())[2:] for row in answer.rows] == [
        (1, 2, 0.5, 1.5, 100, None, None)
    ] * 2
    assert answer.rejected == []


def test_rows_that_cannot_be_read_are_rejected_with_their_lines(tmp_path: Path, ask: Ask) -> None:
    content = (
        HEADER
        + days(1)
        + "\n"
        + "2024-01-32,1,2,0.5,1.5,100\n"
        + '"2024-01-02",1,2,0.5,1.5,"1\n00"\n'
        + "2024-01-03,one,2,0.5,1.5,100\n"
        + "2024-01-03,1,2\n"
        + days(4)
        + ",1,2,0.5,1.5,100\n"
        + "2024-01-05,1,null,0.5,1.5,100\n"
        + "2024-01-06,1,2,0.5,inf,100\n"
        + days(7)
    )
    path = put(tmp_path, content)
    answer = ask(yahoo(path), "1d", ["A"])
    assert [ts.day for ts in answer.column("ts")] == [1, 4, 7]
    assert [(row.line, row.reason) for row in answer.rejected] == [
        (4, "ts '2024-01-32' is not a time in iso"),
        (5, "volume '1\\n00' is not a number"),
        (7, "open 'one' is not a number"),
        (8, "has 3 columns instead of 6"),
        (10, "ts '' is not a time in iso"),
        (11, "high is empty"),
        (12, "close 'inf' is not a number"),
    ]
    assert {row.source for row in answer.rejected} == {str(path)}
    assert answer.rejected[3].raw == "2024-01-03,1,2"


def test_a_stray_quote_costs_one_row(tmp_path: Path, ask: Ask) -> None:
    content = HEADER + days(1) + '2024-01-02,"1,2,0.5,1.5,100\n' + days(3, 4)
    answer = ask(yahoo(put(tmp_path, content)), "1d", ["A"])
    assert [ts.day for ts in answer.column("ts")] == [1, 3, 4]
    [row] = answer.rejected
    assert (row.line, row.raw) == (3, '2024-01-02,"1,2,0.5,1.5,100')
    assert row.reason == "has a quote that is opened and not closed"


@pytest.mark.parametrize("apart", [2, 10, 25])
@pytest.mark.parametrize("place", ["open", "note"])
def test_two_stray_quotes_cost_two_rows_however_far_apart(
    tmp_path: Path, ask: Ask, apart: int, place: str
) -> None:
    lines = [f"2024-01-{n:02},1,2,0.5,1.5,100,n{n}" for n in range(1, 29)]
    for index in (1, 1 + apart):
        cell = ",1,2" if place == "open" else ",n"
        lines[index] = lines[index].replace(cell, cell[:1] + '"' + cell[1:])
    content = HEADER.replace("Volume", "Volume,Note") + "\n".join(lines)
    answer = ask(yahoo(put(tmp_path, content)), "1d", ["A"])
    damaged = {2, 2 + apart}
    assert {ts.day for ts in answer.column("ts")} == set(range(1, 29)) - damaged
    assert [row.line for row in answer.rejected] == [day + 1 for day in sorted(damaged)]
    told = {row.reason for row in answer.rejected}
    assert told == {"has a quote that is opened and not closed"}


def test_notes_of_several_lines_stay_one_row(tmp_path: Path, ask: Ask) -> None:
    content = HEADER.replace("Volume", "Volume,Note")
    content += (
        '2024-01-01,1,2,0.5,1.5,100,"one, two\nthree, ""four"""\n2024-01-02,1,2,0.5,1.5,100,\n'
    )
    answer = ask(yahoo(put(tmp_path, content + "2024-01-03,x,2,0.5,1.5,100,\n")), "1d", ["A"])
    assert [ts.day for ts in answer.column("ts")] == [1, 2]
    assert [row.line for row in answer.rejected] == [5]


def test_quotes_inside_unquoted_fields_are_text(tmp_path: Path, ask: Ask) -> None:
    lines = 'Date,Open,High,Low,Close,Volume,Note\n2024-01-01,1,2,0.5,1.5,100,5" pipe\n'
    lines += '2024-01-02,1,2,0.5,1.5,100,plain\n2024-01-03,1,2,0.5,1.5,100,3" pipe\n'
    answer = ask(yahoo(put(tmp_path, lines)), "1d", ["A"])
    assert [ts.day for ts in answer.column("ts")] == [1, 2, 3]
    assert answer.rejected == []


@pytest.mark.parametrize("block_bytes", [4, 7, 40, 64, 1000])
def test_the_size_of_blocks_does_not_change_the_answer(
    tmp_path: Path, ask: Ask, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (
        "\ufeff" + HEADER + days(1, 2) + "2024-01-03,x\n" + '"2024-01-04",1,2,0.5,1.5,"1\n0"\n'
    )
    path = put(tmp_path, (content + days(5, 6)).replace("\n", "\r\n"))
    whole = ask(yahoo(path), "1d", ["A"])
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    cut = ask(yahoo(path), "1d", ["A"])
    assert (cut.rows, cut.rejected) == (whole.rows, whole.rejected)
    assert len(whole.rejected) == 2


def test_decimal_commas_thousands_and_semicolons(tmp_path: Path, ask: Ask) -> None:
    content = "Datum;Er;Ho;Ti;Sc;Stk\n31.12.2023;1.234,5;1.300;999,25;1.250,0;1.000.000\n"
    settings = {
        "root": str(tmp_path), "path": "A.csv", "delimiter": ";", "decimal": ",", "thousands": ".",
        "ts_format": "%d.%m.%Y",
        "columns": {"ts": "Datum", "open": "Er", "high": "Ho", "low": "Ti", "close": "Sc", "volume": "Stk"},
    }  # fmt: skip
    put(tmp_path, content)
    [row] = ask(settings, "1d", ["A"]).rows
    assert (row["open"], row["high"], row["low"], row["volume"]) == (1234.5, 1300, 999.25, 1e6)


def test_lines_before_the_header_are_skipped_and_other_encodings_read(
    tmp_path: Path, ask: Ask
) -> None:
    path = put(tmp_path, ("Kurs für A\n\n" + HEADER + days(1) + "é\n").encode("cp1252"))
    answer = ask(yahoo(path, skip_lines=2, encoding="cp1252"), "1d", ["A"])
    assert len(answer.rows) == 1
    assert (answer.rejected[0].line, answer.rejected[0].raw) == (5, "é")


def test_a_scale_is_exact_for_text_with_decimals(tmp_path: Path, ask: Ask) -> None:
    path = put(tmp_path, HEADER + "2024-01-01,14550.1,14551.3,14549.7,14550.9,1\n")
    [row] = ask(yahoo(path, price_scale=100, volume_scale=10), "1d", ["A"]).rows
    assert [row[name] for name in ("open", "high", "low", "close")] == [
        145.501,
        145.513,
        145.497,
        145.509,
    ]
    assert row["volume"] == 0.1


def test_json_lines_reject_what_is_no_object(tmp_path: Path, ask: Ask) -> None:
    good = {"t": 1704067200, "o": 1.10, "h": "2", "l": 0.5, "c": 1.5, "v": None}
    lines = [
        json.dumps(good), "", "{", "[1]", json.dumps({**good, "t": 1704067260, "o": [1]}),
        json.dumps({"t": 1704067320}), json.dumps({**good, "t": 1704067380.5}),
    ]  # fmt: skip
    put(tmp_path, "\n".join(lines), "A.jsonl")
    settings = {
        "root": str(tmp_path), "path": "{symbol}.jsonl", "ts_format": "epoch_s",
        "columns": {"ts": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"},
    }  # fmt: skip
    answer = ask(settings, "1min", ["A"])
    assert [(row["ts"], row["open"], row["volume"]) for row in answer.rows] == [
        (datetime(2024, 1, 1, tzinfo=UTC), 1.1, None),
        (datetime(2024, 1, 1, 0, 3, 0, 500_000, tzinfo=UTC), 1.1, None),
    ]
    assert [row.line for row in answer.rejected] == [3, 4, 5, 6]
    assert answer.rejected[1].reason == "is not a JSON object"
    assert answer.rejected[2].reason == "open '[\"1\"]' is not a number"
    assert answer.rejected[3].reason == "open is empty"


def test_a_column_that_is_not_there_names_what_there_is(tmp_path: Path, ask: Ask) -> None:
    path = put(tmp_path, "Date,Open,High,Low,Last\n2024-01-01,1,1,1,1\n")
    with pytest.raises(SchemaChangedError) as caught:
        ask(yahoo(path), "1d", ["A"])
    told = str(caught.value)
    assert told.startswith(f"{path}: no column for close ('Close'), volume ('Volume')")
    assert "the file has Date, Open, High, Low, Last. Correct `columns:`" in told
    positions = {"ts": 1, "open": 2, "high": 3, "low": 4, "close": 9, "volume": None}
    settings = yahoo(path, header=False, columns=positions)
    with pytest.raises(SchemaChangedError, match=r"close \(position 9\); the file has 5 columns"):
        ask(settings, "1d", ["A"])


def test_optional_columns_may_be_absent(tmp_path: Path, ask: Ask) -> None:
    path = put(tmp_path, "Date,Open,High,Low,Close\n2024-01-01,1,1,1,1\n")
    [row] = ask(yahoo(path, columns={"volume": "Volume?"}), "1d", ["A"]).rows
    assert row["volume"] is None


def test_a_file_without_rows_is_confirmed_no_data(tmp_path: Path, ask: Ask) -> None:
    [page] = ask(yahoo(put(tmp_path, HEADER)), "1d", ["A"]).pages
    assert page.no_data_confirmed
    assert not page.batches
    with pytest.raises(MalformedError, match="has no header line"):
        ask(yahoo(put(tmp_path, "\n\n")), "1d", ["A"])


def test_rows_outside_the_span_or_after_now_are_left_out(tmp_path: Path, ask: Ask) -> None:
    path = put(
        tmp_path, HEADER + days(1, 2, 3) + "2024-01-01,bad,1,1,1,1\n2024-01-02,bad,1,1,1,1\n"
    )
    span = Interval(datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 9, tzinfo=UTC))
    answer = ask(yahoo(path), "1d", ["A"], span=span, now=datetime(2024, 1, 3, tzinfo=UTC))
    assert [ts.day for ts in answer.column("ts")] == [2]
    assert [row.line for row in answer.rejected] == [6]


def test_one_file_may_hold_many_symbols(tmp_path: Path, ask: Ask) -> None:
    content = "Sym,Date,Open,High,Low,Close,Volume\n"
    for symbol in ("b-usd", "A", "C", ""):
        content += f"{symbol},2024-01-01,1,2,0.5,1.5,100\n"
    path = put(tmp_path, content)
    settings = yahoo(path, columns={"symbol": "Sym"}, symbol_names={"B/USD": "b-usd"})
    answer = ask(settings, "1d", ["A", "B/USD"])
    assert answer.column("symbol") == ["A", "B/USD"]
    assert [(row.line, row.reason) for row in answer.rejected] == [(5, "symbol is empty")]
    with pytest.raises(SettingsError, match=r"the path has no \{symbol\} and 2 symbols"):
        ask(yahoo(path), "1d", ["A", "B"])


@pytest.mark.parametrize(
    ("text", "choices", "utc"),
    [
        ("2024-03-10 01:59", {}, "2024-03-10T06:59"),
        ("2024-03-10 02:30", {}, "does not exist in America/New_York"),
        ("2024-03-10 02:30", {"nonexistent": "shift"}, "2024-03-10T07:30"),
        ("2024-03-10 03:00", {}, "2024-03-10T07:00"),
        ("2024-11-03 00:59", {}, "2024-11-03T04:59"),
        ("2024-11-03 01:30", {}, "occurs twice in America/New_York"),
        ("2024-11-03 01:30", {"ambiguous": "earlier"}, "2024-11-03T05:30"),
        ("2024-11-03 01:30", {"ambiguous": "later"}, "2024-11-03T06:30"),
        ("2024-11-03 02:00", {}, "2024-11-03T07:00"),
        ("2024-11-03 01:30-05:00", {}, "2024-11-03T06:30"),
    ],
)
def test_changes_of_clocks_have_a_defined_outcome(
    *, tmp_path: Path, ask: Ask, text: str, choices: dict[str, str], utc: str
) -> None:
    path = put(tmp_path, HEADER + f"{text},1,1,1,1,1\n")
    answer = ask(yahoo(path, zone="America/New_York", **choices), "1min", ["A"])
    if answer.rejected:
        assert utc in answer.rejected[0].reason
    else:
        assert [ts.isoformat()[:16] for ts in answer.column("ts")] == [utc]


def test_stooq_files_of_both_kinds_are_read(tmp_path: Path, ask: Ask) -> None:
    put(tmp_path, HEADER + days(1), "a.us.txt")
    bulk = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
    put(tmp_path, bulk + "B.US,D,20240102,000000,1,2,0.5,1.5,100,0\n", "b.us.txt")
    put(tmp_path, bulk + "C.US,5,20240102,153000,1,2,0.5,1.5,100,0\n", "c.us.txt")
    daily = ask({"profile": "stooq", "root": str(tmp_path)}, "1d", ["A", "B"])
    assert daily.column("ts") == [datetime(2024, 1, n, tzinfo=UTC) for n in (1, 2)]
    minutes = ask({"profile": "stooq", "root": str(tmp_path)}, "5min", ["C"])
    assert minutes.column("ts") == [datetime(2024, 1, 2, 14, 30, tzinfo=UTC)]


def test_a_changed_file_is_read_again_from_its_start(tmp_path: Path, ask: Ask) -> None:
    path = put(tmp_path, HEADER + days(1, 2, 3, 4))
    first = ask(yahoo(path), "1d", ["A"], batch_rows=2)
    assert len(first.pages) == 2
    cursor = first.pages[0].cursor
    rest = ask(yahoo(path), "1d", ["A"], batch_rows=2, cursor=cursor)
    assert [ts.day for ts in rest.column("ts")] == [3, 4]
    put(tmp_path, HEADER + days(1, 2, 3, 4, 5))
    again = ask(yahoo(path), "1d", ["A"], batch_rows=2, cursor=cursor)
    assert [ts.day for ts in again.column("ts")] == [1, 2, 3, 4, 5]
    with pytest.raises(FatalError, match="was not made by this provider"):
        ask(yahoo(path), "1d", ["A"], cursor="nonsense")


def test_bars_shorter_than_a_day_need_a_time_of_day(tmp_path: Path, ask: Ask) -> None:
    content = HEADER + days(1) + "2024-01-02 10:00,1,2,0.5,1.5,100\n2024-01-02 00:00,1,2,1,1,1\n"
    answer = ask(yahoo(put(tmp_path, content)), "1h", ["A"])
    assert [ts.hour for ts in answer.column("ts")] == [0, 10]
    [row] = answer.rejected
    assert row.reason.startswith("ts '2024-01-01' has no time of day")


def test_a_width_that_the_files_do_not_hold_is_refused(tmp_path: Path, ask: Ask) -> None:
    with pytest.raises(SettingsError, match="asks for bars of 1min, the files hold 1d"):
        ask({"profile": "lean-daily", "root": str(tmp_path)}, "1min", ["A"])


def test_numbers_may_stand_for_nothing(tmp_path: Path, ask: Ask) -> None:
    content = HEADER + "2024-01-01,1,1,1,1,-9999\n2024-01-02,-9999.0,1,1,1,5\n"
    answer = ask(yahoo(put(tmp_path, content), nulls=["-9999", ""]), "1d", ["A"])
    assert answer.column("volume") == [None]
    assert [row.reason for row in answer.rejected] == ["open is empty"]
