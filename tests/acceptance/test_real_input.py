"""The main job on real files: every bar of every file, at the right instant and price, once."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from doubles.commands import Mdp

pytestmark = pytest.mark.acceptance

NEW_YORK = ZoneInfo("America/New_York")

CONFIG = """
version: 2
providers:
  lean_daily:  {{type: files, profile: lean-daily, root: {data}/lean/equity/usa/daily}}
  lean_minute: {{type: files, profile: lean-minute, root: {data}/lean/equity/usa/minute}}
  yahoo:       {{type: files, profile: yahoo-csv, root: {data}/mplfinance, path: "yahoofinance-{{symbol}}-*.csv"}}
  ninjatrader: {{type: files, profile: ninjatrader, root: {data}/pyalgotrade, path: "nt-{{symbol:lower}}-minute-2011.csv"}}
  fx:          {{type: files, profile: lean-forex-daily, root: {data}/lean/forex/oanda/daily}}
  coinbase:    {{type: files, profile: lean-crypto-minute, root: {data}/lean/crypto/coinbase/minute}}
storage:
  primary: {{type: lake, uri: ./lake, write: {{batch_size: 5000}}}}
datasets:
  daily: {{provider: lean_daily, schema: bars_ohlcv, symbols: [AAPL, SPY, IBM, BAC], interval: 1d, calendar: XNYS}}
  spy:   {{provider: lean_minute, schema: bars_ohlcv, symbols: [SPY], interval: 1min, calendar: XNYS}}
  aapl:  {{provider: lean_minute, schema: bars_ohlcv, symbols: [AAPL], interval: 1min, calendar: XNYS}}
  yahoo: {{provider: yahoo, schema: bars_ohlcv, symbols: [GOOG, INTC], interval: 1d, calendar: XNYS}}
  nt:    {{provider: ninjatrader, schema: bars_ohlcv, symbols: [SPY], interval: 1min, calendar: XNYS}}
  fx:    {{provider: fx, schema: bars_ohlcv, symbols: [EURUSD], interval: 1d, calendar: 24/7}}
  btc:   {{provider: coinbase, schema: bars_ohlcv, symbols: [BTCUSD], interval: 1min, calendar: 24/7}}
jobs:
  daily: {{dataset: daily, mode: backfill, from: 1998-01-02, to: 2021-03-31}}
  spy:   {{dataset: spy, mode: backfill, from: 2013-10-07, to: 2013-10-08}}
  aapl:  {{dataset: aapl, mode: backfill, from: 2014-06-06, to: 2014-06-09}}
  yahoo: {{dataset: yahoo, mode: backfill, from: 1995-01-01, to: 2018-01-31}}
  nt:    {{dataset: nt, mode: backfill, from: 2011-01-03, to: 2011-01-31}}
  fx:    {{dataset: fx, mode: backfill, from: 2007-01-01, to: 2018-12-31}}
  btc:   {{dataset: btc, mode: backfill, from: 2018-04-04, to: 2018-04-05}}
