"""Laws of overlays, of hours over clock changes, and of snapshots."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import anyio
import pytest
from doubles.calendars import Told, calendar_desk, calendar_service
from hypothesis import given, settings
from hypothesis import strategies as st

from openbell.calendars.horizon import extended
from openbell.calendars.local_time import LocalTime
from openbell.calendars.overlays import OverlayError, changes, corrected
from openbell.calendars.product import weekmask_table
from openbell.calendars.snapshot import SnapshotError, decode, encode
from openbell.calendars.store import _CURRENCIES
from openbell.calendars.table import CalendarTable, from_day, to_day
from openbell.model.calendars import CalendarDefinition, CalendarRules, Overlay, OverlayKind
from openbell.model.control import ConflictError
from openbell.sdk.values import from_us, to_us
from openbell.testing import ManualClock

pytestmark = pytest.mark.property

ZONES = (
    *("America/New_York", "Europe/London", "Asia/Tokyo", "Australia/Sydney", "Africa/Cairo"),
    *("America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe"),
    *("Africa/Casablanca", "Asia/Gaza", "America/Nuuk", "Asia/Tehran"),
)
FIRST, LAST = date(2026, 1, 1), date(2026, 3, 31)
DESK = CalendarDefinition(
    name="XDSK",
    zone="America/New_York",
    weekdays=(0, 1, 2, 3, 4),
    open="09:30",
    close="16:00",
    breaks=(("12:00", "13:00"),),
)
TABLE = weekmask_table(DESK, FIRST, LAST)


def clock(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low * 4, high * 4).map(lambda q: f"{q // 4:02}:{q % 4 * 15:02}")


labels = st.integers(0, (LAST - FIRST).days).map(lambda n: FIRST + timedelta(days=n))
overlays = st.lists(
    st.one_of(
        st.builds(Overlay, calendar=st.just("XDSK"), session=labels, closed=st.just(True)),
        st.builds(
            Overlay,
            calendar=st.just("XDSK"),
            session=labels,
            open_time=clock(5, 11),
            close_time=clock(12, 20),
        ),
    ),
    max_size=8,
    unique_by=lambda overlay: overlay.session,
)


@given(overlays, st.randoms(use_true_random=False))
def test_the_order_of_overlays_does_not_matter(found: list[Overlay], chance: object) -> None:
    shuffled = list(found)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert corrected(TABLE, found).digest == corrected(TABLE, shuffled).digest


@settings(deadline=None, max_examples=8)
@given(overlays, st.randoms(use_true_random=False))
def test_adding_overlays_and_taking_them_back_is_nothing(
    found: list[Overlay], chance: object
) -> None:
    async def there_and_back() -> None:
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        desk = calendar_desk(rules=CalendarRules(defined={"XDSK": DESK}), clock=clock)
        service = calendar_service(desk, Told(), clock)
        before = (await desk.table("XDSK")).digest
        added: list[str] = []
        digests = [before]
        for overlay in found:
            kind: OverlayKind = "closed" if overlay.closed else "extra_session"
            with suppress(ConflictError):
                made = await service.add_overlay(overlay, kind=kind, by="u")
                added.append(made.overlay_id)
                digests.append((await desk.table("XDSK")).digest)
        while added:
            assert (await desk.table("XDSK")).digest == digests.pop()
            await service.remove_overlay("XDSK", added.pop(), by="u")
        assert (await desk.table("XDSK")).digest == before

    anyio.run(there_and_back)


@given(overlays)
def test_only_the_days_of_overlays_change(found: list[Overlay]) -> None:
    changed = {change.label for change in changes(TABLE, corrected(TABLE, found))}
    assert changed <= {overlay.session for overlay in found}


@given(overlays)
def test_a_corrected_calendar_is_in_order_and_apart(found: list[Overlay]) -> None:
    table = corrected(TABLE, found)
    assert list(table.days) == sorted(set(table.days))
    for index in range(len(table)):
        assert table.opens_us[index] < table.closes_us[index]
        if index:
            assert table.closes_us[index - 1] <= table.opens_us[index]


@given(labels, st.sampled_from([("closed", "hours"), ("10:00", "11:00")]))
def test_overlays_that_contradict_each_other_are_refused(day: date, pair: tuple[str, str]) -> None:
    if pair[0] == "closed":
        one = Overlay(calendar="XDSK", session=day, closed=True)
        other = Overlay(calendar="XDSK", session=day, open_time="10:00", close_time="12:00")
    else:
        one, other = (
            Overlay(calendar="XDSK", session=day, open_time=at, close_time="15:00") for at in pair
        )
    for both in ([one, other], [other, one]):
        with pytest.raises(OverlayError, match="contradicts"):
            corrected(TABLE, both)


@settings(max_examples=300)
@given(
    st.sampled_from(ZONES),
    st.integers(to_day(date(1990, 1, 1)), to_day(date(2035, 1, 1))),
    st.integers(-1439, 2879),
)
def test_local_times_are_those_of_zoneinfo(zone: str, day: int, minutes: int) -> None:
    days, rest = divmod(minutes, 1440)
    local = datetime.combine(from_day(day + days), time(rest // 60, rest % 60), ZoneInfo(zone))
    assert LocalTime(zone).instant_us(day, minutes) == to_us(local.astimezone(UTC))


@pytest.mark.parametrize("zone", ZONES)
def test_a_calendar_opens_at_its_local_time_over_every_clock_change(zone: str) -> None:
    definition = CalendarDefinition(
        name="own", zone=zone, weekdays=tuple(range(7)), open="17:00", close="17:00"
    )
    table = weekmask_table(definition, date(2005, 1, 1), date(2034, 12, 31))
    local = ZoneInfo(zone)
    for index, day in enumerate(table.days):
        label = from_day(day)
        closes = from_us(table.closes_us[index]).astimezone(local)
        if label != date(2011, 12, 30) or zone != "Pacific/Apia":  # a day that never was
            assert (closes.date(), closes.hour, closes.minute) == (label, 17, 0)
        if index:
            assert table.opens_us[index] == table.closes_us[index - 1]


def test_currencies_trade_from_sunday_to_friday_in_new_york() -> None:
    from openbell.calendars.store import (
        SessionStore,  # noqa: F401 - the definition lives there
    )

    table = weekmask_table(_CURRENCIES, date(2005, 1, 3), date(2034, 12, 29))
    local = ZoneInfo("America/New_York")
    for index, day in enumerate(table.days):
        label = from_day(day)
        opens = from_us(table.opens_us[index]).astimezone(local)
        closes = from_us(table.closes_us[index]).astimezone(local)
        assert label.weekday() < 5
        assert (opens.hour, closes.hour, opens.date()) == (17, 17, label - timedelta(days=1))
        assert opens.weekday() in {6, 0, 1, 2, 3}
    assert len(table) == 5 * ((date(2034, 12, 29) - date(2005, 1, 3)).days // 7 + 1)


@given(overlays)
def test_a_snapshot_is_read_as_it_was_written(found: list[Overlay]) -> None:
    table = corrected(TABLE, found)
    again = decode(encode(table))
    assert (again.digest, list(again.early_indices)) == (table.digest, list(table.early_indices))
    assert encode(again) == encode(table)


@given(st.data())
def test_no_flipped_byte_passes_for_a_snapshot(data: st.DataObject) -> None:
    content = bytearray(encode(TABLE))
    head = content.index(b"\n")
    at = data.draw(st.integers(head + 1, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SnapshotError):
        decode(bytes(content))


@given(st.integers(1, 800))
def test_a_week_mask_changes_nothing_that_is_known(days: int) -> None:
    def known(table: CalendarTable) -> tuple[int, ...]:
        return table.between(FIRST, LAST).opens_us

    further = extended(TABLE, LAST + timedelta(days=days))
    assert known(further) == known(TABLE)
    assert len(further) >= len(TABLE)
