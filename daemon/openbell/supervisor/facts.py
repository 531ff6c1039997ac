"""What a run knows by itself: its session, the sessions around it, the span of its data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from typing_extensions import override

from openbell.config.substitution import param_names
from openbell.model.facts import SESSION_FACTS, is_reserved, since_argument
from openbell.model.pipelines import Dataset, Pipeline
from openbell.model.runs import RunRecord
from openbell.sdk.errors import FatalError
from openbell.sdk.values import BarWidth, Interval, SessionTable, from_us, to_us
from openbell.supervisor.services import Services, Sessions
from openbell.supervisor.span import MARGIN, cover, label_day, newest_closed

_LONG = timedelta(days=400)
_NOT_A_NAME = re.compile(r"[^A-Z0-9]+")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RunParams(Mapping[str, Any]):
    """A run's parameters and facts, for filling in.

    To ask for a fact that the run has not raises FatalError, which says why; for anything else
    that is not there KeyError. Lay more over it with `collections.ChainMap`.
    """

    given: Mapping[str, Any]
    known: Mapping[str, Any]
    lacking: Mapping[str, str] = field(default_factory=dict)

    @override
    def __getitem__(self, name: str) -> Any:
        if name in self.known:
            return self.known[name]
        if name in self.lacking:
            raise FatalError(f"parameter {name!r} has no value in this run: {self.lacking[name]}")
        return self.given[name]

    @override
    def __contains__(self, name: object) -> bool:
        return name in self.known or (name in self.given and name not in self.lacking)

    @override
    def __iter__(self) -> Iterator[str]:
        yield from self.known
        yield from (name for name in self.given if name not in {*self.known, *self.lacking})

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a run knows: as parameters, and as environment of commands.

    To the environment whoever knows the attempt adds its `TRACEPARENT`.
    """

    params: RunParams
    environment: Mapping[str, str]


async def facts(services: Services, run: RunRecord, pipeline: Pipeline) -> Facts:
    """Return what `run` knows by itself beside its parameters. Instants are UTC, as ISO text.

    What it cannot know is told when somebody asks for it.
    """
    found = await _Finder(services, run, pipeline).found()
    environment = {
        "OPENBELL_RUN_ID": run.run_id,
        "OPENBELL_PIPELINE": run.pipeline,
        **{
            _variable(name): str(found.known[name]) for name in SESSION_FACTS if name in found.known
        },
        **{
            _variable(f"param_{name}"): _text(value)
            for name, value in run.params.items()
            if not is_reserved(name)
        },
    }
    return Facts(params=found, environment=environment)


async def session_of(sessions: Sessions, run: RunRecord, calendar: str) -> date | None:
    """Return the session that a run is about, None when it is about more or none.

    It is the run's own; of one that was asked for without any the newest that had closed.
    """
    if run.session is not None:
        return date.fromisoformat(run.session)
    is_range = bool(run.params.get("from") or run.params.get("to"))
    if run.mode != "interval" or not calendar or is_range:
        return None
    asked_at = run.due_at or run.submitted_at
    day = asked_at.astimezone(UTC).date()
    nearby = await sessions.between(calendar, day - MARGIN, day + MARGIN)
    return newest_closed(nearby, to_us(asked_at))


