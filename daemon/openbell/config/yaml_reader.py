"""YAML 1.2 text to a `Tree`, through the C parser's events.

The C parser (ruamel.yaml.clib) is ten times faster than ruamel.yaml's own and follows the syntax
of YAML 1.1, which refuses a few things that 1.2 allows (`{uri: http://host}`). What it refuses is
given to ruamel.yaml's parser, whose answer stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn, TypeAlias

from _ruamel_yaml import CParser
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from openbell.config.scalars import resolve
from openbell.config.tree import Mark, Scalar, Tree
from openbell.sdk.errors import Problem, SettingsError

DEEPEST_NESTING = 64
MOST_VALUES = 1_000_000
Event: TypeAlias = Any
"""An event of ruamel.yaml, which has no types."""

_OLD_BREAK = re.compile("[\x85\u2028\u2029]")
"""Ends a line in YAML 1.1, even a comment with a key behind it, and does not in 1.2."""

_TAG = "tag:yaml.org,2002:"
_COLLECTION_TAGS = {dict: f"{_TAG}map", list: f"{_TAG}seq"}


def read_yaml(text: str, file: str) -> Tree | None:
    """Return the one document in `text`, or None when it holds nothing.

    Raises SettingsError with the first error of syntax, or with everything else at once: keys given
    twice, keys that are no text, unknown tags and aliases.
    """
    if _OLD_BREAK.search(text) is None:
        try:
            return _Builder(file).build(iter(CParser(text).get_event, None))
        except YAMLError:
            pass
    try:
        return _Builder(file).build(YAML(typ="safe", pure=True).parse(text))
    except YAMLError as error:
        raise SettingsError([_syntax_problem(error, text, file)]) from None


def _syntax_problem(error: YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line = before.count("\n") + 1
        return Problem(
            message=f"character U+{ord(text[error.position]):04X} is not allowed in YAML",
            file=file,
            line=line,
            column=error.position - (before.rfind("\n") + 1) + 1,
        )
    if not isinstance(error, MarkedYAMLError):
        return Problem(message=str(error), file=file, line=1)
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    words = [part for part in (error.context, error.problem) if part]
    hint = ""
    lines = text.splitlines()
    if "\t" in (lines[line - 1] if line <= len(lines) else "")[: column + 1]:
        words, hint = ["there is a tab where YAML wants spaces"], "indent with spaces"
    elif error.context_mark is not None and error.context_mark.line + 1 != line:
        hint = f"it began in line {error.context_mark.line + 1}"
    return Problem(message=", ".join(words), file=file, line=line, column=column, hint=hint)


class _Frame:
    """A collection that is being filled."""

    __slots__ = ("anchor", "first_count", "items", "key", "key_mark", "mark", "merges")

    def __init__(self, event: Event, mark: Mark, first_count: int) -> None:
        self.items: dict[str, Tree] | list[Tree] = (
            {} if isinstance(event, MappingStartEvent) else []
        )
        self.mark = mark
        self.anchor: str | None = event.anchor
        self.first_count = first_count
        self.key: str | None = None
        self.key_mark: Mark | None = None
        self.merges: list[Tree] = []


class _Builder:
    """Turns events into a tree with a stack of its own, so that no nesting overflows Python's."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Tree, int]] = {}
        self._open_anchors: set[str] = set()
        self._problems: list[Problem] = []
        self._root: Tree | None = None
        self._count = 0
        self._has_begun = False

    def build(self, events: Iterable[Event]) -> Tree | None:
        """Return the root; raises SettingsError with every problem met."""
        for event in events:
            self._take(event)
        if self._problems:
            raise SettingsError(self._problems)
        if self._root is not None and self._root.value is None:
            return None
        return self._root

    def _take(self, event: Event) -> None:
        if isinstance(event, ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            self._open(event)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            self._close()
        elif isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, DocumentStartEvent):
            self._begin(event)

    def _begin(self, event: Event) -> None:
        if self._has_begun:
            hint = "a configuration is one document"
            self._stop("a second document begins here", self._mark(event), hint)
        self._has_begun = True

    def _scalar(self, event: Event) -> None:
        mark = self._mark(event)
        text: str = event.value
        if self._expects_key():
            self._set_key(text, mark, is_merge=text == "<<" and event.implicit[0])
            return
        value: Scalar = resolve(text) if event.implicit[0] and event.tag is None else text
        if event.tag is not None:
            value = self._tagged(str(event.tag), text, mark)
        self._count += 1
        self._put(Tree(value, mark), event.anchor, 1)

    def _tagged(self, tag: str, text: str, mark: Mark) -> Scalar:
        if tag in {"!", f"{_TAG}str"}:
            return text
        value = resolve(text)
        fits = {
            f"{_TAG}int": isinstance(value, int) and not isinstance(value, bool),
            f"{_TAG}float": isinstance(value, (int, float)) and not isinstance(value, bool),
            f"{_TAG}bool": isinstance(value, bool),
            f"{_TAG}null": value is None,
        }.get(tag)
        name = tag.replace(_TAG, "!!")
        if fits is None:
            self._complain(f"tag {name} is not supported", mark)
        elif not fits:
            self._complain(f"{text!r} is not {name}", mark)
        return value

    def _open(self, event: Event) -> None:
        mark = self._mark(event)
        if self._expects_key():
            self._stop("a key must be text, not a list or a mapping", mark)
        if len(self._stack) >= DEEPEST_NESTING:
            self._stop(f"values are nested deeper than {DEEPEST_NESTING} levels", mark)
        frame = _Frame(event, mark, self._count)
        tag = str(event.tag) if event.tag is not None else None
        if tag not in {None, _COLLECTION_TAGS[type(frame.items)]}:
            self._complain(f"tag {str(tag).replace(_TAG, '!!')} is not supported", mark)
        if frame.anchor:
            self._open_anchors.add(frame.anchor)
        self._stack.append(frame)

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.merges and isinstance(frame.items, dict):
            for source in frame.merges:
                frame.items = {**source.entries(), **frame.items}
        self._count += 1
        if frame.anchor:
            self._open_anchors.discard(frame.anchor)
        self._put(Tree(frame.items, frame.mark), frame.anchor, self._count - frame.first_count)

    def _alias(self, event: Event) -> None:
        mark = self._mark(event)
        if self._expects_key():
            self._stop("a key must be text, not an alias", mark)
        if event.anchor in self._open_anchors:
            self._stop(f"alias *{event.anchor} refers to what it stands in", mark)
        found = self._anchors.get(event.anchor)
        if found is None:
            self._stop(f"alias *{event.anchor} has no anchor before it", mark)
        tree, size = found
        self._count += size
        if self._count > MOST_VALUES:
            self._stop(f"aliases unfold to more than {MOST_VALUES:,} values", mark)
        self._put(Tree(tree.value, mark), None, size)

    def _put(self, tree: Tree, anchor: str | None, size: int) -> None:
        if anchor:
            self._anchors[anchor] = (tree, size)
        if not self._stack:
            self._root = tree
            return
        frame = self._stack[-1]
        if isinstance(frame.items, list):
            frame.items.append(tree)
            return
        key, tree.key_mark = frame.key or "", frame.key_mark
        frame.key = None
        if frame.key_mark is not None and frame.key_mark.via == "<<":
            self._merge(frame, tree)
        else:
            frame.items[key] = tree

    def _merge(self, frame: _Frame, tree: Tree) -> None:
        sources = tree.value if isinstance(tree.value, list) else [tree]
        for source in sources:
            if isinstance(source.value, dict):
                frame.merges.append(source)
            else:
                self._complain("'<<' takes a mapping or a list of mappings", tree.mark)

    def _expects_key(self) -> bool:
        return (
            bool(self._stack)
            and isinstance(self._stack[-1].items, dict)
            and self._stack[-1].key is None
        )

    def _set_key(self, text: str, mark: Mark, *, is_merge: bool) -> None:
        frame = self._stack[-1]
        earlier = frame.items.get(text) if isinstance(frame.items, dict) else None
        if earlier is not None and earlier.key_mark is not None:
            self._complain(
                f"key {text!r} is given twice", mark, f"first in line {earlier.key_mark.line}"
            )
        frame.key = text
        frame.key_mark = mark._replace(via="<<") if is_merge else mark

    def _mark(self, event: Event) -> Mark:
        mark = event.start_mark
        return Mark(self._file, mark.line + 1, mark.column + 1)

    def _complain(self, message: str, mark: Mark, hint: str = "") -> None:
        self._problems.append(
            Problem(message=message, file=mark.file, line=mark.line, column=mark.column, hint=hint)
        )

    def _stop(self, message: str, mark: Mark, hint: str = "") -> NoReturn:
        self._complain(message, mark, hint)
        raise SettingsError(self._problems)
