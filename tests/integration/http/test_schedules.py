"""Routes of schedules and fires on a real socket."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from doubles.serving import Served

from openbell.model.schedules import ScheduleUse

pytestmark = pytest.mark.integration

AT = "/api/v1/schedules"
CLOSE = {"pipeline": "lean_daily", "when": "XNYS close + 30m"}


async def refused(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(AT, json={**CLOSE, **body})
    assert answer.status_code == 422
    problem: dict[str, Any] = answer.json()
    (error,) = problem["errors"]
    return {"key": error["key"], "message": error["message"], "hint": error["hint"]}


async def test_a_schedule_is_made_shown_paused_resumed_and_deleted(
    client: httpx.AsyncClient,
) -> None:
    body = {
        **CLOSE,
        "dst": {"missing": "skip"},
        "active": {"from": "2026-12-01", "until": "2027-01-01T00:00+01:00"},
        "jitter": "30s",
        "on_missed": {"if_before": "XLON open", "most": 5},
    }
    made = await client.post(AT, json=body)
    at = made.headers["location"]
    shown = (await client.get(at)).json()
    paused = (await client.post(f"{at}/pause")).json()
    resumed = (await client.post(f"{at}/resume")).json()
    gone = await client.delete(at)
    missing = await client.get(at)
    assert (made.status_code, made.json()) == (201, shown)
    told = {key: shown[key] for key in ("pipeline", "when", "origin", "state", "jitter_s", "dst")}
    assert told == {
        **CLOSE,
        "origin": "api",
        "state": "active",
        "jitter_s": 30.0,
        "dst": {"missing": "skip", "duplicate": "first"},
    }
    assert shown["active"] == {"from": "2026-12-01T00:00:00Z", "until": "2026-12-31T23:00:00Z"}
    expected = {"catch": None, "if_before": "XLON open", "most": 5, "spread_s": 1.0}
    assert shown["on_missed"] == expected
    assert (paused["state"], resumed["state"]) == ("paused", "active")
    assert (gone.status_code, gone.json()["removed_at"] is not None) == (200, True)
    assert missing.status_code == 404
    assert missing.json()["type"].endswith("unknown-schedule")


async def test_one_of_the_configuration_is_not_deleted(
    served: Served, client: httpx.AsyncClient
) -> None:
    kept = served.engine.scheduler.keep("lean_daily", ScheduleUse(expression="XNYS open"))
    answer = await client.delete(f"{AT}/{kept.record.schedule_id}")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:openbell:problem:conflict")


async def test_the_same_meaning_twice_is_a_conflict_and_the_same_request_is_not(
    client: httpx.AsyncClient,
) -> None:
    key = {"idempotency-key": "one"}
    first = await client.post(AT, json=CLOSE, headers=key)
    same = await client.post(AT, json=CLOSE, headers=key)
    other = await client.post(AT, json={**CLOSE, "when": "NYSE  close + 1800s"})
    assert (first.status_code, same.status_code, other.status_code) == (201, 201, 409)
    assert first.json() == same.json()


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        pytest.param(
            {"when": "XNYS clse"},
            "when",
            "'clse' is no event of XNYS at character 6 of 'XNYS clse'",
            id="a wrong expression",
        ),
        pytest.param(
            {"on_missed": {"if_before": "XLON"}},
            "on_missed.if_before",
            "an event of XLON is missing at character 5 of 'XLON'",
            id="a wrong deadline",
        ),
        pytest.param(
            {"active": {"from": "2026-12-02", "until": "2026-12-01"}},
            "active.until",
            "ends before it begins",
            id="an end before the start",
        ),
        pytest.param(
            {"params": {"deptth": 1}},
            "params.deptth",
            "parameter 'deptth' does not exist",
            id="an unknown parameter",
        ),
        pytest.param({"wen": 1}, "wen", "the key 'wen' is unknown", id="an unknown key"),
        pytest.param(
            {"jitter": "-1s"},
            "jitter",
            "must be a duration such as 30s, 45m or 1h30m, not '-1s'",
            id="a negative jitter",
        ),
    ],
)
async def test_a_wrong_schedule_is_refused_with_the_place(
    client: httpx.AsyncClient, change: dict[str, Any], key: str, message: str
) -> None:
    told = await refused(client, **change)
    assert (told["key"], told["message"]) == (key, message)


async def test_an_unknown_pipeline_is_told_with_those_there_are(client: httpx.AsyncClient) -> None:
    answer = await client.post(AT, json={**CLOSE, "pipeline": "lean_dayly"})
    problem = answer.json()
    assert (answer.status_code, problem["hint"]) == (404, "did you mean 'lean_daily'?")


async def test_schedules_are_listed_by_pipeline_and_paged(
    served: Served, client: httpx.AsyncClient
) -> None:
    for pipeline, expression in (("b", "XNYS open"), ("a", "XNYS open"), ("a", "XNYS close")):
        served.engine.scheduler.keep(pipeline, ScheduleUse(expression=expression))
    first = (await client.get(AT, params={"limit": 2})).json()
    second = (await client.get(AT, params={"limit": 2, "cursor": first["next"]})).json()
    of_b = (await client.get(AT, params={"pipeline": "b"})).json()
    shown = [(item["pipeline"], item["when"]) for item in first["items"] + second["items"]]
    assert shown == [("a", "XNYS close"), ("a", "XNYS open"), ("b", "XNYS open")]
    assert (second["next"], len(of_b["items"]), of_b["next"]) == (None, 1, None)


async def test_fires_are_listed_newest_first_and_paged(
    served: Served, client: httpx.AsyncClient
) -> None:
    served.engine.scheduler.keep("bars", ScheduleUse(expression="every 1s"))
    served.engine.scheduler.decide(5)
    found: list[str] = []
    cursor = None
    while True:
        asked = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/api/v1/fires", params=asked)).json()
        found += [item["run_id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == ["run_4", "run_3", "run_2", "run_1", "run_0"]
    other = (await client.get("/api/v1/fires", params={"pipeline": "x"})).json()
    assert other == {"items": [], "next": None}


@pytest.mark.parametrize("cursor", ["x", "1.2", "a.b.c.d", f"{2**70}.1.a.b"])
async def test_a_cursor_that_no_page_gave_is_refused(
    client: httpx.AsyncClient, cursor: str
) -> None:
    answer = await client.get("/api/v1/fires", params={"cursor": cursor})
    assert answer.status_code == 422
