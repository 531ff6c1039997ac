"""Path templates such as `{symbol:lower}/{date:%Y%m%d}_trade.zip`."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from datetime import date
from string import Formatter

_DATE_SPEC = re.compile(r"(?:%[YymdjbB]|[^%])+")
_CASES = ("", "lower", "upper")


class TemplateError(ValueError):
    """The template cannot be used; the message says why and what can be written."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Literal text (`name` empty) or a placeholder with its format."""

    name: str
    text: str


class PathTemplate:
    """A relative path with placeholders `{symbol}` and `{date:FORMAT}`, and wildcards `*`, `?`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = tuple(_parse(text))
        names = {part.name for part in self._parts}
        self.has_symbol = "symbol" in names
        self.has_date = "date" in names
        letters = {
            letter for part in self._parts if part.name == "date" for letter in part.text.split("%")
        }
        firsts = {letter[:1] for letter in letters if letter}
        has_day = "j" in firsts or ("d" in firsts and bool(firsts & set("mbB")))
        self.names_a_day = has_day and bool(firsts & set("Yy"))
        literals = [part.text for part in self._parts if not part.name]
        self.has_wildcard = any(char in literal for literal in literals for char in "*?")
        _check_relative("".join("x" if part.name else part.text for part in self._parts))

    def render(self, symbol: str, day: date | None) -> str:
        """Return the path; with wildcards a glob pattern in which the values are escaped."""
        out = []
        for part in self._parts:
            if part.name:
                value = _value(part, symbol, day)
                out.append(glob.escape(value) if self.has_wildcard else value)
            else:
                out.append(part.text.replace("[", "[[]") if self.has_wildcard else part.text)
        return "".join(out)


def _value(part: _Part, symbol: str, day: date | None) -> str:
    if part.name == "date":
        if day is None:
            raise TemplateError("a path with {date} needs a date")
        return day.strftime(part.text)
    return {"": symbol, "lower": symbol.lower(), "upper": symbol.upper()}[part.text]


def _parse(text: str) -> list[_Part]:
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        raise TemplateError(f"{text!r} is not a path template: {error}") from error
    parts = []
    for literal, name, spec, conversion in pieces:
        if literal:
            parts.append(_Part("", literal))
        if name is not None:
            if conversion:
                raise TemplateError(f"{{{name}!{conversion}}} is not understood; drop the '!'")
            parts.append(_placeholder(name, spec or ""))
    return parts


def _placeholder(name: str, spec: str) -> _Part:
    if name == "symbol":
        if spec not in _CASES:
            raise TemplateError(
                f"{{symbol:{spec}}} is not understood; write {{symbol}}, {{symbol:lower}} or "
                "{symbol:upper}"
            )
        return _Part(name, spec)
    if name == "date":
        if "%" not in spec or not _DATE_SPEC.fullmatch(spec):
            raise TemplateError(
                f"{{date:{spec}}} is not understood; write for example {{date:%Y%m%d}} "
                "(%Y %y %m %d %j %b %B)"
            )
        return _Part(name, spec)
    raise TemplateError(f"{{{name}}} is not known; there are {{symbol}} and {{date:FORMAT}}")


def _check_relative(text: str) -> None:
    if not text:
        raise TemplateError(
            "the path is empty; write for example {symbol}.csv, or choose a profile"
        )
    if text.startswith("/") or "\\" in text or "\0" in text:
        raise TemplateError("the path must be relative to `root` and use '/'")
    if ".." in text.split("/"):
        raise TemplateError("the path must not leave `root` ('..')")


def check_symbol(name: str) -> str:
    """Return `name` when it can stand in a file name; raises ValueError saying why not."""
    bad = [char for char in name if char in "/\\" or ord(char) < 32 or ord(char) == 127]
    if not name or name in {".", ".."} or bad or len(name.encode(errors="replace")) > 200:
        raise ValueError(
            f"{name!r} cannot be part of a file name; map it to one under `symbol_names:`"
        )
    return name
