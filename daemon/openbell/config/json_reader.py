"""JSON text (RFC 8259) to a `Tree`.

Its own reader, because `json` tells no places and keeps the last of two equal keys, and YAML's
reader does not know JSON's surrogate escapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NoReturn

from openbell.config.tree import Mark, Scalar, Tree
from openbell.sdk.errors import Problem, SettingsError

DEEPEST_NESTING = 64
_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,99})(\.[0-9]+)?([eE][-+]?[0-9]+)?(?![0-9.])")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_HALF = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"true|false|null")


def read_json(text: str, file: str) -> Tree:
    """Return the value that `text` writes.

    Raises SettingsError with every key given twice, or with the first error of syntax.
    """
    return _Reader(text, file).read()


class _Reader:
    """A recursive descent with a bounded depth."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._at = 0
        self._line = 1
        self._line_start = 0
        self._marked = 0
        self._problems: list[Problem] = []

    def read(self) -> Tree:
        self._skip()
        tree = self._value(0)
        self._skip()
        if self._at < len(self._text):
            self._stop("there is text after the end of the value")
        if self._problems:
            raise SettingsError(self._problems)
        return tree

    def _value(self, depth: int) -> Tree:
        mark = self._mark()
        if depth > DEEPEST_NESTING:
            self._stop(f"values are nested deeper than {DEEPEST_NESTING} levels")
        match self._text[self._at : self._at + 1]:
            case "{":
                return Tree(self._object(depth), mark)
            case "[":
                return Tree(self._array(depth), mark)
            case '"':
                return Tree(self._string(), mark)
            case _:
                return Tree(self._word_or_number(), mark)

    def _object(self, depth: int) -> dict[str, Tree]:
        members: dict[str, Tree] = {}
        for _ in self._members("}"):
            mark = self._mark()
            if not self._text.startswith('"', self._at):
                self._stop("a key in double quotes is expected")
            key = self._string()
            self._skip()
            self._expect(":")
            value = self._value(depth + 1)
            earlier = members.get(key)
            if earlier is not None and earlier.key_mark is not None:
                hint = f"first in line {earlier.key_mark.line}"
                self._complain(f"key {key!r} is given twice", mark, hint)
            value.key_mark = mark
            members[key] = value
        return members

    def _array(self, depth: int) -> list[Tree]:
        return [self._value(depth + 1) for _ in self._members("]")]

    def _members(self, end: str) -> Iterator[None]:
        self._at += 1
        self._skip()
        if self._text.startswith(end, self._at):
            self._at += 1
            return
        while True:
            yield
            self._skip()
            if self._text.startswith(end, self._at):
                self._at += 1
                return
            if not self._text.startswith(",", self._at):
                self._stop(f"',' or '{end}' is expected")
            self._at += 1
            self._skip()

    def _expect(self, sign: str) -> None:
        if not self._text.startswith(sign, self._at):
            self._stop(f"{sign!r} is expected")
        self._at += 1
        self._skip()

    def _string(self) -> str:
        token = _STRING.match(self._text, self._at)
        if token is None:
            self._stop("text must end in a double quote and hold no control characters")
        value = token[0][1:-1] if "\\" not in token[0] else self._unescaped(token[0])
        if _HALF.search(value):
            self._stop("a surrogate escape is half of a pair")
        self._at = token.end()
        return value

    def _unescaped(self, token: str) -> str:
        try:
            return str(json.loads(token))
        except json.JSONDecodeError as error:
            self._at += error.pos
            self._stop(error.msg[0].lower() + error.msg[1:])

    def _word_or_number(self) -> Scalar:
        word = _WORD.match(self._text, self._at)
        if word is not None:
            self._at = word.end()
            return _WORDS[word[0]]
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            self._stop("a value is expected")
        self._at = number.end()
        return float(number[0]) if number[1] or number[2] else int(number[0])

    def _skip(self) -> None:
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _mark(self) -> Mark:
        passed = self._text.count("\n", self._marked, self._at)
        if passed:
            self._line += passed
            self._line_start = self._text.rfind("\n", self._marked, self._at) + 1
        self._marked = self._at
        return Mark(self._file, self._line, self._at - self._line_start + 1)

    def _complain(self, message: str, mark: Mark, hint: str = "") -> None:
        self._problems.append(
            Problem(message=message, file=mark.file, line=mark.line, column=mark.column, hint=hint)
        )

    def _stop(self, message: str) -> NoReturn:
        self._complain(message, self._mark())
        raise SettingsError(self._problems)
