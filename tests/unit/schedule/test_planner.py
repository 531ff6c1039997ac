"""The planner on small tables, at the edges of what is known."""

from __future__ import annotations

from datetime import date

import pytest
from doubles.sessions import NAMES, MadeSessions, MadeTables, at, made

from openbell.calendars.names import CalendarCatalog
from openbell.model.calendars import CalendarDefinition, CalendarRules, NamedEvent
from openbell.schedule.cron import read_cron
from openbell.schedule.explain import explain
from openbell.schedule.parser import parse
from openbell.schedule.planner import Planner
from openbell.schedule.triggers import UnplannableError
from openbell.sdk.values import to_us

pytestmark = pytest.mark.unit

DAYS = ["2026-02-02", "2026-02-03", "2026-02-04", "2026-02-05", "2026-02-06", "2026-02-09"]
EVENTS = CalendarRules(
    defined={
        "OWN": CalendarDefinition(
            name="OWN",
            zone="UTC",
            weekdays=(0, 1, 2, 3, 4),
            events={"settle": NamedEvent(at="16:00")},
        )
    }
)
OWN = CalendarCatalog(EVENTS)


def settled() -> MadeSessions:
    """Six sessions; the 3rd is early and has no settle; the 2nd is late; the 4th has two breaks."""
    return made(
        DAYS,
        first="2026-02-01",
        last="2026-02-10",
        calendar="OWN",
        early_indices=[2],
        late_indices=[1],
        break_indices=[3, 3],
        break_starts_us=[to_us(at("2026-02-05T11:00")), to_us(at("2026-02-05T14:00"))],
        break_ends_us=[to_us(at("2026-02-05T12:00")), to_us(at("2026-02-05T15:00"))],
        events={
            "settle": (
                [0, 1, 3, 4, 5],
                [to_us(at(f"{day}T16:00")) for day in DAYS if day != "2026-02-04"],
            )
        },
    )


PLANNER = Planner(MadeTables(OWN=settled()))


def fires(text: str, after: str = "2026-01-01", count: int = 100) -> list[str]:
    return [
        f"{fire.session or '-'}{'' if not fire.index else f'#{fire.index}'} {fire.at:%m-%dT%H:%M}"
        for fire in PLANNER.next(parse(text, OWN), at(after), count)
    ]


def test_named_events_fire_where_the_calendar_has_them() -> None:
    found = fires("OWN settle + 15m")
    assert len(found) == 5
    assert found[2] == "2026-02-05 02-05T16:15"


def test_each_break_fires_with_its_number() -> None:
    assert fires("OWN break_end") == ["2026-02-05 02-05T12:00", "2026-02-05#1 02-05T15:00"]
    assert fires("OWN break_end", after="2026-02-05T12:00") == ["2026-02-05#1 02-05T15:00"]
    assert fires("OWN every 30m in [break_start, break_end]")[-1] == "2026-02-05#8 02-05T15:00"


def test_sessions_counted_past_the_table_do_not_fire() -> None:
    assert fires("OWN open + 5 sessions") == ["2026-02-02 02-09T09:00"]
    assert fires("OWN open - 5 sessions") == ["2026-02-09 02-02T09:00"]
    assert fires("OWN session + 5 sessions at 10:00") == ["2026-02-02 02-09T10:00"]
    assert fires("OWN session - 5 sessions at 10:00") == ["2026-02-09 02-02T10:00"]
    assert fires("OWN open - 9 sessions") == []
    assert fires("OWN friday open - 9 sessions") == []
    assert fires("OWN open + 10m + 5 sessions") == ["2026-02-02 02-09T09:10"]


def test_kinds_and_ranks_select() -> None:
    assert fires("OWN early_close close") == ["2026-02-04 02-04T17:00"]
    assert fires("OWN late_open close") == ["2026-02-03 02-03T17:00"]
    assert fires("OWN 2nd full session of week open") == ["2026-02-05 02-05T09:00"]
    assert fires("OWN last early_close session of week open") == ["2026-02-04 02-04T09:00"]
    assert fires("OWN every 2nd session of week open") == [
        "2026-02-03 02-03T09:00",
        "2026-02-05 02-05T09:00",
    ]


def test_a_period_that_is_not_known_whole_has_no_last_session() -> None:
    assert fires("OWN last session of week open") == ["2026-02-06 02-06T09:00"]
    assert fires("OWN last session of month open") == []
    assert fires("OWN first session of month open") == ["2026-02-02 02-02T09:00"]
    assert fires("OWN first session of year open") == []


def test_a_rank_that_is_not_there_shifts() -> None:
    assert fires("OWN 6th session of week open") == []
    assert fires("OWN 6th session of week shift prev open") == ["2026-02-06 02-06T09:00"]
    assert fires("OWN 6th session of week shift next open") == ["2026-02-09 02-09T09:00"]
    assert fires("OWN 6th last session of week shift next open") == ["2026-02-02 02-02T09:00"]
    assert fires("OWN 6th last session of week shift prev open") == []
    assert fires("OWN 2nd early_close session of week shift next open") == []


