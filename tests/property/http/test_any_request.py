"""Whatever is asked, the answer is documented, and no request is answered by a bug."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest
from doubles.engine import DoubleEngine
from doubles.serving import app_of
from hypothesis import given, settings
from hypothesis import strategies as st

from openbell.http.connections import Caller, WithCaller
from openbell.model.control import Submission

pytestmark = pytest.mark.property

CALLER = Caller(uid=0, is_allowed=True, abort=lambda: None)
ENGINE = DoubleEngine()
FAILURES: list[BaseException] = []
APP = app_of(ENGINE, failed=lambda error, _: FAILURES.append(error))
DOCUMENT: dict[str, Any] = APP.api.openapi()
OPERATIONS = [
    (method, path)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if path not in {"/api/v1/events", "/metrics"}
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "job",
        "pipeline",
        "params",
        "session",
        "from",
        "to",
        "dry_run",
        "for",
        "how",
        "name",
        "nodes",
        "when",
    ]
)
plausible: st.SearchStrategy[Any] = (
    json_values
    | st.just("lean_daily")
    | st.just("2024-01-02")
    | st.just({"fetch": {"op": "ingest"}})
    | st.just({"op": {}})
)
bodies = json_values | st.dictionaries(keys | st.text(max_size=5), plausible, max_size=5)
ids = st.sampled_from(["lean_daily", "bars", "RUN"]) | st.text(
    st.characters(codec="utf-8", exclude_characters="/?#\x00"), min_size=1, max_size=12
)
queries = st.dictionaries(
    st.sampled_from(
        ["limit", "cursor", "after", "state", "node", "version", "job", "pipeline", "job_id"]
    ),
    st.integers(-5, 10**20).map(str) | st.text(st.characters(codec="utf-8"), max_size=8),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(
    operation=st.sampled_from(OPERATIONS),
    name=ids,
    query=queries,
    body=st.none() | bodies,
    key=st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300),
)
async def test_every_answer_is_documented(
    *,
    operation: tuple[str, str],
    name: str,
    query: dict[str, str],
    body: object,
    key: str | None,
) -> None:
    method, template = operation
    ENGINE.state = "running"
    run = await ENGINE.submit(Submission(pipeline="lean_daily"))
    transport = httpx.ASGITransport(app=WithCaller(APP, CALLER))
    wanted = run.run_id if name == "RUN" else name
    part = quote(wanted, safe="")
    url = "http://x" + template.replace("{id}", part).replace("{dataset}", part)
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["idempotency-key"] = key
    async with httpx.AsyncClient(transport=transport) as client:
        answer = await client.request(
            method.upper(),
            url,
            params=query,
            content=None if body is None else json.dumps(body),
            headers=headers,
        )

    assert FAILURES == []
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    declared = DOCUMENT["paths"][template][method]["responses"]
    content = (declared.get(str(answer.status_code)) or declared["default"])["content"]
    media = answer.headers["content-type"].partition(";")[0]
    assert media in content or media == "text/event-stream", (media, answer.text)
    if media in content:
        schema = {**content[media]["schema"], "components": DOCUMENT["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())


@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"]),
    path=st.text(st.characters(codec="utf-8", exclude_characters="?#\x00"), max_size=30),
    content=st.binary(max_size=60),
)
async def test_noise_gets_a_problem(method: str, path: str, content: bytes) -> None:
    transport = httpx.ASGITransport(app=WithCaller(APP, CALLER))
    async with httpx.AsyncClient(transport=transport) as client:
        answer = await client.request(
            method, "http://x/api/" + quote(path, safe="/"), content=content
        )

    assert FAILURES == []
    assert 400 <= answer.status_code < 500
    if method != "HEAD":
        assert answer.json()["type"].startswith("urn:openbell:problem:")
