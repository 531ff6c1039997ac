"""What every actor may use, made once by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from openbell.config.plugins import Registry
from openbell.execution.pool import Executor
from openbell.model.control import Submission
from openbell.model.history import History
from openbell.model.ids import IdSource
from openbell.model.pipelines import Deployment
from openbell.model.runs import RunRecord
from openbell.pacing.broker import PacingBroker
from openbell.sdk.clock import Clock
from openbell.sdk.values import SessionTable
from openbell.supervisor.bell import Bell
from openbell.supervisor.desk import Desk
from openbell.supervisor.journal import Journal
from openbell.supervisor.made import Made, MadeNode
from openbell.supervisor.signals import Signals

if TYPE_CHECKING:
    from openbell.supervisor.answers.question import StandIn


class Sessions(Protocol):
    """Knows every calendar's sessions."""

    async def between(self, calendar: str, first: date, last: date) -> SessionTable:
        """Return the sessions with labels from `first` to `last`, both included.

        Labels before the calendar's first or after its last session have none. Raises FatalError
        for a calendar that cannot be built.
        """
        ...

    async def require(self, calendar: str, last: date) -> None:
        """Raise FatalError if nothing is known of the day `last` and the calendar's policy is `block`."""
        ...


class Doors(Protocol):
    """What runs may ask of the engine around them."""

    async def submit(self, submission: Submission) -> RunRecord:
        """Accept a run; it is durable when this returns."""
        ...

    async def cancel(self, run_or_job_id: str, *, by: str) -> RunRecord:
        """Ask a run to end."""
        ...


@dataclass(slots=True, kw_only=True)
class Services:
    """The stages that supervisor and actors work with. `deployment` is replaced by a reload.

    `redact` takes the secrets out of a text that a node's code wrote or raised. `made` keeps parts
    of tasks by the id of their chain or node. `roles` are those of the operators.
    `stand_in` answers control nodes where nothing outside may be asked or told.
    """

    clock: Clock
    history: History
    journal: Journal
    executor: Executor
    broker: PacingBroker
    sessions: Sessions
    specs: Registry
    ids: IdSource
    state_dir: Path
    deployment: Deployment
    jitter: Callable[[], float]
    random_bits: Callable[[int], int]
    redact: Callable[[str], str] = str
    mailbox_capacity: int = 1000
    stand_in: StandIn | None = None
    desk: Desk = field(init=False)
    bell: Bell = field(init=False)
    roles: Mapping[str, str] = field(init=False, repr=False)
    doors: Doors = field(init=False)
    signals: Signals = field(init=False)
    made: dict[int, Made | MadeNode] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Open the desk with the deployment's limits, and let the journal wake who waits."""
        daemon = self.deployment.daemon
        self.desk = Desk(self.clock, max_workers=daemon.max_workers, pools=self.deployment.pools)
        operators = self.specs.operators
        self.roles = {name: str(spec.role) for name, spec in operators.items()}
        self.bell = Bell(self.clock, self.journal)
        self.signals = Signals(self._written)
        self.journal.observe(self.signals)

    def _written(self, pipeline: str) -> frozenset[str] | None:
        """Return the datasets that the configuration's pipeline names, None where it has none such."""
        found = self.deployment.pipelines.get(pipeline)
        if found is None:
            return None
        names = (node.settings.get("dataset") for node in found.nodes)
        named = frozenset(str(name) for name in names if name)
        return None if any("${" in name for name in named) else named
