from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest
from doubles.serving import Served

from openbell.model.control import Submission

pytestmark = pytest.mark.integration


async def submitted(client: httpx.AsyncClient, **body: object) -> dict[str, Any]:
    answer = await client.post("/api/pipeline/jobs", json={"job": "lean_daily", **body})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def test_a_submitted_job_is_accepted_and_can_be_looked_up(
    served: Served, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/api/pipeline/jobs", json={"job": "lean_daily"})

    assert answer.status_code == 202
    run = answer.json()
    assert run["state"] == "queued"
    assert run["submitted_at"] == "2026-01-05T12:00:00Z"
    shown = await client.get(answer.headers["location"])
    assert shown.json()["run_id"] == run["run_id"]


async def test_a_finished_run_shows_its_totals_and_nodes(
    served: Served, client: httpx.AsyncClient
) -> None:
    run = await submitted(client)
    await served.engine.start(run["run_id"])
    await served.engine.finish(run["run_id"])

    summary = (await client.get(f"/api/pipeline/jobs/{run['run_id']}")).json()

    assert {name: summary[name] for name in ("job", "state", "rows_in", "rows_written")} == {
        "job": "lean_daily",
        "state": "success",
        "rows_in": 10,
        "rows_written": 7,
    }
    assert (summary["rows_unchanged"], summary["rows_quarantined"]) == (1, 2)
    assert (summary["batches"], summary["duration_s"]) == (3, 60.0)
    assert summary["nodes"]["check"]["verdict"] == "quarantine"
    assert list(summary["nodes"]) == ["fetch", "check", "publish", "hold"]


async def test_every_option_of_a_job_reaches_the_engine(
    served: Served, client: httpx.AsyncClient
) -> None:
    body = {
        "pipeline": "lean_daily",
        "params": {"universe": ["AAPL"]},
        "from": "2024-01-02",
        "to": "2024-01-31",
        "dry_run": True,
        "for": "10m",
    }
    answer = await client.post("/api/pipeline/jobs", json=body)

    assert answer.status_code == 202
    (asked,) = served.engine.submissions
    assert (asked.pipeline, asked.dry_run, asked.stop_after_s) == ("lean_daily", True, 600.0)
    assert (str(asked.start), str(asked.end)) == ("2024-01-02", "2024-01-31")
    assert asked.params == {"universe": ["AAPL"]}


async def test_running_lists_only_what_has_not_ended(
    served: Served, client: httpx.AsyncClient
) -> None:
    ended = await submitted(client)
    waiting = await submitted(client)
    await served.engine.finish(ended["run_id"])

    items = (await client.get("/api/pipeline/jobs/running")).json()["items"]

    assert [item["run_id"] for item in items] == [waiting["run_id"]]


async def test_more_running_runs_than_fit_a_page_are_listed_on_the_next(
    served: Served, client: httpx.AsyncClient
) -> None:
    for _ in range(501):
        await served.engine.submit(Submission(pipeline="lean_daily"))
    first = (await client.get("/api/pipeline/jobs/running")).json()
    rest = (await client.get(f"/api/pipeline/jobs/running?cursor={first['next']}")).json()

    assert rest["next"] is None
    assert len({run["run_id"] for run in first["items"] + rest["items"]}) == 501


async def test_cancel_and_retry_follow_the_life_of_a_run(
    served: Served, client: httpx.AsyncClient
) -> None:
    run = await submitted(client)
    at = f"/api/pipeline/jobs/{run['job_id']}"

    too_early = await client.put(f"{at}/retry")
    cancelled = await client.delete(at)
    await served.engine.finish(run["run_id"])
    too_late = await client.delete(at)
    retried = await client.put(f"{at}/retry")

    assert too_early.status_code == 409
    assert too_early.json()["type"] == "urn:openbell:problem:conflict"
    assert cancelled.status_code == 202
    assert cancelled.json()["cancel_requested"] is True
    assert served.engine.asked_by[0].startswith("uid ")
    assert too_late.status_code == 409
    assert retried.status_code == 202
    assert retried.json()["retry_of"] == run["run_id"]


async def test_an_unknown_id_is_a_problem_with_a_stable_type(client: httpx.AsyncClient) -> None:
    for method, at in (("GET", ""), ("DELETE", ""), ("PUT", "/retry")):
        answer = await client.request(method, f"/api/pipeline/jobs/run_nope{at}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:openbell:problem:unknown-run"


async def test_an_unknown_job_names_the_nearest(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/pipeline/jobs", json={"job": "lean_dialy"})

    assert answer.status_code == 404
    assert answer.json()["hint"] == "did you mean 'lean_daily'?"
    assert answer.json()["known"] == ["lean_daily"]


async def test_an_unknown_key_is_refused_with_a_hint(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/pipeline/jobs", json={"job": "lean_daily", "dryrun": True})

    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["key"] == "dryrun"
    assert error["hint"] == "did you mean 'dry_run'?"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "give one of `job` and `pipeline`"),
        ({"job": "a", "pipeline": "b"}, "give one of `job` and `pipeline`"),
        ({"job": "a", "for": "soon"}, "45s, 10m, 1h, 1d"),
        ({"job": "a", "for": -1}, "greater than 0"),
        ({"job": "a", "from": "2024-02-01", "to": "2024-01-01"}, "is before `from`"),
        ({"job": "a", "session": "2024-01-02", "to": "2024-01-03"}, "not both"),
        ({"job": "a", "session": "yesterday"}, "date"),
        ({"job": ""}, "at least 1 character"),
    ],
)
async def test_a_wrong_body_says_what_is_wrong(
    client: httpx.AsyncClient, body: dict[str, object], says: str
) -> None:
    answer = await client.post("/api/pipeline/jobs", json=body)

    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:openbell:problem:invalid-request"
    assert says in answer.json()["detail"]


async def test_wrong_parameters_come_back_with_their_keys(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/pipeline/jobs", json={"job": "lean_daily", "params": {"wrong": "x"}}
    )

    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:openbell:problem:invalid-settings"
    assert answer.json()["errors"][0]["key"] == "params.wrong"


async def test_a_draining_daemon_asks_to_come_back_later(
    served: Served, client: httpx.AsyncClient
) -> None:
    served.engine.state = "draining"

    answer = await client.post("/api/pipeline/jobs", json={"job": "lean_daily"})

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["type"] == "urn:openbell:problem:not-accepted"


async def test_the_same_key_and_body_give_the_same_answer(
    served: Served, client: httpx.AsyncClient
) -> None:
    headers = {"idempotency-key": "k-1"}
    first = await client.post("/api/pipeline/jobs", json={"job": "lean_daily"}, headers=headers)
    again = await client.post("/api/pipeline/jobs", json={"job": "lean_daily"}, headers=headers)

    assert again.status_code == 202
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert len(served.engine.submissions) == 1


async def test_the_same_key_with_another_body_is_refused(
    served: Served, client: httpx.AsyncClient
) -> None:
    headers = {"idempotency-key": "k-1"}
    await client.post("/api/pipeline/jobs", json={"job": "lean_daily"}, headers=headers)
    other = await client.post(
        "/api/pipeline/jobs", json={"job": "lean_daily", "dry_run": True}, headers=headers
    )

    assert other.status_code == 422
    assert other.json()["type"] == "urn:openbell:problem:idempotency-conflict"
    assert len(served.engine.submissions) == 1


async def test_a_key_outlives_the_server_that_took_it(
    served: Served, client: httpx.AsyncClient
) -> None:
    run = await submitted(client)
    served.engine.history.keys["before-restart"] = run["run_id"]
    headers = {"idempotency-key": "before-restart"}

    same = await client.post("/api/pipeline/jobs", json={"job": "lean_daily"}, headers=headers)
    headers = {"idempotency-key": "before-restart"}
    other = await client.post(
        "/api/pipeline/jobs", json={"job": "lean_daily", "dry_run": True}, headers=headers
    )

    assert same.json()["run_id"] == run["run_id"]
    assert other.status_code == 422


async def test_a_key_of_before_a_restart_is_refused_for_other_sessions(
    served: Served, client: httpx.AsyncClient
) -> None:
    params = {"from": "2024-01-02", "to": "2024-01-31"}
    run = await served.engine.submit(Submission(pipeline="lean_daily", params=params))
    served.engine.history.keys["k"] = run.run_id
    body = {"job": "lean_daily", "from": "2024-01-03", "to": "2024-01-31"}
    other = await client.post("/api/pipeline/jobs", json=body, headers={"idempotency-key": "k"})
    body["from"] = "2024-01-02"
    same = await client.post("/api/pipeline/jobs", json=body, headers={"idempotency-key": "k"})

    assert (other.status_code, same.status_code) == (422, 202)
    assert same.json()["run_id"] == run.run_id


@pytest.mark.parametrize(
    "other",
    [
        {"params": {"x": 1, "y": 2}},
        {"params": {}},
        {"params": {"x": 2}},
        {"params": {"x": 1}, "to": "2024-01-31"},
        {"params": {"x": 1}, "for": "10m"},
        {"params": {"x": 1}, "session": "2024-01-31"},
    ],
    ids=["more", "fewer", "other", "span", "time", "session"],
)
async def test_a_key_of_before_a_restart_is_for_one_request_only(
    served: Served, client: httpx.AsyncClient, other: dict[str, Any]
) -> None:
    definition = served.engine.history.definitions["lean_daily"]
    known = {**definition.definition, "params": {"x": 0, "y": 0}}
    served.engine.history.definitions["lean_daily"] = replace(definition, definition=known)
    run = await served.engine.submit(
        Submission(pipeline="lean_daily", params={"x": 1, "y": 0, "from": "2024-01-02"})
    )
    served.engine.history.keys["k"] = run.run_id
    headers = {"idempotency-key": "k"}
    body = {"job": "lean_daily", "from": "2024-01-02", "params": {"x": 1}}
    if "session" in other:
        del body["from"]
    refused = await client.post("/api/pipeline/jobs", json={**body, **other}, headers=headers)
    body = {"job": "lean_daily", "from": "2024-01-02", "params": {"x": 1}}
    same = await client.post("/api/pipeline/jobs", json=body, headers=headers)

    assert refused.json()["type"] == "urn:openbell:problem:idempotency-conflict"
    assert same.json()["run_id"] == run.run_id


async def test_every_post_takes_a_key(served: Served, client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    posts = [(path, route["post"]) for path, route in document["paths"].items() if "post" in route]
    without = [
        path
        for path, operation in posts
        if "idempotency-key" not in [each["name"] for each in operation.get("parameters", ())]
    ]
    headers = {"idempotency-key": "k"}
    first = await client.post("/api/v1/pipelines/lean_daily/pause", headers=headers)
    await client.post("/api/v1/pipelines/lean_daily/resume")
    again = await client.post("/api/v1/pipelines/lean_daily/pause", headers=headers)
    other = await client.post("/api/v1/drain", headers=headers)

    assert without == []
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert served.engine.paused == set()
    assert other.status_code == 422
    assert served.engine.stops == []


async def test_twins_that_come_at_once_make_one_run(
    served: Served, client: httpx.AsyncClient
) -> None:
    answers: list[httpx.Response] = []

    async def post() -> None:
        headers = {"idempotency-key": "twins"}
        answers.append(
            await client.post("/api/pipeline/jobs", json={"job": "lean_daily"}, headers=headers)
        )

    async with anyio.create_task_group() as tg:
        for _ in range(10):
            tg.start_soon(post)

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert len(served.engine.submissions) == 1


async def test_a_bug_tells_the_client_nothing(served: Served, client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/pipeline/jobs", json={"job": "lean_daily", "params": {"boom": 1}}
    )

    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:openbell:problem:internal"
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    ((error, where),) = served.failures
    assert isinstance(error, RuntimeError)
    assert where == "POST /api/pipeline/jobs"
