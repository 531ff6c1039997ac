"""Trees: laying one over another, and telling where a value came from."""

from __future__ import annotations

import pytest

from openbell.config.tree import Mark, Tree, grown, key_path, merged, via

pytestmark = pytest.mark.unit

HERE = Mark("a.yaml", 3, 1)


def test_mappings_merge_and_everything_else_is_replaced() -> None:
    under = grown({"a": {"x": 1, "y": [1, 2]}, "b": 1}, HERE)
    over = grown({"a": {"y": [3], "z": 0}, "c": 2}, HERE)
    assert merged(under, over).plain() == {"a": {"x": 1, "y": [3], "z": 0}, "b": 1, "c": 2}


def test_a_mapping_replaces_a_scalar_and_the_other_way_round() -> None:
    assert merged(grown({"a": 1}, HERE), grown({"a": {"b": 1}}, HERE)).plain() == {"a": {"b": 1}}
    assert merged(grown({"a": {"b": 1}}, HERE), grown({"a": 1}, HERE)).plain() == {"a": 1}


@pytest.mark.parametrize(
    ("mark", "origin"),
    [
        (Mark("a.yaml", 3, 1), "a.yaml:3"),
        (Mark("a.yaml", 3, 1, "profile prod"), "profile prod a.yaml:3"),
        (Mark(via="environment OPENBELL_X"), "environment OPENBELL_X"),
    ],
)
def test_origins_are_told_shortly(mark: Mark, origin: str) -> None:
    assert mark.origin() == origin


def test_via_marks_every_part() -> None:
    tree = via(grown({"a": [1, {"b": 2}]}, HERE), "profile p")
    assert {leaf.mark.via for _, leaf in tree.leaves()} == {"profile p"}
    assert via(Tree(1, HERE), "flag").key_mark is None


def test_children_are_found_by_key_and_by_index() -> None:
    tree = grown({"a": [10, 20]}, HERE)
    items = tree.child("a")
    assert items is not None
    assert items.child(1) is not None
    assert items.child(2) is None
    assert items.child("x") is None
    assert tree.child("b") is None
    assert items.entries() == {}


def test_leaves_are_scalars_and_empty_collections() -> None:
    tree = grown({"a": [1, []], "b": {}}, HERE)
    assert [path for path, _ in tree.leaves()] == [("a", 0), ("a", 1), ("b",)]


def test_paths_are_written_as_people_write_them() -> None:
    assert key_path(("nodes", "check", "rules", 0, "name")) == "nodes.check.rules[0].name"
    assert key_path(()) == ""