def test_a_day_that_is_no_session_shifts_and_no_session_fires_twice() -> None:
    assert fires("OWN saturday open") == []
    assert fires("OWN saturday open shift prev") == ["2026-02-06 02-06T09:00"]
    assert fires("OWN saturday open shift next") == ["2026-02-09 02-09T09:00"]
    assert fires("OWN 7th day of month open shift next") == ["2026-02-09 02-09T09:00"]
    assert fires("OWN 31st day of month open shift next") == []
    assert fires("OWN 2nd last day of month open shift prev") == []
    assert fires("OWN 2nd friday of month open shift prev") == []
    assert fires("OWN 4th last friday of month open") == ["2026-02-06 02-06T09:00"]


def test_local_times_follow_labels_and_absent_days_have_their_own() -> None:
    assert fires("OWN session at 23:30 America/New_York")[0] == "2026-02-02 02-03T04:30"
    assert fires("not OWN session at 08:00") == [
        *("2026-02-01 02-01T08:00", "2026-02-07 02-07T08:00"),
        *("2026-02-08 02-08T08:00", "2026-02-10 02-10T08:00"),
    ]


def test_windows_that_reach_into_the_next_session_come_in_order_of_time() -> None:
    found = PLANNER.next(parse("OWN every 10h in [open, close + 20h]", OWN), at("2026-02-02"), 6)
    assert [fire.at for fire in found] == sorted(fire.at for fire in found)
    assert [str(fire.session)[-2:] for fire in found] == ["02", "02", "02", "03", "03", "03"]
    assert fires("OWN every 1h in [close, open]") == []
    assert fires("OWN every 5m in [open, close]", after="2026-02-11") == []


def test_predicates_are_asked_where_the_table_answers() -> None:
    hourly = fires("every 1h & OWN in_session & not OWN in_break", "2026-02-05T08:30", 7)
    assert [text[-5:] for text in hourly] == [
        f"{hour:02}:00" for hour in (9, 10, 12, 13, 15, 16, 9)
    ]
    assert len(fires("OWN open & OWN full")) == 4
    assert len(fires("OWN open & OWN session & not OWN late_open")) == 5
    assert [text[-11:] for text in fires("every 1h & OWN in_break")] == [
        "02-05T11:00",
        "02-05T14:00",
    ]


def test_at_fires_once() -> None:
    assert fires("at 2026-02-03T10:00Z") == ["- 02-03T10:00"]
    assert fires("at 2026-02-03T10:00Z", after="2026-02-03T10:00") == []


def test_local_times_that_do_not_exist_or_exist_twice_follow_the_policy() -> None:
    spring = made(["2026-03-06", "2026-03-08"], first="2026-03-01", last="2026-03-31")
    autumn = made(["2026-11-01", "2026-11-02"], first="2026-10-25", last="2026-11-30")
    planner = Planner(MadeTables(OWN=spring, XNYS=autumn))

    def found(text: str) -> list[str]:
        return [
            f"{fire.at:%dT%H:%M}" for fire in planner.next(parse(text, OWN), at("2026-01-01"), 9)
        ]

    assert found("OWN session at 02:30 America/New_York") == ["06T07:30", "08T07:30"]
    assert found("OWN session at 02:30 America/New_York missing skip") == ["06T07:30"]
    assert found("XNYS session at 01:30 America/New_York") == ["01T05:30", "02T06:30"]
    both = found("XNYS session at 01:30 America/New_York duplicate both")
    assert both == ["01T05:30", "01T06:30", "02T06:30"]


def test_a_cron_goes_on_from_the_middle_of_a_minute() -> None:
    text = "cron '*/7 3,5 * * * 0,30' UTC"
    (fire, *_, last) = PLANNER.next(parse(text, OWN), at("2026-02-05T03:07:10"), 17)
    assert fire.at == at("2026-02-05T03:07:30")
    assert last.at == at("2026-02-05T05:00:30")


def test_predicates_about_labels_ask_about_the_local_date() -> None:
    assert fires("every 12h & OWN early_close") == ["-#40976 02-04T00:00", "-#40977 02-04T12:00"]
    assert fires("every 24h & not OWN session")[0].endswith("02-07T00:00")
    assert len(fires("OWN full open")) == 4


def test_a_session_that_is_past_is_no_fire() -> None:
    assert fires("OWN break_end + 1h", after="2026-02-05T13:30") == ["2026-02-05#1 02-05T16:00"]
    assert fires("OWN late_open open & not OWN early_close") == ["2026-02-03 02-03T09:00"]
    assert fires("every 4h & not OWN in_session", after="2026-02-05T08:30", count=1) == [
        "-#122939 02-05T20:00"
    ]


