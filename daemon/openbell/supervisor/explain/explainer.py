"""Gathers what is on record and what holds now, and lets it be told."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.model.control import UnknownPipelineError, UnknownRunError
from openbell.model.definitions import from_definition
from openbell.model.explanations import Explanation, Fires, Present, Sentence
from openbell.model.history import History, RunFilter
from openbell.model.letters import Decision, LetterFilter
from openbell.model.pipelines import Pipeline
from openbell.model.runs import NodeState, RunRecord, RunState
from openbell.sdk.clock import Clock
from openbell.supervisor.answers.subrun import submission_key
from openbell.supervisor.explain.facts import RunFacts
from openbell.supervisor.explain.nodes import explain_node
from openbell.supervisor.explain.pipelines import PipelineFacts, explain_pipeline
from openbell.supervisor.explain.runs import QueueFacts, explain_run

_DECISIONS = 10


class UnknownNodeError(UnknownRunError):
    """A run has no node of this name."""

    def __init__(self, run_id: str, node: str, known: Sequence[str]) -> None:
        super().__init__(run_id)
        shown = ", ".join(known) or "none"
        self.args = (f"run {run_id} has no node {node!r}; there are: {shown}",)


class Explainer:
    """Answers why work did not run. Without `present` and `fires` it knows what is on record alone."""

    def __init__(
        self,
        history: History,
        clock: Clock,
        *,
        present: Present | None = None,
        fires: Fires | None = None,
    ) -> None:
        self._history = history
        self._clock = clock
        self._present = present
        self._fires = fires

    async def run(self, run_or_job_id: str) -> Explanation:
        """Explain a run; raises UnknownRunError."""
        run = await self._find(run_or_job_id)
        facts = await self._facts(run)
        sentences = explain_run(facts, self._queue(run.pipeline, before=run.run_id))
        decisions = await self._history.decisions(run_id=run.run_id, limit=_DECISIONS)
        return Explanation(
            about="run",
            pipeline=run.pipeline,
            run_id=run.run_id,
            state=str(run.state),
            sentences=[*sentences, *_decided(decisions)],
            is_live=self._present is not None,
        )

    async def node(self, run_or_job_id: str, node: str) -> Explanation:
        """Explain a node of a run; raises UnknownRunError and UnknownNodeError."""
        run = await self._find(run_or_job_id)
        facts = await self._facts(run)
        if node not in facts.nodes:
            raise UnknownNodeError(run.run_id, node, list(facts.nodes))
        sentences = explain_node(facts, node)
        if run.state is RunState.QUEUED:
            sentences += explain_run(facts, self._queue(run.pipeline, before=run.run_id))
        decisions = await self._history.decisions(run_id=run.run_id, limit=100)
        about = [each for each in decisions if each.node == node]
        return Explanation(
            about="node",
            pipeline=run.pipeline,
            run_id=run.run_id,
            node=node,
            state=str(facts.nodes[node].state),
            sentences=[*sentences, *_decided(about[:_DECISIONS])],
            is_live=self._present is not None,
        )

    async def pipeline(self, name: str) -> Explanation:
        """Explain a pipeline; raises UnknownPipelineError."""
        queue = self._queue(name)
        stored = await self._history.workflow(name)
        if stored is None and (queue is None or queue.state == "unknown"):
            known = [record.name for record in await self._history.workflows()]
            raise UnknownPipelineError(name, known)
        runs = await self._history.runs(RunFilter(pipeline=name, limit=1))
        facts = PipelineFacts(
            name=name,
            queue=queue,
            waiting=self._present.queue(name)[1] if self._present else (),
            schedules=None if self._fires is None else self._fires.statuses(name),
            fires=await self._history.fires(pipeline=name, limit=5),
            last_run=runs[0] if runs else None,
            now=self._clock.now(),
        )
        decisions = await self._history.decisions(pipeline=name, limit=100)
        own = [each for each in decisions if each.run_id is None]
        return Explanation(
            about="pipeline",
            pipeline=name,
            state=queue.state if queue else "unknown",
            sentences=[*explain_pipeline(facts), *_decided(own[:_DECISIONS])],
            is_live=self._present is not None,
        )

    async def _find(self, run_or_job_id: str) -> RunRecord:
        run = await self._history.run(run_or_job_id)
        if run is None:
            found = await self._history.runs(RunFilter(job_id=run_or_job_id, limit=1))
            run = found[0] if found else None
        if run is None:
            raise UnknownRunError(run_or_job_id)
        return run

    async def _facts(self, run: RunRecord) -> RunFacts:
        history = self._history
        stored = await history.workflow(run.pipeline, run.workflow_version)
        definition: Pipeline | None = from_definition(stored.definition) if stored else None
        nodes = {node.node: node for node in await history.nodes(run.run_id)}
        running = [
            (node, nodes[node.name].attempts)
            for node in (definition.nodes if definition else ())
            if node.name in nodes and nodes[node.name].state is NodeState.RUNNING
        ]
        followed = {
            node.name: await history.submission(submission_key(run.run_id, node.name, attempt))
            for node, attempt in running
            if node.op == "pipeline" and node.for_each is None
        }
        has_items = any(node.for_each is not None for node, _ in running)
        return RunFacts(
            run=run,
            nodes=nodes,
            pipeline=definition,
            approvals=await history.approvals(run.run_id),
            items=await history.item_counts(run.run_id) if has_items else {},
            children={name: child for name, child in followed.items() if child is not None},
            letters=await history.dead_letters(LetterFilter(run_id=run.run_id, limit=100)),
            turns=self._present.turns() if self._present else (),
            now=self._clock.now(),
        )

    def _queue(self, pipeline: str, *, before: str = "") -> QueueFacts | None:
        if self._present is None:
            return None
        status = next((p for p in self._present.pipelines() if p.name == pipeline), None)
        active, waiting = self._present.queue(pipeline)
        ahead = waiting[: list(waiting).index(before)] if before in waiting else ()
        return QueueFacts(
            state=status.state if status else "unknown",
            reason=status.reason if status else "",
            daemon=self._present.status().state,
            active=active,
            ahead=ahead,
        )


def _decided(decisions: Sequence[Decision]) -> list[Sentence]:
    return [
        Sentence(
            what=f"decided_{decision.what}",
            text=f"on record: {decision.node + ': ' if decision.node else ''}{decision.reason}",
            at=decision.at,
            ids={"run": decision.run_id} if decision.run_id else {"pipeline": decision.pipeline},
        )
        for decision in decisions
    ]
