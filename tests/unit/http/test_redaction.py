from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from doubles.engine import DoubleEngine
from doubles.serving import TOKEN, app_of

from openbell.http.connections import Caller, WithCaller
from openbell.http.redaction import Redaction
from openbell.http.sse import Message

pytestmark = pytest.mark.unit

RUN = {
    "run_id": "run_01M7Y14PH8E1187WTDNQYSR3AN",
    "state": "success",
    "submitted_at": "2026-11-21T03:07:03.592231Z",
    "session": "2026-11-20",
    "workflow_version": 1,
    "error": "",
    "dry_run": False,
}


def hiding(*secrets: str) -> Redaction:
    return Redaction(lambda: secrets)


def inside(engine: DoubleEngine) -> httpx.AsyncClient:
    caller = Caller(uid=0, is_allowed=True, abort=lambda: None)
    transport = httpx.ASGITransport(app=WithCaller(app_of(engine), caller))
    return httpx.AsyncClient(transport=transport, base_url="http://x")


def test_secrets_are_hidden_by_key_by_value_and_in_addresses() -> None:
    settings = {
        "password": "p",
        "api_key": "k",
        "note": "uses s3cr3t inside",
        "uri": "postgresql://me:pw@host/db",
        "seed": 42,
        "nested": [{"client_secret": "x"}],
        "keys": ["symbol"],
    }
    assert hiding("s3cr3t", "").value(settings) == {
        "password": "[redacted]",
        "api_key": "[redacted]",
        "note": "uses [redacted] inside",
        "uri": "postgresql://me:[redacted]@host/db",
        "seed": 42,
        "nested": [{"client_secret": "[redacted]"}],
        "keys": ["symbol"],
    }


@pytest.mark.parametrize(
    "secret", ["a", "1", "-", "id", "21", "run", "2026", "state", "success", "run_id", "T03:", "0"]
)
def test_a_secret_that_is_a_word_of_the_api_breaks_no_answer(secret: str) -> None:
    assert hiding(secret).value(RUN) == RUN


def test_a_very_short_secret_is_hidden_only_where_it_stands_alone() -> None:
    shown = hiding("ab").value({"note": "ab is in cab and abacus", "whole": "ab", "token": "ab"})

    assert shown == {
        "note": "[redacted] is in cab and abacus",
        "whole": "[redacted]",
        "token": "[redacted]",
    }


def test_a_body_without_secrets_stays_as_it_is_byte_for_byte() -> None:
    body = b'{"b":1.50, "a":"\\u00e9"}'
    assert hiding("hunter2").json(body) is body


def test_secrets_in_some_items_of_a_page_are_hidden_and_the_others_stay() -> None:
    page = {"items": [{"a": 1}, {"token": "x"}, {"b": "of hunter2"}], "next": "hunter2"}
    shown = json.loads(hiding("hunter2").json(json.dumps(page).encode()))

    items = [{"a": 1}, {"token": "[redacted]"}, {"b": "of [redacted]"}]
    assert shown == {"items": items, "next": "[redacted]"}


def test_a_secret_of_before_a_reload_stays_hidden() -> None:
    secrets = [("old-secret",), ("new-secret",)]
    redaction = Redaction(lambda: secrets[0], own=["own-secret"])
    before = redaction.value("old-secret new-secret")
    secrets.pop(0)

    assert before == "[redacted] new-secret"
    assert redaction.value("old-secret new-secret own-secret") == " ".join(["[redacted]"] * 3)


def test_an_event_of_a_stream_holds_no_secret() -> None:
    message = Message("run.submitted", {"params": {"note": "hunter2 here"}}, id=7)
    assert message.encode(hiding("hunter2")) == (
        b'id: 7\nevent: run.submitted\ndata: {"params":{"note":"[redacted] here"}}\n\n'
    )


async def test_answers_hide_secrets_of_parameters_and_the_token() -> None:
    async with inside(DoubleEngine()) as client:
        params = {"api_key": "k-1234", "note": f"with {TOKEN}", "x hunter2-very-secret": [1]}
        answer = await client.post(
            "/api/pipeline/jobs", json={"job": "lean_daily", "params": params}
        )
        listed = await client.get("/api/v1/runs")

    shown = {"api_key": "[redacted]", "note": "with [redacted]", "x [redacted]": "[redacted]"}
    assert answer.json()["params"] == shown
    assert listed.json()["items"][0]["params"] == shown
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_problems_hide_secrets() -> None:
    async with inside(DoubleEngine()) as client:
        answer = await client.get("/api/v1/runs/hunter2-very-secret")

    problem: dict[str, Any] = json.loads(answer.content)
    assert problem["type"] == "urn:openbell:problem:unknown-run"
    assert "hunter2" not in answer.text
    assert "[redacted]" in problem["detail"]
