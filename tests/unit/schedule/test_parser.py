"""The language: what is written, what it means, and where an error stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doubles.schedules import CRONS, schedules
from doubles.sessions import NAMES
from hypothesis import given
from hypothesis import strategies as st

from openbell.schedule.errors import ScheduleError
from openbell.schedule.grammar import Anchored, Grid, Nth, NthDay, Selector
from openbell.schedule.parser import MAX_LENGTH, parse

pytestmark = pytest.mark.unit

SPEC = Path(__file__).parents[3] / "daemon" / "spec" / "schedule.md"
EXAMPLES = [
    line
    for line in re.findall(r"^```schedule\n(.*?)^```", SPEC.read_text(), re.MULTILINE | re.DOTALL)[
        0
    ].splitlines()
    if line
]


@pytest.mark.parametrize("line", EXAMPLES)
def test_each_example_of_the_specification_is_a_schedule(line: str) -> None:
    schedule = parse(line, NAMES)
    assert parse(schedule.text, NAMES) == schedule


@given(text=schedules())
def test_the_canonical_text_means_the_same(text: str) -> None:
    schedule = parse(text, NAMES)
    again = parse(schedule.text, NAMES)
    assert again == schedule
    assert again.text == schedule.text
    assert again.fingerprint == schedule.fingerprint


@given(
    text=schedules(), blanks=st.lists(st.sampled_from((" ", "\n", "\t ", " # why\n ")), min_size=1)
)
def test_blanks_comments_and_case_mean_nothing(text: str, blanks: list[str]) -> None:
    spaced = "".join(
        blanks[n % len(blanks)] if char == " " and text[:n].count("'") % 2 == 0 else char
        for n, char in enumerate(text)
    )
    assert (
        parse(blanks[0] + spaced + blanks[-1], NAMES).fingerprint == parse(text, NAMES).fingerprint
    )


@given(one=schedules(), other=schedules())
def test_fingerprints_are_equal_when_meanings_are(one: str, other: str) -> None:
    first, second = parse(one, NAMES), parse(other, NAMES)
    assert (first == second) == (first.fingerprint == second.fingerprint)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("NYSE close", "XNYS close"),
        ("xnys CLOSE", "XNYS close"),
        ("XNYS session", "XNYS open"),
        ("XNYS session + 1 session open", "XNYS open + 1 session"),
        ("XNYS every close + 90m", "XNYS close + 1h30min"),
        ("XNYS close + 10m - 40m", "XNYS close - 30m"),
        ("XNYS close + 0m", "XNYS close"),
        ("XNYS first session of week open", "XNYS 1st session of week open"),
        ("XNYS every 1st session of week open", "XNYS open"),
        ("XNYS 5th day of week open", "XNYS friday open"),
        ("XNYS 3rd last day of week open", "XNYS friday of week open"),
        ("XNYS last friday of week open", "XNYS friday open"),
        ("XNYS friday shift prev close", "XNYS friday close shift prev"),
        ("cron '0 7 * * MON-FRI' UTC", "cron '0 7 * * 1,2,3,4,5' UTC"),
        ("cron '@daily' UTC", 'cron "0 0 * * *" UTC'),
        ("cron '0 0 1-31 * 1' UTC", "cron '0 0 * * *' UTC"),
        ("cron '0 7 * * * 0' UTC", "cron '0 7 * * *' UTC"),
        ("cron '0 7 * * *' UTC missing shift duplicate first", "cron '0 7 * * *' UTC"),
        ("at 2026-12-01T14:00Z", "at 2026-12-01T09:00 America/New_York"),
        ("at 2026-12-01T14:00Z", "at 2026-12-01T15:00+01:00"),
        ("every 60m", "every 1h"),
        ("XNYS open & LSE in_session & XHKG session", "XNYS open & XHKG session & XLON in_session"),
    ],
)
def test_these_mean_the_same(one: str, other: str) -> None:
    assert parse(one, NAMES) == parse(other, NAMES)
    assert parse(one, NAMES).fingerprint == parse(other, NAMES).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("XNYS close", "XLON close"),
        ("XNYS close", "XNYS close + 1s"),
        ("XNYS open + 1 session", "XNYS open - 1 session"),
        ("XNYS every 5m in [open, close]", "XNYS every 5m in [open, close)"),
        ("cron '0 7 * * *' UTC", "cron '0 7 * * *' UTC missing skip"),
        ("XNYS open & XLON in_session", "XNYS open & not XLON in_session"),
        ("XNYS session at 09:00", "not XNYS session at 09:00"),
    ],
)
def test_these_mean_something_else(one: str, other: str) -> None:
    assert parse(one, NAMES).fingerprint != parse(other, NAMES).fingerprint


def test_the_parts_of_a_schedule_are_values() -> None:
    assert parse("XNYS last full session of month close + 2h", NAMES).trigger == Anchored(
        calendar="XNYS",
        selector=Selector(kind="full", pick=Nth(n=1, period="month", from_end=True)),
        event="close",
        offset_us=7_200_000_000,
    )
    grid = parse(
        "XHKG 2nd tuesday of month shift next every 5m in (open, close + 1h]", NAMES
    ).trigger
    assert isinstance(grid, Grid)
    assert grid.selector.pick == NthDay(n=2, period="month", weekday=1, shift="next")
    assert (grid.has_start, grid.has_end) == (False, True)
    schedule = parse("XNYS open & XLON in_session & XNYS full", NAMES)
    assert schedule.calendars == ("XNYS", "XLON")


WRONG = [
    ("", 0, "a schedule is missing", "XNYS close"),
    ("  # only a comment", 18, "a schedule is missing", "XNYS close"),
    ("XNYX close", 0, "'XNYX' is unknown", "'XNYS'"),
    ("?", 0, "is no calendar", ""),
    ("XNYS", 4, "an event of XNYS is missing", "open, close"),
    ("XNYS clse", 5, "'clse' is no event of XNYS", "'close'"),
    ("XNYS settle", 5, "'settle' is no event", ""),
    ("XNYS close +", 12, "is no duration", "30s"),
    ("XNYS close + 30", 13, "'30' is no duration", "30s"),
    ("XNYS close + 30q", 13, "'30q' is no duration", "30s"),
    ("XNYS close + 400d", 13, "longer than 366d", ""),
    ("XNYS close + 300d + 300d", 20, "more than 366d away", ""),
    ("XNYS close + 1001 sessions", 13, "more than 1000 sessions", ""),
    ("XNYS session - 2000 sessions", 15, "more than 1000 sessions", ""),
    ("XNYS close 5m", 11, "'5m' is not expected here", ""),
    ("XNYS close & XNYS", 17, "a state is missing", "in_session"),
    ("XNYS close & XNYS opn", 18, "'opn' is no state", ""),
    ("XNYS close & XNYS full & not XNYS full", 25, "never both true", ""),
    ("XNYS close shift next", 11, "nothing to shift", ""),
    ("XNYS friday close shift up", 24, "'up' is no shift policy", "skip"),
    ("XNYS first friday close", 18, "'of' is missing", "week, month"),
    ("XNYS friday of month close", 12, "which one", "1st friday of month"),
    ("XNYS first session of moon close", 22, "'moon' is no period", "'month'"),
    ("XNYS first banana of month close", 11, "'banana' is no word", "session"),
    ("XNYS 8th session of week close", 5, "a week has no number 8", "1 to 7"),
    ("XNYS 0th session of week close", 5, "a week has no number 0", "1 to 7"),
    ("XNYS 6th friday of month close", 5, "a month has no number 6", "1 to 5"),
    ("XNYS 32nd day of month close", 5, "a month has no number 32", "1 to 31"),
    ("XNYS every 9th session of week close", 11, "a week has no number 9", ""),
    ("XNYS every 0m in [open, close]", 11, "a step of nothing", ""),
    ("XNYS every 5m on [open, close]", 14, "'in' is missing", ""),
    ("XNYS every 5m in open, close]", 17, "'[' or '(' is missing", ""),
    ("XNYS every 5m in [open close]", 23, "',' is missing", ""),
    ("XNYS every 5m in [open, close", 29, "']' or ')' is missing", ""),
    ("XNYS every 5m in [open, close + 1 session]", 30, "stays in its session", ""),
    ("XNYS session at 25:00", 16, "no time of day", "09:30"),
    ("XNYS session at 09:00 Mars/Olympus", 22, "'Mars/Olympus' is unknown", "tz database"),
    ("XNYS session at 09:00 missing maybe", 30, "'maybe' is no policy for missing", "shift"),
    ("not XNYS open", 9, "'session' is missing", ""),
    ("not XNYS session open", 17, "'at' is missing", ""),
    ("every", 5, "is no duration", ""),
    ("every close", 6, "a step is missing", "CAL every close"),
    ("cron 0 7 * * *", 5, "in quotes", ""),
    ("cron '0 7 * * *'", 16, "a time zone is missing", "UTC"),
    ("cron '0 7 * *' UTC", 5, "5 or 6 fields, not 4", "minute"),
    ("cron '' UTC", 5, "5 or 6 fields, not 0", "minute"),
    ("cron '61 * * * *' UTC", 5, "out of range", ""),
    ("cron '@reboot' UTC", 5, "'@reboot' is no cron", "@daily"),
    ("cron 'H * * * *' UTC", 5, "chance", "jitter"),
    ("cron '0 0 15W * *' UTC", 5, "nearest weekday", "shift prev"),
    ("cron '0 5-5 * * *' UTC", 5, "a range from a value to itself", "alone"),
    ("cron '0 0 1 * 5#3' UTC", 5, "something else to every cron", "keep one"),
    ("cron '0 0 30 2 *' UTC", 5, "never fires", ""),
    ("cron '0 0 31 4,6 *' UTC", 5, "never fires", ""),
    (f"cron '{'1,' * 150}1 * * * *' UTC", 5, "too long", ""),
    ("cron '0 7 * * *' Europe/Londn", 17, "unknown", ""),
    ("at noon", 3, "'noon' is no instant", "2026"),
    ("at 2026-02-30T14:00Z", 3, "day is out of range", ""),
    ("at 2026-12-01T14:00", 3, "needs an offset or a zone", ""),
    ("at 2026-03-08T02:30 America/New_York", 3, "does not exist in America/New_York", ""),
    ("at 0001-12-01T14:00Z", 3, "too far away", ""),
    ("x" * (MAX_LENGTH + 1), MAX_LENGTH, "at most 1000 characters", ""),
]


@pytest.mark.parametrize(("text", "position", "message", "hint"), WRONG)
def test_an_error_stands_at_its_character_with_a_way_out(
    text: str, position: int, message: str, hint: str
) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(text, NAMES)
    assert message in str(caught.value)
    assert (caught.value.position, hint in caught.value.hint) == (position, True), caught.value


def test_the_caret_stands_under_the_character_of_its_line() -> None:
    with pytest.raises(ScheduleError) as caught:
        parse("XNYS close\n  + 30q", NAMES)
    assert caught.value.picture == ("  + 30q", "    ^ '30q' is no duration")


def error_of(text: str) -> ScheduleError | None:
    try:
        parse(text, NAMES)
    except ScheduleError as error:
        return error
    return None


@given(text=st.text(max_size=60))
def test_no_text_raises_anything_but_a_schedule_error(text: str) -> None:
    error = error_of(text)
    if error is not None:
        assert 0 <= error.position <= len(text)
        assert error.picture[1].lstrip().startswith("^ ")


WORDS = ["XNYS", "24/7", "every", "5m", "1st", "last", "session", "of", "month", "friday", "day"]
WORDS += ["open", "close", "in", "[", "]", "(", ",", "+", "-", "&", "not", "at", "09:00", "UTC"]
WORDS += [
    "shift",
    "next",
    "cron",
    "'",
    "* ",
    "*/5",
    "L",
    "#",
    "@daily",
    "2026-12-01T14:00Z",
    "in_session",
]


@given(words=st.lists(st.sampled_from(WORDS), max_size=12))
def test_no_order_of_words_raises_anything_but_a_schedule_error(words: list[str]) -> None:
    try:
        schedule = parse(" ".join(words), NAMES)
    except ScheduleError:
        return
    assert parse(schedule.text, NAMES) == schedule


@given(fields=st.text(alphabet="0123456789*/,-#LWHR?@ abcdjfmonrsuetl", max_size=24))
def test_no_cron_raises_anything_but_a_schedule_error(fields: str) -> None:
    try:
        schedule = parse(f"cron '{fields}' UTC", NAMES)
    except ScheduleError:
        return
    assert parse(schedule.text, NAMES) == schedule


@pytest.mark.parametrize("fields", CRONS)
def test_a_cron_is_written_so_that_it_reads_the_same(fields: str) -> None:
    schedule = parse(f"cron '{fields}' UTC", NAMES)
    assert parse(schedule.text, NAMES) == schedule
