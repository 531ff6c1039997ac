"""How fast do ten core rules check 1.9 million bars on one core, and what do Polars and DuckDB do?

    uv run python benchmarks/rules_core.py [--runs 5] [--batch-rows 131072] [--layout time|symbol|shuffled] [--each]

The same ten demands for everyone: eight columns not null, volume in a range, four prices positive, OHLC in order,
symbol matches a pattern, interval in a set, key unique, time increasing per series, row count, share of null closes.
A few hundred faults are planted, so the counts can be compared; the run fails when they differ. MB is Arrow memory of the table.
Rows are in time order by default, as live batches come. One core: the process is pinned, every library has one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ |= {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from openbell.quality.gate import GateOperator
from openbell.quality.settings import GateRule, GateSettings
from openbell.sdk.arrow import BatchView, constant
from openbell.sdk.operators import BoundRule, Chunk
from openbell.sdk.providers import FetchRequest
from openbell.sdk.rules import RuleContext
from openbell.sdk.schemas import BARS_OHLCV
from openbell.sdk.values import BarWidth, Interval, SessionTable, Severity
from openbell.testing.fake_context import FakeNodeContext, dataset_context
from openbell_provider_synthetic.provider import SyntheticProvider
from openbell_provider_synthetic.settings import SyntheticSettings
from openbell_rules_core import openbell_register_rules

DAY_S = 86_400
FIRST_DAY = 20_458  # 2026-01-05, a Monday
SPAN = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
SYMBOLS = tuple(f"S{i:03d}" for i in range(500))
KEY = ["provider", "symbol", "interval", "ts"]
PRICES = ["open", "high", "low", "close"]
FILLED = ["provider", "symbol", "interval", "ts", *PRICES, "volume"]
PATTERN = "[A-Z][0-9]{3}"
WIDTHS = ["1min", "5min", "1d"]
RULES: list[tuple[str, dict[str, Any]]] = [
    ("not_null", {"columns": FILLED}),
    ("range", {"column": "volume", "min": 0, "max": 1e12}),
    ("positive", {"columns": PRICES}),
    ("ohlc", {}),
    ("regex", {"column": "symbol", "pattern": PATTERN}),
    ("set", {"column": "interval", "values": WIDTHS}),
    ("unique_key", {}),
    ("monotonic_time", {}),
    ("row_count", {"min": 1}),
    ("null_share", {"column": "close", "fail": 0.01}),
]


def sessions() -> SessionTable:
    days = tuple(FIRST_DAY + 7 * (i // 5) + i % 5 for i in range(10))
    opens = tuple((day * DAY_S + 52_200) * 1_000_000 for day in days)
    closes = tuple(open_us + 23_400_000_000 for open_us in opens)
    return SessionTable(calendar="XNYS", labels_day=days, opens_us=opens, closes_us=closes)


def bars(layout: str) -> pa.Table:
    """Return 10 sessions x 390 minutes x 500 symbols with planted faults."""
    request = FetchRequest(
        dataset="d",
        schema="bars_ohlcv",
        provider="p",
        symbols=SYMBOLS,
        interval=BarWidth.parse("1min"),
        span=SPAN,
        sessions=sessions(),
        batch_rows=10**9,
        now=SPAN.end,
    )
    (page,) = SyntheticProvider(SyntheticSettings()).fetch(request)
    batch = page.batches[0]
    table = pa.table(batch)
    table = table.add_column(0, "provider", constant("alpha", len(table)))
    table = table.add_column(2, "interval", constant("1min", len(table)))
    rng = np.random.default_rng(1)
    if layout == "time":
        order = np.arange(len(table)).reshape(len(SYMBOLS), -1).T.ravel()
        table = table.take(pa.array(order))
    pick = np.sort(rng.choice(len(table), 140, replace=False))
    rng.shuffle(pick)
    for name, rows, value in (
        ("volume", pick[:10], None),
        ("high", pick[10:20], 0.01),
        ("low", pick[20:25], -1.0),
        ("close", pick[40:43], None),
    ):
        mask = np.zeros(len(table), dtype=bool)
        mask[rows] = True
        column = table[name].combine_chunks()
        changed = pc.if_else(pa.array(mask), pa.scalar(value, column.type), column)
        place = table.schema.get_field_index(name)
        field = pa.field(name, column.type)
        table = table.set_column(place, field, changed)
    again = table.take(pa.array(np.sort(pick[60:80])))
    table = pa.concat_tables([table, again], promote_options="permissive")
    if layout == "shuffled":
        table = table.take(pa.array(rng.permutation(len(table))))
    return table.unify_dictionaries().combine_chunks()


def rules(chosen: set[str]) -> list[tuple[str, Any]]:
    context = RuleContext(
        schema=BARS_OHLCV,
        keys=BARS_OHLCV.keys,
        bar=BarWidth.parse("1min"),
        span=SPAN,
        sessions=sessions(),
        symbols=SYMBOLS,
        severity=Severity.QUARANTINE,
    )
    made = []
    specs = {spec.name: spec for spec in openbell_register_rules()}
    for name, params in RULES:
        if name in chosen:
            module, _, attribute = specs[name].factory.partition(":")
            factory = getattr(__import__(module, fromlist=[attribute]), attribute)
            made.append((name, factory(specs[name].settings_model(**params)).begin(context)))
    return made


def ours(table: pa.Table, batch_rows: int, chosen: set[str]) -> dict[str, int]:
    states = rules(chosen)
    for batch in table.to_batches(batch_rows):
        view = BatchView(batch)
        for _, state in states:
            state.observe(view)
    return {n: sum(f.row_count for f in s.conclude()) for n, s in states}


def gated(table: pa.Table, batch_rows: int, folder: Path) -> dict[str, int]:
    """The same through the gate, which holds every batch on disk: two rules need the whole."""
    specs = {spec.name: spec for spec in openbell_register_rules()}
    bound = []
    for name, params in RULES:
        module, _, attribute = specs[name].factory.partition(":")
        factory = getattr(__import__(module, fromlist=[attribute]), attribute)
        rule = factory(specs[name].settings_model(**params))
        bound.append(
            BoundRule(name=name, rule=rule, scope=specs[name].scope, severity=Severity.QUARANTINE)
        )
    context = FakeNodeContext(
        bound_rules=bound,
        spool_directory=folder,
        dataset=replace(dataset_context(SYMBOLS), span=SPAN, sessions=sessions()),
    )
    gate = GateOperator(GateSettings(rules=tuple(GateRule(name=name) for name, _ in RULES)))
    gate.open(context)
    passed = 0
    for number, batch in enumerate(table.to_batches(batch_rows)):
        for emission in gate.process(Chunk(batch=batch, number=number, cursor="")):
            passed += emission.chunk.batch.num_rows
    for emission in gate.finish():
        passed += emission.chunk.batch.num_rows
    gate.close()
    assert passed == len(table)
    return {}


def polars(table: pa.Table) -> dict[str, int]:
    import polars as pl

    frame = pl.from_arrow(table).lazy()
    col = pl.col
    broken = (col("low") > col("open")) | (col("low") > col("close"))
    broken |= (col("high") < col("open")) | (col("high") < col("close"))
    rows = frame.select(
        row_count=pl.len(),
        not_null=pl.sum_horizontal([col(c).null_count().cast(pl.Int64) for c in FILLED]),
        range=((col("volume") < 0) | (col("volume") > 1e12)).sum(),
        positive=pl.sum_horizontal([(col(c) <= 0).sum().cast(pl.Int64) for c in PRICES]),
        ohlc=broken.sum(),
        regex=(~col("symbol").cast(pl.String).str.contains(f"^{PATTERN}$")).sum(),
        set=(~col("interval").cast(pl.String).is_in(WIDTHS)).sum(),
    ).collect()
    keys = frame.group_by(KEY).agg(n=pl.len()).select(n=(col("n") - 1).sum()).collect()
    before = col("ts").shift(1).over(KEY[:3])
    back = frame.select(n=(col("ts") <= before).sum()).collect()
    return {
        **{name: int(rows[name][0]) for name in rows.columns},
        "unique_key": int(keys["n"][0]),
        "monotonic_time": int(back["n"][0]),
    }


def duckdb(table: pa.Table) -> dict[str, int]:
    import duckdb as db

    with db.connect(config={"threads": 1}) as connection:
        connection.register("t", table)
        nulls = " + ".join(f'count(*) filter ("{c}" is null)' for c in FILLED)
        positives = " + ".join(f'count(*) filter ("{c}" <= 0)' for c in PRICES)
        widths = ", ".join(f"'{w}'" for w in WIDTHS)
        row = connection.execute(
            f"""select count(*), {nulls}, count(*) filter (volume < 0 or volume > 1e12), {positives},
            count(*) filter (low > open or low > close or high < open or high < close),
            count(*) filter (not regexp_full_match(symbol::varchar, '{PATTERN}')),
            count(*) filter ("interval"::varchar not in ({widths})) from t"""
        ).fetchone()
        names = ("row_count", "not_null", "range", "positive", "ohlc", "regex", "set")
        found = dict(zip(names, row or (), strict=True))
        keys = ", ".join(f'"{c}"' for c in KEY)
        again = f"select coalesce(sum(c - 1), 0) from (select count(*) c from t group by {keys})"
        back = """with n as (select *, row_number() over () r from t),
            w as (select ts, lag(ts) over (partition by provider, symbol, "interval" order by r) b from n)
            select count(*) from w where ts <= b"""
        (found["unique_key"],) = connection.execute(again).fetchone() or (0,)
        (found["monotonic_time"],) = connection.execute(back).fetchone() or (0,)
    return {name: int(count) for name, count in found.items()}


def timed(run: Callable[[], dict[str, int]], runs: int) -> tuple[list[float], dict[str, int]]:
    durations, answer = [], {}
    for _ in range(runs):
        start = time.perf_counter()
        answer = run()
        durations.append(time.perf_counter() - start)
    return sorted(durations), answer


def report(name: str, durations: list[float], table: pa.Table) -> None:
    median = statistics.median(durations)
    size = table.nbytes / 1e6
    print(
        f"{name:<18} median {median * 1e3:8.1f} ms  max {durations[-1] * 1e3:8.1f} ms"
        f"  {size / median:7.0f} MB/s  {len(table) / median / 1e6:6.2f} M rows/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch-rows", type=int, default=131_072)
    parser.add_argument("--layout", choices=("time", "symbol", "shuffled"), default="time")
    parser.add_argument("--each", action="store_true", help="time each rule alone as well")
    args = parser.parse_args()
    os.sched_setaffinity(0, {0})
    pa.set_cpu_count(1)
    table = bars(args.layout)
    size = table.nbytes
    print(
        f"{len(table):,} rows, {size / 1e6:.0f} MB, {size / len(table):.1f} bytes a row, rows by {args.layout}"
    )
    everything = {name for name, _ in RULES}
    durations, answer = timed(lambda: ours(table, args.batch_rows, everything), args.runs)
    report("openbell rules", durations, table)
    if args.each:
        for name, _ in RULES:
            alone, _ = timed(lambda name=name: ours(table, args.batch_rows, {name}), args.runs)
            report(f"  {name}", alone, table)
    with tempfile.TemporaryDirectory() as folder:
        inside, _ = timed(lambda: gated(table, args.batch_rows, Path(folder)), args.runs)
    report("openbell gate", inside, table)
    compared = everything - {"row_count", "null_share"}
    for name, peer in (("Polars", polars), ("DuckDB", duckdb)):
        durations, theirs = timed(lambda peer=peer: peer(table), args.runs)
        report(name, durations, table)
        differing = {n: (answer[n], theirs[n]) for n in compared if answer[n] != theirs[n]}
        assert not differing, f"{name} counts otherwise: {differing}"
    print("bad rows by rule:", {name: answer[name] for name in sorted(compared)})


if __name__ == "__main__":
    main()
