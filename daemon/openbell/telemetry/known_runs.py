"""What telemetry remembers of runs under way, so that every event finds its trace and its job."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from openbell.model import events as ev
from openbell.model.runs import NodeRecord, NodeState, RunRecord, RunState
from openbell.model.traces import trace_id_of

MAX_RUNS = 10_000
_TRACE_ID = re.compile("(?!0{32})[0-9a-f]{32}")


@dataclass(slots=True, kw_only=True)
class KnownRun:
    """A run under way. `operators` maps its nodes to what they do.

    `error_kind` is why its last failed node failed.
    """

    run_id: str
    pipeline: str
    trace_id: str
    mode: str = ""
    parent_span_id: str = ""
    is_running: bool = False
    error_kind: str = ""
    operators: Mapping[str, str] = field(default_factory=dict)


class KnownRuns:
    """Runs that were submitted and have not ended; beyond `MAX_RUNS` the oldest are forgotten.

    A run that is not known (any more) gets a trace id made from its own id.
    """

    def __init__(self) -> None:
        self._runs: OrderedDict[str, KnownRun] = OrderedDict()
        self._jobs: set[str] = set()

    def adopt(self, run: RunRecord, nodes: tuple[NodeRecord, ...] = ()) -> None:
        """Take over a run that an earlier process began."""
        self._keep(
            KnownRun(
                run_id=run.run_id,
                pipeline=run.pipeline,
                trace_id=_usable(run.trace_id, run.run_id),
                mode=run.mode,
                is_running=run.state is RunState.RUNNING,
                operators={node.node: node.op for node in nodes},
            )
        )

    def of(self, event: ev.Event) -> KnownRun | None:
        """Return the run that `event` is about, None for an event about no run."""
        run_id, pipeline = getattr(event, "run_id", None), getattr(event, "pipeline", "")
        if run_id is None:
            return None
        if isinstance(event, ev.RunSubmitted):
            return self._submitted(event)
        known = self._runs.get(run_id)
        if known is None:
            known = KnownRun(run_id=run_id, pipeline=pipeline, trace_id=trace_id_of(run_id))
            if not isinstance(event, ev.RunFinished):
                self._keep(known)
        match event:
            case ev.RunStarted():
                known.is_running = True
            case ev.NodeChanged() if event.state is NodeState.FAILED:
                known.error_kind = event.error_kind
            case _:
                pass
        return known

    def forget(self, run_id: str) -> None:
        """Let go of a run that has ended."""
        self._runs.pop(run_id, None)

    def active_by_job(self) -> Mapping[str, int]:
        """Return how many runs of each pipeline are under way; 0 for those that were."""
        active = Counter(run.pipeline for run in self._runs.values() if run.is_running)
        return {job: active[job] for job in sorted(self._jobs)}

    def _submitted(self, event: ev.RunSubmitted) -> KnownRun:
        known = KnownRun(
            run_id=event.run_id,
            pipeline=event.pipeline,
            trace_id=_usable(event.trace_id, event.run_id),
            mode=event.mode,
            parent_span_id=event.parent_span_id,
            operators=dict(event.nodes),
        )
        self._keep(known)
        return known

    def _keep(self, run: KnownRun) -> None:
        self._runs[run.run_id] = run
        self._jobs.add(run.pipeline)
        while len(self._runs) > MAX_RUNS:
            self._runs.popitem(last=False)


def _usable(trace_id: str, run_id: str) -> str:
    """Return `trace_id` if it is one, else the one that follows from the run's id."""
    return trace_id if _TRACE_ID.fullmatch(trace_id) else trace_id_of(run_id)
