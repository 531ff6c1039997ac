"""Real files against an independent reading with csv, zipfile and zoneinfo."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from openbell.sdk.values import EPOCH, Interval, SessionTable, to_us

pytestmark = pytest.mark.integration

Ask = Callable[..., Any]
NEW_YORK = ZoneInfo("America/New_York")
PRICES = ("open", "high", "low", "close")
EQUITY = "lean/equity/usa"


def zipped(path: Path) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive:
        [name] = archive.namelist()
        return list(csv.reader(io.StringIO(archive.read(name).decode())))


def plain(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file, delimiter=delimiter))


def exact(text: str, scale: int = 1) -> float:
    """The float nearest to the true decimal, by exact arithmetic."""
    return float(Fraction(text) / scale)


def mid(bid: str, ask: str) -> float:
    return float((Fraction(bid) + Fraction(ask)) / 2)


def label(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)


def sessions(*days: date) -> SessionTable:
    """Sessions from 09:30 to 16:00 in New York."""

    def at(day: date, hour: int, minute: int) -> int:
        return to_us(datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK))

    return SessionTable(
        calendar="XNYS",
        labels_day=tuple((day - EPOCH.date()).days for day in days),
        opens_us=tuple(at(day, 9, 30) for day in days),
        closes_us=tuple(at(day, 16, 0) for day in days),
    )


def span(first: date, days: int) -> Interval:
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return Interval(start, start + timedelta(days=days))


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["ts"], *(row[name] for name in PRICES), row["volume"]) for row in rows]


@pytest.mark.parametrize(
    ("symbol", "row_count", "first_close", "last_close"),
    [
        ("AAPL", 5849, 16.25, 122.15),
        ("SPY", 5849, 97.36, 396.33),
        ("IBM", 5849, 105.75, 133.26),
        ("BAC", 5849, 73.63, 38.69),
    ],
)
def test_lean_daily_bars_equal_the_file(
    *, real: Path, ask: Ask, symbol: str, row_count: int, first_close: float, last_close: float
) -> None:
    root = real / EQUITY / "daily"
    answer = ask({"profile": "lean-daily", "root": str(root)}, "1d", [symbol])
    expected = [
        (
            datetime.strptime(when, "%Y%m%d %H:%M").replace(tzinfo=UTC),
            *(exact(price, 10_000) for price in prices),
            float(volume),
        )
        for when, *prices, volume in zipped(root / f"{symbol.lower()}.zip")
    ]
    assert told(answer.rows) == expected
    assert answer.rejected == []
    assert len(expected) == row_count
    assert answer.rows[0]["ts"] == label("1998-01-02")
    assert answer.rows[-1]["ts"] == label("2021-03-31")
    assert (answer.rows[0]["close"], answer.rows[-1]["close"]) == (first_close, last_close)


def of_day(path: Path, day: date, zone: Any, scale: int) -> Iterator[tuple[Any, ...]]:
    for offset_ms, *prices, volume in zipped(path):
        local = datetime(day.year, day.month, day.day) + timedelta(milliseconds=int(offset_ms))  # noqa: DTZ001 - local on purpose
        utc = local.replace(tzinfo=zone).astimezone(UTC)
        yield (utc, *(exact(price, scale) for price in prices), float(volume))


@pytest.mark.parametrize(
    ("symbol", "days", "row_count"),
    [
        ("SPY", [date(2013, 10, 7), date(2013, 10, 8)], 1656),
        ("AAPL", [date(2014, 6, 6), date(2014, 6, 9)], 1617),
    ],
)
def test_lean_minutes_are_utc_instants(
    *, real: Path, ask: Ask, symbol: str, days: list[date], row_count: int
) -> None:
    root = real / EQUITY / "minute"
    answer = ask(
        {"profile": "lean-minute", "root": str(root)},
        "1min",
        [symbol],
        span=span(days[0], 5),
        sessions=sessions(*days),
    )
    expected = [
        row
        for day in days
        for row in of_day(root / symbol.lower() / f"{day:%Y%m%d}_trade.zip", day, NEW_YORK, 10_000)
    ]
    assert told(answer.rows) == expected
    assert len(expected) == row_count
    at_open = datetime(days[0].year, days[0].month, days[0].day, 13, 30, tzinfo=UTC)
    assert at_open in answer.column("ts"), "09:30 in New York is 13:30 UTC in summer"


def test_apple_minutes_show_the_split_of_2014_unadjusted(real: Path, ask: Ask) -> None:
    days = [date(2014, 6, 6), date(2014, 6, 9)]
    answer = ask(
        {"profile": "lean-minute", "root": str(real / EQUITY / "minute")},
        "1min",
        ["AAPL"],
        span=span(days[0], 5),
        sessions=sessions(*days),
    )
    last = max(row["close"] for row in answer.rows if row["ts"].day == 6)
    first = max(row["close"] for row in answer.rows if row["ts"].day == 9)
    assert last / first == pytest.approx(7, rel=0.05)


def test_a_missing_session_is_left_out_and_told(
    real: Path, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(
        {"profile": "lean-minute", "root": str(real / EQUITY / "minute")},
        "1min",
        ["SPY"],
        span=span(date(2013, 10, 7), 5),
        sessions=sessions(date(2013, 10, 7), date(2013, 10, 8), date(2013, 10, 9)),
    )
    assert len(answer.rows) == 1656
    assert "left out 1 files that are not there" in caplog.text
    assert "20131009_trade.zip (symbol SPY)" in caplog.text


def test_lean_hours_follow_daylight_saving(real: Path, ask: Ask) -> None:
    root = real / EQUITY / "hour"
    answer = ask({"profile": "lean-hour", "root": str(root)}, "1h", ["AAPL"])
    expected = [
        (
            datetime.strptime(when, "%Y%m%d %H:%M").replace(tzinfo=NEW_YORK).astimezone(UTC),
            *(exact(price, 10_000) for price in prices),
            float(volume),
        )
        for when, *prices, volume in zipped(root / "aapl.zip")
    ]
    assert told(answer.rows) == expected
    assert len(expected) == 40_831
    assert {ts.hour for ts in answer.column("ts")} == {13, 14, 15, 16, 17, 18, 19, 20}


def test_lean_seconds_equal_the_file(real: Path, ask: Ask) -> None:
    root, day = real / EQUITY / "second", date(2013, 10, 7)
    answer = ask(
        {"profile": "lean-second", "root": str(root)},
        "1s",
        ["BAC", "SPY"],
        span=span(day, 2),
        sessions=sessions(day),
        batch_rows=5_000,
    )
    expected = [
        row
        for symbol in ("bac", "spy")
        for row in of_day(root / symbol / "20131007_trade.zip", day, NEW_YORK, 10_000)
    ]
    assert told(answer.rows) == expected
    assert len(expected) == 28_990
    assert max(batch.num_rows for page in answer.pages for batch in page.batches) == 5_000


def test_crypto_minutes_and_days_are_unscaled_utc(real: Path, ask: Ask) -> None:
    root, days = real / "lean/crypto/coinbase", [date(2018, 4, 4), date(2018, 4, 5)]
    minutes = ask(
        {"profile": "lean-crypto-minute", "root": str(root / "minute")},
        "1min",
        ["BTCUSD"],
        span=span(days[0], 2),
        sessions=sessions(*days),
    )
    expected = [
        row
        for day in days
        for row in of_day(root / "minute/btcusd" / f"{day:%Y%m%d}_trade.zip", day, UTC, 1)
    ]
    assert told(minutes.rows) == expected
    daily = ask({"profile": "lean-crypto-daily", "root": str(root / "daily")}, "1d", ["BTCUSD"])
    assert len(daily.rows) == len(zipped(root / "daily/btcusd_trade.zip")) == 1318
    assert daily.rows[0]["ts"] == label("2014-12-01")
    assert daily.rows[-1]["close"] == 6253.67


def test_currency_minutes_are_mid_prices_and_sunday_is_read(real: Path, ask: Ask) -> None:
    root = real / "lean/forex/oanda/minute"
    answer = ask(
        {"profile": "lean-forex-minute", "root": str(root)},
        "1min",
        ["EURUSD"],
        span=span(date(2014, 5, 1), 5),
        sessions=sessions(date(2014, 5, 1), date(2014, 5, 2)),
    )
    expected = []
    for day in (date(2014, 5, 1), date(2014, 5, 2), date(2014, 5, 4)):
        for cells in zipped(root / "eurusd" / f"{day:%Y%m%d}_quote.zip"):
            at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
                milliseconds=int(cells[0])
            )
            mids = (mid(cells[column], cells[column + 5]) for column in range(1, 5))
            expected.append((at, *mids, None))
    assert told(answer.rows) == expected
    assert len(expected) == 2742


def test_currency_days_are_mid_prices(real: Path, ask: Ask) -> None:
    root = real / "lean/forex/oanda/daily"
    pairs = ["EURUSD", "GBPUSD", "NZDUSD", "EURGBP"]
    answer = ask({"profile": "lean-forex-daily", "root": str(root)}, "1d", pairs)
    for pair in pairs:
        got = [row for row in answer.rows if row["symbol"] == pair]
        expected = [
            (
                datetime.strptime(cells[0], "%Y%m%d %H:%M").replace(tzinfo=UTC),
                *(mid(cells[column], cells[column + 5]) for column in range(1, 5)),
                None,
            )
            for cells in zipped(root / f"{pair.lower()}.zip")
        ]
        assert told(got) == expected


@pytest.mark.parametrize(
    ("symbol", "row_count", "first", "last"),
    [
        ("GOOG", 3379, "2004-08-19", "2018-01-19"),
        ("INTC", 2335, "1995-01-03", "2004-04-08"),
        ("AAPL", 3379, "2004-08-19", "2018-01-19"),
    ],
)
def test_yahoo_days_equal_the_file(
    *, real: Path, ask: Ask, symbol: str, row_count: int, first: str, last: str
) -> None:
    root = real / "mplfinance"
    answer = ask(
        {"profile": "yahoo-csv", "root": str(root), "path": "yahoofinance-{symbol}-*.csv"},
        "1d",
        [symbol],
    )
    [path] = root.glob(f"yahoofinance-{symbol}-*.csv")
    expected = [
        (label(cells[0]), *(exact(cell) for cell in cells[1:5]), float(cells[6]))
        for cells in plain(path)[1:]
    ]
    assert told(answer.rows) == expected
    assert len(expected) == row_count
    assert (answer.rows[0]["ts"], answer.rows[-1]["ts"]) == (label(first), label(last))


def test_ninjatrader_minutes_are_utc_and_stamped_at_their_end(real: Path, ask: Ask) -> None:
    root = real / "pyalgotrade"
    settings = {"profile": "ninjatrader", "root": str(root), "path": "nt-spy-minute-2011.csv"}
    answer = ask(settings, "1min", ["SPY"])
    expected = [
        (
            datetime.strptime(cells[0], "%Y%m%d %H%M%S").replace(tzinfo=UTC) - timedelta(minutes=1),
            *(exact(cell) for cell in cells[1:5]),
            float(cells[5]),
        )
        for cells in plain(root / "nt-spy-minute-2011.csv", ";")
    ]
    assert told(answer.rows) == expected
    assert len(expected) == 14_180
    volumes = dict(zip(answer.column("ts"), answer.column("volume"), strict=True))
    assert volumes[datetime(2011, 1, 3, 14, 30, tzinfo=UTC)] > 2_000_000, (
        "the first minute after 09:30 in New York, with the opening auction"
    )
    assert volumes[datetime(2011, 1, 3, 14, 29, tzinfo=UTC)] < 100_000


@pytest.mark.parametrize(
    ("path", "date_format"),
    [
        ("orcl-2000-yahoofinance.csv", "%Y-%m-%d"),
        ("spy-2010-yahoofinance.csv", "%Y-%m-%d"),
        ("WIKI-ORCL-2000-quandl.csv", "%Y-%m-%d"),
        ("orcl-2010-googlefinance.csv", "%d-%b-%y"),
    ],
)
def test_files_with_the_newest_first_come_out_sorted(
    real: Path, ask: Ask, path: str, date_format: str
) -> None:
    root = real / "pyalgotrade"
    settings = {"profile": "yahoo-csv", "root": str(root), "path": path, "ts_format": date_format}
    answer = ask(settings, "1d", ["X"])
    lines = [cells for cells in plain(root / path)[1:] if cells]
    expected = [
        (
            datetime.strptime(cells[0], date_format).replace(tzinfo=UTC),
            *(exact(cell) for cell in cells[1:5]),
            float(cells[5]),
        )
        for cells in lines
    ]
    assert expected == sorted(expected, reverse=True), "the file is newest first"
    assert told(answer.rows) == expected[::-1]
    assert answer.rejected == []


def test_half_hours_of_bitstamp_and_minutes_with_american_dates(real: Path, ask: Ask) -> None:
    bitcoin = ask(
        {
            "profile": "yahoo-csv",
            "root": str(real / "pyalgotrade"),
            "path": "30min-bitstampUSD-2.csv",
            "columns": {"ts": "Date Time"},
        },
        "30min",
        ["BTCUSD"],
    )
    assert len(bitcoin.rows) == 1968
    assert bitcoin.rows[0]["ts"] == datetime(2014, 6, 23, 22, tzinfo=UTC)
    index = ask(
        {
            "profile": "yahoo-csv",
            "root": str(real / "mplfinance"),
            "path": "SP500_NOV2019_IDay.csv",
            "zone": "America/New_York",
            "ts_format": "%m/%d/%Y %H:%M",
        },
        "1min",
        ["SP500"],
    )
    expected = [
        datetime.strptime(cells[0], "%m/%d/%Y %H:%M").replace(tzinfo=NEW_YORK).astimezone(UTC)
        for cells in plain(real / "mplfinance/SP500_NOV2019_IDay.csv")[1:]
    ]
    assert index.column("ts") == expected
    assert index.rows[0]["ts"] == datetime(2019, 11, 5, 14, 30, tzinfo=UTC), "winter time"


def test_every_yahoo_defect_file_is_read_and_its_empty_rows_are_rejected(
    real: Path, ask: Ask
) -> None:
    for path in sorted((real / "yahoo_defects").glob("*.csv")):
        interval = path.name.split("-")[-4] if "15m" not in path.name else "15min"
        width = "15min" if interval == "15min" else "1d"
        settings = {"profile": "yahoo-csv", "root": str(path.parent), "path": path.name}
        answer = ask(settings, width, ["X"])
        header, *lines = plain(path)
        opens = header.index("Open")
        expected, empty = [], []
        for number, cells in enumerate(lines, start=2):
            local = datetime.fromisoformat(cells[0])
            ts = local.replace(tzinfo=UTC, hour=0) if width == "1d" else local.astimezone(UTC)
            if cells[opens] == "":
                empty.append((number, ",".join(cells)))
            else:
                values = [exact(cells[header.index(name.title())]) for name in PRICES]
                expected.append((ts, *values, float(cells[header.index("Volume")])))
        assert told(answer.rows) == sorted(expected), path.name
        assert [(row.line, row.raw) for row in answer.rejected] == empty, path.name
        assert all(row.reason == "open is empty" for row in answer.rejected)
