from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
from doubles.engine import SECRET
from doubles.serving import Served

from openbell.http.workflows import dag
from openbell.model.control import Submission
from openbell.model.schedules import ScheduleUse

pytestmark = pytest.mark.integration


def checked(document: dict[str, Any], path: str, method: str, answer: httpx.Response) -> Any:
    """Return an answer's JSON after checking it against the OpenAPI document."""
    operation = document["paths"][path][method]
    declared = (
        operation["responses"].get(str(answer.status_code)) or operation["responses"]["default"]
    )
    schema = declared["content"][answer.headers["content-type"]]["schema"]
    resolved = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(resolved).validate(answer.json())
    return answer.json()


GETS = (
    ("/api/pipeline/jobs/{id}", "/api/pipeline/jobs/RUN"),
    ("/api/pipeline/jobs/running", "/api/pipeline/jobs/running"),
    ("/api/pipeline/workflows/{id}/dag", "/api/pipeline/workflows/lean_daily/dag"),
    ("/api/pipeline/metrics", "/api/pipeline/metrics"),
    ("/api/pipeline/lineage/{dataset}", "/api/pipeline/lineage/bars"),
    ("/api/v1/runs", "/api/v1/runs"),
    ("/api/v1/runs/{id}", "/api/v1/runs/RUN"),
    ("/api/v1/runs/{id}/nodes", "/api/v1/runs/RUN/nodes"),
    ("/api/v1/runs/{id}/nodes/{node}/items", "/api/v1/runs/RUN/nodes/fetch/items"),
    ("/api/v1/runs/{id}/attempts", "/api/v1/runs/RUN/attempts"),
    ("/api/v1/runs/{id}/logs", "/api/v1/runs/RUN/logs"),
    ("/api/v1/runs/{id}/quality", "/api/v1/runs/RUN/quality"),
    ("/api/v1/workflows", "/api/v1/workflows"),
    ("/api/v1/workflows/{id}", "/api/v1/workflows/lean_daily"),
    ("/api/v1/status", "/api/v1/status"),
    ("/api/v1/config", "/api/v1/config"),
    ("/api/v1/pipelines", "/api/v1/pipelines"),
    ("/api/v1/pipelines/{id}", "/api/v1/pipelines/lean_daily"),
    ("/api/v1/datasets", "/api/v1/datasets"),
    ("/api/v1/schedules", "/api/v1/schedules"),
    ("/api/v1/schedules/{id}", "/api/v1/schedules/sch_1"),
    ("/api/v1/fires", "/api/v1/fires"),
    ("/api/v1/plugins", "/api/v1/plugins"),
    ("/api/v1/workers", "/api/v1/workers"),
    ("/api/v1/budgets", "/api/v1/budgets"),
    ("/api/v1/calendars", "/api/v1/calendars"),
    ("/api/v1/calendars/{name}", "/api/v1/calendars/24-7"),
    (
        "/api/v1/calendars/{name}/sessions",
        "/api/v1/calendars/24-7/sessions?from=2026-01-05&to=2026-01-06",
    ),
    ("/api/v1/calendars/{name}/next", "/api/v1/calendars/24-7/next"),
    ("/api/v1/calendars/{name}/overlays", "/api/v1/calendars/24-7/overlays"),
    ("/api/v1/dlq", "/api/v1/dlq"),
    ("/api/v1/dlq/{id}", "/api/v1/dlq/let_1"),
    ("/api/v1/explain/runs/{id}", "/api/v1/explain/runs/RUN"),
    ("/api/v1/explain/runs/{id}/nodes/{node}", "/api/v1/explain/runs/RUN/nodes/fetch"),
    ("/api/v1/explain/pipelines/{name}", "/api/v1/explain/pipelines/lean_daily"),
    ("/api/v1/approvals", "/api/v1/approvals"),
    ("/api/v1/runs/{id}/approvals", "/api/v1/runs/RUN/approvals"),
    ("/livez", "/livez"),
    ("/readyz", "/readyz"),
)