class _Finder:
    """Finds the facts of one run."""

    def __init__(self, services: Services, run: RunRecord, pipeline: Pipeline) -> None:
        self._sessions = services.sessions
        self._run = run
        self._pipeline = pipeline
        self._dataset = source_dataset(pipeline, services.deployment.datasets)
        own = self._dataset.calendar if self._dataset is not None else ""
        self._calendar = run.calendar or own
        self._known: dict[str, Any] = {}
        self._lacking: dict[str, str] = {}

    async def found(self) -> RunParams:
        """Return the parameters with the facts."""
        wanted = frozenset().union(*(param_names(node.settings) for node in self._pipeline.nodes))
        counts = {name: x for name in wanted if (x := since_argument(name)) is not None}
        try:
            await self._find(counts)
        except FatalError as error:
            self._lack((*SESSION_FACTS, *counts), str(error))
        return RunParams(self._run.params, self._known, self._lacking)

    async def _find(self, counts: Mapping[str, str]) -> None:
        label = await session_of(self._sessions, self._run, self._calendar)
        if label is None:
            await self._span_of_days()
            self._lack((*SESSION_FACTS, *counts), f"it is about no single session{self._why()}")
            return
        self._known["session"] = label.isoformat()
        if not self._calendar:
            why = "its pipeline has no dataset, and no schedule named a calendar"
            self._lack((*SESSION_FACTS, *counts), why)
            return
        nearby = await self._around(label)
        self._of_session(label, nearby)
        await self._span(label, label)
        self._lack(SESSION_FACTS, f"{label} is no session of {self._calendar}")
        for name, argument in counts.items():
            await self._count(name, argument, label)

    def _why(self) -> str:
        if self._run.mode != "interval":
            return f" (mode {self._run.mode})"
        return "" if self._calendar else ", and its pipeline has no dataset"

    async def _around(self, label: date) -> SessionTable:
        """Return the sessions near a label, at least one before it where there is any."""
        nearby = await self._sessions.between(self._calendar, label - MARGIN, label + MARGIN)
        if any(day < label_day(label) for day in nearby.labels_day):
            return nearby
        return await self._sessions.between(self._calendar, label - _LONG, label + MARGIN)

    def _of_session(self, label: date, nearby: SessionTable) -> None:
        day = label_day(label)
        before = [other for other in nearby.labels_day if other < day]
        if before:
            self._known["prev_session"] = (label - _DAY * (day - before[-1])).isoformat()
        else:
            self._lack(["prev_session"], f"{label} is the first session of {self._calendar}")
        if day in nearby.labels_day:
            at = list(nearby.labels_day).index(day)
            self._known["session_open"] = _iso(from_us(nearby.opens_us[at]))
            self._known["session_close"] = _iso(from_us(nearby.closes_us[at]))

    async def _span_of_days(self) -> None:
        """Find the span of a run over a range of sessions, when it has both ends."""
        start, end = (_day(self._run.params.get(key)) for key in ("from", "to"))
        if start is not None and end is not None and start <= end:
            await self._span(start, end)

    async def _span(self, start: date, end: date) -> None:
        """Find the span of the data: what is fetched, else from the open to the close."""
        dataset = self._dataset
        calendar = self._calendar if dataset is None else dataset.calendar
        if not calendar:
            return
        nearby = await self._sessions.between(calendar, start - MARGIN, end + MARGIN)
        if dataset is not None:
            covered = cover(nearby, BarWidth.parse(dataset.interval), start, end)
            span = None if covered is None else covered.span
        else:
            span = _open_to_close(nearby, start, end)
        if span is not None:
            self._known["interval_start"] = _iso(span.start)
            self._known["interval_end"] = _iso(span.end)

    async def _count(self, name: str, argument: str, label: date) -> None:
        value = self._run.params.get(argument, argument)
        since = _day(value)
        if since is None:
            self._lack([name], f"{argument!r} is {value!r}, which is no date")
        elif since >= label:
            self._known[name] = 0
        else:
            after = await self._sessions.between(self._calendar, since + _DAY, label)
            self._known[name] = len(after.labels_day)

    def _lack(self, names: Iterable[str], why: str) -> None:
        for name in names:
            if name not in self._known:
                self._lacking.setdefault(name, why)


def source_dataset(pipeline: Pipeline, datasets: Mapping[str, Dataset]) -> Dataset | None:
    """Return the dataset that a pipeline fetches, or else the first that one of its nodes names."""
    nodes = sorted(pipeline.nodes, key=lambda node: node.op != "ingest")
    names = (str(node.settings.get("dataset")) for node in nodes)
    return next((datasets[name] for name in names if name in datasets), None)


def _open_to_close(nearby: SessionTable, start: date, end: date) -> Interval | None:
    low, high = label_day(start), label_day(end)
    inside = [at for at, day in enumerate(nearby.labels_day) if low <= day <= high]
    if not inside:
        return None
    return Interval(from_us(nearby.opens_us[inside[0]]), from_us(nearby.closes_us[inside[-1]]))


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _variable(name: str) -> str:
    return "OPENBELL_" + _NOT_A_NAME.sub("_", name.upper()).strip("_")


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
