"""`schedule:` of jobs and pipelines: when they run by themselves, and how fires are taken."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from openbell.calendars.names import CalendarCatalog
from openbell.config.invalid import nearest
from openbell.config.problems import Problems
from openbell.config.schedule_schema import MissedSection, ScheduleSection, ShortSchedule
from openbell.config.tree import Path
from openbell.model.schedules import MissedRule, ScheduleUse
from openbell.schedule import uses
from openbell.schedule.errors import ScheduleError

_NOTHING = MissedSection()
_OF_ANY_RUN = ("from", "to", "for_s")


@dataclass(frozen=True, slots=True)
class ScheduleReader:
    """Reads the schedules of one job or pipeline that stands at `path`.

    `on_missed` holds for schedules that say nothing of missed fires; `params` are the parameters
    there are.
    """

    problems: Problems
    catalog: CalendarCatalog
    path: Path
    on_missed: MissedSection | None = None
    params: Collection[str] = ()

    def read(self, sections: tuple[ScheduleSection, ...]) -> tuple[ScheduleUse, ...]:
        """Return the schedules, noting what is wrong: of those the answer is not complete."""
        default = _NOTHING if self.on_missed is None else self.on_missed
        if self.on_missed is not None:
            self._missed(default, (*self.path, "on_missed"))
        found: dict[str, str] = {}
        read: list[ScheduleUse] = []
        for index, section in enumerate(sections):
            place = (*self.path, "schedule", index)
            use = self._use(section, default, place)
            is_short = isinstance(section, ShortSchedule)
            meaning = self._meaning(use, place if is_short else (*place, "when"))
            if meaning is None:
                continue
            if meaning in found:
                message = f"{section.when!r} means the same as {found[meaning]!r}"
                self.problems.add(place, message, "keep one of them")
            found[meaning] = section.when
            read.append(use)
        return tuple(read)

    def one(self, section: ScheduleSection) -> ScheduleUse:
        """Return the one schedule that stands at `path`, noting what is wrong."""
        use = self._use(section, _NOTHING, self.path)
        self._meaning(use, (*self.path, "when"))
        return use

    def _use(self, section: ScheduleSection, default: MissedSection, path: Path) -> ScheduleUse:
        if section.on_missed is not None:
            self._missed(section.on_missed, (*path, "on_missed"))
        active = section.active
        if active.start and active.until and active.until <= active.start:
            message = "ends before it begins" if active.until < active.start else "never begins"
            self.problems.add((*path, "active", "until"), message, "from must be before until")
        for name in section.params:
            self._param(name, (*path, "params", name))
        return ScheduleUse(
            expression=section.when,
            dst_missing=section.dst.missing,
            dst_duplicate=section.dst.duplicate,
            active_from=active.start,
            active_until=active.until,
            jitter_s=section.jitter,
            on_missed=missed_rule(section.on_missed or default),
            params=dict(section.params),
        )

    def _meaning(self, use: ScheduleUse, path: Path) -> str | None:
        try:
            return uses.parsed(use, self.catalog).fingerprint
        except ScheduleError as error:
            self._wrong(error, path)
            return None

    def _missed(self, section: MissedSection, path: Path) -> None:
        if section.if_before is None:
            return
        if section.catch is not None:
            message = "says with if_before already which missed fires run"
            self.problems.add((*path, "catch"), message, "keep one of the two")
        rule = missed_rule(section)
        try:
            uses.deadline(ScheduleUse(expression="", on_missed=rule), self.catalog)
        except ScheduleError as error:
            self._wrong(error, (*path, "if_before"))

    def _param(self, name: str, path: Path) -> None:
        known = (*self.params, *_OF_ANY_RUN)
        if name not in known:
            hint = nearest(name, self.params) or "declare it under params of the pipeline"
            message = f"parameter {name!r} does not exist"
            self.problems.add(path, message, hint, at_key=True)

    def _wrong(self, error: ScheduleError, path: Path) -> None:
        message = f"{error.message} at character {error.position + 1} of {error.text!r}"
        self.problems.add(path, message, error.hint)


def missed_rule(section: MissedSection) -> MissedRule:
    """Return what a configuration or a request says of missed fires."""
    catching = "run_all" if section.catch is None else section.catch
    return MissedRule(
        catching=catching if section.if_before is None else "if_before",
        if_before=section.if_before,
        most=section.most,
        spread_s=section.spread,
    )
