"""What will not go as planned: `mdp schedule conflicts`, and `mdp validate --horizon`."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbell.cli.errors import NOT_MET, USAGE, CliError
from openbell.cli.options import ConfigFile, Output, Profile, StateDir
from openbell.cli.render import Format, Printer, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openbell.model.pipelines import Deployment
    from openbell.schedule.conflicts_values import Conflict

_DAYS = re.compile(r"([0-9]{1,5}) *(d|w)?")
_MOST_DAYS = 3660

FROM = Annotated[
    str | None, typer.Option("--from", metavar="DAY", help="The first UTC day to look at [today].")
]
HORIZON = Annotated[
    str, typer.Option("--horizon", metavar="DAYS", help="How far to look, such as 400d or 52w.")
]


def show(
    *,
    config: ConfigFile = None,
    profile: Profile = None,
    start: FROM = None,
    horizon: HORIZON = "400d",
    state_dir: StateDir = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what will not go as planned. Exit 3 when there is anything but notes."""
    from openbell.cli.configuration import load

    days = length(horizon)
    first = _day(start)
    loaded, _ = load(config, profile, None)
    found = look(loaded.deployment, state_dir, first=first, days=days)
    if output is Format.TABLE:
        tell(found, days)
    else:
        Printer(output).rows(rows_of(found), ())
    leave(found)


def look(
    deployment: Deployment, directory: Path | None, *, first: date | None, days: int
) -> Sequence[Conflict]:
    """Return what will not go as planned in so many days, from `first` or today on."""
    import anyio

    from openbell.app.conflicts import found_conflicts
    from openbell.cli.configuration import bad_config
    from openbell.cli.running import unwrapped
    from openbell.model.places import state_dir
    from openbell.sdk.clock import SystemClock
    from openbell.sdk.errors import SettingsError

    clock = SystemClock()
    start = first or clock.now().astimezone(UTC).date()
    place = state_dir(os.environ, directory)

    async def whole() -> Sequence[Conflict]:
        end = start + timedelta(days=days)
        return await found_conflicts(deployment, place, start=start, end=end, clock=clock)

    try:
        with unwrapped():
            return anyio.run(whole)
    except SettingsError as error:
        raise bad_config(error) from error


def tell(found: Sequence[Conflict], days: int) -> None:
    """Write conflicts for people to read."""
    for one in found:
        who = ", ".join(one.pipelines)
        print(f"{one.severity} ({one.kind}): {who}: {one.message}")
        if one.first:
            more = " ..." if one.count > len(one.first) else ""
            when = ", ".join(map(str, one.first))
            times = "once" if one.count == 1 else f"{one.count} times, first"
            print(f"  when: {times} {when}{more}")
        if one.fix:
            print(f"  fix:  {one.fix}")
    bad = sum(one.severity == "conflict" for one in found)
    say(f"conflicts: {bad}, notes: {len(found) - bad}, in {days} days")


def rows_of(found: Sequence[Conflict]) -> list[dict[str, Any]]:
    """Return conflicts as they are written in JSON."""
    return [
        {
            "kind": one.kind,
            "severity": one.severity,
            "pipelines": list(one.pipelines),
            **one.about,
            "count": one.count,
            "first": [day.isoformat() for day in one.first],
            "weeks": [day.isoformat() for day in one.weeks],
            "message": one.message,
            "fix": one.fix,
        }
        for one in found
    ]


def leave(found: Sequence[Conflict]) -> None:
    """End the command with exit code 3 when there is a conflict."""
    if any(one.severity == "conflict" for one in found):
        raise typer.Exit(NOT_MET)


def length(text: str) -> int:
    """Return how many days a horizon means; raises CliError."""
    match = _DAYS.fullmatch(text.strip().lower())
    days = 0 if match is None else int(match[1]) * (7 if match[2] == "w" else 1)
    if not 1 <= days <= _MOST_DAYS:
        hint = f"write days or weeks, such as 400d or 52w, at most {_MOST_DAYS}d"
        raise CliError(USAGE, f"--horizon {text!r} is not understood", hint=hint)
    return days


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        hint = "write 2026-11-27"
        raise CliError(USAGE, f"--from {text!r} is no day", hint=hint) from error
    if not 1971 <= found.year < 2190:
        raise CliError(USAGE, f"--from {text!r} is too far away", hint="1971 to 2189")
    return found
