"""Which files answer a request."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from openbell.sdk.errors import NotFoundError, Problem, SettingsError
from openbell.sdk.providers import FetchRequest
from openbell.sdk.values import to_us
from openbell_provider_files.opening import FileTask, reading
from openbell_provider_files.settings import FilesSettings
from openbell_provider_files.template import PathTemplate, check_symbol
from openbell_provider_files.texts import DAY_US
from openbell_provider_files.zones import to_local

_EPOCH_DAY = date(1970, 1, 1)
_LISTED = 5
_log = logging.getLogger("openbell_provider_files")


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to read, in order, and those that should be there and are not."""

    tasks: tuple[FileTask, ...]
    missing: tuple[str, ...]

    def joined(self, other: Plan) -> Plan:
        """Return this plan followed by `other`."""
        return Plan(self.tasks + other.tasks, self.missing + other.missing)


def make_plan(settings: FilesSettings, request: FetchRequest) -> Plan:
    """Return the files that answer `request`: symbol by symbol, each in order of days.

    What happens to a missing file is what the setting `on_missing` says. Raises NotFoundError and
    SettingsError.
    """
    template = PathTemplate(settings.path)
    root = Path(settings.root)
    with reading(str(root)):
        if not root.is_dir():
            raise NotFoundError(f"{root}: no such directory; correct `root:`")
        days: dict[date | None, bool] = {None: True}
        if template.has_date:
            days = _days(settings, request)
        plan = Plan((), ())
        for symbol in _symbols(settings, request, template):
            plan = plan.joined(_files_of(symbol, root, template, (settings, days)))
    _settle(settings, plan)
    return plan


def _files_of(
    symbol: str | None,
    root: Path,
    template: PathTemplate,
    rest: tuple[FilesSettings, Mapping[date | None, bool]],
) -> Plan:
    """Return the files of one symbol; several days may share one, such as a file a month."""
    settings, days = rest
    name = _file_name(settings, symbol) if symbol is not None else ""
    wanted: dict[str, tuple[date | None, bool]] = {}
    for day, is_expected in days.items():
        relative = template.render(name, day)
        first, already = wanted.get(relative, (day, False))
        wanted[relative] = (first, already or is_expected)
    tasks: list[FileTask] = []
    missing: list[str] = []
    for relative, (day, is_expected) in wanted.items():
        found = list(_matches(root, template, relative))
        for one in found:
            task = FileTask(path=root / one, relative=one, symbol=symbol, file_symbol=name, day=day)
            tasks.append(task)
        if is_expected and not found:
            whose = f" (symbol {symbol})" if symbol is not None else ""
            missing.append(f"{root / relative}{whose}")
    return Plan(tuple(tasks), tuple(missing))


def _symbols(
    settings: FilesSettings, request: FetchRequest, template: PathTemplate
) -> tuple[str | None, ...]:
    """Return the symbols that have files of their own; (None,) when a column tells them apart."""
    if template.has_symbol:
        return request.symbols
    if "symbol" in settings.columns:
        return (None,)
    if len(request.symbols) > 1:
        raise SettingsError(
            [
                Problem(
                    message=f"the path has no {{symbol}} and {len(request.symbols)} symbols are asked for",
                    key="path",
                    hint="put {symbol} into path, or map columns.symbol",
                )
            ]
        )
    return request.symbols


def _file_name(settings: FilesSettings, symbol: str) -> str:
    try:
        return check_symbol(settings.symbol_names.get(symbol, symbol))
    except ValueError as error:
        raise NotFoundError(f"symbol {error}") from error


def _days(settings: FilesSettings, request: FetchRequest) -> dict[date | None, bool]:
    """Return the local days that touch the span, each with whether a session makes it expected."""
    zone = "UTC" if request.interval.is_daily else settings.zone
    ends = np.array(
        [to_us(request.span.start), min(to_us(request.span.end) - 1, to_us(request.now))]
    )
    first, last = (int(day) for day in to_local(ends, zone) // DAY_US)
    labels = {
        day
        for day in request.sessions.labels_day
        if not request.interval.is_daily or first <= day <= last
    }
    days = sorted(labels.union(range(first, last + 1)))
    return {_EPOCH_DAY + timedelta(days=day): day in labels for day in days}


def _matches(root: Path, template: PathTemplate, relative: str) -> Iterator[str]:
    if template.has_wildcard:
        found = (path for path in root.glob(relative) if path.is_file())
        yield from sorted(path.relative_to(root).as_posix() for path in found)
    elif (root / relative).exists():
        yield relative


def _settle(settings: FilesSettings, plan: Plan) -> None:
    missing = plan.missing
    if not missing or settings.when_missing == "no_data":
        return
    more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
    listed = ", ".join(missing[:_LISTED]) + more
    if settings.when_missing == "error" or not plan.tasks:
        hint = "" if settings.when_missing == "skip" else "; on_missing: skip reads the others"
        raise NotFoundError(
            f"no such file: {listed}. Correct `root:`, `path:` or the symbols{hint}"
        )
    _log.warning("left out %d files that are not there: %s", len(missing), listed)
