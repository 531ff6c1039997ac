"""What is wrong with a schedule, and where. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from typing_extensions import override


class ScheduleError(Exception):
    """A text is no schedule: `message`, a `hint`, and the `position` of the character (from 0)."""

    def __init__(self, text: str, position: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.text = text
        self.position = position
        self.message = message
        self.hint = hint

    @override
    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.message} at character {self.position + 1}{hint}"

    @property
    def picture(self) -> tuple[str, str]:
        """The text's line, and below it a caret under the character, with the message."""
        start = self.text.rfind("\n", 0, self.position) + 1
        line = self.text[start:].split("\n", 1)[0]
        shown = "".join(char if char.isprintable() else " " for char in line)
        return shown, " " * (self.position - start) + f"^ {self.message}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names what a word was probably meant to be, else all there is."""
    names = list(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
