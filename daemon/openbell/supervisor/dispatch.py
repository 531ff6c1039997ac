"""From a run's definition to the task message that a worker gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from openbell.config.substitution import fill_params
from openbell.execution.chains import Unit
from openbell.execution.protocol import ChainTask, DatasetTask, Factory, NodeTask, RuleTask
from openbell.model.pipelines import Dataset, Deployment, Node
from openbell.model.runs import Checkpoint, RunRecord
from openbell.sdk.errors import FatalError
from openbell.sdk.schemas import SCHEMAS
from openbell.sdk.values import BarWidth, SessionTable, to_us
from openbell.supervisor.services import Services
from openbell.supervisor.span import FIRST_LABEL, MARGIN, Coverage, cover, newest_closed

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


class Dispatcher:
    """Builds tasks from definitions, one deployment and the registered plugins.

    What is missing there raises FatalError.
    """

    def __init__(self, services: Services, deployment: Deployment) -> None:
        self._services = services
        self._deployment = deployment

    def dataset(self, chain: Unit) -> Dataset:
        """Return the dataset that a chain's source fetches; raises FatalError."""
        name = chain.head.settings.get("dataset")
        found = self._deployment.datasets.get(str(name))
        if found is None:
            raise FatalError(
                f"node {chain.head.name!r} fetches dataset {name!r}, "
                "which is no longer in the configuration"
            )
        return found

    def settings(self, run: RunRecord, node: Node) -> Mapping[str, Any]:
        """Return the settings of a control node, filled in and with their defaults."""
        spec = _known(self._services.specs.operators, node.op, "operator")
        try:
            checked = spec.settings_model.model_validate(_filled(node.settings, run.params))
        except ValidationError as error:
            raise FatalError(f"its settings do not fit: {error}") from error
        return checked.model_dump()

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
        if run.session is not None:
            session = date.fromisoformat(run.session)
            return session, session
        if run.mode == "interval" and start is None and end is None:
            recent = await self._services.sessions.between(
                dataset.calendar, today - MARGIN, today + MARGIN
            )
            newest = newest_closed(recent, to_us(self._services.clock.now()))
            if newest is None:
                raise FatalError(f"calendar {dataset.calendar!r} has no session near {today}")
            return newest, newest
        return start or FIRST_LABEL, end or today

    def task(
        self,
        run: RunRecord,
        chain: Unit,
        covered: Coverage,
        checkpoint: Checkpoint | None,
        *,
        attempt: int,
        attempt_id: str,
        traceparent: str,
    ) -> ChainTask:
        """Return the task of one attempt of `chain`."""
        services = self._services
        chain = replace(
            chain,
            nodes=tuple(
                replace(node, settings=_filled(node.settings, run.params)) for node in chain.nodes
            ),
        )
        dataset = self.dataset(chain)
        storage = [str(n.settings.get("to", "primary")) for n in chain.nodes if n.op == "write"]
        inside = {node.name for node in chain.nodes}
        state_dir = services.state_dir
        return ChainTask(
            attempt_id=attempt_id,
            run_id=run.run_id,
            pipeline=run.pipeline,
            attempt=attempt,
            nodes=tuple(self._node(node, inside) for node in chain.nodes),
            dataset=self._dataset(dataset, covered.sessions, covered, storage),
            providers={dataset.provider: self._provider(dataset.provider)},
            backends={name: self.backend(name) for name in storage},
            cursor=checkpoint.cursor if checkpoint else None,
            first_chunk=checkpoint.next_chunk if checkpoint else 0,
            live=run.mode == "live",
            dry_run=run.dry_run or not self._deployment.features.write_enabled,
            now_us=to_us(services.clock.now()),
            quarantine_dir=str(state_dir / "quarantine"),
            spool_dir=str(state_dir / "spool" / attempt_id),
            traceparent=traceparent,
            secrets=self._deployment.secrets,
        )

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
