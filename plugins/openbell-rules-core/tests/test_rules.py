"""What each rule finds and says."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from openbell.sdk.arrow import BatchView
from openbell.sdk.errors import SettingsError
from openbell.sdk.schemas import BARS_OHLCV, Column
from openbell.sdk.values import BarWidth, Interval, SessionTable, Severity
from openbell.testing.requests import START
from openbell_rules_core.keys import key_codes

pytestmark = pytest.mark.unit


def test_a_finding_says_what_is_wrong_how_often_and_where(kit: Any) -> None:
    rows = [kit.row(n, close=-1.0 if n in {1, 2} else 2.0) for n in range(4)]
    (finding,) = kit.ask("positive", rows, columns=["open", "close"]).findings
    assert finding.rule == "positive"
    assert finding.column == "close"
    assert finding.severity is Severity.QUARANTINE
    assert finding.message == "2 of 4 rows: close is not a positive number"
    assert (finding.row_count, finding.metric, finding.threshold) == (2, 2.0, 0.0)
    assert finding.examples == (
        "symbol=A ts=2026-01-05T14:31:00+00:00 close=-1.0",
        "symbol=A ts=2026-01-05T14:32:00+00:00 close=-1.0",
    )


def test_there_are_ten_examples_at_most(kit: Any) -> None:
    (finding,) = kit.ask(
        "positive", [kit.row(n, low=0.0) for n in range(30)], columns=["low"]
    ).findings
    assert finding.row_count == 30
    assert len(finding.examples) == 10


def test_examples_show_nulls_and_instants_beyond_the_calendar(kit: Any) -> None:
    odd = kit.batch([kit.row(0, symbol=None, close=-1.0)])
    far = pa.array([2**62], pa.int64()).view(odd.schema.field("ts").type)
    odd = odd.set_column(odd.schema.get_field_index("ts"), "ts", far)
    answer, _ = kit.run(kit.make("positive", columns=["close"]), [odd])
    assert answer.findings[0].examples == (f"symbol=null ts={2**62}us close=-1.0",)


def test_a_rule_with_one_column_has_a_finding_for_it_alone(kit: Any) -> None:
    answer = kit.ask("not_null", [kit.row(0, close=None, open=math.nan)])
    assert [finding.column for finding in answer.findings] == ["open", "close"]
    assert answer.bad == [0]


def test_range_names_its_limits(kit: Any) -> None:
    rows = [kit.row(0, volume=11.0)]
    words = [
        kit.ask("range", rows, column="volume", **limits).findings[0].message
        for limits in ({"max": 10}, {"min": 12}, {"min": 0, "max": 10})
    ]
    assert [text.partition(": ")[2] for text in words] == [
        "volume is above 10",
        "volume is below 12",
        "volume is below 0 or above 10",
    ]


def test_infinite_limits_still_mean_finite_values(kit: Any) -> None:
    rows = [kit.row(0, volume=math.inf), kit.row(1, volume=1e308)]
    assert kit.ask("range", rows, column="volume", max=math.inf).bad == [0]


def test_integers_are_compared_exactly(kit: Any) -> None:
    rows = [kit.row(n, trade_count=2**53 + n) for n in range(3)]
    assert kit.ask("range", rows, column="trade_count", max=2.0**53).bad == [1, 2]
    assert kit.ask("range", rows, column="trade_count", min=2.0**53, max=1e300).bad == []
    assert kit.ask("range", rows, column="trade_count", min=1e300).bad == [0, 1, 2]
    assert kit.ask("positive", [kit.row(0, trade_count=0)], columns=["trade_count"]).bad == [0]


def test_ohlc_forgives_rounding_when_told(kit: Any) -> None:
    rows = [kit.row(0, high=2.0, open=2.0 * (1 + 1e-12)), kit.row(1, high=2.0, open=2.1)]
    assert kit.ask("ohlc", rows).bad == [0, 1]
    assert kit.ask("ohlc", rows, tolerance=1e-9).bad == [1]
    odd = [kit.row(0, high=math.nan), kit.row(1, high=None), kit.row(2, high=-math.inf)]
    assert kit.ask("ohlc", odd, tolerance=1e-9).bad == [0, 2]


def test_regex_matches_the_whole_text(kit: Any) -> None:
    rows = [kit.row(n, symbol) for n, symbol in enumerate(["AB", "ABC", "xAB", "AB\n", ""])]
    assert kit.ask("regex", rows, column="symbol", pattern="AB|").bad == [1, 2, 3]


def test_texts_without_dictionaries_are_judged_as_well(kit: Any) -> None:
    one = kit.batch([kit.row(0, "a"), kit.row(1, None), kit.row(2, "B"), kit.row(2, "B")])
    plain = one.set_column(
        one.schema.get_field_index("symbol"), "symbol", one.column("symbol").cast(pa.string())
    )
    for name, params, bad in (
        ("regex", {"column": "symbol", "pattern": "[A-Z]"}, [0]),
        ("set", {"column": "symbol", "values": ["a"]}, [2, 3]),
        ("unique_key", {}, [3]),
    ):
        assert kit.run(kit.make(name, **params), [plain])[0].bad == bad


def test_values_of_a_dictionary_that_no_row_has_are_not_judged(kit: Any) -> None:
    one = kit.batch([kit.row(0, "bad"), kit.row(1, "GOOD")]).slice(1)
    assert kit.run(kit.make("regex", column="symbol", pattern="[A-Z]+"), [one])[0].findings == []


def test_row_count_says_too_few_and_too_many(kit: Any) -> None:
    rows = [kit.row(n) for n in range(3)]
    few = kit.ask("row_count", rows, min=4).findings[0]
    many = kit.ask("row_count", rows, min=0, max=2).findings[0]
    assert (few.message, few.metric, few.threshold) == ("3 rows, fewer than 4", 3.0, 4.0)
    assert (many.message, many.metric, many.threshold) == ("3 rows, more than 2", 3.0, 2.0)
    assert kit.ask("row_count", rows, min=3, max=3).findings == []


def test_null_share_warns_and_fails_above_its_limits(kit: Any) -> None:
    rows = [kit.row(n, close=None if n < 2 else 1.0) for n in range(10)]
    share = 0.2

    def severities(**limits: float) -> list[Severity]:
        return [f.severity for f in kit.ask("null_share", rows, column="close", **limits).findings]

    assert severities(warn=0.0, fail=0.1) == [Severity.FAIL]
    assert severities(warn=0.0, fail=share) == [Severity.WARN]
    assert severities(warn=share) == []
    assert severities(fail=0.1) == [Severity.FAIL]
    assert severities(fail=0.3) == []
    (finding,) = kit.ask("null_share", rows, column="close", warn=0.1).findings
    assert finding.message == "2 of 10 rows: close is missing (20.0000%, more than 10.0000%)"


def test_a_column_of_nulls_is_a_share_of_one(kit: Any) -> None:
    rows = [kit.row(n, trade_count=None) for n in range(3)]
    (finding,) = kit.ask("null_share", rows, column="trade_count", fail=0.5).findings
    assert finding.metric == 1.0


def test_unique_key_recognises_a_series_by_its_values_not_its_codes(kit: Any) -> None:
    first = kit.batch([kit.row(0, "A"), kit.row(0, "B")])
    second = kit.batch([kit.row(1, "B"), kit.row(0, "A")])
    assert kit.run(kit.make("unique_key"), [first, second])[0].bad == [3]


def test_a_series_that_begins_late_in_a_batch_is_compared_with_the_batches_before(kit: Any) -> None:
    before = [kit.row(9, "C")]
    rows = [kit.row(n, s) for n in range(6) for s in "AB"] + [kit.row(6, s) for s in "ABC"]
    batches = [kit.batch(before), kit.batch(rows)]
    assert kit.run(kit.make("monotonic_time"), batches)[0].bad == [len(rows)]
    rows[-1] = kit.row(9, "C")
    batches = [kit.batch(before), kit.batch(rows)]
    assert kit.run(kit.make("unique_key"), batches)[0].bad == [len(rows)]


def test_rows_by_time_and_symbol_are_in_order_across_batches(kit: Any) -> None:
    batches = [kit.batch([kit.row(n + k, s) for n in range(6) for s in "ABC"]) for k in (0, 6, 11)]
    again = [36, 37, 38]  # minute 11 comes twice
    assert kit.run(kit.make("monotonic_time"), batches)[0].bad == again
    assert kit.run(kit.make("unique_key"), batches)[0].bad == again


def test_rows_in_no_layout_are_sorted_by_series(kit: Any) -> None:
    def bad(*rows: tuple[str, int]) -> tuple[list[int], list[int]]:
        made = [kit.row(9, "C"), *(kit.row(minute, symbol) for symbol, minute in rows)]
        one = kit.batch(made).slice(1)  # the dictionary knows C, no row has it
        rules = kit.make("monotonic_time", strict=False), kit.make("unique_key")
        back, twice = (kit.run(rule, [one])[0].bad for rule in rules)
        return back, twice

    assert bad(("A", 0), ("A", 1), ("B", 0), ("A", 2)) == ([], [])
    assert bad(("A", 1), ("B", 1), ("A", 0), ("B", 1)) == ([2], [3])


def test_rows_without_time_or_symbol_have_no_order_and_no_key(kit: Any) -> None:
    rows = [kit.row(1), kit.row(None), kit.row(0, None), kit.row(None, None), kit.row(2)]
    for name in ("monotonic_time", "unique_key"):
        assert kit.ask(name, rows + rows[1:4]).findings == []


def test_set_of_integers(kit: Any) -> None:
    rows = [kit.row(n, trade_count=count) for n, count in enumerate([1, None, 2])]
    assert kit.ask("set", rows, column="trade_count", values=[1, 3]).bad == [2]
    assert kit.ask("set", rows[::2], column="trade_count", values=[1, 3]).bad == [1]


def test_keys_of_many_values_are_recoded(kit: Any) -> None:
    rows = [kit.row(n, f"S{n % 300}", trade_count=n % 350) for n in range(400)]
    rows += rows[:5]
    view = BatchView(kit.batch(rows))
    codes = key_codes(view, ["symbol", "trade_count", "provider"])
    assert codes.dictionaries is None
    assert codes.name(int(codes.codes[399])) == ("S99", 49, "p")
    answer = kit.ask("unique_key", rows, columns=["symbol", "trade_count", "provider"])
    assert answer.bad == [400, 401, 402, 403, 404]
    answer = kit.ask("unique_key", rows, columns=["symbol", "volume", "trade_count"])
    assert answer.bad == [400, 401, 402, 403, 404]


def _sessions(*days: int) -> SessionTable:
    opens = tuple((day * 86_400 + 52_200) * 1_000_000 for day in days)
    closes = tuple(open_us + 23_400_000_000 for open_us in opens)
    return SessionTable(calendar="X", labels_day=days, opens_us=opens, closes_us=closes)


DAY = 20_458  # 2026-01-05


def test_complete_session_names_sessions_and_symbols(kit: Any) -> None:
    context = replace(
        kit.context,
        symbols=("A", "B"),
        span=Interval(START, START + timedelta(days=9)),
        sessions=_sessions(*range(DAY, DAY + 7)),
    )
    rows = [kit.row(1440 * day + n, s) for day in range(2) for n in range(390) for s in "AB"]
    del rows[5]
    answer, _ = kit.run(kit.make("complete_session"), [kit.batch(rows)], context)
    (finding,) = answer.findings
    assert finding.message == (
        "3,901 bars are missing: 11 of 14 symbol sessions have too few, in 2026-01-05, 2026-01-07, "
        "2026-01-08, 2026-01-09, 2026-01-10 and 1 more"
    )
    assert finding.examples[:2] == (
        "session=2026-01-05 symbol=B bars=389/390",
        "session=2026-01-07 symbol=A bars=0/390",
    )
    assert (finding.metric, finding.threshold) == (0.0, 1.0)


def test_a_session_left_with_gaps_takes_late_bars(kit: Any) -> None:
    context = replace(
        kit.context,
        symbols=("A", "B"),
        span=Interval(START, START + timedelta(days=3)),
        sessions=_sessions(DAY, DAY + 1, DAY + 2),
    )
    days = [[kit.row(1440 * d + n, s) for n in range(390) for s in "AB"] for d in range(3)]
    late = [days[0].pop(7), days[1].pop(9)]
    rule = kit.make("complete_session")
    answer, state = kit.run(rule, [kit.batch(rows) for rows in days], context)
    assert len(answer.findings[0].examples) == 2
    _, other = kit.run(rule, [kit.batch(late[1:]), kit.batch(days[2])], context)
    state.observe(BatchView(kit.batch(late[:1])))
    assert len(state.conclude()[0].examples) == 1
    state.merge(other)
    assert state.conclude() == []


def test_complete_session_accepts_a_share_of_the_bars(kit: Any) -> None:
    rows = [kit.row(n, s) for n in range(54) for s in "ABC"]
    assert kit.ask("complete_session", rows, min_ratio=0.9).findings == []
    assert kit.ask("complete_session", rows, min_ratio=0.91).findings != []


def test_complete_session_expects_nothing_in_breaks_nor_outside_the_span(kit: Any) -> None:
    table = _sessions(DAY)
    pause_us = table.opens_us[0] + 600_000_000
    table = replace(table, breaks=((0, pause_us, pause_us + 1_200_000_000),))
    context = replace(kit.context, symbols=("A",), sessions=table)
    rows = [kit.row(n) for n in [*range(10), *range(30, 60)]]
    rule = kit.make("complete_session")
    assert kit.run(rule, [kit.batch(rows)], context)[0].findings == []
    assert kit.run(rule, [kit.batch(rows[:-1])], context)[0].findings != []
    nothing = replace(context, span=Interval(START - timedelta(days=2), START - timedelta(days=1)))
    assert kit.run(rule, [kit.batch(rows)], nothing)[0].findings == []


def test_complete_session_of_daily_bars_expects_one_at_each_label(kit: Any) -> None:
    context = replace(
        kit.context,
        symbols=("A",),
        bar=BarWidth.parse("1d"),
        span=Interval(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC)),
        sessions=_sessions(DAY, DAY + 1, DAY + 2),
    )
    rows = [kit.row(0, ts=datetime(2026, 1, day, tzinfo=UTC)) for day in (5, 6)]
    rule = kit.make("complete_session")
    assert kit.run(rule, [kit.batch(rows)], context)[0].findings == []
    (finding,) = kit.run(rule, [kit.batch(rows[1:])], context)[0].findings
    assert finding.examples == ("session=2026-01-05 symbol=A bars=0/1",)


def test_complete_sessions_that_are_full_stay_full_after_a_merge(kit: Any) -> None:
    rows = [kit.row(n, s) for n in range(60) for s in "ABC"]
    rule = kit.make("complete_session")
    _, full = kit.run(rule, [kit.batch(rows)])
    _, some = kit.run(rule, [kit.batch(rows[:7])])
    full.merge(some)
    assert full.conclude() == []
    some.merge(full)
    assert some.conclude() == []
    some.observe(BatchView(kit.batch(rows[:9])))
    assert some.conclude() == []


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("not_null", {"columns": ["clsoe"]}, "no column 'clsoe' .did you mean 'close'"),
        ("range", {"column": "xyzzy", "min": 0}, "no column 'xyzzy' .there are provider, symbol"),
        ("range", {"column": "symbol", "min": 0}, "'symbol' is string, not float32 or"),
        ("positive", {"columns": ["ts"]}, "'ts' is timestamp"),
        ("ohlc", {"high": "hgih"}, "did you mean 'high'"),
        ("regex", {"column": "close", "pattern": "x"}, "'close' is float64, not string"),
        ("regex", {"column": "symbol", "pattern": "(?=x)"}, "look-around"),
        ("set", {"column": "trade_count", "values": ["many"]}, "write values of type int64"),
        ("unique_key", {"columns": ["run_id"]}, "no column 'run_id'"),
        ("null_share", {"column": "opne", "fail": 0.1}, "did you mean 'open'"),
    ],
)
def test_columns_that_do_not_fit_are_settings_errors(
    kit: Any, name: str, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        kit.make(name, **params).begin(kit.context)


def test_a_series_that_is_no_text_has_no_complete_sessions(kit: Any) -> None:
    schema = replace(
        BARS_OHLCV,
        series_column="id",
        columns=(*BARS_OHLCV.columns, Column(name="id", type="int64")),
    )
    with pytest.raises(SettingsError, match="'id' is int64"):
        kit.make("complete_session").begin(replace(kit.context, schema=schema))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("not_null", {"columns": []}),
        ("not_null", {"column": "close"}),
        ("range", {"column": "close"}),
        ("range", {"column": "close", "min": 2, "max": 1}),
        ("range", {"column": "close", "min": math.nan}),
        ("regex", {"column": "symbol", "pattern": "("}),
        ("row_count", {"min": 2, "max": 1}),
        ("null_share", {"column": "close"}),
        ("null_share", {"column": "close", "warn": 0.2, "fail": 0.1}),
        ("null_share", {"column": "close", "fail": 2}),
        ("complete_session", {"min_ratio": 0}),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    kit: Any, name: str, params: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        kit.make(name, **params)


@pytest.mark.integration
def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, openbell_rules_core as p; specs = p.openbell_register_rules();"
        "assert len(specs) == 11; print([m for m in ('numpy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
