"""The section `calendars`: what it means, and what it is told when it is wrong."""

from __future__ import annotations

from datetime import date

import pytest
from doubles.configurations import SMALL, loaded, told

from openbell.config.difference import diff
from openbell.model.calendars import NamedEvent, Overlay

pytestmark = pytest.mark.unit


def section(text: str) -> str:
    return SMALL + "calendars:\n" + "".join(f"  {line}\n" for line in text.splitlines())


def test_without_a_section_nothing_is_guessed() -> None:
    rules = loaded(SMALL).deployment.calendars
    assert (rules.policy, dict(rules.policies), rules.near_sessions) == ("block", {}, 20)
    assert rules.policy_of("XBOM") == "block"


def test_policies_are_for_calendars_by_any_of_their_names() -> None:
    text = section("policy: warn\npolicies: {bse: weekmask}\nnear_sessions: 5")
    rules = loaded(text).deployment.calendars
    assert (rules.policy_of("XBOM"), rules.policy_of("XNYS")) == ("weekmask", "warn")
    assert rules.near_sessions == 5


def test_a_calendar_over_a_base_takes_its_days_and_what_is_not_said() -> None:
    text = section(
        'define:\n  CME_Equity: {base: CME, events: {settle: {at: "15:00", early: "12:00"}, roll: "13:00"}}'
    )
    found = loaded(text).deployment.calendars.defined["CME_Equity"]
    assert (found.base, found.zone, found.weekdays, found.open) == ("CMES", None, (), None)
    assert found.events == {
        "settle": NamedEvent(at="15:00", early="12:00"),
        "roll": NamedEvent(at="13:00"),
    }


def test_a_calendar_over_a_week_has_working_days_in_utc_unless_told() -> None:
    text = section(
        'define:\n  A: {open: "09:00", close: "17:00"}\n'
        '  B: {open: "20:00", close: "04:00", days: [sun, mon], zone: Asia/Tokyo,'
        ' breaks: [["22:00", "22:30"]], closed: [2026-12-24], early: {2026-12-31: "01:00"}}'
    )
    rules = loaded(text).deployment.calendars
    assert rules.defined["A"].weekdays == (0, 1, 2, 3, 4)
    assert rules.defined["A"].zone == "UTC"
    other = rules.defined["B"]
    assert (other.weekdays, other.zone) == ((0, 6), "Asia/Tokyo")
    assert other.breaks == (("22:00", "22:30"),)
    assert other.closed == {date(2026, 12, 24)}
    assert other.early == {date(2026, 12, 31): "01:00"}


def test_a_roll_time_is_open_all_week() -> None:
    found = loaded(section('define:\n  coins: {roll: "08:00"}')).deployment.calendars
    coins = found.defined["coins"]
    assert (coins.open, coins.close, coins.weekdays) == ("08:00", "08:00", tuple(range(7)))


def test_datasets_and_overlays_may_name_a_defined_calendar() -> None:
    text = section(
        'define: {desk: {base: XNYS}}\noverlays: [{calendar: DESK, date: 2026-12-01, close: "13:00"}]'
    )
    text = text.replace("interval: 1d", "interval: 1d, calendar: desk")
    deployment = loaded(text).deployment
    assert deployment.overlays == (
        Overlay(calendar="desk", session=date(2026, 12, 1), close_time="13:00"),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('define: {lse: {roll: "00:00"}}', "'lse' is a calendar already"),
        ("define: {a: {base: XNYX}}", "calendar 'XNYX' is unknown (did you mean 'XNYS'?)"),
        (
            "define: {a: {base: b}, b: {base: XNYS}}",
            "a base is a calendar that is not defined here (`mdp calendar list` shows them)",
        ),
        ('define: {a: {open: "09:00"}}', "open and close belong together (give both)"),
        ("define: {a: {zone: UTC}}", "says neither whose hours it has nor which"),
        ('define: {a: {roll: "00:00", open: "00:00", close: "01:00"}}', "stands for both"),
        ("define: {a: {base: XNYS, days: [mon]}}", "its days are those of its base"),
        ('define: {a: {base: XNYS, roll: "08:00"}}', "its days are those of its base"),
        ("define: {a: {base: XNYS, zone: Mars/North}}", "time zone 'Mars/North' is unknown"),
        ('define: {a: {base: XNYS, events: {close: "15:00"}}}', "'close' has a meaning of its own"),
        ('define: {a: {base: XNYS, events: {Fix: "15:00"}}}', "'Fix' is no event"),
        (
            'define: {a: {base: XNYS, closed: [2026-12-01], early: {2026-12-01: "12:00"}}}',
            "2026-12-01 is closed: it cannot close early",
        ),
        ('define: {a: {base: XNYS, pre_open: "25:00"}}', "must be a time of day"),
        ("overlays: [{calendar: XNYS, date: 2026-12-01}]", "changes nothing"),
        (
            'overlays: [{calendar: XNYX, date: 2026-12-01, open: "10:00", closed: true}]',
            "a day that is closed has no open or close",
        ),
        ("policies: {XNYX: block}", "calendar 'XNYX' is unknown (did you mean 'XNYS'?)"),
        ("policies: {XNYS: guess}", "'block', 'weekmask' or 'warn'"),
        (
            "define: {a: {base: XBOM}}\npolicies: {a: warn}",
            "a defined calendar ends where its base does (give the policy of its base)",
        ),
        (
            (
                "overlays:\n- {calendar: NYSE, date: 2026-12-01, closed: true}\n"
                '- {calendar: XNYS, date: 2026-12-01, close: "13:00"}'
            ),
            "overlay of XNYS on 2026-12-01: 'close 13:00' contradicts 'closed'",
        ),
        (
            (
                'overlays:\n- {calendar: NYSE, date: 2026-12-01, close: "12:00"}\n'
                '- {calendar: XNYS, date: 2026-12-01, close: "13:00"}'
            ),
            "'close 13:00' contradicts 'close 12:00'",
        ),
    ],
)
def test_what_is_wrong_is_told(text: str, problem: str) -> None:
    assert problem in "\n".join(told(section(text)))


def test_a_pipeline_changes_with_what_is_said_of_its_calendar() -> None:
    dataset = SMALL.replace("interval: 1d", "interval: 1d, calendar: desk")
    job = "jobs: {j: {dataset: bars, mode: backfill}}\n"

    def with_calendar(text: str) -> str:
        return dataset + job + "calendars:\n  define: {desk: {" + text + "}}\n"

    before = loaded(with_calendar("base: XNYS")).deployment
    same = loaded(with_calendar("base: NYSE")).deployment
    closed = loaded(with_calendar("base: XNYS, closed: [2026-12-01]")).deployment
    assert not diff(before, same)
    assert diff(before, closed).changed == ("j",)
