"""Calendars in the control plane: states told, policies kept, corrections made wholly or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from doubles.calendars import Builder, Told, calendar_desk, calendar_service

from openbell.calendars.names import UnknownCalendarError
from openbell.calendars.product import weekmask_table
from openbell.calendars.snapshot import encode
from openbell.calendars.store import SessionStore
from openbell.model.calendars import (
    CalendarDefinition,
    CalendarRules,
    HorizonPolicy,
    Overlay,
    OverlayKind,
    OverlayRecord,
    UnknownOverlayError,
)
from openbell.model.control import ConflictError
from openbell.model.events import (
    CalendarFailed,
    CalendarHorizonNear,
    OverlayAdded,
    OverlayRemoved,
)
from openbell.sdk.errors import FatalError, SettingsError
from openbell.supervisor.calendars import CalendarDesk
from openbell.testing import ManualClock

pytestmark = pytest.mark.unit

NOW = datetime(2026, 12, 14, 12, tzinfo=UTC)
DESK = CalendarDefinition(
    name="desk", zone="UTC", weekdays=(0, 1, 2, 3, 4), open="09:00", close="17:00"
)
RULES = CalendarRules(
    defined={
        "desk": DESK,
        "over": CalendarDefinition(name="over", base="24/5"),
        "wrong": replace(DESK, name="wrong", early={date(2026, 12, 19): "12:00"}),
    }
)
MONDAY = date(2026, 12, 21)


def snapshot(name: str, *, is_bounded: bool = False) -> bytes:
    table = weekmask_table(replace(DESK, name=name), date(2020, 1, 1), date(2026, 12, 31))
    return encode(replace(table, is_bounded=is_bounded, library="test 1"))


class Desk:
    """A desk with its parts, on a folder of its own."""

    def __init__(
        self,
        folder: Path,
        snapshots: dict[tuple[str, str], bytes],
        policy: HorizonPolicy = "block",
    ) -> None:
        self.builder, self.told, self.clock = Builder(snapshots), Told(), ManualClock(NOW)
        rules = replace(RULES, policy=policy)
        store = SessionStore(folder, rules=rules, library="test 1")
        self.desk = CalendarDesk(store, self.builder, self.clock, self.told)  # type: ignore[arg-type]


BOUNDED = {("build", "XBOM"): snapshot("XBOM", is_bounded=True)}
GUESSED = {("build_weekmask", "ASEX"): snapshot("ASEX")}


async def test_a_calendar_that_ends_soon_is_told_once_a_day(tmp_path: Path) -> None:
    at = Desk(tmp_path, BOUNDED)
    await at.desk.table("XBOM")
    await at.desk.table("BSE")
    await at.clock.advance(timedelta(days=1))
    await at.desk.table("XBOM")
    left = [event.sessions_left for event in at.told.of(CalendarHorizonNear)]
    assert left == [13, 12]
    assert at.told.of(CalendarHorizonNear)[0].horizon == date(2026, 12, 31)
    assert (await at.desk.status("XBOM")).state == "ending"
    assert at.builder.asked == [("build", "XBOM")]


async def test_what_lies_past_the_end_is_refused_unless_told_otherwise(tmp_path: Path) -> None:
    for policy in ("block", "warn", "weekmask"):
        at = Desk(tmp_path / policy, BOUNDED, policy)  # type: ignore[arg-type]  # a policy each
        await at.desk.require("XBOM", date(2026, 12, 31))
        if policy == "block":
            with pytest.raises(FatalError, match="ends on 2026-12-31 and nothing is known of"):
                await at.desk.require("XBOM", date(2027, 1, 4))
        else:
            await at.desk.require("XBOM", date(2027, 1, 4))
        found = await at.desk.between("XBOM", date(2027, 1, 1), date(2027, 1, 31))
        assert len(found) == (21 if policy == "weekmask" else 0)
        assert len(at.told.of(CalendarHorizonNear)) == 1


async def test_a_calendar_that_cannot_be_built_is_a_state_and_tried_again_the_next_day(
    tmp_path: Path,
) -> None:
    at = Desk(tmp_path, {})
    for _ in range(2):
        with pytest.raises(FatalError, match="'ASEX' cannot be built: implemented by subclasses"):
            await at.desk.table("ASEX")
    assert at.builder.asked == [("build", "ASEX")]
    status = await at.desk.status("ASEX")
    assert (status.state, status.reason) == ("failed", "implemented by subclasses")
    assert [event.policy for event in at.told.of(CalendarFailed)] == ["block"]
    await at.clock.advance(timedelta(days=1))
    at.builder.snapshots[("build", "ASEX")] = BOUNDED[("build", "XBOM")].replace(b"XBOM", b"ASEX")
    with pytest.raises(FatalError, match="digest does not fit"):
        await at.desk.table("ASEX")
    at.builder.snapshots[("build", "ASEX")] = snapshot("ASEX", is_bounded=True)
    assert (await at.desk.table("ASEX")).calendar == "ASEX"
    assert (await at.desk.status("ASEX")).state == "ending"


async def test_without_sessions_a_failed_calendar_goes_on_if_told_so(tmp_path: Path) -> None:
    at = Desk(tmp_path, {}, "warn")
    assert len(await at.desk.table("ASEX")) == 0
    assert len(await at.desk.table("ASEX")) == 0
    assert (await at.desk.status("ASEX")).state == "failed"
    assert len(at.told.of(CalendarFailed)) == 1
    await at.clock.advance(timedelta(days=1))
    assert len(await at.desk.table("ASEX")) == 0
    assert len(at.told.of(CalendarFailed)) == 2


async def test_a_failed_calendar_has_its_weekdays_if_told_so(tmp_path: Path) -> None:
    at = Desk(tmp_path, dict(GUESSED), "weekmask")
    at.builder.snapshots[("build_weekmask", "ASEX")] = encode(
        replace(
            weekmask_table(replace(DESK, name="ASEX"), date(2026, 1, 1), date(2029, 2, 21)),
            library="test 1",
        )
    )
    assert (await at.desk.table("ASEX")).session(MONDAY) is not None
    assert (await at.desk.status("ASEX")).state == "failed"
    without = Desk(tmp_path / "none", {}, "weekmask")
    assert len(await without.desk.table("ASEX")) == 0


async def test_looking_at_calendars_never_raises(tmp_path: Path) -> None:
    at = Desk(tmp_path, BOUNDED)
    await at.desk.look(["ASEX", "XBOM", "24/7", "wrong", "24/7", "nowhere"])
    assert {type(event) for event in at.told.events} == {CalendarFailed, CalendarHorizonNear}


async def test_a_definition_that_makes_no_sense_is_a_state() -> None:
    desk = calendar_desk(rules=RULES, clock=ManualClock(NOW))
    with pytest.raises(FatalError, match="cannot close early on 2026-12-19"):
        await desk.table("wrong")
    status = await desk.status("wrong")
    assert (status.state, "no session" in status.reason) == ("failed", True)
    assert desk.is_known("wrong", NOW.date())
    with pytest.raises(FatalError, match="'nowhere' is unknown"):
        await desk.status("nowhere")


async def test_a_table_goes_as_far_as_is_asked() -> None:
    desk = calendar_desk(clock=ManualClock(NOW))
    near = await desk.table("24/5")
    far = await desk.table("24/5", through=date(2035, 1, 1))
    assert near.last_label < date(2035, 1, 1) <= far.last_label


def closed(calendar: str = "desk", day: date = MONDAY) -> Overlay:
    return Overlay(calendar=calendar, session=day, closed=True, reason="snow")


async def test_a_correction_shows_what_it_changes_and_is_recorded() -> None:
    told = Told()
    clock = ManualClock(NOW)
    desk = calendar_desk(rules=RULES, clock=clock)
    found = calendar_service(desk, told, clock)
    before = (await desk.table("desk")).digest
    tried = await found.add_overlay(closed("DESK"), kind="closed", by="uid 7", dry_run=True)
    assert (await desk.table("desk")).digest == before
    assert (told.events, tried.overlay_id) == ([], "")
    made = await found.add_overlay(closed(), kind="closed", by="uid 7")
    assert made.changes == tried.changes
    assert [(c.label, c.after) for c in made.changes] == [(MONDAY, None)]
    assert (await desk.table("desk")).session(MONDAY) is None
    (event,) = told.of(OverlayAdded)
    assert (event.by, event.overlay.reason, event.overlay_id) == ("uid 7", "snow", made.overlay_id)
    (listed,) = found.overlays("desk")
    assert (listed.overlay_id, listed.added_by, listed.added_at) == (
        made.overlay_id,
        "uid 7",
        NOW,
    )
    await found.remove_overlay("desk", made.overlay_id, by="uid 8", dry_run=True)
    assert found.overlays() == [listed]
    await found.remove_overlay("desk", made.overlay_id, by="uid 8")
    assert (await desk.table("desk")).digest == before
    assert [event.by for event in told.of(OverlayRemoved)] == ["uid 8"]
    with pytest.raises(UnknownOverlayError, match="has no overlay"):
        await found.remove_overlay("desk", made.overlay_id, by="uid 8")


@pytest.mark.parametrize(
    ("overlay", "kind", "message"),
    [
        (closed(day=date(2026, 12, 20)), "closed", "there is no session on that day"),
        (replace(closed(), open_time="10:00"), "closed", "has no open or close"),
        (closed(day=date(1985, 1, 7)), "closed", "nothing is known of that day"),
        (replace(closed(), closed=False, close_time="18:00"), "early_close", "as it is"),
        (replace(closed(), closed=False, open_time="08:00"), "late_open", "as it is"),
        (replace(closed(), closed=False, close_time="12:00"), "late_open", "needs its open"),
        (replace(closed(), closed=False, close_time="08:00"), "early_close", "closes before"),
        (
            replace(closed(), closed=False, open_time="10:00", close_time="12:00"),
            "extra_session",
            "there is a session on that day already",
        ),
    ],
)
async def test_a_correction_that_is_none_is_refused(
    overlay: Overlay, kind: OverlayKind, message: str
) -> None:
    told = Told()
    clock = ManualClock(NOW)
    found = calendar_service(calendar_desk(rules=RULES, clock=clock), told, clock)
    with pytest.raises(ConflictError, match=message):
        await found.add_overlay(overlay, kind=kind, by="uid 7")
    assert (told.events, found.overlays()) == ([], [])


async def test_every_kind_of_correction_does_what_it_says() -> None:
    clock = ManualClock(NOW)
    desk = calendar_desk(rules=RULES, clock=clock)
    found = calendar_service(desk, Told(), clock)
    base = Overlay(calendar="desk", session=MONDAY, reason="x")
    await found.add_overlay(replace(base, close_time="12:00"), kind="early_close", by="u")
    await found.add_overlay(replace(base, open_time="10:00"), kind="late_open", by="u")
    sunday = replace(base, session=date(2026, 12, 20), open_time="10:00", close_time="11:00")
    await found.add_overlay(sunday, kind="extra_session", by="u")
    hours = await found.sessions("desk", date(2026, 12, 20), MONDAY)
    assert [(h.open.hour, h.close.hour, h.early_close, h.late_open) for h in hours] == [
        (10, 11, False, False),
        (10, 12, True, True),
    ]
    with pytest.raises(ConflictError, match="'closed' contradicts 'open 10:00 close 12:00'"):
        await found.add_overlay(closed(), kind="closed", by="u")


async def test_a_correction_of_a_base_corrects_what_lies_over_it() -> None:
    clock = ManualClock(NOW)
    desk = calendar_desk(rules=RULES, clock=clock)
    found = calendar_service(desk, Told(), clock)
    assert (await desk.table("over")).session(MONDAY) is not None
    await found.add_overlay(closed("24-5"), kind="closed", by="u")
    assert (await desk.table("over")).session(MONDAY) is None


async def test_what_cannot_be_recorded_is_not_applied() -> None:
    told = Told()
    clock = ManualClock(NOW)
    desk = calendar_desk(rules=RULES, clock=clock)
    found = calendar_service(desk, told, clock)
    told.failure = OSError("no space")
    with pytest.raises(OSError, match="no space"):
        await found.add_overlay(closed(), kind="closed", by="u")
    assert (await desk.table("desk")).session(MONDAY) is not None
    assert found.overlays() == []


async def test_corrections_by_hand_and_of_the_file_may_not_contradict_each_other() -> None:
    desk = calendar_desk(rules=RULES, clock=ManualClock(NOW))
    await desk.table("desk")
    by_hand = OverlayRecord(overlay_id="ovl_1", overlay=closed(), added_at=NOW, added_by="u")
    gone = OverlayRecord(
        overlay_id="ovl_0",
        overlay=replace(closed(), closed=False, close_time="11:00"),
        added_at=NOW,
        added_by="u",
        removed_at=NOW,
    )
    desk.adopt([gone, by_hand])
    other = replace(closed(), closed=False, close_time="12:00")
    with pytest.raises(SettingsError, match="contradicts") as caught:
        desk.use(RULES, [other])
    assert "mdp calendar overlay list" in caught.value.problems[0].hint
    assert (desk.configured, list(desk.added)) == ((), ["ovl_1"])
    desk.use(RULES, [closed(day=date(2026, 12, 22))])
    table = await desk.table("desk")
    assert [table.session(MONDAY), table.session(date(2026, 12, 22))] == [None, None]
    found = calendar_service(desk, Told(), ManualClock(NOW))
    assert [one.overlay_id for one in found.overlays()] == ["ovl_1", ""]


async def test_calendars_are_listed_and_asked_for_what_is_next() -> None:
    clock = ManualClock(NOW)
    found = calendar_service(calendar_desk(rules=RULES, clock=clock), Told(), clock)
    states = {status.calendar: status.state for status in await found.statuses()}
    assert states["24/7"] == states["desk"] == "ready"
    assert (states["wrong"], states["XNYS"]) == ("failed", "unbuilt")
    assert (await found.status("DESK")).calendar == "desk"
    ahead = await found.next("desk", count=3)
    assert [hours.label.day for hours in ahead] == [15, 16, 17]
    with pytest.raises(UnknownCalendarError):
        await found.status("nowhere")
    with pytest.raises(UnknownCalendarError):
        found.overlays("nowhere")
