"""What a run knows by itself."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from openbell.config.substitution import fill_params
from openbell.model.pipelines import Dataset, Node, Pipeline
from openbell.model.runs import RunRecord, RunState
from openbell.sdk.errors import FatalError
from openbell.sdk.values import SessionTable
from openbell.supervisor.facts import Facts, RunParams, facts
from openbell.testing.requests import weekday_sessions

pytestmark = pytest.mark.unit

BARS = Dataset(
    name="bars",
    provider="v",
    schema="bars_ohlcv",
    symbols=("A",),
    interval="1min",
    calendar="WEEKDAYS",
)
ASKED_AT = datetime(2026, 1, 7, 22, tzinfo=UTC)
RUN = RunRecord(
    run_id="run_1",
    job_id="job_1",
    pipeline="eod",
    workflow_version=1,
    mode="interval",
    state=RunState.RUNNING,
    params={},
    submitted_at=ASKED_AT,
    session="2026-01-06",
)
FETCH = Node(name="fetch", op="ingest", settings={"dataset": "bars"})


class Weekdays:
    """Knows the calendar WEEKDAYS, from 2026-01-01 on."""

    async def between(self, calendar: str, first: date, last: date) -> SessionTable:
        if calendar != "WEEKDAYS":
            raise FatalError(f"calendar {calendar!r} cannot be built")
        return weekday_sessions(max(first, date(2026, 1, 1)), last)


async def known(
    run: RunRecord = RUN, *, asks: str = "", nodes: tuple[Node, ...] = (FETCH,), **bars: Any
) -> Facts:
    datasets = {"bars": replace(BARS, **bars)}
    services: Any = SimpleNamespace(
        sessions=Weekdays(), deployment=SimpleNamespace(datasets=datasets)
    )
    asking = Node(name="ask", op="sql", settings={"text": asks})
    return await facts(services, run, Pipeline(name="eod", nodes=(*nodes, asking)))


def of_session(found: Facts) -> Mapping[str, Any]:
    return found.params.known


async def test_a_run_of_a_session_knows_it_and_the_one_before() -> None:
    found = await known()
    assert of_session(found) == {
        "session": "2026-01-06",
        "prev_session": "2026-01-05",
        "session_open": "2026-01-06T14:30:00Z",
        "session_close": "2026-01-06T21:00:00Z",
        "interval_start": "2026-01-05T21:00:00Z",
        "interval_end": "2026-01-07T14:30:00Z",
    }


async def test_daily_bars_are_of_whole_days() -> None:
    found = of_session(await known(interval="1d"))
    assert found["interval_start"] == "2026-01-06T00:00:00Z"
    assert found["interval_end"] == "2026-01-07T00:00:00Z"


async def test_the_session_before_is_found_beyond_weekends() -> None:
    run = replace(RUN, session="2026-01-05")
    assert of_session(await known(run))["prev_session"] == "2026-01-02"


async def test_without_a_dataset_the_schedule_names_the_calendar() -> None:
    run = replace(RUN, calendar="WEEKDAYS")
    found = of_session(await known(run, nodes=()))
    assert found["session_open"] == found["interval_start"] == "2026-01-06T14:30:00Z"
    assert found["session_close"] == found["interval_end"] == "2026-01-06T21:00:00Z"


async def test_a_run_that_was_asked_for_without_a_session_has_the_newest_that_had_closed() -> None:
    assert of_session(await known(replace(RUN, session=None)))["session"] == "2026-01-07"
    early = replace(RUN, session=None, due_at=datetime(2026, 1, 7, 20, tzinfo=UTC))
    assert of_session(await known(early))["session"] == "2026-01-06"


@pytest.mark.parametrize(
    ("since", "count"),
    [
        pytest.param("2026-01-02", 2, id="over a weekend"),
        pytest.param("2026-01-04", 2, id="from no session"),
        pytest.param("2026-01-06", 0, id="from itself"),
        pytest.param("2026-02-06", 0, id="from later"),
    ],
)
async def test_sessions_are_counted_since_a_date_or_a_parameter(since: str, count: int) -> None:
    text = f"${{sessions_since({since})}}"
    found = await known(asks=text)
    assert fill_params({"n": text}, found.params) == {"n": count}
    asked = replace(RUN, params={"start": since})
    found = await known(asked, asks="after ${sessions_since(start)} sessions")
    filled = fill_params("after ${sessions_since(start)} sessions", found.params)
    assert filled == f"after {count} sessions"


async def test_a_parameter_that_holds_no_date_cannot_be_counted_from() -> None:
    found = await known(replace(RUN, params={"start": "soon"}), asks="${sessions_since(start)}")
    with pytest.raises(FatalError, match="'start' is 'soon', which is no date"):
        fill_params("${sessions_since(start)}", found.params)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        pytest.param(
            replace(RUN, session=None),
            "parameter 'session_open' has no value in this run: it is about no single session, "
            "and its pipeline has no dataset",
            id="no dataset, no session",
        ),
        pytest.param(
            RUN, "its pipeline has no dataset, and no schedule named a calendar", id="no calendar"
        ),
        pytest.param(
            replace(RUN, calendar="XXXX"), "calendar 'XXXX' cannot be built", id="a fault"
        ),
        pytest.param(
            replace(RUN, calendar="WEEKDAYS", session="2026-01-10"),
            "2026-01-10 is no session of WEEKDAYS",
            id="a day without a session",
        ),
        pytest.param(
            replace(RUN, mode="live", session=None), r"no single session \(mode live\)", id="live"
        ),
    ],
)
async def test_what_a_run_cannot_know_is_told_when_it_is_asked_for(
    run: RunRecord, why: str
) -> None:
    found = await known(run, nodes=())
    assert "session_open" not in found.params
    assert "OPENBELL_SESSION_OPEN" not in found.environment
    with pytest.raises(FatalError, match=why):
        fill_params("${session_open}", found.params)


async def test_the_first_session_of_a_calendar_has_none_before_it() -> None:
    found = await known(replace(RUN, session="2026-01-01"))
    with pytest.raises(FatalError, match="2026-01-01 is the first session of WEEKDAYS"):
        found.params["prev_session"]


async def test_a_run_over_a_range_knows_its_span_and_no_session() -> None:
    days = {"from": "2026-01-05", "to": "2026-01-09"}
    found = await known(replace(RUN, mode="backfill", session=None, params=days), interval="1d")
    assert found.params["interval_start"] == "2026-01-05T00:00:00Z"
    assert found.params["interval_end"] == "2026-01-10T00:00:00Z"
    with pytest.raises(FatalError, match=r"about no single session \(mode backfill\)"):
        found.params["session"]


async def test_a_range_of_an_interval_pipeline_has_no_session_either() -> None:
    run = replace(RUN, session=None, params={"from": "2026-01-10", "to": "2026-01-11"})
    found = await known(run, nodes=(), asks="${sessions_since(2026-01-02)}")
    assert of_session(found) == {}
    found = await known(run)
    assert of_session(found) == {}


async def test_a_range_without_a_session_has_no_span() -> None:
    run = replace(RUN, session="2026-01-10", calendar="WEEKDAYS")
    assert "interval_start" not in (await known(run, nodes=())).params


async def test_parameters_of_the_run_are_there_beside_the_facts() -> None:
    found = await known(replace(RUN, params={"depth": 3, "session": "mine"}))
    assert found.params["depth"] == 3
    assert found.params["session"] == "2026-01-06"
    assert sorted(found.params) == sorted(dict(found.params))
    assert len(found.params) == 7
    assert ChainMap({"item": "A"}, dict(found.params))["item"] == "A"


async def test_what_is_nowhere_is_a_missing_parameter() -> None:
    found = await known()
    with pytest.raises(KeyError):
        found.params["depth"]


async def test_commands_find_it_all_in_their_environment() -> None:
    params = {"depth": 3, "start-day": "x", "names": ["A", "é"], "off": None, "_a__b": True}
    found = await known(replace(RUN, params=params))
    assert found.environment == {
        "OPENBELL_RUN_ID": "run_1",
        "OPENBELL_PIPELINE": "eod",
        "OPENBELL_SESSION": "2026-01-06",
        "OPENBELL_SESSION_OPEN": "2026-01-06T14:30:00Z",
        "OPENBELL_SESSION_CLOSE": "2026-01-06T21:00:00Z",
        "OPENBELL_PREV_SESSION": "2026-01-05",
        "OPENBELL_INTERVAL_START": "2026-01-05T21:00:00Z",
        "OPENBELL_INTERVAL_END": "2026-01-07T14:30:00Z",
        "OPENBELL_PARAM_DEPTH": "3",
        "OPENBELL_PARAM_START_DAY": "x",
        "OPENBELL_PARAM_NAMES": '["A", "é"]',
        "OPENBELL_PARAM_OFF": "",
        "OPENBELL_PARAM_A_B": "true",
    }


def test_asking_for_a_fact_that_lacks_is_no_missing_key() -> None:
    params = RunParams({"a": 1, "session": 2}, {}, {"session": "why"})
    assert (dict(params), "session" in params, "a" in params, len(params)) == (
        {"a": 1},
        False,
        True,
        1,
    )
