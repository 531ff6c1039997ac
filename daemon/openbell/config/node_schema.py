"""The keys of a node, and what nodes and jobs share; the reference is `daemon/spec/config.md`."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from openbell.config.fields import Duration, Float, Int, Name
from openbell.model.pipelines import RETRIED, ErrorClass, TriggerRule


class Section(BaseModel):
    """A mapping of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=False, hide_input_in_errors=True
    )


def listed(value: object) -> object:
    """Return a list of one for a text, and anything else as it is."""
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


_CLASSES = {"enum": list(get_args(ErrorClass))}
ErrorClasses = Annotated[
    tuple[ErrorClass, ...],
    BeforeValidator(listed),
    WithJsonSchema({"anyOf": [_CLASSES, {"type": "array", "items": _CLASSES}]}),
]


class RetrySection(Section):
    """When a failed attempt is tried again."""

    max_attempts: Int = Field(default=3, ge=1, le=100, description="attempts in all")
    backoff_seconds: Float = Field(default=5.0, ge=0, description="wait after the first failure")
    multiplier: Float = Field(default=2.0, ge=1, le=100, description="each wait is longer by this")
    max_backoff_seconds: Float = Field(default=300.0, ge=0, description="the longest wait")
    on: ErrorClasses = Field(default=RETRIED, description="after which errors; fatal ones never")


class RehearsalSection(Section):
    """How a node behaves in a rehearsal."""

    duration: Duration | None = Field(default=None, description="how long it takes; unset: nothing")
    fail_rate: Float = Field(default=0.0, ge=0, le=1, description="how many of its attempts fail")
    outcome: str | None = Field(
        default=None, description="how it ends when it does not fail; of a gate: pass"
    )


Rehearsals = dict[Name, RehearsalSection]


def _edges(value: object) -> object:
    value = listed(value)
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return dict.fromkeys(value, ())
    if isinstance(value, dict):
        shut = [name for name, outcomes in value.items() if outcomes == []]
        if shut:
            raise ValueError(
                f"the edge from {shut[0]!r} opens for no outcome: list those it opens for"
            )
        return {name: listed(outcomes) for name, outcomes in value.items()}
    raise ValueError("must be a list of nodes, or a mapping of nodes to outcomes")


Edges = Annotated[
    dict[str, tuple[str, ...]],
    BeforeValidator(_edges),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {
                    "type": "object",
                    "additionalProperties": {
                        "anyOf": [
                            {"type": "string"},
                            {"type": "array", "items": {"type": "string"}},
                        ]
                    },
                },
            ]
        }
    ),
]


class NodeSection(Section):
    """One node; the keys of its operator stand beside these."""

    model_config = ConfigDict(extra="allow")

    op: str = Field(description="the operator, built in or from a plugin")
    needs: Edges = Field(
        default={}, description="nodes before it; as a mapping, with the outcomes that open the way"
    )
    retry: RetrySection | None = Field(default=None, description="unset: 3 attempts")
    timeout: Duration | None = Field(default=None, description="the longest an attempt may take")
    trigger: TriggerRule = Field(
        default="all_success", description="which ends of the nodes before it let it run"
    )
    pool: str | None = Field(default=None, description="a name under pools: one slot an attempt")
    for_each: Any = Field(
        default=None, description="one instance for each item of a list, or where the items are"
    )
    max_parallel: Int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="instances at once; unset: as many as there is room",
    )