def test_local_times_are_planned_to_the_year_2999() -> None:
    assert len(PLANNER.next(parse("cron '0 0 * * *' UTC", OWN), at("2999-12-29T12:00"), 9)) == 2
    new_year = read_cron("0 0 1 1 *")
    begin_s = (at("9997-06-01") - at("1970-01-01")).days * 86_400
    assert len(list(new_year.walls(begin_s))) == 1


def test_a_horizon_is_the_first_end_of_what_is_needed() -> None:
    assert PLANNER.horizon(parse("OWN open", OWN)) == date(2026, 2, 10)
    assert PLANNER.horizon(parse("every 5m", OWN)) is None


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(UnplannableError, match="XNYS has no sessions"):
        PLANNER.next(parse("XNYS open", NAMES), at("2026-01-01"))
    bare = Planner(
        MadeTables(OWN=made(DAYS, first="2026-02-01", last="2026-02-10", calendar="OWN"))
    )
    with pytest.raises(UnplannableError, match="OWN defines no settle"):
        bare.next(parse("OWN settle", OWN), at("2026-01-01"))


@pytest.mark.parametrize(
    ("text", "instant", "does_fire", "words"),
    [
        ("OWN close", "2026-02-04T17:00", True, "(early_close)"),
        ("OWN open + 1 session", "2026-02-04T09:00", True, "+1 sessions from it is 2026-02-04"),
        ("OWN close + 20h", "2026-02-03T13:00", True, "within session 2026-02-03; the fire still"),
        ("OWN settle", "2026-02-04T16:00", False, "2026-02-04 has no settle: silent"),
        ("OWN open", "2026-02-07T09:00", False, "OWN has no session labelled 2026-02-07"),
        (
            "OWN friday open",
            "2026-02-05T09:00",
            False,
            "is not selected by 'friday'; the next is 2026-02-06",
        ),
        ("OWN friday open", "2026-02-09T09:00", False, "2026-02-09 is not selected by 'friday'"),
        ("OWN open + 3 sessions", "2026-02-09T09:00", True, "+3 sessions"),
        ("OWN open + 3 sessions", "2026-02-09T10:00", False, "that it points to is not known"),
        ("OWN every 30m in [open, close]", "2026-02-04T09:30", True, "every 30m in its window"),
        ("OWN session at 10:00", "2026-02-04T10:00", True, "OWN session 2026-02-04"),
        (
            "not OWN session at 10:00",
            "2026-02-04T10:00",
            False,
            "OWN has a session labelled 2026-02-04",
        ),
        (
            "not OWN session at 10:00",
            "2026-02-07T10:00",
            True,
            "OWN has no session labelled 2026-02-07",
        ),
        ("every 1h & OWN in_break", "2026-02-05T10:00", False, "OWN in_break: no"),
        ("every 1h & OWN in_break", "2027-02-05T10:00", False, "not known at this instant"),
        ("OWN open", "2025-01-05T09:00", False, "no session of OWN is known near it"),
        ("OWN open", "2026-02-20T09:00", False, "nothing is known after 2026-02-10"),
        (
            "cron '30 1 * * *' Europe/London missing skip",
            "2026-03-29T01:30",
            False,
            "it is Sun 2026-03-29 02:30:00 in Europe/London",
        ),
        (
            "cron '30 1 * * *' Europe/London missing skip",
            "2026-03-29T01:30",
            False,
            "on that day the times there from 01:00 to 02:00 do not exist",
        ),
        (
            "cron '30 1 * * *' Europe/London duplicate both",
            "2026-10-25T01:30",
            True,
            "on that day the times there from 01:00 to 02:00 come twice",
        ),
        ("OWN session at 10:00", "2026-02-04T10:00", True, "Wed 2026-02-04 10:00:00 in UTC"),
        ("at 2026-02-04T17:00Z", "2026-02-04T17:00", True, "it is due at this instant"),
        ("at 2026-02-04T17:00Z", "2026-02-04T18:00", False, "nor later as far as is known"),
    ],
)
def test_an_explanation_says_what_was_looked_at(
    text: str, instant: str, does_fire: bool, words: str
) -> None:
    found = explain(PLANNER, parse(text, OWN), at(instant))
    said = [step.text for step in found.steps]
    assert bool(found.fires) is does_fire, said
    assert any(words in line for line in said), said


def test_an_explanation_names_the_fires_around() -> None:
    found = explain(PLANNER, parse("OWN open", OWN), at("2026-02-07T12:00"))
    assert found.previous is not None
    assert found.next is not None
    assert (found.previous.session, found.next.session) == (date(2026, 2, 6), date(2026, 2, 9))
    assert explain(PLANNER, parse("OWN open", OWN), at("2026-01-07T12:00")).previous is None
