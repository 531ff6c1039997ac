"""The OpenAPI 3.1 document: the framework's routes, with our answers and our problems."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from openbell.http.schemas import answers

_REF = "#/components/schemas/"


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of `app`, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description=(
                "Served on a Unix socket to the daemon's own user, root and a configured group, "
                "and over TCP with a bearer token when configured."
            ),
            routes=app.routes,
        )
        _drop_validation_error(made)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(_answers())
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{}, {"token": []}]
        app.openapi_schema = made
    return app.openapi_schema


def _answers() -> dict[str, Any]:
    wanted = dict.fromkeys((*answers.SINGLE, *answers.PAGED))
    _, made = models_json_schema(
        [(model, "serialization") for model in wanted], by_alias=True, ref_template=_REF + "{model}"
    )
    schemas: dict[str, Any] = made["$defs"]
    for model in answers.PAGED:
        name = answers.PAGE_NAMES.get(model.__name__, f"{model.__name__}Page")
        schemas[name] = {
            "type": "object",
            "description": "A page; `next` is the cursor of the page after it, or null.",
            "required": ["items", "next"],
            "properties": {
                "items": {"type": "array", "items": {"$ref": _REF + model.__name__}},
                "next": {"type": ["string", "null"]},
            },
        }
    return schemas


def _drop_validation_error(made: dict[str, Any]) -> None:
    """Remove the framework's own error form: ours is Problem, under `default`."""
    for operations in made["paths"].values():
        for operation in operations.values():
            answer = operation["responses"].get("422", {})
            if "HTTPValidationError" in str(answer):
                del operation["responses"]["422"]
    schemas = made.get("components", {}).get("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
