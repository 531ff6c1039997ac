"""`op: gate`: rules look at every row before anyone can read it.

With rules of scope `row` alone each chunk is judged and goes on as it comes. One rule of scope
`interval` is enough to hold every chunk, on disk, until the end of the input gives the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from openbell.model.foreign import expected
from openbell.quality.settings import GateSettings
from openbell.quality.verdict import judge
from openbell.sdk.arrow import BatchView
from openbell.sdk.errors import OpenbellError, PluginError
from openbell.sdk.operators import BoundRule, Chunk, Emission, NodeContext, NodeOutcome
from openbell.sdk.rules import RuleContext, RuleScope, RuleState
from openbell.sdk.values import Finding, Severity, Verdict, worst

_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    bound: BoundRule
    state: RuleState


@dataclass(slots=True)
class _Held:
    """Chunks on disk: their batches in one Arrow file, the rest here."""

    path: str
    chunks: list[Chunk] = field(default_factory=list)
    writer: pa.RecordBatchFileWriter | None = None

    def add(self, chunk: Chunk) -> None:
        if self.writer is None:
            self.writer = pa.ipc.new_stream(self.path, chunk.batch.schema)
        self.writer.write_batch(chunk.batch)
        self.chunks.append(replace(chunk, batch=chunk.batch.slice(0, 0)))

    def take(self) -> Iterator[Chunk]:
        if self.writer is None:
            return
        self.writer.close()
        self.writer = None
        with pa.memory_map(self.path) as source, pa.ipc.open_stream(source) as reader:
            for chunk, batch in zip(self.chunks, reader, strict=True):
                yield replace(chunk, batch=batch)
        self.chunks.clear()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class GateOperator:
    """Answers pass, warn, quarantine or fail, with evidence."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._rows_in = 0
        self._rows_out = 0
        self._verdict = Verdict.PASS
        self._findings: tuple[Finding, ...] = ()
        self._held: _Held | None = None

    def open(self, context: NodeContext) -> None:
        """Make a state for each rule."""
        self._context = context
        dataset = context.dataset
        self._checks = []
        for bound in context.rules():
            rule_context = RuleContext(
                schema=dataset.table.schema,
                keys=dataset.table.keys,
                bar=dataset.bar,
                span=dataset.span,
                sessions=dataset.sessions,
                symbols=dataset.symbols,
                severity=bound.severity,
            )
            self._checks.append(_Check(bound=bound, state=bound.rule.begin(rule_context)))
        if any(check.bound.scope is RuleScope.INTERVAL for check in self._checks):
            self._held = _Held(context.spool("gate"))

    def process(self, chunk: Chunk) -> Iterable[Emission]:
        """Judge the chunk; pass it on, or keep it until the end of the input."""
        judged = self._judge(chunk)
        if self._held is not None:
            self._held.add(judged)
            return
        verdict = judge(judged.findings)
        self._note(judged.number, verdict, judged.findings)
        yield self._emit(judged, verdict)

    def finish(self) -> Iterable[Emission]:
        """Conclude every rule and pass on what was held, under the one verdict."""
        self._findings = tuple(f for check in self._checks for f in self._conclude(check))
        if self._held is None:
            return
        verdict = judge(self._findings)
        self._note(0, verdict, self._findings)
        for chunk in self._held.take():
            has_bad = chunk.bad is not None and bool(chunk.bad.any())
            if verdict is Verdict.QUARANTINE and not has_bad:
                yield self._emit(chunk, Verdict.PASS)
            else:
                yield self._emit(chunk, verdict)

    def _judge(self, chunk: Chunk) -> Chunk:
        """Return the chunk with what the row rules found in it."""
        self._rows_in += chunk.batch.num_rows
        view = BatchView(chunk.batch)
        findings: list[Finding] = []
        bad: npt.NDArray[np.bool_] | None = None
        bad_by: dict[str, npt.NDArray[np.bool_]] = {}
        for check in self._checks:
            mask = self._observe(check, view)
            if mask is None or not mask.any():
                continue
            findings.append(_finding(check.bound, mask, chunk.batch))
            if check.bound.severity is not Severity.WARN:
                known = bad_by.get(check.bound.name)
                bad_by[check.bound.name] = mask if known is None else known | mask
                bad = mask if bad is None else bad | mask
        return replace(chunk, bad=bad, bad_by=bad_by, findings=tuple(findings))

    def _observe(self, check: _Check, view: BatchView) -> npt.NDArray[np.bool_] | None:
        try:
            mask = check.state.observe(view)
        except OpenbellError:
            raise
        except Exception as error:  # a rule is foreign code: its bug is named, not ours
            raise PluginError(f"rule {check.bound.name!r}", f"{error!r}") from error
        return None if mask is None else _mask(mask, view.row_count, f"rule {check.bound.name!r}")

    def _conclude(self, check: _Check) -> Iterable[Finding]:
        plugin = f"rule {check.bound.name!r}"
        try:
            found = tuple(check.state.conclude())
        except OpenbellError:
            raise
        except Exception as error:  # a rule is foreign code: its bug is named, not ours
            raise PluginError(plugin, f"{error!r}") from error
        return tuple(expected(each, Finding, plugin=plugin, call="conclude()") for each in found)

    def _note(self, chunk: int, verdict: Verdict, findings: tuple[Finding, ...]) -> None:
        self._verdict = worst([self._verdict, verdict])
        if findings:
            self._context.report(chunk, verdict.value, findings)

    def _emit(self, chunk: Chunk, verdict: Verdict) -> Emission:
        """Return the emission; under `fail` every row is held, so no row counts as good."""
        if verdict is not Verdict.FAIL:
            bad_count = 0 if chunk.bad is None else int(chunk.bad.sum())
            self._rows_out += chunk.batch.num_rows - bad_count
            return Emission(outcome=verdict.value, chunk=chunk)
        return Emission(outcome=verdict.value, chunk=replace(chunk, bad=None))

    def outcome(self) -> NodeOutcome:
        """Return the worst verdict of all chunks and what every rule found."""
        return NodeOutcome(
            outcome=self._verdict.value,
            rows_in=self._rows_in,
            rows_out=self._rows_out,
            findings=self._findings,
        )

    def is_holding(self) -> bool:
        """Return whether rows wait for the end of the input."""
        return self._held is not None

    def close(self) -> None:
        """Release the scratch file."""
        if self._held is not None:
            self._held.close()


def _finding(bound: BoundRule, mask: npt.NDArray[np.bool_], batch: pa.RecordBatch) -> Finding:
    """Return what one rule found in one chunk, with the first bad rows as examples."""
    positions = np.flatnonzero(mask)
    shown = batch.take(pa.array(positions[:_EXAMPLES]))
    return Finding(
        rule=bound.name,
        severity=bound.severity,
        message=f"{len(positions)} of {len(mask)} rows break rule {bound.name}",
        row_count=len(positions),
        metric=len(positions) / len(mask),
        examples=tuple(str(row) for row in shown.to_pylist()),
    )


def _mask(mask: object, row_count: int, plugin: str) -> npt.NDArray[np.bool_]:
    """Return what a rule's `observe` gave; raises PluginError for what is not one boolean a row."""
    found = expected(mask, np.ndarray, plugin=plugin, call="observe()")
    if found.dtype != np.bool_ or found.shape != (row_count,):
        raise PluginError(
            plugin,
            f"observe() gave {found.dtype} values of shape {found.shape} for {row_count} rows, "
            "not one boolean a row",
        )
    return found
