"""Settings: profiles, overrides, and what a wrong value is told."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from openbell_provider_files import openbell_register_providers
from openbell_provider_files.profiles import PROFILES
from openbell_provider_files.settings import FilesSettings
from openbell_provider_files.template import PathTemplate, TemplateError, check_symbol

pytestmark = pytest.mark.unit

BARS = {"ts": "t", "open": "o", "high": "h", "low": "l", "close": "c"}


def settings(**changes: Any) -> FilesSettings:
    return FilesSettings.model_validate({"path": "{symbol}.csv", "columns": BARS, **changes})


def test_the_plugin_registers_the_type_files() -> None:
    [spec] = openbell_register_providers()
    assert spec.name == "files"
    assert spec.settings_model is FilesSettings


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_profile_is_complete_in_itself(name: str) -> None:
    assert FilesSettings.model_validate({"profile": name}).mapping


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_settings_survive_the_way_to_a_worker(name: str) -> None:
    given = FilesSettings.model_validate({"profile": name, "columns": {"volume": None}})
    assert FilesSettings.model_validate(given.model_dump(mode="json")) == given
    assert "volume" not in given.mapping


def test_a_key_of_the_configuration_wins_over_the_profile() -> None:
    given = FilesSettings.model_validate(
        {"profile": "lean-daily", "price_scale": 1, "columns": {"volume": 7}}
    )
    assert given.price_scale == 1
    assert given.mapping["volume"] == 7
    assert given.mapping["open"] == 2


def test_another_way_to_tell_the_time_replaces_the_profile_s() -> None:
    given = FilesSettings.model_validate(
        {"profile": "stooq", "columns": {"ts": "Stamp"}, "ts_format": "epoch_s"}
    )
    assert given.mapping["ts"] == "Stamp"
    assert not {"date", "time"} & set(given.mapping)
    parts = {"profile": "yahoo-csv", "columns": {"date": "Date", "time": "Time"}}
    assert "ts" not in FilesSettings.model_validate(parts).mapping


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"profile": "leen-daily"}, "profile 'leen-daily' is unknown; there are lean-daily"),
        ({"path": "/etc/{symbol}"}, "must be relative to `root`"),
        ({"path": "../{symbol}.csv"}, "must not leave `root`"),
        ({"path": "{sybol}.csv"}, "{sybol} is not known; there are {symbol} and {date:FORMAT}"),
        ({"path": "{symbol:title}.csv"}, "write {symbol}, {symbol:lower} or {symbol:upper}"),
        ({"path": "{symbol!r}.csv"}, "drop the '!'"),
        ({"path": "{date:yyyyMMdd}.csv"}, "write for example {date:%Y%m%d}"),
        ({"path": "{symbol.csv"}, "is not a path template"),
        ({"path": ""}, "the path is empty"),
        ({"columns": {**BARS, "open": 0}}, "0 is not a column; write a header name, a position"),
        ({"columns": {**BARS, "open": [2, True]}}, "True is not a column"),
        ({"columns": {**BARS, "open": ""}}, "'' is not a column"),
        ({"columns": [1]}, "valid dictionary"),
        ({"profile": ["x"]}, "valid string"),
        ({"columns": {}}, "open, high, low, close is not mapped"),
        ({"ts_format": ["iso", "epoch_s"]}, "epoch_s stands alone"),
        ({"member": "{what}"}, "{what} is not known"),
        ({"columns": {"ts": 1}}, "open, high, low, close is not mapped"),
        ({"columns": {**BARS, "opne": 1}}, "opne is not a field of a bar"),
        ({"columns": {**BARS, "date": "d"}}, "map either ts, or date and time"),
        ({"columns": {**BARS, "ts": None}}, "no time is mapped"),
        ({"columns": {**BARS, "ts": None, "time": "t"}}, "put {date:%Y%m%d} into path"),
        (
            {"columns": {**BARS, "ts": None, "time": "t"}, "path": "{date:%Y%m}.csv"},
            "time alone needs the day",
        ),
        ({"columns": {**BARS, "ts": ["a", "b"]}}, "only prices and volume can be the mean"),
        ({"header": False}, "columns.ts: 't' is a header name and header is false"),
        ({"format": "jsonl", "columns": {**BARS, "open": 2}}, "JSON lines have names"),
        ({"delimiter": ";;"}, "the delimiter is one ASCII character"),
        ({"zone": "America/New_Yrok"}, "zone 'America/New_Yrok' is unknown"),
        ({"zone": "../../etc/passwd"}, "is unknown"),
        ({"encoding": "utf-7000"}, "encoding 'utf-7000' is unknown"),
        ({"intervals": ["1m"]}, "bar interval '1m' is not understood"),
        ({"ts_format": "yyyy-MM-dd"}, "write iso, epoch_s, epoch_ms, epoch_us, epoch_ns or a"),
        ({"ts_format": []}, "give at least one format"),
        ({"ts_format": "%Y-%m-%d %Q"}, "%Q is not understood"),
        ({"ts_format": "%Y-%Y-%d"}, "has %Y twice"),
        ({"ts_format": "%H:%M"}, "needs a year, a month and a day"),
        ({"date_format": "%Y%m%d %H"}, "must be a date"),
        ({"time_format": "%Y"}, "must be a time of day"),
        ({"thousands": ".", "decimal": "."}, "the same character"),
        ({"symbol_names": {"A": "../a"}}, "cannot be part of a file name"),
        ({"price_scale": 0}, "greater than 0"),
        ({"unknown": 1}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_setting_is_told_what_can_be_written(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{symbol}/{date:%Y%m%d}_trade.zip", "BRK.B/20131007_trade.zip"),
        ("{symbol:lower}.csv", "brk.b.csv"),
        ("{symbol:upper}-{date:%y-%b}.csv", "BRK.B-13-Oct.csv"),
        ("*/[{symbol}]?.csv", "*/[[]BRK.B]?.csv"),
    ],
)
def test_placeholders_are_filled_in(template: str, path: str) -> None:
    assert PathTemplate(template).render("BRK.B", date(2013, 10, 7)) == path


def test_wildcards_in_a_symbol_are_taken_literally() -> None:
    assert PathTemplate("{symbol}-*.csv").render("A*", None) == "A[*]-*.csv"


def test_a_date_is_needed_where_the_path_has_one() -> None:
    with pytest.raises(TemplateError, match="needs a date"):
        PathTemplate("{date:%Y}").render("A", None)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "x" * 201])
def test_a_symbol_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="map it to one under `symbol_names:`"):
        check_symbol(name)
