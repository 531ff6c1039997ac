"""Pipelines written in Python become what YAML would say."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

import pytest

from openbell.sdk import Pipeline, PipelineNode

pytestmark = pytest.mark.unit


class Outcome(StrEnum):
    GOOD = "pass"


def test_what_says_nothing_is_not_written() -> None:
    node = PipelineNode(name="a", op="noop")
    assert Pipeline(name="p", nodes=[node]).document() == {"nodes": {"a": {"op": "noop"}}}


def test_every_key_is_written_as_plain_json() -> None:
    node = PipelineNode(
        name="a",
        op="ingest",
        needs={"b": [Outcome.GOOD]},
        settings={"dataset": "bars", "since": date(2026, 1, 2), "names": {"y", "x"}},
        retry={"on": ("timeout",)},
        timeout=timedelta(minutes=5),
        trigger="always",
        pool="vendor",
        for_each=[],
        max_parallel=0,
    )
    pipeline = Pipeline(
        name="p",
        nodes=(node,),
        schedule="XNYS close",
        params={"n": None},
        priority=0,
        after=["q"],
        needs_dataset={"bars": "session"},
        give_up=30.5,
        rehearsal={"a": {"duration": timedelta(seconds=2)}},
    )
    assert pipeline.document() == {
        "schedule": "XNYS close",
        "params": {"n": None},
        "priority": 0,
        "after": ["q"],
        "needs_dataset": {"bars": "session"},
        "give_up": 30.5,
        "rehearsal": {"a": {"duration": 2.0}},
        "nodes": {
            "a": {
                "op": "ingest",
                "needs": {"b": ["pass"]},
                "retry": {"on": ["timeout"]},
                "timeout": 300.0,
                "trigger": "always",
                "pool": "vendor",
                "for_each": [],
                "max_parallel": 0,
                "dataset": "bars",
                "since": "2026-01-02",
                "names": ["x", "y"],
            }
        },
    }


def test_the_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PipelineNode(name="a", op="noop").op = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("nodes", "error"),
    [
        ([{"op": "noop"}], "which is no PipelineNode"),
        ([PipelineNode(name="a", op="x"), PipelineNode(name="a", op="x")], "two nodes are called"),
        ([PipelineNode(name="a", op="x", settings={"op": 1})], "settings hold op, which the node"),
        ([PipelineNode(name="a", op="x", settings={"f": print})], "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_written_is_refused(nodes: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        Pipeline(name="p", nodes=nodes).document()
