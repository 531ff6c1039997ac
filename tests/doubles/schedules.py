"""Texts of schedules, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

CALENDARS = ("XNYS", "XHKG", "XTKS", "XLON", "CMES")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_SESSIONS = {"week": 5, "month": 23, "quarter": 62, "year": 250}
_DAYS = {"week": 7, "month": 31, "quarter": 92, "year": 366}
_WEEKDAYS = {"month": 5, "quarter": 13, "year": 52}
_ZONES = ("UTC", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Tokyo")
CRONS = (
    *("0 7 * * 1-5", "*/15 * * * *", "30 1,2 * * *", "0 0 L * *", "0 12 * * 5#3", "@daily"),
    *("0 0 29 2 *", "15 6 13 * 5", "0 9 * jan-mar MON", "*/7 3 * * * 0,30", "0 0 * * L5"),
)

shifts = st.sampled_from(("", "", " shift skip", " shift prev", " shift next"))
kinds = st.sampled_from(("", "", "early_close ", "full ", "late_open "))


def _ordinal(n: int) -> str:
    return "first" if n == 1 else f"{n}th"


@st.composite
def selectors(draw: st.DrawFn) -> str:
    """Which sessions, with a blank behind it, or nothing."""
    form = draw(st.integers(0, 6))
    last = draw(st.sampled_from(("", "", " last")))
    if form < 2:
        return draw(kinds)
    if form == 2:
        period = draw(st.sampled_from(sorted(_SESSIONS)))
        n = draw(st.integers(1, 5))
        return f"every {n}th {draw(kinds)}session of {period} "
    if form == 3:
        return f"{draw(st.sampled_from(WEEKDAYS))}{draw(shifts)} "
    if form == 4:
        period = draw(st.sampled_from(sorted(_WEEKDAYS)))
        n = draw(st.integers(1, _WEEKDAYS[period]))
        return f"{n}th{last} {draw(st.sampled_from(WEEKDAYS))} of {period}{draw(shifts)} "
    if form == 5:
        period = draw(st.sampled_from(sorted(_DAYS)))
        n = draw(st.integers(1, _DAYS[period]))
        return f"{n}th{last} day of {period}{draw(shifts)} "
    period = draw(st.sampled_from(sorted(_SESSIONS)))
    n = draw(st.integers(1, _SESSIONS[period]))
    rank = draw(st.sampled_from((f"{n}th{last}", "first", "last")))
    return f"{rank} {draw(kinds)}session of {period}{draw(shifts)} "


@st.composite
def durations(draw: st.DrawFn, *, most_minutes: int = 3000) -> str:
    """A duration, in one unit or several."""
    minutes = draw(st.integers(1, most_minutes))
    return draw(st.sampled_from((f"{minutes}m", f"{minutes}min30s", f"{minutes // 60}h1m")))


@st.composite
def offsets(draw: st.DrawFn) -> str:
    """Nothing, sessions, a duration, or both."""
    sign = draw(st.sampled_from("+-"))
    by_sessions = f" {sign} {draw(st.integers(0, 8))} sessions"
    by_time = f" {draw(st.sampled_from('+-'))} {draw(durations())}"
    return draw(st.sampled_from(("", by_sessions, by_time, by_sessions + by_time)))


@st.composite
def local_times(draw: st.DrawFn) -> str:
    """A time of day, perhaps with a zone and what to do when the clocks change."""
    clock = f"{draw(st.integers(0, 23)):02}:{draw(st.sampled_from((0, 30))):02}"
    zone = draw(st.sampled_from(("", *(f" {name}" for name in _ZONES))))
    missing = draw(st.sampled_from(("", " missing skip", " missing shift")))
    duplicate = draw(st.sampled_from(("", " duplicate last", " duplicate both")))
    return clock + zone + missing + duplicate


@st.composite
def triggers(draw: st.DrawFn) -> str:
    """A schedule without predicates."""
    calendar = draw(st.sampled_from(CALENDARS))
    event = draw(st.sampled_from(("open", "close", "break_start", "break_end", "session")))
    zone = draw(st.sampled_from(_ZONES))
    sessions = f" + {draw(st.integers(0, 3))} sessions"
    forms = (
        f"{calendar} {draw(selectors())}{event}{draw(offsets())}",
        f"{calendar} {draw(selectors())}{event}{draw(offsets())}",
        f"{calendar} {draw(selectors())}session{sessions} at {draw(local_times())}",
        f"not {calendar} session at {draw(local_times())}",
        f"{calendar} {draw(selectors())}every {draw(_windows())}",
        f"cron '{draw(st.sampled_from(CRONS))}' {zone}",
        f"every {draw(durations())}",
        f"at 2026-{draw(st.integers(1, 12)):02}-05T{draw(st.integers(0, 23)):02}:00Z",
    )
    return draw(st.sampled_from(forms))


@st.composite
def _windows(draw: st.DrawFn) -> str:
    brackets = draw(st.sampled_from(("[]", "[)", "(]", "()")))
    step = draw(durations(most_minutes=200))
    by = draw(st.sampled_from(("", " - 10h", " + 25h", " + 30m")))
    window = f"{brackets[0]}open{draw(st.sampled_from(('', by)))}, close{by}{brackets[1]}"
    return f"{step} in {window}"


@st.composite
def schedules(draw: st.DrawFn) -> str:
    """A schedule of any form."""
    text = draw(triggers())
    states = ("in_session", "in_break", "session", "early_close", "full")
    for state in draw(st.lists(st.sampled_from(states), max_size=2, unique=True)):
        word = draw(st.sampled_from(("", "not ")))
        text += f" & {word}{draw(st.sampled_from(CALENDARS))} {state}"
    return text
