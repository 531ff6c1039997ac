"""From a run's definition to the task message that a worker gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from openbell.config.invalid import in_a_sentence
from openbell.config.substitution import fill_params, param_names
from openbell.execution.chains import Unit
from openbell.execution.protocol import (
    ChainTask,
    DatasetTask,
    Factory,
    NodeCall,
    NodeTask,
    RuleTask,
)
from openbell.model.pipelines import Dataset, Deployment, Node, Pipeline
from openbell.model.runs import Checkpoint, RunRecord
from openbell.sdk.errors import FatalError
from openbell.sdk.schemas import SCHEMAS
from openbell.sdk.values import BarWidth, SessionTable, to_us
from openbell.supervisor.facts import session_of
from openbell.supervisor.made import Made, MadeNode
from openbell.supervisor.services import Services
from openbell.supervisor.span import FIRST_LABEL, MARGIN, Coverage, cover

_T = TypeVar("_T")
_LIVE_AHEAD_DAYS = 366


def _model(model: type[BaseModel]) -> str:
    return f"{model.__module__}:{model.__qualname__}"


def _date(value: Any) -> date | None:  # noqa: ANN401 - a parameter from JSON
    return date.fromisoformat(value) if value else None


def _known(things: Mapping[str, _T], name: str, what: str) -> _T:
    found = things.get(name)
    if found is None:
        raise FatalError(f"{what} {name!r} is no longer there; configure it again, then retry")
    return found


def _filled(settings: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a node's settings with every `${param}` filled in; raises FatalError."""
    try:
        filled: Mapping[str, Any] = fill_params(settings, params)
    except KeyError as error:
        raise FatalError(
            f"parameter {error} is used and has no value; give it with the run"
        ) from error
    return filled