"""


class Bar(NamedTuple):
    symbol: str
    ts: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


def zipped(path: Path) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return list(csv.reader(io.StringIO(text)))


def lean_daily(data: Path) -> Iterator[Bar]:
    for symbol in ("AAPL", "BAC", "IBM", "SPY"):
        for row in zipped(data / f"lean/equity/usa/daily/{symbol.lower()}.zip"):
            ts = datetime.strptime(row[0][:8], "%Y%m%d").replace(tzinfo=UTC)
            prices = [int(text) / 10_000 for text in row[1:5]]
            yield Bar(symbol, ts, *prices, float(row[5]))


def lean_minutes(data: Path, symbol: str, days: list[str]) -> Iterator[Bar]:
    for day in days:
        midnight = datetime.strptime(day, "%Y%m%d").replace(tzinfo=NEW_YORK)
        for row in zipped(data / f"lean/equity/usa/minute/{symbol.lower()}/{day}_trade.zip"):
            seconds = int(row[0]) // 1000
            local = midnight.replace(hour=seconds // 3600, minute=seconds % 3600 // 60)
            prices = [int(text) / 10_000 for text in row[1:5]]
            yield Bar(symbol, local.astimezone(UTC), *prices, float(row[5]))


def yahoo(data: Path) -> Iterator[Bar]:
    for symbol in ("GOOG", "INTC"):
        (path,) = (data / "mplfinance").glob(f"yahoofinance-{symbol}-*.csv")
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                ts = datetime.strptime(row["Date"], "%Y-%m-%d").replace(tzinfo=UTC)
                prices = [float(row[name]) for name in ("Open", "High", "Low", "Close")]
                yield Bar(symbol, ts, *prices, float(row["Volume"]))


def ninjatrader(data: Path) -> Iterator[Bar]:
    with (data / "pyalgotrade/nt-spy-minute-2011.csv").open(newline="") as file:
        for row in csv.reader(file, delimiter=";"):
            end = datetime.strptime(row[0], "%Y%m%d %H%M%S").replace(tzinfo=UTC)
            yield Bar("SPY", end - timedelta(minutes=1), *map(float, row[1:6]))


def forex(data: Path) -> Iterator[Bar]:
    for row in zipped(data / "lean/forex/oanda/daily/eurusd.zip"):
        ts = datetime.strptime(row[0][:8], "%Y%m%d").replace(tzinfo=UTC)
        sides = [float(text) for text in row[1:5]], [float(text) for text in row[6:10]]
        mid = [(bid + ask) / 2 for bid, ask in zip(*sides, strict=True)]
        yield Bar("EURUSD", ts, *mid, 0.0)


def crypto(data: Path) -> Iterator[Bar]:
    for day in ("20180404", "20180405"):
        midnight = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
        for row in zipped(data / f"lean/crypto/coinbase/minute/btcusd/{day}_trade.zip"):
            ts = midnight + timedelta(milliseconds=int(row[0]))
            yield Bar("BTCUSD", ts, *map(float, row[1:6]))


EXPECTED: dict[str, Any] = {
    "daily": lean_daily,
    "spy": lambda data: lean_minutes(data, "SPY", ["20131007", "20131008"]),
    "aapl": lambda data: lean_minutes(data, "AAPL", ["20140606", "20140609"]),
    "yahoo": yahoo,
    "nt": ninjatrader,
    "btc": crypto,
}


def stored(mdp: Mdp, dataset: str) -> list[Bar]:
    text = mdp.run("data", "read", dataset, "--config", "real.yaml", "-o", "csv").stdout
    return [
        Bar(
            row["symbol"],
            datetime.fromisoformat(row["ts"]),
            *(float(row[name]) for name in ("open", "high", "low", "close")),
            float(row["volume"] or 0),
        )
        for row in csv.DictReader(io.StringIO(text))
    ]


@pytest.mark.parametrize("job", EXPECTED)
def test_every_bar_of_the_files_is_stored_once_as_it_is(
    mdp: Mdp, shared_data: Path, job: str
) -> None:
    mdp.write("real.yaml", CONFIG.format(data=shared_data))
    expected = sorted(EXPECTED[job](shared_data))
    first = mdp.json("backfill", "--config", "real.yaml", "--job", job)
    assert (first["state"], first["rows_in"]) == ("success", len(expected))
    assert first["rows_written"] + first["rows_quarantined"] == len(expected)
    found = stored(mdp, job)
    assert len(found) == first["rows_written"]
    if first["rows_quarantined"] == 0:
        assert found == expected
    assert set(found) <= set(expected)

    again = mdp.json("backfill", "--config", "real.yaml", "--job", job)
    assert (again["rows_written"], again["rows_unchanged"]) == (0, len(found))
    assert stored(mdp, job) == found


def test_known_bars_stand_where_the_exchange_traded_them(mdp: Mdp, shared_data: Path) -> None:
    mdp.write("real.yaml", CONFIG.format(data=shared_data))
    for job in ("daily", "spy", "aapl"):
        mdp.run("backfill", "--config", "real.yaml", "--job", job)
    daily = {(b.symbol, b.ts): b for b in stored(mdp, "daily")}
    first = daily["AAPL", datetime(1998, 1, 2, tzinfo=UTC)]
    assert first[2:] == (13.63, 16.25, 13.5, 16.25, 6_315_000)
    last = daily["SPY", datetime(2021, 3, 31, tzinfo=UTC)]
    assert last[2:6] == (395.35, 398.0, 395.33, 396.33)
    minutes = stored(mdp, "spy")
    assert minutes[0].ts == datetime(2013, 10, 7, 8, 0, tzinfo=UTC), "04:00 in New York's summer"
    assert minutes[-1].ts == datetime(2013, 10, 8, 23, 59, tzinfo=UTC)
    split = stored(mdp, "aapl")
    before = [b.close for b in split if b.ts.date().day == 6]
    after = [b.close for b in split if b.ts.date().day == 9]
    assert 6.5 < before[-1] / after[-1] < 7.5, "the 7:1 split of 2014-06-09 is raw"


def test_changed_files_change_just_the_changed_rows(mdp: Mdp, shared_data: Path) -> None:
    (mdp.folder / "mplfinance").mkdir()
    for path in (shared_data / "mplfinance").glob("yahoofinance-*.csv"):
        shutil.copyfile(path, mdp.folder / "mplfinance" / path.name)
    mdp.write("real.yaml", CONFIG.format(data=mdp.folder))
    mdp.run("backfill", "--config", "real.yaml", "--job", "yahoo")
    before = stored(mdp, "yahoo")
    (path,) = (mdp.folder / "mplfinance").glob("yahoofinance-GOOG-*.csv")
    lines = path.read_text().splitlines()
    lines[10] = lines[10].rsplit(",", 1)[0] + ",1234567"
    lines[2000] = lines[2000].rsplit(",", 1)[0] + ",7654321"
    path.write_text("\n".join(lines) + "\n")
    changed = mdp.json("backfill", "--config", "real.yaml", "--job", "yahoo")
    assert (changed["rows_written"], changed["rows_unchanged"]) == (2, len(before) - 2)
    after = stored(mdp, "yahoo")
    assert len(set(after) - set(before)) == 2
    assert {b.volume for b in set(after) - set(before)} == {1_234_567.0, 7_654_321.0}


def test_rows_that_cannot_be_read_are_held_with_their_place_and_the_rest_is_stored(
    mdp: Mdp, shared_data: Path
) -> None:
    (mdp.folder / "mplfinance").mkdir()
    (source,) = (shared_data / "mplfinance").glob("yahoofinance-GOOG-*.csv")
    target = mdp.folder / "mplfinance" / source.name
    lines = source.read_text().splitlines()[:100]
    lines[5] = lines[5].replace(",", ";")
    lines[7] = "2004-08-30,not a number,1,1,1,1,1"
    target.write_text("\n".join(lines) + "\n")
    text = CONFIG.format(data=mdp.folder).replace("[GOOG, INTC]", "[GOOG]")
    mdp.write("real.yaml", text)
    summary = mdp.json("backfill", "--config", "real.yaml", "--job", "yahoo")
    assert (summary["rows_written"], summary["rows_quarantined"]) == (97, 2)
    (held,) = (mdp.state / "quarantine").rglob("*.jsonl")
    text = held.read_text()
    assert '"line":6' in text
    assert '"line":8' in text
    assert "not a number" in text
    assert source.name in text
