"""Verbs about schedules: `mdp schedule next`, `explain` and `conflicts` need no daemon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbell.cli import conflicts, schedule_control
from openbell.cli.errors import USAGE, CliError
from openbell.cli.options import ConfigFile, Output, Profile, StateDir, Tz
from openbell.cli.render import Format, Printer, say
from openbell.cli.schedule_control import OfPipeline
from openbell.cli.schedule_source import Asked, Source

if TYPE_CHECKING:
    from openbell.schedule.fires import Fire
    from openbell.schedule.planner import Planner

_COLUMNS = ("at", "session", "event", "index")
_PIPELINE_COLUMNS = ("at", "schedule", "session", "event", "index")

Expression = Annotated[
    str | None, typer.Argument(metavar="[EXPR]", help="A schedule, such as 'XNYS close + 30m'.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(no_args_is_help=True, help="When pipelines run by themselves, and why.")
    group.command("next")(following)
    group.command()(explain)
    group.command("conflicts")(conflicts.show)
    schedule_control.register(group)
    app.add_typer(group, name="schedule")


def following(
    *,
    expression: Expression = None,
    pipeline: OfPipeline = None,
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
    """Show the next fires of a schedule, or of a pipeline's, strictly after an instant."""
    from heapq import merge
    from itertools import islice, repeat

    instant = _instant("--after", after)
    asked, planner = Source(config, profile, state_dir).asked(expression, pipeline, instant)
    due = [zip(one.fires(planner, instant), repeat(one)) for one in asked]
    found = list(islice(merge(*due, key=lambda pair: pair[0].at), count))
    rows = [_row(fire) if pipeline is None else _named(fire, one) for fire, one in found]
    Printer(output, tz).rows(rows, _COLUMNS if pipeline is None else _PIPELINE_COLUMNS)
    beginnings = [day for one in asked if (day := planner.beginning(one.schedule)) is not None]
    if beginnings and instant.date() < max(beginnings):
        say(f"its calendars know nothing before {max(beginnings)}")
    if len(found) < count:
        say(f"{len(found)} of {count}: {_end(asked, planner)}")


def explain(
    *,
    expression: Expression = None,
    pipeline: OfPipeline = None,
    at: Annotated[str, typer.Option("--at", help="An instant, such as 2026-11-27T18:00Z.")],
    config: ConfigFile = None,
    profile: Profile = None,
    state_dir: StateDir = None,
    output: Output = Format.TABLE,
    tz: Tz = "UTC",
) -> None:
    """Say step by step why a schedule, or each of a pipeline's, fires at an instant or does not."""
    instant = _instant("--at", at)
    asked, planner = Source(config, profile, state_dir).asked(expression, pipeline, instant)
    found = [_explained(one, planner, instant) for one in asked]
    printer = Printer(output, tz)
    if output is Format.TABLE:
        for record in found:
            _tell(record, printer)
    elif pipeline is None:
        printer.record(found[0])
    else:
        printer.rows(found, ())


def _explained(one: Asked, planner: Planner, instant: datetime) -> dict[str, Any]:
    from openbell.schedule.explain import explain as explained

    found = explained(planner, one.schedule, instant)
    steps = [{"met": step.is_met, "text": step.text} for step in found.steps]
    if not one.is_active(instant):
        span = [_text(at) if at else "ever" for at in (one.use.active_from, one.use.active_until)]
        text = f"it is active from {span[0]} until {span[1]} only"
        steps.append({"met": False, "text": text})
    before, after = found.previous, next(one.fires(planner, instant), None)
    return {
        "at": _text(instant),
        "schedule": found.text,
        "fingerprint": one.schedule.fingerprint,
        "fires": [_row(fire) for fire in found.fires if one.is_active(fire.at)],
        "steps": steps,
        "previous": _row(before) if before and one.is_active(before.at) else None,
        "next": after and _row(after),
    }


def _tell(record: dict[str, Any], printer: Printer) -> None:
    verb = "fires" if record["fires"] else "does not fire"
    print(f"{record['schedule']} {verb} at {printer.instant(record['at'])}")
    for step in record["steps"]:
        mark = {None: " ", True: "+", False: "-"}[step["met"]]
        print(f"  {mark} {step['text']}")
    for word, key in (("before", "previous"), ("after", "next")):
        fire = record[key]
        print(f"{word + ':':<8}{printer.instant(fire['at']) if fire else '-'}")


def _end(asked: Sequence[Asked], planner: Planner) -> str:
    horizons = [end for one in asked if (end := planner.horizon(one.schedule)) is not None]
    if not horizons:
        return "it fires no more"
    return f"it fires no more in what is known: its calendars end on {min(horizons)}"


def _named(fire: Fire, one: Asked) -> dict[str, Any]:
    return {"at": _text(fire.at), "schedule": one.use.expression, **_row(fire)}


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
