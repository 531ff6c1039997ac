"""Which calendars there are, without asking the library that knows their days."""

from __future__ import annotations

import difflib

ALWAYS = "24/7"
"""The calendar without an end of day: sessions are UTC days."""

KNOWN = (
    ALWAYS,
    "24/5",
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


class UnknownCalendarError(Exception):
    """No calendar has this name; `hint` names the nearest."""

    def __init__(self, name: str) -> None:
        by_lower = {known.lower(): known for known in (*ALIASES, *KNOWN)}
        close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
        self.name = name
        self.hint = f"did you mean {by_lower[close[0]]!r}?" if close else ""
        super().__init__(f"calendar {name!r} is unknown" + (f"; {self.hint}" if close else ""))


def canonical(name: str) -> str:
    """Return the calendar that `name` (or an alias, in any case) means.

    Raises UnknownCalendarError.
    """
    if name in KNOWN:
        return name
    upper = name.upper()
    found = ALIASES.get(upper) or next((known for known in KNOWN if known.upper() == upper), None)
    if found is None:
        raise UnknownCalendarError(name)
    return found
