"""Datasets, jobs and pipelines: references between them, and the graphs that come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from types import MappingProxyType

from openbell.calendars.names import CalendarCatalog, UnknownCalendarError, canonical
from openbell.config.compile import job_nodes
from openbell.config.crossings import check_crossings
from openbell.config.facts import check_names
from openbell.config.fanout import FanoutReader
from openbell.config.graph import cycle, in_order
from openbell.config.invalid import nearest
from openbell.config.nodes import NodeReader
from openbell.config.parts import Parts
from openbell.config.plugins import Registry
from openbell.config.problems import Problems
from openbell.config.rehearsals import read_rehearsal
from openbell.config.schedules import ScheduleReader
from openbell.config.schema import DatasetSection, JobSection, PipelineSection, StorageSection
from openbell.config.substitution import params_in
from openbell.config.tree import Path
from openbell.config.uses import Uses
from openbell.config.verdicts import check_edges
from openbell.model.pipelines import Dataset, Node, Pipeline
from openbell.sdk.schemas import SCHEMAS


@dataclass(slots=True, kw_only=True)
class Graphs:
    """What can run, and why the others cannot."""

    datasets: dict[str, Dataset] = field(default_factory=dict)
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class GraphReader:
    """Reads `datasets:`, `jobs:` and `pipelines:` against what can be used."""

    def __init__(
        self,
        registry: Registry,
        problems: Problems,
        parts: Parts,
        uses: Uses,
        *,
        catalog: CalendarCatalog,
        folder: FilePath = FilePath(),
        home: str | None = None,
        around: Mapping[str, Pipeline] = MappingProxyType({}),
    ) -> None:
        self._catalog = catalog
        self._folder = folder
        self._home = home
        self._around = around
        self._registry = registry
        self._problems = problems
        self._parts = parts
        self._uses = uses
        self._graphs = Graphs()
        self._made: dict[str, Pipeline] = {}

    def read(self) -> Graphs:
        """Return every dataset and pipeline that is valid, noting what is not."""
        for name, storage in self._parts.storage.items():
            self._keys(name, storage)
        for name, dataset in self._parts.datasets.items():
            self._dataset(name, dataset)
        for name, job in self._parts.jobs.items():
            self._job(name, job)
        for name, pipeline in self._parts.pipelines.items():
            if name in self._parts.jobs:
                self._problems.add(
                    ("pipelines", name), "a job has this name already", "rename one", at_key=True
                )
            else:
                self._pipeline(name, pipeline)
        check_crossings(
            self._parts.pipelines,
            self._problems,
            made=self._made,
            around=self._around,
            names=(*self._parts.written["jobs"], *self._parts.written["pipelines"]),
            datasets=self._parts.written["datasets"],
        )
        return self._graphs

    def _keys(self, name: str, section: StorageSection) -> None:
        columns = {column.name for schema in SCHEMAS.values() for column in schema.columns}
        for index, key in enumerate(section.write.upsert_keys):
            if key not in columns:
                path = ("storage", name, "write", "upsert_keys", index)
                self._problems.add_unknown(path, "column", key, columns)

    def _dataset(self, name: str, section: DatasetSection) -> None:
        path: Path = ("datasets", name)
        before = len(self._problems)
        self._refers((*path, "provider"), "providers", section.provider)
        if section.schema_name not in SCHEMAS:
            self._problems.add_unknown((*path, "schema"), "schema", section.schema_name, SCHEMAS)
        calendar = section.calendar
        try:
            calendar = canonical(section.calendar, self._parts.calendars.define)
        except UnknownCalendarError as error:
            message = f"calendar {section.calendar!r} is unknown"
            self._problems.add((*path, "calendar"), message, error.hint)
        if len(self._problems) == before:
            self._graphs.datasets[name] = Dataset(
                name=name,
                provider=section.provider,
                schema=section.schema_name,
                symbols=section.symbols,
                interval=section.interval,
                calendar=calendar,
            )

    def _job(self, name: str, job: JobSection) -> None:
        path: Path = ("jobs", name)
        before = len(self._problems)
        self._refers((*path, "dataset"), "datasets", job.dataset)
        self._refers((*path, "storage"), "storage", job.storage)
        schedules = ScheduleReader(self._problems, self._catalog, path, job.on_missed)
        schedule = schedules.read(job.schedule)
        self._days(job, path)
        reader = NodeReader(self._registry, self._problems, {})
        nodes: list[Node] = []
        for node_name, raw in job_nodes(job).items():
            node = reader.read(node_name, raw, path)
            if node is not None:
                nodes.append(node)
        rehearsal = read_rehearsal(
            job.rehearsal,
            {node.name: node for node in nodes},
            registry=self._registry,
            problems=self._problems,
            path=path,
        )
        reasons = [
            *self._lacks_dataset(job.dataset),
            *self._lacks_storage(job.storage),
            *reader.refusals,
        ]
        if len(self._problems) > before:
            return
        pipeline = Pipeline(
            name=name,
            nodes=tuple(nodes),
            mode=job.mode,
            job=name,
            schedule=schedule,
            overlap=job.overlap,
            timeout_s=job.execution.timeout,
            start=job.start,
            end=job.end,
            max_active_runs=job.execution.concurrency,
            priority=job.priority,
            expected_s=job.expected_duration,
            rehearsal=rehearsal,
        )
        self._keep(pipeline, reasons)

    def _days(self, job: JobSection, path: Path) -> None:
        if job.mode == "live" and (job.start or job.end):
            key = "from" if job.start else "to"
            self._problems.add(
                (*path, key), "a live job has no range of days", "use mode: backfill"
            )
        elif job.start and job.end and job.start > job.end:
            self._problems.add((*path, "to"), f"{job.end} is before from, {job.start}")

    def _pipeline(self, name: str, section: PipelineSection) -> None:
        path: Path = ("pipelines", name)
        before = len(self._problems)
        check_names(section.params, self._problems, (*path, "params"))
        schedules = ScheduleReader(
            self._problems, self._catalog, path, section.on_missed, params=section.params
        )
        schedule = schedules.read(section.schedule)
        reader = self._nodes(section)
        nodes: dict[str, Node] = {}
        for node_name, raw in section.nodes.items():
            node = reader.read(node_name, raw, (*path, "nodes", node_name))
            if node is not None:
                nodes[node_name] = node
        reasons = list(reader.refusals)
        for node in nodes.values():
            reasons += self._references(node, (*path, "nodes", node.name))
        order = self._order(section, nodes, (*path, "nodes"))
        rehearsal = read_rehearsal(
            {
                name: entry
                for name, entry in section.rehearsal.items()
                if name in nodes or name not in section.nodes
            },
            nodes,
            registry=self._registry,
            problems=self._problems,
            path=path,
        )
        if len(nodes) == len(section.nodes):
            check_edges(self._registry, self._problems, nodes, (*path, "nodes"))
        if len(self._problems) > before:
            return
        pipeline = Pipeline(
            name=name,
            nodes=tuple(nodes[node_name] for node_name in order if node_name in nodes),
            params=dict(section.params),
            schedule=schedule,
            overlap=section.overlap,
            timeout_s=section.timeout,
            max_active_runs=section.max_active_runs,
            priority=section.priority,
            after=section.after,
            needs_dataset=dict(section.needs_dataset),
            give_up_s=section.give_up,
            expected_s=section.expected_duration,
            rehearsal=rehearsal,
        )
        self._keep(pipeline, reasons)

    def _nodes(self, section: PipelineSection) -> NodeReader:
        fanout = FanoutReader(self._problems, section.params, folder=self._folder, home=self._home)
        return NodeReader(
            self._registry,
            self._problems,
            section.params,
            pools=self._parts.written["pools"],
            fanout=fanout,
        )

    def _order(self, section: PipelineSection, nodes: Mapping[str, Node], path: Path) -> list[str]:
        needs = {name: node.needs for name, node in nodes.items()}
        for name, before in needs.items():
            for other in before:
                if other == name:
                    self._problems.add((*path, name, "needs"), "a node cannot need itself")
                elif other not in section.nodes:
                    self._problems.add_unknown((*path, name, "needs"), "node", other, section.nodes)
        apart = {
            name: [other for other in before if other != name] for name, before in needs.items()
        }
        order = in_order(needs)
        circle = cycle(apart) if len(order) < len(needs) else []
        if circle:
            text = " needs ".join([*circle, circle[0]])
            self._problems.add((*path, circle[0], "needs"), f"nodes form a circle: {text}")
        return order

    def _references(self, node: Node, path: Path) -> list[str]:
        """Check what a built-in operator's settings name; return what is lacking of plugins."""
        reasons: list[str] = []
        if node.op not in {"ingest", "write"}:
            return reasons
        dataset, storage = node.settings.get("dataset"), node.settings.get("to", "primary")
        for key, name in (("dataset", dataset), ("to", storage)):
            if name is not None and params_in(name):
                message = "must name it here: parameters are not known before a run"
                self._problems.add((*path, key), message)
                return reasons
        if dataset is not None:
            self._refers((*path, "dataset"), "datasets", dataset)
        if node.op == "ingest":
            return self._lacks_dataset(str(dataset))
        self._refers((*path, "to"), "storage", storage)
        return self._lacks_storage(storage)

    def _refers(self, path: Path, section: str, name: str) -> None:
        known = self._parts.written[section]
        if name not in known:
            kind = section if section == "storage" else section.removesuffix("s")
            hint = nearest(name, known) or f"there is nothing under {section}"
            self._problems.add(path, f"{kind} {name!r} does not exist", hint)

    def _lacks_dataset(self, dataset: str) -> list[str]:
        section = self._parts.datasets.get(dataset)
        if section is None:
            return []
        refused = self._uses.refused.get(("providers", section.provider))
        if refused is not None:
            return [refused]
        use = self._uses.providers.get(section.provider)
        if use is not None and not use.enabled:
            return [f"provider {section.provider!r} is disabled"]
        return []

    def _lacks_storage(self, storage: str) -> list[str]:
        refused = self._uses.refused.get(("storage", storage))
        return [refused] if refused is not None else []

    def _keep(self, pipeline: Pipeline, reasons: list[str]) -> None:
        self._made[pipeline.name] = pipeline
        if reasons:
            self._graphs.refused[pipeline.name] = "; ".join(dict.fromkeys(reasons))
        else:
            self._graphs.pipelines[pipeline.name] = pipeline
