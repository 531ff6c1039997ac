"""JSON text to a tree."""

from __future__ import annotations

import pytest

from openbell.config.json_reader import DEEPEST_NESTING, read_json
from openbell.sdk.errors import SettingsError

pytestmark = pytest.mark.unit


def refused(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_json(text, "f.json")
    return [str(problem) for problem in caught.value.problems]


def test_values_are_read_as_written() -> None:
    text = (
        ' {"a": [1, -2.5e1, "x\\u00e9\\ud83d\\ude00\\/"], "b": {}, "c": [], "d": null, "e": true}\n'
    )
    assert read_json(text, "f").plain() == {
        "a": [1, -25.0, "xé😀/"],
        "b": {},
        "c": [],
        "d": None,
        "e": True,
    }


def test_places_are_told() -> None:
    tree = read_json('{\n  "a": {\n    "b": 1}}', "f.json")
    assert tree.mark_at(("a", "b")) == ("f.json", 3, 10, "")
    assert tree.mark_at(("a", "b"), of_key=True) == ("f.json", 3, 5, "")


def test_every_key_given_twice_is_told() -> None:
    assert refused('{"a": 1,\n "a": 2,\n "b": {"c": 1, "c": 2}}') == [
        "f.json:2:2: key 'a' is given twice (first in line 1)",
        "f.json:3:16: key 'c' is given twice (first in line 3)",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "f.json:1:2: a key in double quotes is expected"),
        ('{"a" 1}', "f.json:1:6: ':' is expected"),
        ('{"a": 1', "f.json:1:8: ',' or '}' is expected"),
        ("[1 2]", "f.json:1:4: ',' or ']' is expected"),
        ("[1,]", "f.json:1:4: a value is expected"),
        ("{'a': 1}", "f.json:1:2: a key in double quotes is expected"),
        ("[01]", "f.json:1:2: a value is expected"),
        ("[NaN]", "f.json:1:2: a value is expected"),
        ("1 2", "f.json:1:3: there is text after the end of the value"),
        ('"a\n"', "f.json:1:1: text must end in a double quote and hold no control characters"),
        ('"\\ud800"', "f.json:1:1: a surrogate escape is half of a pair"),
        ('"\\x"', "f.json:1:2: invalid \\escape"),
        ("", "f.json:1:1: a value is expected"),
    ],
)
def test_the_first_error_of_syntax_is_told(text: str, problem: str) -> None:
    assert refused(text)[0].startswith(problem)


def test_nesting_is_bounded() -> None:
    assert read_json("[" * DEEPEST_NESTING + "]" * DEEPEST_NESTING, "f").mark.line == 1
    assert "nested deeper" in refused("[" * 100_000)[0]
