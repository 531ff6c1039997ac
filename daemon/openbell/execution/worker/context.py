"""What a node may use of the worker it runs in."""

from __future__ import annotations

import importlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from openbell.execution.protocol import (
    Ask,
    ChainTask,
    Factory,
    Found,
    FromWorker,
    NodeCall,
    NodeTask,
    Progressed,
    StopTask,
)
from openbell.execution.worker.channel import Channel
from openbell.execution.worker.quarantine import hold
from openbell.sdk.backends import Backend
from openbell.sdk.errors import FatalError, PluginError, QuotaExhaustedError, RetryableError
from openbell.sdk.operators import BoundRule, DatasetContext, QuarantinedRow
from openbell.sdk.providers import Provider
from openbell.sdk.rules import RuleScope
from openbell.sdk.schemas import SCHEMAS, TableSpec
from openbell.sdk.settings import PluginSettings
from openbell.sdk.values import BarWidth, Finding, Interval, Severity, from_us, to_us


def resolve(target: str) -> Callable[..., Any]:
    """Return what the import string `package.module:name` names; raises PluginError."""
    module, _, name = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PluginError(target, f"cannot be loaded: {error}") from error
    if not callable(found):
        raise PluginError(target, "is not callable")
    return found  # type: ignore[no-any-return]


def make(factory: Factory) -> Any:  # noqa: ANN401 - whatever the factory makes
    """Return the object that `factory` describes."""
    return resolve(factory.factory)(settings_of(factory))


def settings_of(factory: Factory) -> Any:  # noqa: ANN401 - whatever the settings are
    """Return the settings that `factory` describes; raises FatalError when they do not fit."""
    model: Any = resolve(factory.model)
    try:
        return model.model_validate(factory.settings)
    except ValidationError as error:
        from openbell.config.invalid import in_a_sentence  # noqa: PLC0415 - not for what fits

        told = in_a_sentence(model, error)
        raise FatalError(f"the settings of {factory.name!r} do not fit: {told}") from error


def wait_s(error: RetryableError, now: datetime) -> float | None:
    """Return seconds until the vendor may be asked again, None when it did not say."""
    reset_at = error.reset_at if isinstance(error, QuotaExhaustedError) else None
    if error.retry_after_s is not None or reset_at is None:
        return error.retry_after_s
    return max(0.0, (reset_at - now).total_seconds())


class TaskResources:
    """Providers, backends and scratch space of one task, made when first asked for."""

    def __init__(self, task: ChainTask | NodeCall, channel: Channel) -> None:
        self._spool_dir = task.spool_dir
        self._provider_makers = task.providers if isinstance(task, ChainTask) else {}
        self._backend_makers = task.backends
        self._has_scratch = False
        self.channel = channel
        self._providers: dict[str, Provider] = {}
        self._backends: dict[str, Backend] = {}
        self._set_time(from_us(task.now_us))
        self._over = threading.Event()
        self.rows = 0
        self.batches = 0
        self.total_rows: int | None = None

    def _set_time(self, now: datetime) -> None:
        self._time = (now, time.monotonic())  # one value: two threads ask for the time

    def end(self) -> None:
        """Let everything of this task that still works notice that it is over."""
        self._over.set()

    def is_over(self) -> bool:
        """Return whether the task is over."""
        return self._over.is_set()

    @property
    def stop(self) -> StopTask | None:
        """What the daemon said about ending early, if anything."""
        return self.channel.stop

    def now(self) -> datetime:
        """Return the daemon's time, carried on by this process's own clock."""
        at, mark = self._time
        return from_us(to_us(at) + int((time.monotonic() - mark) * 1_000_000))

    def ask(self, question: Ask) -> bool:
        """Ask the daemon and set this process's time by its answer."""
        answer = self.channel.ask(question, self.is_over)
        if answer is None:
            return False
        self._set_time(answer[1])
        return answer[0]

    def say(self, message: FromWorker) -> None:
        """Report, unless the task is over: nobody listens for it then."""
        if not self.is_over():
            self.channel.send(message)

    def provider(self, name: str) -> Provider:
        """Return the provider `name`."""
        if name not in self._providers:
            self._providers[name] = make(self._provider_makers[name])
        return self._providers[name]

    def backend(self, name: str) -> Backend:
        """Return the backend `name`."""
        if name not in self._backends:
            maker = self._backend_makers.get(name)
            if maker is None:
                raise FatalError(f"the task knows no storage {name!r}")
            self._backends[name] = make(maker)
        return self._backends[name]

    def spool(self, name: str) -> str:
        """Return the path of a scratch file."""
        folder = Path(self._spool_dir)
        if not self._has_scratch:
            folder.mkdir(parents=True, exist_ok=True)
            self._has_scratch = True
        return str(folder / name)

    def closing(self) -> Iterator[Callable[[], None]]:
        """Yield what closes each provider and backend and deletes the scratch files."""
        yield from (provider.close for provider in self._providers.values())
        yield from (backend.close for backend in self._backends.values())
        if self._has_scratch:
            yield lambda: shutil.rmtree(self._spool_dir, ignore_errors=True)