def _texts(value: Any) -> set[str]:  # noqa: ANN401 - plain JSON
    """Return every text in plain JSON."""
    if isinstance(value, Mapping):
        return set().union(*(_texts(child) for child in value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*(_texts(child) for child in value))
    return {value} if isinstance(value, str) else set()


def _fetched(pipeline: Pipeline, node: str) -> str | None:
    """Return the dataset that was fetched for `node`, however many nodes lie between."""
    seen, open_names = {node}, [node]
    while open_names:
        found = pipeline.node(open_names.pop())
        if found.settings.get("dataset"):
            return str(found.settings["dataset"])
        fresh = [name for name in found.needs if name not in seen]
        seen.update(fresh)
        open_names += fresh
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What an attempt is about beside its definition: its ids, and what the run knows by now."""

    attempt: int
    attempt_id: str
    traceparent: str
    params: Mapping[str, Any]
    environment: Mapping[str, str]
    outputs: Mapping[str, Mapping[str, Any]]
    item: Any = None
    item_number: int = -1


_MOST_MADE = 10_000


class Dispatcher:
    """Builds tasks from definitions, one deployment and the registered plugins.

    What is missing there raises FatalError.
    """

    def __init__(self, services: Services, deployment: Deployment) -> None:
        self._services = services
        self._deployment = deployment
        self._folder = str(Path(deployment.source).parent)

    def dataset(self, chain: Unit, pipeline: Pipeline) -> Dataset:
        """Return the dataset whose rows stream through a chain; raises FatalError.

        It is what the source fetches. Of rows that another node made it is what the chain's nodes
        name, or else what was fetched for that node.
        """
        name = next((n.settings["dataset"] for n in chain.nodes if n.settings.get("dataset")), None)
        if name is None and chain.reads is not None:
            name = _fetched(pipeline, chain.reads)
        found = self._deployment.datasets.get(str(name))
        if found is None and chain.reads is not None:
            raise FatalError(
                f"node {chain.name!r} takes rows of {chain.reads!r} and no dataset is configured "
                f"for them (found {name!r}); give the node that writes them a dataset"
            )
        if found is None:
            raise FatalError(
                f"node {chain.head.name!r} fetches dataset {name!r}, "
                "which is no longer in the configuration"
            )
        return found

    def settings(self, node: Node, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings of a control node, filled in and with their defaults."""
        spec = _known(self._services.specs.operators, node.op, "operator")
        try:
            checked = spec.settings_model.model_validate(_filled(node.settings, params))
        except ValidationError as error:
            told = in_a_sentence(spec.settings_model, error)
            raise FatalError(f"its settings do not fit: {told}") from error
        return checked.model_dump()

    def call(self, run: RunRecord, node: Node, frame: Frame) -> NodeCall:
        """Return the task of one attempt of a node that stands alone."""
        made = self._made_node(node, frame.params)
        inputs = {name: dict(frame.outputs[name]) for name in node.needs if name in frame.outputs}
        wanted = {str(output["storage"]) for output in inputs.values() if "storage" in output}
        wanted |= made.texts
        state_dir = self._services.state_dir
        return NodeCall(
            attempt_id=frame.attempt_id,
            run_id=run.run_id,
            pipeline=run.pipeline,
            attempt=frame.attempt,
            node=made.task,
            inputs=inputs,
            backends={
                name: self.backend(name) for name in self._deployment.storage if name in wanted
            },
            params=dict(frame.params),
            environment=dict(frame.environment),
            spool_path=self._spool(run.run_id, node.name, frame.item_number),
            spool_dir=f"{state_dir}/spool/{frame.attempt_id}",
            dry_run=run.dry_run or not self._deployment.features.write_enabled,
            now_us=to_us(self._services.clock.now()),
            item=frame.item,
            item_number=frame.item_number,
            folder=self._folder,
            memory_bytes=self._deployment.daemon.worker_max_memory_mb * 1024 * 1024,
            traceparent=frame.traceparent,
            secrets=self._deployment.secrets,
        )

    def _spool(self, run_id: str, node: str, item_number: int = -1) -> str:
        """Return where the rows of a node are kept until the run is over."""
        name = node if item_number < 0 else f"{node}.{item_number}"
        return f"{self._services.state_dir}/spool/{run_id}/{name}.arrow"

    async def coverage(self, run: RunRecord, dataset: Dataset) -> Coverage:
        """Return what a run covers; raises FatalError when that is no session at all."""
        sessions = self._services.sessions
        bar = BarWidth.parse(dataset.interval)
        today = self._services.clock.now().date()
        if run.mode == "live":
            await sessions.require(dataset.calendar, today)
            ahead = date.fromordinal(today.toordinal() + _LIVE_AHEAD_DAYS)
            began = min(today, run.submitted_at.date()) - MARGIN
            found = cover(await sessions.between(dataset.calendar, began, ahead), bar, began, ahead)
            if found is None:
                raise FatalError(f"calendar {dataset.calendar!r} has no session near {today}")
            return found
        start, end = await self._labels(run, dataset, today)
        await sessions.require(dataset.calendar, end)
        nearby = await sessions.between(
            dataset.calendar,
            max(FIRST_LABEL, start - MARGIN) if start > FIRST_LABEL + MARGIN else start,
            end + MARGIN,
        )
        found = cover(nearby, bar, start, end)
        if found is None:
            raise FatalError(
                f"calendar {dataset.calendar!r} has no session from {start} to {end}; "
                "nothing can be fetched"
            )
        return found

    async def _labels(self, run: RunRecord, dataset: Dataset, today: date) -> tuple[date, date]:
        start, end = _date(run.params.get("from")), _date(run.params.get("to"))
        session = await session_of(self._services.sessions, run, dataset.calendar)
        if session is not None:
            return session, session
        if run.mode == "interval" and start is None and end is None:
            raise FatalError(f"calendar {dataset.calendar!r} has no session near {today}")
        return start or FIRST_LABEL, end or today

    def task(
        self,
        run: RunRecord,
        chain: Unit,
        covered: Coverage,
        checkpoint: Checkpoint | None,
        *,
        dataset: Dataset,
        frame: Frame,
    ) -> ChainTask:
        """Return the task of one attempt of `chain`."""
        services = self._services
        made = self._made(chain, frame.params)
        chain = made.filled
        if chain.reads is not None and chain.reads not in frame.outputs:
            raise FatalError(f"node {chain.reads!r} made no rows that {chain.name!r} could take")
        is_source = chain.reads is None
        storage = [str(n.settings.get("to", "primary")) for n in chain.nodes if n.op == "write"]
        state_dir = services.state_dir
        return ChainTask(
            attempt_id=frame.attempt_id,
            run_id=run.run_id,
            pipeline=run.pipeline,
            attempt=frame.attempt,
            nodes=made.nodes,
            dataset=self._dataset(dataset, covered.sessions, covered, storage),
            providers={dataset.provider: self._provider(dataset.provider)} if is_source else {},
            backends={name: self.backend(name) for name in storage},
            cursor=checkpoint.cursor if checkpoint else None,
            first_chunk=checkpoint.next_chunk if checkpoint else 0,
            live=run.mode == "live",
            dry_run=run.dry_run or not self._deployment.features.write_enabled,
            now_us=to_us(services.clock.now()),
            quarantine_dir=f"{state_dir}/quarantine",
            spool_dir=f"{state_dir}/spool/{frame.attempt_id}",
            traceparent=frame.traceparent,
            secrets=self._deployment.secrets,
            reads_node=chain.reads or "",
            reads=None if chain.reads is None else dict(frame.outputs[chain.reads]),
            spool={name: self._spool(run.run_id, name) for name in sorted(chain.spooled)},
            spool_before=self._spool_before(run, chain, checkpoint),
        )

    def _made(self, chain: Unit, params: Mapping[str, Any]) -> Made:
        """Return a chain and its node tasks; what no parameter has a part in is made once."""
        known = self._services.made.get(id(chain))
        if isinstance(known, Made) and known.chain is chain:
            return known
        filled = tuple(
            replace(node, settings=_filled(node.settings, params)) for node in chain.nodes
        )
        inside = {node.name for node in filled} | ({chain.reads} if chain.reads else set())
        made = Made(
            chain=chain,
            filled=replace(chain, nodes=filled),
            nodes=tuple(self._node(node, inside) for node in filled),
        )
        if not any(param_names(node.settings) for node in chain.nodes):
            self._keep(id(chain), made)
        return made

    def _made_node(self, node: Node, params: Mapping[str, Any]) -> MadeNode:
        """Return what a node's tasks have in common; without parameters in it it is made once."""
        known = self._services.made.get(id(node))
        if isinstance(known, MadeNode) and known.node is node:
            return known
        filled = replace(node, settings=_filled(node.settings, params))
        made = MadeNode(
            node=node,
            task=self._node(filled, set()),
            texts=frozenset(_texts(filled.settings)),
        )
        if not param_names(node.settings):
            self._keep(id(node), made)
        return made

    def _keep(self, key: int, made: Made | MadeNode) -> None:
        kept = self._services.made
        if len(kept) >= _MOST_MADE:
            kept.clear()
        kept[key] = made

    def _spool_before(
        self, run: RunRecord, chain: Unit, checkpoint: Checkpoint | None
    ) -> dict[str, str]:
        if checkpoint is None or checkpoint.run_id == run.run_id:
            return {}
        return {name: self._spool(checkpoint.run_id, name) for name in sorted(chain.spooled)}

    def _dataset(
        self, dataset: Dataset, sessions: SessionTable, covered: Coverage, storage: list[str]
    ) -> DatasetTask:
        uses = [_known(self._deployment.storage, name, "storage") for name in storage]
        keys = next((use.upsert_keys for use in uses if use.upsert_keys), ())
        return DatasetTask(
            dataset=dataset.name,
            provider=dataset.provider,
            schema=dataset.schema,
            keys=keys or SCHEMAS[dataset.schema].keys,
            symbols=dataset.symbols,
            bar_interval=dataset.interval,
            batch_rows=max((use.batch_rows for use in uses), default=1000),
            start_us=to_us(covered.span.start),
            end_us=to_us(covered.span.end),
            sessions=sessions,
        )

    def _node(self, node: Node, inside: set[str]) -> NodeTask:
        spec = _known(self._services.specs.operators, node.op, "operator")
        rules: tuple[RuleTask, ...] = ()
        if node.op == "gate":
            rules = tuple(
                self._rule(rule, str(node.settings.get("severity", "fail")))
                for rule in node.settings["rules"]
            )
        return NodeTask(
            name=node.name,
            op=node.op,
            maker=Factory(
                name=node.op,
                factory=spec.factory,
                model=_model(spec.settings_model),
                settings=dict(node.settings),
            ),
            needs={name: tuple(labels) for name, labels in node.needs.items() if name in inside},
            rules=rules,
        )

    def _rule(self, rule: Mapping[str, Any], severity: str) -> RuleTask:
        spec = _known(self._services.specs.rules, rule["name"], "rule")
        return RuleTask(
            name=rule["name"],
            maker=Factory(
                name=rule["name"],
                factory=spec.factory,
                model=_model(spec.settings_model),
                settings=dict(rule.get("params") or {}),
            ),
            scope=str(spec.scope),
            severity=str(rule.get("severity") or severity),
        )

    def _provider(self, name: str) -> Factory:
        use = _known(self._deployment.providers, name, "provider")
        spec = _known(self._services.specs.providers, use.type, "provider type")
        return Factory(
            name=name,
            factory=spec.factory,
            model=_model(spec.settings_model),
            settings=dict(use.settings),
        )

    def backend(self, name: str) -> Factory:
        """Return how a worker makes the storage called `name`."""
        use = _known(self._deployment.storage, name, "storage")
        spec = _known(self._services.specs.backends, use.type, "storage type")
        return Factory(
            name=name,
            factory=spec.factory,
            model=_model(spec.settings_model),
            settings=dict(use.settings),
        )
