"""Routes of calendars on a real socket."""

from __future__ import annotations

import pytest
from doubles.serving import Served

pytestmark = pytest.mark.integration

OVERLAYS = "/api/v1/calendars/24-7/overlays"
SNOW = {"date": "2026-02-02", "kind": "closed", "reason": "snow"}


async def test_calendars_are_listed_with_how_they_stand(served: Served) -> None:
    async with served.client() as client:
        items = (await client.get("/api/v1/calendars")).json()["items"]
        failed = (await client.get("/api/v1/calendars/athens")).json()
        one = (await client.get("/api/v1/calendars/XTAE")).json()
    states = {item["calendar"]: item["state"] for item in items}
    assert (states["24/7"], states["XNYS"]) == ("ready", "unbuilt")
    assert failed["type"].endswith("unknown-calendar")
    assert (one["state"], one["reason"]) == ("failed", "implemented by subclasses")


async def test_sessions_are_listed_by_label_and_ahead(served: Served) -> None:
    async with served.client() as client:
        asked = {"from": "2026-03-01", "to": "2026-03-02"}
        listed = await client.get("/api/v1/calendars/24-5/sessions", params=asked)
        ahead = await client.get("/api/v1/calendars/24-7/next", params={"limit": 2})
        nothing = await client.get("/api/v1/calendars/24-7/sessions")
        turned = {"from": "2026-03-02", "to": "2026-03-01"}
        backwards = await client.get("/api/v1/calendars/24-7/sessions", params=turned)
    assert listed.json()["items"] == [
        {
            "session": "2026-03-02",
            "open": "2026-03-01T22:00:00Z",
            "close": "2026-03-02T22:00:00Z",
            "breaks": [],
            "early_close": False,
            "late_open": False,
        }
    ]
    assert [item["session"] for item in ahead.json()["items"]] == ["2026-01-06", "2026-01-07"]
    assert (nothing.status_code, backwards.status_code) == (422, 422)
    assert "2026-03-01 is before 2026-03-02" in backwards.json()["detail"]


async def test_a_correction_is_tried_made_listed_and_taken_back(served: Served) -> None:
    async with served.client() as client:
        tried = await client.post(OVERLAYS, json={**SNOW, "dry_run": True})
        before = (await client.get(OVERLAYS)).json()["items"]
        made = await client.post(OVERLAYS, json=SNOW)
        again = await client.post(OVERLAYS, json=SNOW)
        listed = (await client.get("/api/v1/calendars/-/overlays")).json()["items"]
        at = f"{OVERLAYS}/{made.json()['id']}"
        gone = await client.delete(at, params={"dry_run": True})
        still = (await client.get(OVERLAYS)).json()["items"]
        await client.delete(at)
        missing = await client.delete(at)
        after = (await client.get(OVERLAYS)).json()["items"]
    assert (tried.status_code, tried.json()["id"], before) == (200, None, [])
    assert made.status_code == 201
    assert made.json()["changes"] == tried.json()["changes"]
    assert made.json()["changes"][0]["after"] is None
    assert again.status_code == 409
    assert [(item["reason"], item["origin"]) for item in listed] == [("snow", "hand")]
    assert listed[0]["added_by"] == "root" or listed[0]["added_by"]
    assert gone.json()["changes"][0]["before"] is None
    assert (still, after) == (listed, [])
    assert (missing.status_code, missing.json()["type"]) == (
        404,
        "urn:openbell:problem:unknown-overlay",
    )


async def test_a_key_that_is_not_there_is_named(served: Served) -> None:
    async with served.client() as client:
        answer = await client.post(OVERLAYS, json={**SNOW, "raeson": "x"})
        wrong = await client.post(OVERLAYS, json={**SNOW, "kind": "early_close", "close": "25:00"})
    assert answer.json()["errors"][0]["hint"] == "did you mean 'reason'?"
    assert wrong.json()["errors"][0]["key"] == "close"
