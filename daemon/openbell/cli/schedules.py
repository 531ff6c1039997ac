"""Verbs about schedules: `mdp schedule next`, `explain` and `conflicts`. No daemon is needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbell.cli import conflicts
from openbell.cli.errors import FAILED, USAGE, CliError
from openbell.cli.options import ConfigFile, Output, Profile, StateDir, Tz
from openbell.cli.render import Format, Printer, say

if TYPE_CHECKING:
    from openbell.schedule.fires import Fire
    from openbell.schedule.grammar import Schedule
    from openbell.schedule.planner import Planner

_AHEAD = timedelta(days=400)
_COLUMNS = ("at", "session", "event", "index")

Expression = Annotated[
    str, typer.Argument(metavar="EXPR", help="A schedule, such as 'XNYS close + 30m'.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(no_args_is_help=True, help="Ask when schedules fire, and why.")
    group.command("next")(following)
    group.command()(explain)
    group.command("conflicts")(conflicts.show)
    app.add_typer(group, name="schedule")


def following(
    *,
    expression: Expression,
    after: Annotated[
        str | None, typer.Option("--after", help="An instant or a day (UTC) [now].")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", help="How many fires.", min=1, max=100_000)
    ] = 5,
    config: ConfigFile = None,
    profile: Profile = None,
    state_dir: StateDir = None,
    output: Output = Format.TABLE,
    tz: Tz = "UTC",
) -> None:
    """Show the next fires of a schedule, strictly after an instant."""
    instant = _instant("--after", after)
    place = _Place(config, profile, state_dir)
    printer = Printer(output, tz)
    planned = place.planned(expression, instant)
    fires = planned.planner.next(planned.schedule, instant, count)
    printer.rows([_row(fire) for fire in fires], _COLUMNS)
    if len(fires) < count:
        horizon = planned.planner.horizon(planned.schedule)
        end = "it fires no more" if horizon is None else f"its calendars are known to {horizon}"
        say(f"{len(fires)} of {count}: {end}")


def explain(
    *,
    expression: Expression,
    at: Annotated[str, typer.Option("--at", help="An instant, such as 2026-11-27T18:00Z.")],
    config: ConfigFile = None,
    profile: Profile = None,
    state_dir: StateDir = None,
    output: Output = Format.TABLE,
    tz: Tz = "UTC",
) -> None:
    """Say step by step why a schedule fires at an instant or does not."""
    from openbell.schedule.explain import explain as explained

    instant = _instant("--at", at)
    planned = _Place(config, profile, state_dir).planned(expression, instant)
    found = explained(planned.planner, planned.schedule, instant)
    printer = Printer(output, tz)
    if output is not Format.TABLE:
        record = {
            "at": _text(instant),
            "schedule": found.text,
            "fingerprint": planned.schedule.fingerprint,
            "fires": [_row(fire) for fire in found.fires],
            "steps": [{"met": step.is_met, "text": step.text} for step in found.steps],
            "previous": found.previous and _row(found.previous),
            "next": found.next and _row(found.next),
        }
        printer.record(record)
        return
    verb = "fires" if found.fires else "does not fire"
    print(f"{found.text} {verb} at {printer.instant(_text(instant))}")
    for step in found.steps:
        mark = {None: " ", True: "+", False: "-"}[step.is_met]
        print(f"  {mark} {step.text}")
    for word, fire in (("before", found.previous), ("after", found.next)):
        print(f"{word + ':':<8}{printer.instant(_text(fire.at)) if fire else '-'}")


@dataclass(frozen=True, slots=True)
class _Planned:
    schedule: Schedule
    planner: Planner


@dataclass(frozen=True, slots=True)
class _Place:
    """Whose calendars: those of a configuration when there is one, else the library's."""

    config: Path | None
    profile: str | None
    state_dir: Path | None

    def planned(self, expression: str, instant: datetime) -> _Planned:
        """Return the schedule, and a planner with the tables that it needs."""
        import anyio

        from openbell.app.offline import loaded_tables
        from openbell.calendars.names import CalendarCatalog
        from openbell.cli.configuration import load
        from openbell.model.calendars import CalendarRules
        from openbell.model.places import config_file, state_dir
        from openbell.schedule.errors import ScheduleError
        from openbell.schedule.parser import parse
        from openbell.schedule.planner import Planner
        from openbell.sdk.clock import SystemClock
        from openbell.sdk.errors import FatalError

        deployment = None
        if config_file(os.environ, self.config) is not None:
            deployment = load(self.config, self.profile, None)[0].deployment
        rules = deployment.calendars if deployment else CalendarRules()
        try:
            schedule = parse(expression, CalendarCatalog(rules))
        except ScheduleError as error:
            raise CliError(
                USAGE, "this is no schedule", hint=error.hint, details=error.picture
            ) from error

        async def tables() -> Planner:
            store = await loaded_tables(
                state_dir(os.environ, self.state_dir),
                schedule.calendars,
                clock=SystemClock(),
                through=(instant + _AHEAD).date(),
                rules=rules,
                overlays=deployment.overlays if deployment else (),
            )
            return Planner(store)

        try:
            return _Planned(schedule, anyio.run(tables))
        except FatalError as error:
            raise CliError(FAILED, shorten(str(error), 300)) from error


def _row(fire: Fire) -> dict[str, Any]:
    return {
        "at": _text(fire.at),
        "session": fire.session and fire.session.isoformat(),
        "event": fire.event,
        "index": fire.index,
    }


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _instant(option: str, text: str | None) -> datetime:
    from openbell.sdk.clock import SystemClock

    if text is None:
        return SystemClock().now()
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write 2026-11-27T18:00Z or 2026-11-27"
        raise CliError(USAGE, f"{option} {text!r} is no instant", hint=hint) from error
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    if not 1970 < aware.year < 2200:
        raise CliError(USAGE, f"{option} {text!r} is too far away", hint="1971 to 2199")
    return aware.astimezone(UTC)
