"""Which calendars there are, without asking the library that knows their days."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterable, Sequence

from openbell.model.calendars import CalendarDefinition, CalendarRules

ALWAYS = "24/7"
"""The calendar without an end of day: sessions are UTC days."""

FX = "24/5"
"""The week of currency trading: Sunday 17:00 to Friday 17:00 in New York, a session each day."""

KNOWN = (
    ALWAYS,
    FX,
    *("AIXK", "ASEX", "BVMF", "CMES", "IEPA", "XAMS", "XASX", "XBDA", "XBEL", "XBKK", "XBOG"),
    *("XBOM", "XBRA", "XBRU", "XBSE", "XBUD", "XBUE", "XCBF", "XCSE", "XCYS", "XDUB", "XDUS"),
    *("XEEE", "XETR", "XEUR", "XFRA", "XHAM", "XHEL", "XHKG", "XICE", "XIDX", "XIST", "XJSE"),
    *("XKAR", "XKLS", "XKRX", "XLIM", "XLIS", "XLIT", "XLJU", "XLON", "XLUX", "XMAD", "XMEX"),
    *("XMIL", "XMOS", "XNYS", "XNZE", "XOSL", "XPAR", "XPHS", "XPRA", "XRIS", "XSAU", "XSES"),
    *("XSGO", "XSHG", "XSTO", "XSTU", "XSWX", "XTAE", "XTAI", "XTAL", "XTKS", "XTSE", "XWAR"),
    *("XWBO", "XZAG", "us_futures"),
)

ALIASES = {
    **dict.fromkeys(("24-7", "ALWAYS", "ALWAYS_OPEN", "CRYPTO"), ALWAYS),
    "24-5": FX,
    **dict.fromkeys(("NYSE", "NASDAQ", "BATS", "XNAS", "ARCX", "OOTC", "XASE", "AMEX"), "XNYS"),
    **dict.fromkeys(("CME", "CBOT", "COMEX", "NYMEX"), "CMES"),
    **dict.fromkeys(("ICE", "ICEUS", "NYFE"), "IEPA"),
    "ASX": "XASX",
    "BMF": "BVMF",
    "BSE": "XBOM",
    "BVB": "XBSE",
    "CFE": "XCBF",
    "FWB": "XFRA",
    "HKEX": "XHKG",
    "JKT": "XIDX",
    "JPX": "XTKS",
    "LSE": "XLON",
    "LUXSE": "XLUX",
    "OSE": "XOSL",
    "SIX": "XSWX",
    "SSE": "XSHG",
    "TASE": "XTAE",
    "TSE": "XTKS",
    "TSX": "XTSE",
    "XTSX": "XTSE",
}

_OTHERWISE = "`mdp calendar list` shows all; a configuration defines more under calendars.define"


class UnknownCalendarError(Exception):
    """No calendar has this name; `hint` names the nearest."""

    def __init__(self, name: str, defined: Iterable[str] = ()) -> None:
        by_lower = {known.lower(): known for known in (*ALIASES, *KNOWN, *defined)}
        near = _nearest(name.lower(), by_lower)
        self.name = name
        self.hint = f"did you mean {by_lower[near]!r}?" if near else _OTHERWISE
        super().__init__(f"calendar {name!r} is unknown" + (f"; {self.hint}" if near else ""))


def _nearest(wanted: str, known: Iterable[str]) -> str:
    """Return the name most like `wanted`, of equals the one that begins like it; empty: none."""
    close = difflib.get_close_matches(wanted, known, n=10, cutoff=0.5)

    def likeness(name: str) -> tuple[float, int]:
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(name, wanted, strict=False))
        return difflib.SequenceMatcher(None, name, wanted).ratio(), len(list(same))

    return max(close, key=likeness, default="")


def canonical(name: str, defined: Collection[str] = ()) -> str:
    """Return the calendar that `name` (or an alias, in any case) means.

    `defined` are the names of calendars that the configuration defines. Raises
    UnknownCalendarError.
    """
    if name in KNOWN or name in defined:
        return name
    upper = name.upper()
    found = ALIASES.get(upper) or next(
        (known for known in (*KNOWN, *defined) if known.upper() == upper), None
    )
    if found is None:
        raise UnknownCalendarError(name, defined)
    return found


def is_taken(name: str) -> bool:
    """Return whether `name`, in any case, is a calendar or an alias already."""
    return name.upper() in ALIASES or any(known.upper() == name.upper() for known in KNOWN)


class CalendarCatalog:
    """Which calendars and named events there are, by the rules of a configuration."""

    def __init__(self, rules: CalendarRules) -> None:
        self._defined = rules.defined

    def canonical(self, calendar: str) -> str:
        """Return the calendar that a name or an alias means; raises UnknownCalendarError."""
        return canonical(calendar, self._defined)

    def events(self, calendar: str) -> Sequence[str]:
        """Return the named events of a calendar, sorted; raises UnknownCalendarError."""
        definition = self._defined.get(self.canonical(calendar))
        return () if definition is None else event_names(definition)

    def names(self) -> Sequence[str]:
        """Return every calendar, sorted."""
        return sorted((*KNOWN, *self._defined))


def event_names(definition: CalendarDefinition) -> Sequence[str]:
    """Return the named events of a definition, sorted."""
    edges = {"pre_open": definition.pre_open, "post_close": definition.post_close}
    return sorted((*definition.events, *(name for name, at in edges.items() if at is not None)))
