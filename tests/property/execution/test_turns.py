"""Turns: nothing is given out twice, nothing starves, equal priorities are first come."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbell.execution.turns import AGEING_S, Lease, Ticket, Turns, Want, seniority

pytestmark = pytest.mark.property

POOLS = {"vendor": 2, "narrow": 1, "closed": 0}
leases = st.builds(
    lambda dataset, start, length: Lease(
        storage="primary", dataset=dataset, start_us=start, end_us=start + length
    ),
    st.sampled_from(["bars", "trades"]),
    st.integers(0, 6),
    st.integers(1, 3),
)
wants = st.builds(
    Want,
    who=st.just("run"),
    priority=st.integers(0, 9),
    pool=st.sampled_from([None, None, "vendor", "narrow"]),
    leases=st.lists(leases, max_size=2).map(tuple),
    owns_worker=st.sampled_from([False, False, False, True]),
)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("join"), wants),
        st.tuples(st.just("leave"), st.integers(0, 99)),
        st.tuples(st.just("prioritise"), st.tuples(st.integers(0, 99), st.integers(0, 9))),
        st.tuples(st.just("resize"), st.tuples(st.integers(0, 4), st.integers(0, 3))),
    ),
    max_size=60,
)


def overlapping(held: list[Ticket]) -> bool:
    return any(
        mine.overlaps(other)
        for number, one in enumerate(held)
        for two in held[number + 1 :]
        for mine in one.want.leases
        for other in two.want.leases
    )


@given(moves=moves)
def test_no_more_is_out_than_there_is(moves: list[tuple[str, object]]) -> None:
    workers, pools = 2, dict(POOLS)
    turns = Turns(max_workers=workers, pools=pools)
    known: list[Ticket] = []
    for now_s, (what, value) in enumerate(moves):
        limit = workers
        if what == "join":
            assert isinstance(value, Want)
            known.append(turns.join(value, float(now_s)))
        elif what == "resize":
            assert isinstance(value, tuple)
            workers, pools["vendor"] = value
            turns.resize(max_workers=workers, pools=pools)
        elif known and what == "leave":
            assert isinstance(value, int)
            turns.leave(known[value % len(known)])
        elif known:
            assert isinstance(value, tuple)
            turns.prioritise(known[value[0] % len(known)], value[1])
        out_before = {id(t) for t in known if t.has_turn}
        given_now = list(turns.give())
        assert not out_before & {id(t) for t in given_now}
        held = [t for t in known if t.has_turn and not t.is_gone]
        if given_now:
            shared = [t for t in held if not t.want.owns_worker]
            new = [t for t in given_now if not t.want.owns_worker]
            assert not new or len(shared) <= max(limit, workers)
            for ticket in given_now:
                pool = ticket.want.pool
                assert pool is None or turns.taken(pool) <= pools[pool]
        assert not overlapping(held)
        assert turns.busy == sum(not t.want.owns_worker for t in held)
        for ticket in turns.waiting():
            assert turns.reason(ticket) != ""


@given(wanted=st.lists(wants, max_size=25), workers=st.integers(1, 3))
def test_everything_gets_its_turn(wanted: list[Want], workers: int) -> None:
    turns = Turns(max_workers=workers, pools=POOLS)
    waiting = {turns.join(want, float(at)).number for at, want in enumerate(wanted)}
    while waiting:
        out = list(turns.give())
        assert out, "nothing is out and nothing goes"
        for ticket in out:
            waiting.remove(ticket.number)
            turns.leave(ticket)
            turns.leave(ticket)
    assert turns.busy == 0
    assert turns.waiting() == []


@given(priorities=st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_equal_priorities_are_first_come_first_served(priorities: list[int]) -> None:
    turns = Turns(max_workers=1, pools={})
    for at, priority in enumerate(priorities):
        turns.join(Want(who=str(at), priority=priority), 0.0)
    order = []
    while True:
        out = list(turns.give())
        if not out:
            break
        order.append(out[0])
        turns.leave(out[0])
    assert [t.want.priority for t in order] == sorted(priorities, reverse=True)
    for one, two in pairwise(order):
        assert one.want.priority > two.want.priority or one.number < two.number


@given(low=st.integers(0, 9), high=st.integers(0, 9), apart_s=st.floats(0, 10_000))
def test_what_waits_long_enough_comes_before_everything_newer(
    low: int, high: int, apart_s: float
) -> None:
    comes_first = seniority(low, 0.0) > seniority(high, apart_s)
    if apart_s > (high - low + 0.01) * AGEING_S:
        assert comes_first
    if apart_s < (high - low - 0.01) * AGEING_S:
        assert not comes_first


@given(others=st.integers(1, 40))
def test_a_wide_writer_is_not_overtaken_by_narrow_ones(others: int) -> None:
    turns = Turns(max_workers=4, pools={})

    def lease(start: int, end: int) -> tuple[Lease, ...]:
        return (Lease(storage="s", dataset="d", start_us=start, end_us=end),)

    first = turns.join(Want(who="first", leases=lease(0, 1)), 0.0)
    assert list(turns.give()) == [first]
    wide = turns.join(Want(who="wide", leases=lease(0, 100)), 1.0)
    assert list(turns.give()) == []
    assert "being written by first" in turns.reason(wide)
    narrow = [
        turns.join(Want(who="narrow", leases=lease(n, n + 1)), 2.0) for n in range(1, others + 1)
    ]
    assert list(turns.give()) == []
    assert "is to be written first by wide" in turns.reason(narrow[0])
    turns.leave(first)
    assert list(turns.give()) == [wide]
    turns.leave(wide)
    assert list(turns.give()) == narrow[:4]


@given(brief=st.integers(1, 30), workers=st.integers(1, 3), priority=st.integers(0, 9))
def test_brief_work_that_never_ends_does_not_keep_others_waiting(
    brief: int, workers: int, priority: int
) -> None:
    turns = Turns(max_workers=workers, pools={})

    def join(**want: Any) -> Ticket:
        return turns.join(Want(who="run", priority=priority, **want), 0.0)

    going = [join(is_brief=True) for _ in range(brief)]
    list(turns.give())
    waiting = join()
    for _ in range(brief + workers):
        going.append(join(is_brief=True))
        list(turns.give())
        turns.leave(next(ticket for ticket in going if ticket.has_turn and not ticket.is_gone))
        list(turns.give())
        if waiting.has_turn:
            break
    assert waiting.has_turn
