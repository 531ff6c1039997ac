"""Reads a schedule's text piece by piece; the parser says which kind of piece it expects. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

from openbell.schedule.errors import ScheduleError, nearest

_BLANK = re.compile(r"(?:[ \t\n\r\f\v]+|#[^\n]*)*")
_MAY_SKIP = frozenset([*"# \t\n\r\f\v"])
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ANYTHING = re.compile(r"[^\s\[\](),&#]+|.", re.DOTALL)


class Scanner:
    """A text and how far it has been read. Blanks, line ends and `# comments` mean nothing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._word_at = -1
        self._word: str | None = None
        self._skip()

    def is_done(self) -> bool:
        """Return whether nothing is left."""
        return self.position >= len(self.text)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Read what matches `pattern` here, or nothing."""
        match = pattern.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
            self._skip()
        return match

    def peek(self, pattern: re.Pattern[str]) -> str | None:
        """Return what matches `pattern` here without reading it."""
        match = pattern.match(self.text, self.position)
        return None if match is None else match[0]

    def word(self) -> str | None:
        """Return the word here in lower case, without reading it."""
        if self._word_at != self.position:
            match = _WORD.match(self.text, self.position)
            self._word_at, self._word = self.position, None if match is None else match[0].lower()
        return self._word

    def take_word(self, *words: str) -> str | None:
        """Read the word here when it is one of `words`."""
        found = self.word()
        if found is None or found not in words:
            return None
        self.position += len(found)
        self._skip()
        return found

    def one_of(self, what: str, known: Iterable[str]) -> str:
        """Read the word here, which must be one of `known`; raises ScheduleError."""
        names = list(known)
        found = self.word()
        if found in names:
            self.take(_WORD)
            return found
        what_here = self.here()
        if self.is_done():
            self.fail(f"{what} is missing", nearest("", names))
        noun = what.removeprefix("a ").removeprefix("an ")
        return self.fail(f"{what_here} is no {noun}", nearest(what_here.strip("'"), names))

    def expect(self, word: str, hint: str) -> None:
        """Read this word; raises ScheduleError."""
        if self.take_word(word) is None:
            self.fail(f"{word!r} is missing", hint)

    def symbol(self, *symbols: str) -> str | None:
        """Read the character here when it is one of `symbols`."""
        if not self.is_done() and self.text[self.position] in symbols:
            found = self.text[self.position]
            self.position += 1
            self._skip()
            return found
        return None

    def here(self) -> str:
        """Return what stands here, for messages."""
        found = self.peek(_ANYTHING)
        return "the end" if found is None else repr(found)

    def fail(self, message: str, hint: str = "", *, position: int | None = None) -> NoReturn:
        """Raise ScheduleError for what stands at `position`, or here."""
        raise ScheduleError(
            self.text, self.position if position is None else position, message, hint
        )

    def _skip(self) -> None:
        if self.text[self.position : self.position + 1] not in _MAY_SKIP:
            return
        blank = _BLANK.match(self.text, self.position)
        self.position = self.position if blank is None else blank.end()