@pytest.mark.parametrize(("template", "path"), GETS, ids=[template for template, _ in GETS])
async def test_every_answer_is_as_the_openapi_document_says(
    served: Served, client: httpx.AsyncClient, template: str, path: str
) -> None:
    run = await served.engine.submit(Submission(pipeline="lean_daily"))
    await served.engine.log(run.run_id, "hello")
    await served.engine.finish(run.run_id)
    served.engine.scheduler.keep("lean_daily", ScheduleUse(expression="XNYS close"))
    served.engine.scheduler.decide(1, "lean_daily")
    document = (await client.get("/openapi.json")).json()

    answer = await client.get(path.replace("RUN", run.run_id))

    assert answer.status_code == 200
    assert checked(document, template, "get", answer)


async def test_every_get_route_is_in_that_test(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    gets = {path for path, operations in document["paths"].items() if "get" in operations}

    assert gets - {template for template, _ in GETS} == {"/metrics", "/api/v1/events"}


async def test_the_document_is_openapi_3_1_and_every_reference_is_there(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    refs: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(ref := value.get("$ref"), str):
                refs.add(ref.removeprefix("#/components/schemas/"))
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(document)
    assert refs <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in str(document)


async def test_runs_are_paged_by_a_cursor(served: Served, client: httpx.AsyncClient) -> None:
    made = [
        (await served.engine.submit(Submission(pipeline="lean_daily"))).run_id for _ in range(5)
    ]

    seen: list[str] = []
    cursor: str | None = None
    pages = 0
    while True:
        query: dict[str, str | int] = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/api/v1/runs", params=query)).json()
        seen += [run["run_id"] for run in page["items"]]
        pages += 1
        cursor = page["next"]
        if cursor is None:
            break

    assert seen == made[::-1]
    assert pages == 3


async def test_runs_are_filtered_by_state_and_pipeline(
    served: Served, client: httpx.AsyncClient
) -> None:
    ended = await served.engine.submit(Submission(pipeline="lean_daily"))
    await served.engine.submit(Submission(pipeline="lean_daily"))
    await served.engine.finish(ended.run_id)

    found = (await client.get("/api/v1/runs", params={"state": ["success", "failed"]})).json()
    none = (await client.get("/api/v1/runs", params={"job": "other"})).json()

    assert [run["run_id"] for run in found["items"]] == [ended.run_id]
    assert none["items"] == []


async def test_a_workflow_is_defined_shown_drawn_and_executed(
    served: Served, client: httpx.AsyncClient
) -> None:
    body = {"name": "mine", "nodes": {"fetch": {"op": "ingest", "dataset": "bars"}}}
    made = await client.post("/api/pipeline/workflows", json=body)
    shown = await client.get(made.headers["location"])
    run = await client.post("/api/pipeline/workflows/mine/execute", json={"dry_run": True})
    bare = await client.post("/api/pipeline/workflows/mine/execute")

    assert made.status_code == 201
    assert shown.json()["name"] == "mine"
    assert (run.status_code, bare.status_code) == (202, 202)
    assert run.json()["dry_run"] is True


async def test_a_wrong_workflow_says_which_key(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/pipeline/workflows", json={"name": "mine", "nodes": {"fetch": {}}}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["key"] == "nodes.fetch.op"


async def test_a_graph_has_levels_and_edges_and_can_be_a_mermaid_chart(
    client: httpx.AsyncClient,
) -> None:
    at = "/api/pipeline/workflows/lean_daily/dag"
    graph = (await client.get(at)).json()
    chart = await client.get(at, headers={"accept": "text/vnd.mermaid"})

    assert graph["levels"] == [["fetch"], ["check"], ["publish", "hold"]]
    assert {"from": "check", "to": "publish", "on": ["pass", "warn"]} in graph["edges"]
    assert chart.text.startswith("flowchart LR\n")
    assert "n1 -->|pass or warn| n2" in chart.text


async def test_a_version_that_is_not_there_is_told_with_the_newest(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/api/v1/workflows/lean_daily?version=99")
    assert answer.json()["detail"] == "pipeline 'lean_daily' has no version 99; the newest is 1"


def test_an_empty_graph_has_no_levels() -> None:
    assert dag({"nodes": []}) == {"nodes": [], "edges": [], "levels": []}


async def test_a_pipeline_is_paused_and_resumed(client: httpx.AsyncClient) -> None:
    paused = await client.post("/api/v1/pipelines/lean_daily/pause")
    resumed = await client.post("/api/v1/pipelines/lean_daily/resume")
    unknown = await client.post("/api/v1/pipelines/nope/pause")

    assert (paused.json()["state"], resumed.json()["state"]) == ("paused", "active")
    assert unknown.status_code == 404


async def test_reload_says_what_changed(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/v1/reload")).json()["changed"] == ["lean_daily"]


@pytest.mark.parametrize(
    ("path", "body", "fast"),
    [
        ("/api/v1/drain", None, False),
        ("/api/v1/stop", None, False),
        ("/api/v1/stop", {"how": "fast"}, True),
    ],
)
async def test_the_daemon_is_asked_to_stop(
    served: Served, client: httpx.AsyncClient, *, path: str, body: dict[str, str] | None, fast: bool
) -> None:
    answer = await client.post(path, json=body)

    assert answer.status_code == 202
    assert served.engine.stops == [fast]
    not_ready = await client.get("/readyz")
    assert not_ready.status_code == 503


async def test_the_configuration_is_shown_without_secrets(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/config")

    assert answer.json()["providers"]["vendor"]["settings"]["api_key"] == "[redacted]"
    assert (
        answer.json()["providers"]["vendor"]["settings"]["url"]
        == "https://me:[redacted]@vendor.test/x"
    )
    assert SECRET not in answer.text


async def test_plugins_say_why_they_were_refused(client: httpx.AsyncClient) -> None:
    good, bad = (await client.get("/api/v1/plugins")).json()["items"]

    assert good["registers"] == {"provider": ["vendor"]}
    assert (bad["state"], bad["reason"]) == ("refused", "no hook")


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "pipeline_active_jobs 0" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nope", 404, "not-found"),
        ("GET", "/api/v1/runs/", 404, "not-found"),
        ("PATCH", "/api/pipeline/jobs", 405, "method-not-allowed"),
        ("GET", "/api/v1/runs?limit=0", 422, "invalid-request"),
        ("GET", "/api/v1/runs?limit=many", 422, "invalid-request"),
        ("GET", "/api/v1/runs?state=done", 422, "invalid-request"),
        ("GET", "/api/v1/runs/run_x/logs?after=-1", 422, "invalid-request"),
        ("GET", "/api/v1/events?after=x", 422, "invalid-request"),
        ("GET", "/api/pipeline/lineage/nope", 404, "unknown-dataset"),
        ("GET", "/api/pipeline/workflows/nope/dag", 404, "unknown-pipeline"),
        ("GET", "/api/v1/pipelines/nope", 404, "unknown-pipeline"),
        ("GET", "/api/v1/workflows/lean_daily?version=99", 404, "unknown-pipeline"),
    ],
)
async def test_wrong_requests_are_problems(
    client: httpx.AsyncClient, *, method: str, path: str, status: int, kind: str
) -> None:
    answer = await client.request(method, path)

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.json()["type"] == f"urn:openbell:problem:{kind}"
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"job": NaN}', b"[" * 5000]
)
async def test_a_body_that_is_no_object_is_a_problem(
    client: httpx.AsyncClient, content: bytes
) -> None:
    answer = await client.post(
        "/api/pipeline/jobs", content=content, headers={"content-type": "application/json"}
    )

    assert answer.status_code in {400, 422}
    assert answer.json()["type"] == "urn:openbell:problem:invalid-request"
