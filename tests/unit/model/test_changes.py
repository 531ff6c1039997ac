"""What one set of definitions changes about another."""

from __future__ import annotations

from typing import Any

import pytest

from openbell.model.changes import Change, ScheduleChange, changes, planned
from openbell.model.definitions import definition
from openbell.model.pipelines import Node, Pipeline, Rehearsal
from openbell.model.schedules import ScheduleUse

pytestmark = pytest.mark.unit

FETCH = Node(name="fetch", op="ingest", settings={"dataset": "bars"})
WRITE = Node(name="write", op="write", needs={"fetch": ("pass",)}, settings={"to": "primary"})


def written(*nodes: Node, **keys: Any) -> dict[str, Any]:
    return definition(Pipeline(name="p", nodes=nodes, **keys))


def test_equal_definitions_differ_in_nothing() -> None:
    assert list(changes(written(FETCH), written(FETCH))) == []
    assert not planned({"p": written(FETCH)}, {"p": written(FETCH)}, changed=[])


def test_each_key_that_differs_is_told_by_its_path() -> None:
    before = written(FETCH, WRITE, params={"a": 1, "b": {"c": 1}})
    after = written(
        Node(name="fetch", op="ingest", settings={"dataset": "more", "lookback_bars": 2}),
        Node(name="write", op="write", needs={"fetch": ("pass", "warn")}, settings={}),
        params={"b": {"c": [1]}},
        priority=7,
    )
    assert list(changes(before, after)) == [
        Change(key="params.a", kind="removed", before=1),
        Change(key="params.b.c", kind="changed", before=1, after=[1]),
        Change(key="priority", kind="changed", before=5, after=7),
        Change(key="nodes.fetch.settings.dataset", kind="changed", before="bars", after="more"),
        Change(key="nodes.fetch.settings.lookback_bars", kind="added", after=2),
        Change(
            key="nodes.write.needs.fetch", kind="changed", before=["pass"], after=["pass", "warn"]
        ),
        Change(key="nodes.write.settings.to", kind="removed", before="primary"),
    ]


def test_a_node_that_comes_or_goes_is_one_change() -> None:
    found = list(changes(written(FETCH), written(WRITE)))
    assert [(change.key, change.kind) for change in found] == [
        ("nodes.fetch", "removed"),
        ("nodes.write", "added"),
    ]
    assert found[1].after["op"] == "write"


def test_a_mapping_that_appears_is_told_by_its_leaves() -> None:
    after = written(FETCH, rehearsal={"fetch": Rehearsal(duration_s=2)})
    assert [change.key for change in changes(written(FETCH), after)] == [
        "rehearsal.fetch.duration_s",
        "rehearsal.fetch.fail_rate",
        "rehearsal.fetch.outcome",
    ]


def test_a_plan_lists_pipelines_and_schedules_that_come_and_go() -> None:
    daily = ScheduleUse(expression="XNYS close")
    early = ScheduleUse(expression="XNYS open")
    before = {"a": written(FETCH), "p": written(FETCH, schedule=(daily,))}
    after = {"b": written(WRITE, schedule=(daily,)), "p": written(FETCH, schedule=(early,))}
    after["old"] = before["old"] = {**written(FETCH), "schedule": ["XLON open"], "origin": "config"}
    found = planned(before, after, changed=["p"])
    assert found
    assert (found.added, found.removed, list(found.changed)) == (["b"], ["a"], ["p"])
    assert found.schedules_added == (
        ScheduleChange(pipeline="b", expression="XNYS close"),
        ScheduleChange(pipeline="p", expression="XNYS open"),
    )
    assert found.schedules_removed == (ScheduleChange(pipeline="p", expression="XNYS close"),)
