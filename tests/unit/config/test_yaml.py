"""YAML 1.2 to a tree: what scalars mean, where they stand, what is refused."""

from __future__ import annotations

import math

import pytest

from openbell.config.scalars import resolve
from openbell.config.tree import Tree
from openbell.config.yaml_reader import DEEPEST_NESTING, read_yaml
from openbell.sdk.errors import Problem, SettingsError

pytestmark = pytest.mark.unit


def read(text: str) -> Tree:
    tree = read_yaml(text, "f.yaml")
    assert tree is not None
    return tree


def refused(text: str) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        read_yaml(text, "f.yaml")
    return caught.value.problems


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "N", "2026-01-02", "12:30:00"])
def test_words_that_yaml_1_1_bends_stay_text(word: str) -> None:
    assert resolve(word) == word


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-012", -12),
        ("0o17", 15),
        ("0xfF", 255),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("+.INF", math.inf),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("1.2.3", "1.2.3"),
        ("-", "-"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(float(str(resolve(".nan"))))


def test_quoted_scalars_are_text() -> None:
    assert read("a: '12'\nb: \"true\"\nc: |\n  12\n").plain() == {
        "a": "12",
        "b": "true",
        "c": "12\n",
    }


def test_places_count_from_one_and_tell_key_and_value() -> None:
    tree = read("a:\n  - x: 1\n")
    assert tree.mark_at(("a", 0, "x")) == ("f.yaml", 2, 8, "")
    assert tree.mark_at(("a", 0, "x"), of_key=True) == ("f.yaml", 2, 5, "")


def test_a_place_that_is_not_there_is_its_parents() -> None:
    tree = read("a:\n  b: 1\n")
    assert tree.mark_at(("a", "zzz")).line == 1
    assert tree.mark_at(("zzz",)).line == 1
    assert tree.mark_at(("a", "b", "c")).line == 2


def test_flow_text_with_a_colon_is_read_as_yaml_1_2_has_it() -> None:
    assert read("a: {uri: http://host/x, b: 1}").plain() == {"a": {"uri": "http://host/x", "b": 1}}


def test_anchors_are_shared_and_keep_the_place_of_the_alias() -> None:
    tree = read("a: &x [1, 2]\nb: *x\n")
    assert tree.plain() == {"a": [1, 2], "b": [1, 2]}
    assert tree.mark_at(("b",)).line == 2


def test_a_merge_key_lies_under_the_keys_beside_it() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd:\n  <<: *b\n"
    assert read(text).plain()["c"] == {"x": 3, "y": 1, "z": 2}
    assert read(text).plain()["d"] == {"y": 2, "z": 2}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert read("'<<': 1\n").plain() == {"<<": 1}


def test_a_merge_of_something_else_is_refused() -> None:
    assert "takes a mapping" in refused("a: {<<: 1}\n")[0].message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("!!int 12", 12),
        ("!!float 1", 1),
        ("!!bool true", True),
        ("!!null null", None),
        ("!!seq [1]", [1]),
        ("!!map {a: 1}", {"a": 1}),
    ],
)
def test_tags_of_the_core_schema_are_known(text: str, value: object) -> None:
    assert read(f"a: {text}\n").plain() == {"a": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !thing 1\n", "tag !thing is not supported"),
        ("a: !!set {b: 1}\n", "tag !!set is not supported"),
        ("a: !!int x\n", "'x' is not !!int"),
        ("a: *x\n", "alias *x has no anchor before it"),
        ("a: &x {b: *x}\n", "alias *x refers to what it stands in"),
        ("? [1]\n: 2\n", "a key must be text, not a list or a mapping"),
        ("a: &x 1\n? *x\n: 2\n", "a key must be text, not an alias"),
        ("a: 1\n---\nb: 2\n", "a second document begins here"),
        ("a: \x01\n", "character U+0001 is not allowed in YAML"),
        ("a: [1,\n", "while parsing a flow"),
    ],
)
def test_what_a_configuration_cannot_use_is_refused(text: str, message: str) -> None:
    assert message in refused(text)[0].message


def test_a_key_given_twice_names_both_lines() -> None:
    problems = refused("a: 1\nb: 2\na: 3\nb: 4\n")
    assert [str(problem) for problem in problems] == [
        "f.yaml:3:1: key 'a' is given twice (first in line 1)",
        "f.yaml:4:1: key 'b' is given twice (first in line 2)",
    ]


def test_a_tab_is_named() -> None:
    problem = refused("a:\n\tb: 1\n")[0]
    assert (problem.line, problem.column) == (2, 1)
    assert problem.message == "there is a tab where YAML wants spaces"


def test_an_open_quote_tells_where_it_began() -> None:
    problem = refused("a: 1\nb: 'x\nc: 1\n")[0]
    assert problem.hint == "it began in line 2"


def test_the_place_of_a_forbidden_character_is_told() -> None:
    problem = refused("a: 1\nbb: \x07\n")[0]
    assert (problem.line, problem.column) == (2, 5)


def test_nesting_is_bounded() -> None:
    assert read("[" * DEEPEST_NESTING + "]" * DEEPEST_NESTING).mark.line == 1
    assert "nested deeper" in refused("[" * 100_000)[0].message


def test_aliases_that_unfold_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        inner = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{inner}]")
    assert "unfold to more than" in refused("\n".join(lines))[0].message


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n...\n", "~\n"])
def test_a_document_without_a_value_is_none(text: str) -> None:
    assert read_yaml(text, "f.yaml") is None


@pytest.mark.parametrize("sign", ["\u2028", "\x85"])
def test_no_key_hides_behind_a_line_separator_in_a_comment(sign: str) -> None:
    assert refused(f"a: 1 # said{sign}b: 2\n")
    assert read("a: 'x\u2028y'\n").plain() == {"a": "x\u2028y"}
