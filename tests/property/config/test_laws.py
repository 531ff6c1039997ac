"""Laws of the configuration's parts."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from doubles.configurations import EXAMPLE, FILE, loaded
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from openbell.config.graph import cycle, in_order
from openbell.config.json_reader import read_json
from openbell.config.reader import read_text
from openbell.config.substitution import fill_params, params_in
from openbell.config.tree import Mark, Tree, grown, key_path, merged, via
from openbell.config.yaml_reader import read_yaml
from openbell.model.pipelines import Deployment
from openbell.sdk.errors import Problem, SettingsError

pytestmark = pytest.mark.property

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
KEYS = st.text("abcdefgxyz_-", min_size=1, max_size=6)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | TEXT
    | st.sampled_from(
        ["on", "no", "yes", "null", "~", "2026-01-02", "0o7", "1e3", "a: b", "#", "-"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=5)
HERE = Mark("f", 1, 1)


def tree(value: Any) -> Tree:
    return grown(value, HERE)


@given(value=MAPPINGS)
def test_merging_nothing_or_itself_changes_nothing(value: dict[str, Any]) -> None:
    assert merged(tree(value), tree({})).plain() == value
    assert merged(tree({}), tree(value)).plain() == value
    assert merged(tree(value), tree(value)).plain() == value


SECTIONS = st.recursive(
    st.dictionaries(st.sampled_from(["x", "y"]), SCALARS, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(["SA", "SB", "SC"]), inner, max_size=3),
    max_leaves=8,
)
"""Mappings in which a key is a section or a value wherever it stands, as in a configuration."""


@given(a=SECTIONS, b=SECTIONS, c=SECTIONS)
def test_merging_is_associative(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    left = merged(merged(tree(a), tree(b)), tree(c))
    right = merged(tree(a), merged(tree(b), tree(c)))
    assert left.plain() == right.plain()


@given(a=MAPPINGS, b=MAPPINGS)
def test_every_leaf_of_the_upper_layer_is_in_force_and_says_so(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    found = merged(tree(a), via(tree(b), "upper"))
    for path, leaf in tree(b).leaves():
        node: Tree | None = found
        for step in path:
            assert node is not None
            node = node.child(step)
        assert node is not None
        if leaf.value == {}:
            assert isinstance(node.value, dict)
        else:
            assert (node.plain(), node.mark.via) == (leaf.plain(), "upper")


@given(value=MAPPINGS | st.lists(VALUES, max_size=4))
@example({"a": "http://x", "b": ["{", "a,b", "[x]"]})
@example({"a": "?0"})
@example({"a": ["é", "\u2028", "\x85", "\ufeff"]})
@settings(max_examples=300)
def test_yaml_written_by_ruamel_is_read_as_ruamel_reads_it(value: Any) -> None:
    yaml = YAML(typ="safe", pure=True)
    for flow in (True, False):
        yaml.default_flow_style = flow
        out = io.StringIO()
        yaml.dump(value, out)
        try:
            expected = yaml.load(out.getvalue())
        except YAMLError:  # the library does not read all that it writes, such as {a: ?0}
            with pytest.raises(SettingsError):
                read_yaml(out.getvalue(), "f")
            continue
        found = read_yaml(out.getvalue(), "f")
        assert (found.plain() if found else found) == expected


@given(value=VALUES, indent=st.sampled_from([None, 0, 2, "\t"]), is_ascii=st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(
    value: Any, indent: Any, is_ascii: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    assert read_json(text, "f").plain() == json.loads(text)


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    for read in (read_yaml, read_json):
        problems: tuple[Problem, ...] = ()
        try:
            read(text, "f")
        except SettingsError as error:
            problems = error.problems
        assert all(problem.line >= 1 for problem in problems)


def escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: escaped(child) for key, child in value.items()}
    if isinstance(value, list):
        return [escaped(child) for child in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


@given(value=st.recursive(st.text("${}a", max_size=8), lambda inner: st.lists(inner, max_size=3)))
@example("$${")
def test_escaped_text_asks_for_nothing_and_comes_back(value: Any) -> None:
    text = json.dumps(value)
    if "$$" in text:
        return
    assert params_in(escaped(value)) == set()
    assert fill_params(escaped(value), {}) == value


@given(
    needs=st.dictionaries(
        st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3, unique=True)
    )
)
def test_order_respects_every_edge_or_a_cycle_is_shown(needs: dict[str, list[str]]) -> None:
    order = in_order(needs)
    circle = cycle(needs)
    for name in order:
        for need in set(needs[name]) & set(needs):
            assert order.index(need) < order.index(name)
    assert (set(order) == set(needs)) is (circle == [])
    for name, need in zip(circle, [*circle[1:], *circle[:1]], strict=True):
        assert need in needs[name]


WORDS = st.sampled_from(
    [
        *("", " ", "0", "x", "{", "}", "[", "]", ":", ",", "'", '"', "\t", "\n", "#", "&a", "*a"),
        *("null", "-1", "1e999", "true", "2026-13-45", "${env:X}", "${x}", "${secret:x}", "$${"),
        *("<<", "!t", "|", ">", "%", "@", "\x00", "\u2028", "9" * 400, "- ", "? ", "---\n"),
    ]
)
TOKENS = [match.span() for match in re.finditer(r"[\w./-]+|[^\s\w]", EXAMPLE)]


def outcome(text: str) -> Deployment | SettingsError:
    try:
        return loaded(text).deployment
    except SettingsError as error:
        return error


def check(text: str) -> None:
    found = outcome(text)
    if isinstance(found, Deployment):
        return
    assert found.problems
    line_count = text.count("\n") + 1
    for problem in found.problems:
        assert problem.message
        assert problem.file == FILE
        assert 1 <= problem.line <= line_count + 1
        assert "pydantic" not in str(problem).lower()


@given(token=st.sampled_from(TOKENS), word=WORDS)
@settings(max_examples=400, deadline=None)
def test_a_changed_word_loads_or_is_told_with_its_place(token: tuple[int, int], word: str) -> None:
    check(EXAMPLE[: token[0]] + word + EXAMPLE[token[1] :])


@given(at=st.integers(0, len(EXAMPLE)), cut=st.integers(0, 60), word=WORDS)
@settings(max_examples=300, deadline=None)
def test_a_cut_or_an_insertion_anywhere_loads_or_is_told(at: int, cut: int, word: str) -> None:
    check(EXAMPLE[:at] + word + EXAMPLE[at + cut :])


BASE = read_text(EXAMPLE, FILE).plain()
PATHS = [path for path, _ in tree(BASE).leaves()]


@given(path=st.sampled_from(PATHS), value=VALUES, depth=st.integers(1, 6))
@settings(max_examples=300, deadline=None)
def test_any_value_anywhere_loads_or_is_told_in_the_line_where_it_stands(
    path: tuple[str | int, ...], value: Any, depth: int
) -> None:
    changed = json.loads(json.dumps(BASE))
    place = path[: max(1, min(depth, len(path)))]
    node = changed
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    text = json.dumps(changed, indent=1)
    found = outcome(text)
    if isinstance(found, SettingsError):
        lines = text.splitlines()
        for problem in found.problems:
            assert 1 <= problem.line <= len(lines)
            step = problem.key.rsplit(".", 1)[-1].split("[")[0]
            here = "\n".join(lines[: problem.line])
            assert problem.column <= len(lines[problem.line - 1]) + 1
            assert json.dumps(step) in here or step in here or problem.message == "is required"


@given(steps=st.lists(KEYS | st.integers(0, 9), max_size=5))
def test_paths_are_written_so_that_they_can_be_told_apart(steps: list[str | int]) -> None:
    text = key_path(tuple(steps))
    assert text.count("[") == sum(isinstance(step, int) for step in steps)


STEPS = st.sampled_from(
    [
        *("daemon", "max_workers", "providers", "synthetic_1", "seed", "pacing", "datasets"),
        *("eod_bars", "symbols", "", "_", "0", "é", "model_config", "json", "copy", "self"),
        *("profile", "version", "profiles", "pipelines", "eod_equities", "nodes", "check"),
    ]
)
TEXTS = WORDS | st.sampled_from(["[A, B]", "{a: 1}", "[", "4", "false"])


@given(steps=st.lists(STEPS, min_size=1, max_size=5), text=TEXTS)
@settings(max_examples=300, deadline=None)
def test_any_variable_or_flag_is_used_or_told(steps: list[str], text: str) -> None:
    variable = "OPENBELL_" + "__".join(steps).upper()
    flag = ".".join(steps)
    for env, overrides in (({variable: text}, {}), ({}, {flag: text})):
        told: str = "environment" if env else "flag"
        try:
            loaded(EXAMPLE, env=env, overrides=overrides)
        except SettingsError as error:
            places = {problem.file.split(" ")[0] for problem in error.problems}
            assert places <= {told, FILE}
