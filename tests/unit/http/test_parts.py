from __future__ import annotations

import json
from types import MappingProxyType

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import Response

from openbell.http.answers import JsonAnswer
from openbell.http.idempotency import AnswerKeeper
from openbell.http.problems import ProblemAnswer, of_status

pytestmark = pytest.mark.unit


def request(body: bytes) -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": [], "query_string": b""}
    return Request({**scope, "server": ("x", 80)}, receive)


async def test_the_keeper_forgets_the_oldest_beyond_its_capacity() -> None:
    keeper = AnswerKeeper(capacity=2)
    made: list[str] = []

    async def ask(key: str) -> Response:
        async def make() -> Response:
            made.append(key)
            return JsonAnswer({"key": key})

        return await keeper.once(request(b"{}"), key, make)

    for key in ("a", "b", "c", "c", "b", "a"):
        await ask(key)

    assert made == ["a", "b", "c", "a"]


async def test_the_keeper_does_not_forget_a_request_at_work() -> None:
    keeper = AnswerKeeper(capacity=1)
    go_on = anyio.Event()
    made: list[str] = []

    async def slow() -> Response:
        made.append("slow")
        await go_on.wait()
        return JsonAnswer({})

    async def quick() -> Response:
        return JsonAnswer({})

    async with anyio.create_task_group() as tg:
        tg.start_soon(keeper.once, request(b"1"), "slow", slow)
        await anyio.wait_all_tasks_blocked()
        await keeper.once(request(b"2"), "quick", quick)
        tg.start_soon(keeper.once, request(b"1"), "slow", slow)
        await anyio.wait_all_tasks_blocked()
        go_on.set()

    assert made == ["slow"]


def test_answers_encode_what_the_model_holds() -> None:
    body = JsonAnswer({"params": MappingProxyType({"a": (1, 2)}), "place": complex(1, 2)}).body
    assert json.loads(bytes(body)) == {"params": {"a": [1, 2]}, "place": "(1+2j)"}


def test_a_problem_that_is_not_on_the_list_is_a_bug() -> None:
    with pytest.raises(KeyError):
        ProblemAnswer.of(400, "no-such-problem", "x")


def test_a_status_of_the_framework_gets_its_type() -> None:
    assert json.loads(bytes(of_status(418, "teapot").body))["type"].endswith("invalid-request")
    assert json.loads(bytes(of_status(502, "").body))["type"].endswith("internal")