def dataset_context(task: ChainTask) -> DatasetContext:
    """Return a task's dataset as operators see it."""
    data = task.dataset
    table = TableSpec(
        dataset=data.dataset,
        schema=SCHEMAS[data.schema],
        bar_interval=data.bar_interval,
        keys=data.keys,
    )
    return DatasetContext(
        table=table,
        provider=data.provider,
        symbols=data.symbols,
        bar=BarWidth.parse(data.bar_interval),
        span=Interval(from_us(data.start_us), from_us(data.end_us)),
        sessions=data.sessions,
        batch_rows=data.batch_rows,
    )


class WorkerContext:
    """The sdk's NodeContext, for one node of one attempt."""

    def __init__(
        self,
        task: ChainTask,
        resources: TaskResources,
        *,
        node: NodeTask,
        dataset: DatasetContext,
        settings: PluginSettings | None,
    ) -> None:
        self._task = task
        self._resources = resources
        self._task_node = node
        self.run_id = task.run_id
        self.pipeline = task.pipeline
        self.node = node.name
        self.attempt = task.attempt
        self.dataset = dataset
        self.settings = settings
        self.live = task.live
        self.dry_run = task.dry_run
        self.cursor = task.cursor
        self.first_chunk = task.first_chunk

    def now(self) -> datetime:
        """Return the daemon's time."""
        return self._resources.now()

    def provider(self, name: str) -> Provider:
        """Return the configured provider."""
        return self._resources.provider(name)

    def backend(self, name: str) -> Backend:
        """Return the configured backend."""
        return self._resources.backend(name)

    def rules(self) -> Sequence[BoundRule]:
        """Return this node's rules."""
        return [
            BoundRule(
                name=rule.name,
                rule=make(rule.maker),
                scope=RuleScope(rule.scope),
                severity=Severity(rule.severity),
            )
            for rule in self._task_node.rules
        ]

    def spool(self, name: str) -> str:
        """Return the path of a scratch file."""
        return self._resources.spool(f"{self.node}-{name}")

    def pace(self, provider: str, request_count: int = 1) -> None:
        """Wait for the provider's budget."""
        self._resources.ask(
            Ask(ask_id=0, what="pace", provider=provider, request_count=request_count)
        )

    def wait_until(self, instant: datetime) -> bool:
        """Wait for an instant of the daemon's time."""
        return self._resources.ask(Ask(ask_id=0, what="wait", instant_us=to_us(instant)))

    def is_stopping(self) -> bool:
        """Return whether the daemon asked for an early end."""
        return self._resources.stop is not None or self._resources.is_over()

    def progress(self, *, rows: int, total_rows: int | None = None, request_count: int = 0) -> None:
        """Report rows."""
        resources = self._resources
        resources.rows += rows
        resources.batches += 1
        if total_rows is not None:
            resources.total_rows = total_rows
        resources.say(
            Progressed(
                node=self.node,
                rows=resources.rows,
                batches=resources.batches,
                total_rows=resources.total_rows,
                request_count=request_count,
            )
        )

    def retry_later(self, provider: str, error: RetryableError, failures: int) -> bool:
        """Wait as policy and vendor say."""
        return self._resources.ask(
            Ask(
                ask_id=0,
                what="retry",
                provider=provider,
                failures=failures,
                error_kind=error.kind,
                retry_after_s=wait_s(error, self.now()),
            )
        )

    def quarantine(self, chunk: int, rows: Iterable[QuarantinedRow]) -> int:
        """Hold rows back; in a dry run, count them."""
        if self.dry_run:
            return sum(1 for _ in rows)
        task = self._task
        folder = Path(task.quarantine_dir) / task.dataset.dataset / task.run_id
        return hold(folder, f"{self.node}-{chunk:08d}", rows, secrets=task.secrets)

    def report(self, chunk: int, verdict: str, findings: Sequence[Finding]) -> None:
        """Put findings on record."""
        self._resources.say(
            Found(node=self.node, chunk=chunk, verdict=verdict, findings=tuple(findings))
        )
