"""Laws of parsing: numbers are correctly rounded, times agree with datetime and zoneinfo."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbell.sdk.values import BarWidth, to_us
from openbell_provider_files.formats import compile_format
from openbell_provider_files.instants import Timekeeper
from openbell_provider_files.numbers import NumberStyle, mean, to_numbers
from openbell_provider_files.settings import FilesSettings
from openbell_provider_files.texts import parse_moments
from openbell_provider_files.zones import to_local, to_utc

pytestmark = pytest.mark.property

ZONES = (
    "America/New_York", "Europe/London", "Europe/Warsaw", "Australia/Lord_Howe", "Asia/Tokyo",
    "Africa/Casablanca", "Pacific/Apia", "America/Sao_Paulo", "Asia/Kolkata", "UTC",
)  # fmt: skip
decimals = st.decimals(-(10**9), 10**9, places=6).map(str)
quotes = st.decimals(0, 10**6, places=6).map(str)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31))  # noqa: DTZ001 - local on purpose


@given(texts=st.lists(decimals, min_size=1), scale=st.sampled_from([1, 10, 100, 10_000, 1_000_000]))
def test_scaled_text_is_the_nearest_float(texts: list[str], scale: int) -> None:
    numbers = to_numbers(pa.array(texts), NumberStyle(), float(scale))
    assert not numbers.bad.any()
    assert numbers.values.tolist() == [float(Fraction(text) / scale) for text in texts]


@given(
    whole=st.integers(-(10**12), 10**12),
    digits=st.text("0123456789", max_size=6),
    style=st.sampled_from([(",", "."), (",", " "), (".", ","), (".", "'"), (".", "_")]),
)
def test_separators_change_nothing(whole: int, digits: str, style: tuple[str, str]) -> None:
    point, group = style
    text = f"{whole:,}".replace(",", group) + (point + digits if digits else "")
    column = pa.array([text, "x"])
    numbers = to_numbers(column, NumberStyle(decimal=point, thousands=group))
    assert numbers.values[0] == float(f"{whole}.{digits or 0}")
    assert numbers.bad.tolist() == [False, True]


@given(values=st.lists(st.decimals(-(10**7), 10**7, places=4), min_size=1))
def test_decimal_columns_are_the_nearest_float(values: list[Decimal]) -> None:
    numbers = to_numbers(pa.array(values, pa.decimal128(18, 4)), NumberStyle())
    assert numbers.values.tolist() == [float(value) for value in values]


@given(st.lists(st.tuples(quotes, quotes), min_size=1))
def test_the_mean_of_prices_is_the_nearest_float(pairs: list[tuple[str, str]]) -> None:
    columns = [np.array([float(pair[side]) for pair in pairs]) for side in (0, 1)]
    expected = [float((Fraction(bid) + Fraction(offer)) / 2) for bid, offer in pairs]
    assert mean(columns).tolist() == expected


@given(text=st.text(max_size=12))
def test_a_number_is_read_as_python_reads_it_or_refused(text: str) -> None:
    numbers = to_numbers(pa.array([text.encode(errors="replace").decode()]), NumberStyle())
    if not numbers.bad[0] and not numbers.null[0]:
        assert numbers.values[0] == float(text)


@settings(deadline=None)  # the first use of a zone builds its table
@given(local=st.lists(moments, min_size=1), zone=st.sampled_from(ZONES))
def test_local_times_become_the_instants_of_zoneinfo(local: list[datetime], zone: str) -> None:
    _check_zone(local, zone)


@settings(deadline=None)
@given(
    zone=st.sampled_from(["America/New_York", "Europe/London", "Australia/Lord_Howe"]),
    year=st.integers(1975, 2036),
    minutes=st.lists(st.integers(-200, 200), min_size=1),
)
def test_instants_agree_around_every_change_of_clocks(
    zone: str, year: int, minutes: list[int]
) -> None:
    info = ZoneInfo(zone)
    day = datetime(year, 1, 1, tzinfo=UTC)
    for _ in range(366):
        following = day + timedelta(days=1)
        if day.astimezone(info).utcoffset() != following.astimezone(info).utcoffset():
            start = day.astimezone(info).replace(tzinfo=None)
            local = [
                start + timedelta(hours=h, minutes=m) for h in (0, 6, 12, 18, 24) for m in minutes
            ]
            _check_zone(local, zone)
        day = following


def _check_zone(local: list[datetime], zone: str) -> None:
    info = ZoneInfo(zone)
    wall_us = np.array([to_us(at.replace(tzinfo=UTC)) for at in local])
    result = to_utc(wall_us, zone)
    for index, at in enumerate(local):
        first = to_us(at.replace(tzinfo=info, fold=0).astimezone(UTC))
        later = to_us(at.replace(tzinfo=info, fold=1).astimezone(UTC))
        returns = to_local(np.array([first]), zone)[0] == wall_us[index]
        assert result.utc_us[index] == first
        assert result.nonexistent[index] == (not returns)
        assert result.ambiguous[index] == (returns and later != first)
        if result.ambiguous[index]:
            assert result.later_us[index] == later


@given(
    at=st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - local on purpose
    pattern=st.sampled_from(
        [
            "%Y%m%d %H:%M", "%Y%m%d %H%M%S", "%m/%d/%Y %H:%M", "%d.%m.%Y", "%d-%b-%Y %H:%M:%S",
            "%Y-%m-%dT%H:%M:%S.%f", "%B %d, %Y %I:%M %p", "%Y-%m-%d",
        ]
    ),
)  # fmt: skip
def test_a_pattern_reads_what_strftime_wrote(at: datetime, pattern: str) -> None:
    text = at.strftime(pattern)
    back = datetime.strptime(text, pattern).replace(tzinfo=UTC)
    read = parse_moments(pa.array([text, None, "x"]), compile_format(pattern, "ts"), has_date=True)
    assert read.ok.tolist() == [True, False, False]
    assert read.day[0] * 86_400_000_000 + read.of_day_us[0] == to_us(back)


@given(year=st.integers(1800, 2200), month=st.integers(0, 13), day=st.integers(0, 32))
def test_only_days_of_the_calendar_are_dates(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}"
    read = parse_moments(pa.array([text]), compile_format("iso", "date"), has_date=True)
    try:
        expected = (date(year, month, day) - date(1970, 1, 1)).days
    except ValueError:
        assert not read.ok[0]
    else:
        assert read.ok[0]
        assert read.day[0] == expected


@given(
    at=st.datetimes(
        datetime(1900, 1, 1), datetime(2100, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    ),
    separator=st.sampled_from("T "),
)  # fmt: skip
def test_an_offset_in_the_text_decides_the_instant_and_the_written_day_the_label(
    at: datetime, separator: str
) -> None:
    text = pa.array([at.isoformat(separator)])
    files = FilesSettings.model_validate(
        {"profile": "yahoo-csv", "zone": "Asia/Tokyo", "path": "x.csv"}
    )
    clock = Timekeeper(files)
    instant = clock.bar_times({"ts": text}, day=None, width=BarWidth.parse("1min"))
    label = clock.bar_times({"ts": text}, day=None, width=BarWidth.parse("1d"))
    assert instant.ts_us[0] == to_us(at)
    assert label.ts_us[0] == to_us(datetime(at.year, at.month, at.day, tzinfo=UTC))
    assert (instant.why[0], label.why[0]) == (0, 0)
