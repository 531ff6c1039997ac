"""What a pipeline's use of a schedule means, with the policies that stand beside it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from openbell.calendars.names import CalendarCatalog
from openbell.model.calendars import CalendarRules
from openbell.model.schedules import MissedRule, ScheduleUse
from openbell.schedule import uses
from openbell.schedule.errors import ScheduleError
from openbell.schedule.missed import MissedPolicy
from openbell.schedule.parser import parse

pytestmark = pytest.mark.unit

NAMES = CalendarCatalog(CalendarRules())
CRON = "cron '30 2 * * *' Europe/London"


def test_policies_beside_an_expression_mean_what_they_mean_inside_it() -> None:
    use = ScheduleUse(expression=CRON, dst_missing="skip", dst_duplicate="both")
    inside = parse(f"{CRON} missing skip duplicate both", NAMES)
    assert uses.parsed(use, NAMES).fingerprint == inside.fingerprint


def test_what_the_expression_says_itself_goes_first() -> None:
    use = ScheduleUse(expression=f"{CRON} missing shift", dst_missing="skip", dst_duplicate="last")
    assert uses.parsed(use, NAMES).text == f"{CRON} duplicate last"


def test_a_schedule_without_local_times_has_no_use_for_the_policies() -> None:
    use = ScheduleUse(expression="XNYS close", dst_missing="skip")
    assert uses.parsed(use, NAMES) == parse("XNYS close", NAMES)


def test_a_deadline_is_a_schedule_of_its_own() -> None:
    rule = MissedRule(catching="if_before", if_before="XLON open")
    use = ScheduleUse(expression="XNYS close", on_missed=rule)
    assert uses.deadline(use, NAMES) == parse("XLON open", NAMES)
    assert uses.calendars_of(use, NAMES) == ("XNYS", "XLON")


def test_without_a_deadline_there_is_none() -> None:
    use = ScheduleUse(expression="XNYS close & XNYS in_session")
    assert uses.deadline(use, NAMES) is None
    assert uses.calendars_of(use, NAMES) == ("XNYS",)


def test_a_deadline_that_cannot_be_read_points_at_the_character() -> None:
    rule = MissedRule(catching="if_before", if_before="XNYS opne")
    with pytest.raises(ScheduleError) as caught:
        uses.deadline(ScheduleUse(expression="XNYS close", on_missed=rule), NAMES)
    assert caught.value.position == 5


def test_a_rule_about_missed_fires_is_what_the_planner_is_told() -> None:
    rule = MissedRule(catching="latest", most=7, spread_s=0.5)
    expected = MissedPolicy(catching="latest", most=7, spread=timedelta(seconds=0.5))
    assert uses.missed_policy(rule) == expected
