"""`mdp calendar ...`: sessions of exchanges, and corrections to them."""

from __future__ import annotations

import os
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbell.cli.calendar_source import Where
from openbell.cli.errors import USAGE, CliError
from openbell.cli.options import ConfigFile, Output, Profile, Socket, StateDir, Tz
from openbell.cli.render import Format, Printer, counted, say

if TYPE_CHECKING:
    from openbell.cli.client import Client
    from openbell.supervisor.calendar_service import CalendarService

_SESSION_COLUMNS = ("session", "open", "close", "breaks", "early_close", "late_open")
_OVERLAY_COLUMNS = (
    *("id", "calendar", "date", "closed", "open", "close", "reason"),
    *("origin", "added_by", "added_at"),
)
_AT = "/api/v1/calendars"
_SHOWN_FIRES = 20
CalendarName = Annotated[str, typer.Argument(metavar="CALENDAR", help="Such as XNYS or NYSE.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what changes; change nothing.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    calendar = typer.Typer(no_args_is_help=True, help="Sessions of exchanges, and corrections.")
    calendar.command("list")(listing)
    calendar.command("sessions")(sessions)
    calendar.command("next")(following)
    calendar.command("month")(month)
    overlay = typer.Typer(no_args_is_help=True, help="Correct single days of a calendar.")
    overlay.command("add")(add)
    overlay.command("list")(overlays)
    overlay.command("remove")(remove)
    calendar.add_typer(overlay, name="overlay")
    app.add_typer(calendar, name="calendar")


def listing(
    *,
    build: Annotated[
        bool, typer.Option("--build", help="Build those that nobody asked for yet.")
    ] = False,
    output: Output = Format.TABLE,
    config: ConfigFile = None,
    profile: Profile = None,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """List calendars: how each stands, where its knowledge ends, what happens then."""

    async def here(service: CalendarService) -> list[dict[str, Any]]:
        from dataclasses import asdict

        return [asdict(status) for status in await service.statuses(build=build)]

    where = Where(config, profile, socket, state_dir)
    found = where.ask(lambda daemon: daemon.items(_AT, {"build": build}), here)
    columns = ("calendar", "state", "horizon", "sessions_left", "policy", "reason")
    Printer(output).rows(found, columns)


def sessions(
    *,
    calendar: CalendarName,
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First label.")],
    end: Annotated[str, typer.Option("--to", metavar="DATE", help="Last label, included.")],
    output: Output = Format.TABLE,
    tz: Tz = "UTC",
    config: ConfigFile = None,
    profile: Profile = None,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """List sessions by label: open, close, breaks, early close, late open."""
    first, last = _day(start, "--from"), _day(end, "--to")
    if last < first:
        raise CliError(USAGE, f"--to {last} is before --from {first}", hint="both are included")
    where = Where(config, profile, socket, state_dir)
    _show(_sessions(where, calendar, first, last), Printer(output, tz))


def following(
    *,
    calendar: CalendarName,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="How many.")] = 1,
    output: Output = Format.TABLE,
    tz: Tz = "UTC",
    config: ConfigFile = None,
    profile: Profile = None,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Show the next session to open, or the next few."""

    async def here(service: CalendarService) -> list[dict[str, Any]]:
        from openbell.model.calendars import session_fields

        return [session_fields(one) for one in await service.next(calendar, count=limit)]

    where = Where(config, profile, socket, state_dir)
    path = f"{_AT}/{_part(calendar)}/next"
    found = where.ask(lambda daemon: daemon.items(path, {"limit": limit}), here)
    _show(found, Printer(output, tz))


def month(
    *,
    calendar: CalendarName,
    which: Annotated[
        str | None, typer.Argument(metavar="YYYY-MM", help="Another month than this one.")
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Draw a month: days with a session, early closes and late opens."""
    from openbell.cli.month import drawn, month_of

    first, last = month_of(which)
    where = Where(config, profile, socket, state_dir)
    print(drawn(calendar, first, _sessions(where, calendar, first, last)))


def add(
    *,
    calendar: CalendarName,
    day: Annotated[str, typer.Argument(metavar="DATE", help="The session's label.")],
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="closed | early_close HH:MM | late_open HH:MM | extra_session HH:MM HH:MM",
            help="What is so on that day; hours are local to the exchange.",
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")],
    dry_run: DryRun = False,
    output: Output = Format.TABLE,
    config: ConfigFile = None,
    profile: Profile = None,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Correct one day of a calendar; what changes is shown before it is applied.

    A running daemon applies it at once; without one it is kept in the state directory.
    """
    body = _body(_day(day, "DATE"), what, reason)
    where = Where(config, profile, socket, state_dir)
    path = f"{_AT}/{_part(calendar)}/overlays"

    def remote(daemon: Client) -> dict[str, Any]:
        tried = daemon.call("POST", path, body={**body, "dry_run": True})
        _say_changes(tried)
        return tried if dry_run else dict(daemon.call("POST", path, body=body))

    async def here(service: CalendarService) -> dict[str, Any]:
        from openbell.model.calendars import Overlay, answer_fields

        kind = body["kind"]
        overlay = Overlay(
            calendar=calendar,
            session=date.fromisoformat(body["date"]),
            closed=kind == "closed",
            open_time=body.get("open"),
            close_time=body.get("close"),
            reason=reason,
        )
        by = _user()
        tried = await service.add_overlay(overlay, kind=kind, by=by, dry_run=True)
        _say_changes(answer_fields(tried))
        if not dry_run:
            tried = await service.add_overlay(overlay, kind=kind, by=by)
        return answer_fields(tried)

    found = where.ask(remote, here, is_writing=not dry_run)
    say("nothing was changed (dry run)" if dry_run else f"added {found['id']}")
    if output is not Format.TABLE:
        Printer(output).record(found)


def overlays(
    *,
    calendar: Annotated[str | None, typer.Argument(metavar="CALENDAR", help="Of this one.")] = None,
    output: Output = Format.TABLE,
    tz: Tz = "UTC",
    config: ConfigFile = None,
    profile: Profile = None,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """List corrections in force: those of the configuration and those made by hand."""

    async def here(service: CalendarService) -> list[dict[str, Any]]:
        from openbell.model.calendars import overlay_fields

        return [overlay_fields(listed) for listed in service.overlays(calendar)]

    where = Where(config, profile, socket, state_dir)
    path = f"{_AT}/{_part(calendar or '-')}/overlays"
    Printer(output, tz).rows(where.ask(lambda daemon: daemon.items(path), here), _OVERLAY_COLUMNS)


def remove(
    *,
    calendar: CalendarName,
    overlay_id: Annotated[str, typer.Argument(metavar="ID", help="As `overlay list` shows it.")],
    dry_run: DryRun = False,
    output: Output = Format.TABLE,
    config: ConfigFile = None,
    profile: Profile = None,
    socket: Socket = None,
    state_dir: StateDir = None,
) -> None:
    """Take a correction back that was made by hand."""
    where = Where(config, profile, socket, state_dir)
    path = f"{_AT}/{_part(calendar)}/overlays/{_part(overlay_id)}"

    async def here(service: CalendarService) -> dict[str, Any]:
        from openbell.model.calendars import answer_fields

        answer = await service.remove_overlay(calendar, overlay_id, by=_user(), dry_run=dry_run)
        return answer_fields(answer)

    found = where.ask(
        lambda daemon: dict(daemon.call("DELETE", path, query={"dry_run": dry_run})),
        here,
        is_writing=not dry_run,
    )
    _say_changes(found)
    say("nothing was changed (dry run)" if dry_run else f"removed {overlay_id}")
    if output is not Format.TABLE:
        Printer(output).record(found)


def _sessions(where: Where, calendar: str, first: date, last: date) -> list[dict[str, Any]]:
    async def here(service: CalendarService) -> list[dict[str, Any]]:
        from openbell.model.calendars import session_fields

        return [session_fields(one) for one in await service.sessions(calendar, first, last)]

    path = f"{_AT}/{_part(calendar)}/sessions"
    query = {"from": first.isoformat(), "to": last.isoformat()}
    return where.ask(lambda daemon: daemon.items(path, query), here)


def _show(sessions: list[dict[str, Any]], printer: Printer) -> None:
    """Write sessions; a table has of a break its times of day alone."""
    if printer.output is Format.TABLE:
        sessions = [
            {**one, "breaks": [_times(printer, pair) for pair in one["breaks"]]} for one in sessions
        ]
    printer.rows(sessions, _SESSION_COLUMNS)


def _times(printer: Printer, span: list[object]) -> str:
    return "-".join(printer.cell(instant)[11:16] for instant in span)


def _body(day: date, what: list[str], reason: str) -> dict[str, Any]:
    """Return the correction that the words of the command line ask for."""
    keys: dict[str, tuple[str, ...]] = {
        "closed": (),
        "early_close": ("close",),
        "late_open": ("open",),
        "extra_session": ("open", "close"),
    }
    kind, *times = what
    kind = kind.replace("-", "_")
    if kind not in keys:
        raise CliError(USAGE, f"{what[0]!r} is no correction", hint=f"there are: {', '.join(keys)}")
    if len(times) != len(keys[kind]):
        needs = " ".join(f"{key.upper()}=HH:MM" for key in keys[kind]) or "no times"
        raise CliError(USAGE, f"{kind} takes {needs}", hint="such as early_close 13:00")
    for text in times:
        _check_time(text)
    return {
        "date": day.isoformat(),
        "kind": kind,
        "reason": reason,
        **dict(zip(keys[kind], times, strict=True)),
    }


def _check_time(text: str) -> None:
    from datetime import time

    try:
        is_good = len(text) == 5 and time.fromisoformat(text) is not None
    except ValueError:
        is_good = False
    if not is_good:
        raise CliError(USAGE, f"{text!r} is no time of day", hint="write it as 13:00")


def _say_changes(answer: dict[str, Any]) -> None:
    changes = answer["changes"]
    say(f"{answer['calendar']}: {counted(len(changes), 'session')} changed")
    for change in changes:
        before, after = _hours(change["before"]), _hours(change["after"])
        say(f"  {change['session']}: {before} -> {after}")
    fires, count = answer["fires"], answer["fire_count"]
    say(f"{counted(count, 'fire')} of schedules changed")
    for fire in fires[:_SHOWN_FIRES]:
        say(f"  {fire['pipeline']}, {fire['schedule']}: {_moved(fire)}")
    if count > _SHOWN_FIRES:
        say(f"  and {count - _SHOWN_FIRES:,} more; -o json has the first {len(fires)}")


def _moved(fire: dict[str, Any]) -> str:
    printer = Printer(Format.TABLE)
    before, after = (printer.cell(fire[key]) for key in ("before", "after"))
    if fire["before"] is None:
        return f"{after} appears"
    return f"{before} vanishes" if fire["after"] is None else f"{before} -> {after}"


def _hours(session: dict[str, Any] | None) -> str:
    if session is None:
        return "no session"
    printer = Printer(Format.TABLE)
    return f"{printer.cell(session['open'])} to {printer.cell(session['close'])}"


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise CliError(
            USAGE, f"{option} {text!r} is no date", hint="write it as 2026-01-31"
        ) from error


def _part(name: str) -> str:
    """Return a name as one part of a path: `24-7` stands for `24/7`."""
    from openbell.cli.client import part

    return part(name.replace("/", "-"))


def _user() -> str:
    """Return who types this, as the daemon would name its peer."""
    return f"uid {os.getuid()}"
