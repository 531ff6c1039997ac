"""How dates and times are written: strptime-like patterns and a few words. Pure, no Arrow."""

from __future__ import annotations

import re
from dataclasses import dataclass

EPOCH_UNITS_NS = {"epoch_s": 10**9, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1}
SINCE_MIDNIGHT_US = {"seconds": 10**6, "milliseconds": 10**3}
WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "y": 2}
_PATTERNS = {
    "Y": r"(?P<Y>\d{4})",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})",
    "y": r"(?P<y>\d{2})",
    "f": r"(?P<f>\d{1,9})",
    "b": r"(?P<b>[A-Za-z]{3})",
    "B": r"(?P<b>[A-Za-z]{3,9})",
    "I": r"(?P<I>\d{1,2})",
    "p": r"(?P<p>[AaPp][Mm])",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2})",
}
_TIME_OF_DAY = r"(?P<H>\d{2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:\.(?P<f>\d{1,9}))?)?"
_OFFSET = r"(?: ?(?P<z>Z|[+-]\d{2}:?\d{2}))?"
_ISO = {
    "ts": rf"(?P<Y>\d{{4}})-(?P<m>\d{{2}})-(?P<d>\d{{2}})(?:[T ]{_TIME_OF_DAY}{_OFFSET})?",
    "date": r"(?P<Y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})",
    "time": rf"{_TIME_OF_DAY}{_OFFSET}",
}
_DATE_PARTS, _TIME_PARTS = set("YymdbB"), set("HMSfIpz")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFormat:
    """One way to write a date or time: a regular expression with the groups YymdbHMSfIpz.

    `fixed` lists (letter or literal character, first byte, byte count) when every value has the
    same width `width_bytes`; it is empty otherwise.
    """

    text: str
    regex: str
    fixed: tuple[tuple[str, int, int], ...] = ()
    width_bytes: int = 0


def check_format(text: str, kind: str) -> None:
    """Raise ValueError, saying what can be written, unless `text` is a format for `kind`.

    `kind` is `ts`, `date` or `time`.
    """
    words = {"ts": tuple(EPOCH_UNITS_NS), "date": (), "time": tuple(SINCE_MIDNIGHT_US)}[kind]
    if text in words or text == "iso":
        return
    known = ", ".join(("iso", *words))
    if "%" not in text:
        raise ValueError(f"{text!r} is not understood; write {known} or a pattern such as %Y-%m-%d")
    compile_format(text, kind)


def compile_format(text: str, kind: str) -> list[TextFormat]:
    """Return the ways that `text` allows, in the order to try; raises ValueError."""
    if text == "iso":
        patterns = {
            "ts": ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"],
            "date": ["%Y-%m-%d"],
            "time": ["%H:%M:%S", "%H:%M"],
        }[kind]
        fast = [_from_pattern(pattern, only_fixed=True) for pattern in patterns]
        return [*fast, TextFormat(text="iso", regex=f"^{_ISO[kind]}$")]
    _check_parts(text, kind)
    return [_from_pattern(text, only_fixed=False)]


def _check_parts(text: str, kind: str) -> None:
    letters = re.findall(r"%(.)", text)
    unknown = [letter for letter in letters if letter not in _PATTERNS]
    if unknown or text.endswith("%"):
        raise ValueError(
            f"{text!r}: %{''.join(unknown[:1])} is not understood; there are "
            + " ".join(f"%{letter}" for letter in _PATTERNS)
        )
    doubled = {letter for letter in letters if letters.count(letter) > 1}
    if doubled:
        raise ValueError(f"{text!r} has %{min(doubled)} twice")
    has_date = {"m", "d"} <= {"m" if x in "bB" else x for x in letters} and set(letters) & set("Yy")
    if kind != "time" and not has_date:
        raise ValueError(f"{text!r} needs a year, a month and a day, such as %Y%m%d")
    if kind == "time" and (set(letters) & _DATE_PARTS or not set(letters) & {"H", "I"}):
        raise ValueError(f"{text!r} must be a time of day, such as %H:%M:%S")
    if kind == "date" and set(letters) & _TIME_PARTS:
        raise ValueError(f"{text!r} must be a date, such as %Y%m%d; map `ts` for both together")


def _from_pattern(text: str, *, only_fixed: bool) -> TextFormat:
    tokens = re.findall(r"%.|[^%]", text)
    regex, fixed, at_byte = "", [], 0
    for index, token in enumerate(tokens):
        if not token.startswith("%"):
            regex += re.escape(token)
            fixed.append((token, at_byte, 0))
            at_byte += len(token.encode())
            continue
        letter = token[1]
        touches = any(
            other.startswith("%")
            for other in (*tokens[max(index - 1, 0) : index], *tokens[index + 1 : index + 2])
        )
        part = _PATTERNS[letter]
        regex += part.replace("{1,2}", "{2}") if touches else part
        fixed.append((letter, at_byte, WIDTHS.get(letter, 0)))
        at_byte += WIDTHS.get(letter, 0)
    has_fixed = (
        all(token[1] in WIDTHS for token in tokens if token.startswith("%")) and text.isascii()
    )
    return TextFormat(
        text=text,
        regex="" if only_fixed else f"^{regex}$",
        fixed=tuple(fixed) if has_fixed else (),
        width_bytes=at_byte if has_fixed else 0,
    )
