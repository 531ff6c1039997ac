"""Why a calendar cannot be built, in words that a person can use. Pure."""

from __future__ import annotations

import re
from textwrap import shorten

_RAISED = re.compile(
    r"(?P<kind>[A-Za-z_]\w*)\((?P<quote>['\"])(?P<text>.*)(?P=quote),?\)", re.DOTALL
)
_MOMENTS = re.compile(r"\[Timestamp\([^\]]*\]")
_MOMENT = re.compile(r"Timestamp\('([0-9]{4}-[0-9]{2}-[0-9]{2})")
_LONGEST = 200


def reason_of(message: str, library: str) -> str:
    """Return what a worker's `message` about a failed build says; `library` was at work.

    Lists of days are counted, and what is still too long is cut.
    """
    raised = _RAISED.fullmatch(message)
    text = message if raised is None else raised["text"]
    told = shorten(_MOMENTS.sub(_counted, text), _LONGEST, placeholder=" ...")
    return told if raised is None else f"{library} fails on it with {raised['kind']}: {told}"


def _counted(days: re.Match[str]) -> str:
    found = _MOMENT.findall(days[0])
    return f"({len(found):,} from {min(found)} to {max(found)})" if found else days[0]


def way_out(calendar: str) -> str:
    """Return what somebody can do who needs a calendar that cannot be built."""
    return (
        f"another version of the library may build it, and `calendars: {{policies: {{{calendar}: "
        "weekmask}}` takes usual weekdays and hours, without holidays"
    )
