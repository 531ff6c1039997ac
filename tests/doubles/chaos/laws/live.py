"""Laws of live jobs: what they reached is there, every bar of it once."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime

from doubles.chaos.laws.aftermath import Aftermath, Law
from doubles.chaos.plans import FOLLOWED, LIVE, LIVE_INTERVAL, LIVE_SYMBOLS

_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
_BAR_US = int(LIVE_INTERVAL.removesuffix("s")) * _SECOND_US


def _live_runs_end_well(after: Aftermath) -> Iterator[str]:
    for run_id, run in after.runs.items():
        wanted = "cancelled" if run.cancel_requested else "success"
        if run.mode == "live" and run.state not in {wanted, "success"}:
            yield f"{run_id} is live and {run.state} ({run.reason})"


def _live_bars_are_there_once(after: Aftermath) -> Iterator[str]:
    reached = _reached(after)
    if not reached:
        return
    options = ("--config", "c.json", "--storage", LIVE, "--columns", "symbol,ts")
    asked = after.storm.mdp.run("data", "read", FOLLOWED, *options).stdout
    bars: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for symbol, ts in list(csv.reader(io.StringIO(asked)))[1:]:
        moment = datetime.fromisoformat(ts)
        bars[symbol][round(moment.timestamp() * _SECOND_US)] += 1
    for symbol in LIVE_SYMBOLS:
        twice = sum(1 for count in bars[symbol].values() if count > 1)
        if twice:
            yield f"{twice} bars of {symbol} are there more than once"
        for run_id, start, end in reached:
            wanted = range(start, end, _BAR_US)
            missing = [at for at in wanted if at not in bars[symbol]]
            if missing:
                yield f"{run_id} lacks {len(missing)} bars of {symbol} from {missing[0]} on"
    question = "SELECT coalesce(sum(written_count), 0) FROM data_lineage WHERE dataset = ?"
    (written,) = after.db.execute(question, (FOLLOWED,)).fetchone()
    count = sum(len(found) for found in bars.values())
    if written > count:  # what a run was killed after is on no receipt if it never goes on
        yield f"there are {count} bars, receipts say {written}"


def _reached(after: Aftermath) -> list[tuple[str, int, int]]:
    """Return by live run the span that it says it has whole; it begins at the day's first bar.

    A retry goes on where its run stood, if that got anywhere.
    """
    question = "SELECT run_id, cursor FROM checkpoints WHERE node = 'fetch' AND cursor IS NOT NULL"
    cursors = {
        run_id: int(cursor)
        for run_id, cursor in after.db.execute(question)
        if after.runs[run_id].mode == "live"
    }
    first = {event.run_id: event.at_us for event in reversed(list(after.events("batch.committed")))}
    found: list[tuple[str, int, int]] = []
    for run_id, cursor in cursors.items():
        start = first[run_id] // _DAY_US * _DAY_US
        found.append((run_id, cursors.get(after.runs[run_id].retry_of or "", start), cursor))
    return found


LAWS: tuple[Law, ...] = (_live_runs_end_well, _live_bars_are_there_once)
