"""The service's pure decisions: who may connect, what a signal asks for, whose sockets these are."""

from __future__ import annotations

from signal import Signals

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbell.service.activation import InheritedFd, inherited_fds
from openbell.service.peers import Peer, UnknownGroupError, allowed, group_id
from openbell.service.signals import Wish, wish_of

pytestmark = pytest.mark.unit

uids = st.integers(1, 2**32 - 2)
gids = st.integers(0, 2**32 - 2)


def _peer(uid: int, *groups: int) -> Peer:
    return Peer(pid=1, uid=uid, groups=frozenset(groups))


@given(uid=uids, groups=st.frozensets(gids), group=st.none() | gids)
def test_the_same_user_and_root_always_come_in(
    uid: int, groups: frozenset[int], group: int | None
) -> None:
    assert allowed(_peer(uid, *groups), uid, group)
    assert allowed(_peer(0, *groups), uid, group)


@given(uid=uids, own=uids, groups=st.frozensets(gids), group=st.none() | gids)
def test_another_user_comes_in_exactly_through_the_configured_group(
    uid: int, own: int, groups: frozenset[int], group: int | None
) -> None:
    if uid != own:
        assert allowed(_peer(uid, *groups), own, group) == (group in groups)


def test_a_group_is_named_numbered_or_absent() -> None:
    assert group_id(None) is None
    assert group_id("") is None
    assert group_id("4242") == 4242
    assert group_id("root") == 0
    with pytest.raises(UnknownGroupError, match=r"'no-such-group'.*does not exist.*sysusers"):
        group_id("no-such-group")


def test_hup_reloads_until_the_daemon_is_on_its_way_out() -> None:
    assert wish_of(Signals.SIGHUP, stops_before=0) is Wish.RELOAD
    assert wish_of(Signals.SIGHUP, stops_before=1) is None


@pytest.mark.parametrize("number", [Signals.SIGTERM, Signals.SIGINT])
def test_the_first_request_to_end_drains_and_the_second_stops(number: Signals) -> None:
    assert wish_of(number, stops_before=0) is Wish.DRAIN
    assert wish_of(number, stops_before=1) is Wish.STOP
    assert wish_of(number, stops_before=2) is Wish.STOP


def test_inherited_descriptors_carry_their_names_and_leave_the_environment() -> None:
    env = {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "api:metrics", "HOME": "/"}
    assert inherited_fds(env, 7) == (InheritedFd(3, "api"), InheritedFd(4, "metrics"))
    assert env == {"HOME": "/"}


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "8", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "many"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "-1"},
    ],
)
def test_descriptors_of_another_process_or_a_broken_count_are_not_taken(
    env: dict[str, str],
) -> None:
    assert inherited_fds(env, 7) == ()
    assert env == {}


def test_a_descriptor_without_a_name_is_called_unknown() -> None:
    env = {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "api"}
    assert [each.name for each in inherited_fds(env, 7)] == ["api", "unknown"]
