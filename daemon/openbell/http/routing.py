"""How a route is declared, so that each is documented in the same way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from openbell.http.answers import JsonAnswer

JSON = "application/json"
MAX_ID = 2**63 - 1
"""The largest number that history can hold."""
Handler = Callable[..., Awaitable[Response]]


def add(
    router: APIRouter,
    route: str,
    handler: Handler,
    *,
    answer: str,
    status: int = 200,
    media: str = JSON,
) -> None:
    """Add `route`, written `METHOD /path`; `answer` names a schema of `schemas.answers`."""
    method, _, path = route.partition(" ")
    schema = {"$ref": f"#/components/schemas/{answer}"} if media == JSON else {"type": "string"}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"content": {media: {"schema": schema}}},
        "default": {
            "description": "a problem (RFC 9457)",
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        },
    }
    router.add_api_route(
        path,
        handler,
        methods=[method],
        status_code=status,
        response_class=JsonAnswer if media == JSON else Response,
        response_model=None,
        responses=responses,
        operation_id=_operation_id(method, router.prefix + path),
    )


def _operation_id(method: str, path: str) -> str:
    words = path.replace("{", "by_").replace("}", "").strip("/").replace(".", "_").split("/")
    return "_".join((method.lower(), *words))
