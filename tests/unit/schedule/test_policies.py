"""What becomes of fires that were missed, that overlap, and that are spread."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from doubles.sessions import at
from hypothesis import given
from hypothesis import strategies as st

from openbell.schedule.fires import Fire, jitter
from openbell.schedule.missed import Caught, MissedPolicy, catch_up
from openbell.schedule.overlap import OverlapPolicy, admit

pytestmark = pytest.mark.unit

NOW = at("2026-11-21T12:00")


def fire(day: int) -> Fire:
    moment = at(f"2026-11-{day:02}T21:00")
    return Fire(fingerprint="f", session=date(2026, 11, day), event="close", index=0, at=moment)


FIRES = [fire(day) for day in (18, 16, 19, 17)]


def no_deadline(missed: Fire) -> datetime | None:
    del missed
    return None


def caught(policy: MissedPolicy, fires: list[Fire] = FIRES) -> tuple[Caught, ...]:
    return catch_up(policy, fires, NOW, deadline=no_deadline)


def ran(policy: MissedPolicy, fires: list[Fire] = FIRES) -> list[int]:
    return [one.fire.at.day for one in caught(policy, fires) if one.run_at is not None]


def test_each_missed_fire_runs_apart_from_the_others_oldest_first() -> None:
    found = caught(MissedPolicy(spread=timedelta(seconds=5)))
    assert [one.fire.at.day for one in found] == [16, 17, 18, 19]
    assert [one.run_at for one in found] == [NOW + timedelta(seconds=5 * n) for n in range(4)]


def test_a_cap_keeps_the_newest_and_answers_for_the_rest() -> None:
    policy = MissedPolicy(most=2)
    assert ran(policy) == [18, 19]
    assert [one.reason for one in caught(policy)][:2] == ["more than 2 were missed"] * 2
    assert ran(MissedPolicy(most=0)) == []


def test_the_latest_runs_alone_or_on_behalf_of_all() -> None:
    assert ran(MissedPolicy(catching="latest")) == [19]
    found = caught(MissedPolicy(catching="coalesce"))
    assert [one.fire.at.day for one in found if one.run_at] == [19]
    assert [one.at.day for one in found[-1].covers] == [16, 17, 18]
    assert {one.reason for one in found[:-1]} == {"the newest runs on its behalf"}
    assert caught(MissedPolicy(catching="latest"), []) == ()


def test_skipped_fires_run_not_at_all() -> None:
    assert ran(MissedPolicy(catching="skip")) == []


def test_a_fire_with_a_deadline_runs_before_it_only() -> None:
    ends = {16: NOW - timedelta(seconds=1), 17: NOW, 18: NOW + timedelta(seconds=1), 19: None}
    policy = MissedPolicy(catching="if_before")
    found = catch_up(policy, FIRES, NOW, deadline=lambda missed: ends[missed.at.day])
    assert [one.fire.at.day for one in found if one.run_at] == [18, 19]
    assert [one.reason for one in found][:2] == ["its deadline has passed"] * 2


@given(
    policy=st.builds(
        MissedPolicy,
        catching=st.sampled_from(("run_all", "latest", "coalesce", "skip", "if_before")),
        most=st.integers(0, 5),
    ),
    days=st.lists(st.integers(1, 20), unique=True),
)
def test_every_missed_fire_is_answered_for_once(policy: MissedPolicy, days: list[int]) -> None:
    found = caught(policy, [fire(day) for day in days])
    assert [one.fire.at.day for one in found] == sorted(days)
    starts = [one.run_at for one in found if one.run_at is not None]
    assert len(starts) <= policy.most
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    ("overlap", "active", "queued", "action"),
    [
        ("skip", 0, 0, "start"),
        ("skip", 1, 0, "skip"),
        ("queue_one", 1, 0, "queue"),
        ("queue_one", 1, 1, "skip"),
        ("queue_one", 0, 1, "skip"),
        ("queue_all", 1, 1, "queue"),
        ("queue_all", 1, 3, "skip"),
        ("cancel_running", 0, 0, "start"),
        ("cancel_running", 1, 0, "cancel_and_start"),
        ("allow", 5, 0, "start"),
    ],
)
def test_a_fire_is_admitted_by_the_policy(
    overlap: str, active: int, queued: int, action: str
) -> None:
    policy = OverlapPolicy(overlap=overlap, max_queued=3)  # type: ignore[arg-type]  # parametrised
    found = admit(policy, active=active, queued=queued)
    assert found.action == action
    assert found.reason


def test_two_runs_may_go_on_where_two_are_allowed() -> None:
    policy = OverlapPolicy(overlap="skip", max_active=2)
    assert admit(policy, active=1, queued=0).action == "start"
    assert admit(policy, active=2, queued=0).action == "skip"


@given(day=st.integers(1, 28), most=st.timedeltas(timedelta(0), timedelta(hours=2)))
def test_jitter_is_the_same_for_the_same_fire_and_stays_below_its_bound(
    day: int, most: timedelta
) -> None:
    late = jitter(fire(day), most)
    assert late == jitter(fire(day), most)
    assert timedelta(0) <= late <= most


def test_jitter_spreads_fires() -> None:
    hour = timedelta(hours=1)
    assert len({jitter(fire(day), hour) for day in range(1, 29)}) == 28


def test_an_identity_names_what_makes_a_fire_unique() -> None:
    assert fire(18).identity == "f/2026-11-18/close/0"
    step = Fire(fingerprint="f", session=None, event="every", index=7, at=NOW)
    assert step.identity == "f/-/every/7"
