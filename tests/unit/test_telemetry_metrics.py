"""What events do to the metrics, name by name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import anyio
import pytest
from doubles import story
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families
from typing_extensions import override

from openbell.model import events as ev
from openbell.model.control import BudgetStatus, PipelineStatus, WorkerStatus
from openbell.model.pipelines import TelemetryOptions
from openbell.model.runs import NodeState, RunRecord, RunState
from openbell.sdk.values import Finding, Severity
from openbell.telemetry import names
from openbell.telemetry.logs import Logs
from openbell.telemetry.loop_lag import LoopLag
from openbell.telemetry.metrics import Metrics
from openbell.telemetry.observe import Observer
from openbell.telemetry.station import Sources, Telemetry, open_telemetry
from openbell.testing.clock import ManualClock

pytestmark = pytest.mark.unit

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics()
    yield made
    made.close()


@pytest.fixture
def observer(metrics: Metrics, manual_clock: ManualClock) -> Iterator[Observer]:
    sink = os.open(os.devnull, os.O_WRONLY)
    yield Observer(Logs(sink, now=manual_clock.now, level="CRITICAL"), metrics)
    os.close(sink)


def samples(metrics: Metrics) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def changed(node: str, state: NodeState, **changes: Any) -> ev.NodeChanged:
    return story.node(node, state, **changes)


def test_an_ended_run_is_counted_and_timed_by_job_and_status(
    observer: Observer, metrics: Metrics
) -> None:
    for run_id, state in (("run_1", RunState.SUCCESS), ("run_2", RunState.FAILED)):
        observer.see(story.submitted(run_id))
        observer.see(story.started(run_id))
        observer.see(story.finished(run_id, state))
    assert value(metrics, "pipeline_job_runs_total", job="eod", status="success") == 1
    assert value(metrics, "pipeline_job_runs_total", job="eod", status="failed") == 1
    labels = {"job": "eod", "status": "success"}
    assert value(metrics, "pipeline_run_duration_seconds_count", **labels) == 1
    assert value(metrics, "pipeline_run_duration_seconds_sum", **labels) == 8.0
    assert value(metrics, "pipeline_run_duration_seconds_bucket", le="15.0", **labels) == 1
    assert value(metrics, "pipeline_run_duration_seconds_bucket", le="5.0", **labels) == 0


def test_active_jobs_rise_with_a_start_and_fall_with_the_end(
    observer: Observer, metrics: Metrics
) -> None:
    observer.see(story.submitted())
    assert value(metrics, "pipeline_active_jobs", job_name="eod") == 0
    observer.see(story.started())
    observer.see(story.started())
    assert value(metrics, "pipeline_active_jobs", job_name="eod") == 1
    observer.see(story.finished())
    observer.see(story.finished())
    assert value(metrics, "pipeline_active_jobs", job_name="eod") == 0


def test_a_run_taken_over_from_an_earlier_process_is_active(
    observer: Observer, metrics: Metrics
) -> None:
    run = RunRecord(
        run_id="run_9",
        job_id="job_9",
        pipeline="eod",
        workflow_version=1,
        mode="live",
        state=RunState.RUNNING,
        params={},
        submitted_at=story.START,
    )
    observer.adopt(run)
    assert value(metrics, "pipeline_active_jobs", job_name="eod") == 1
    observer.see(story.finished("run_9"))
    assert value(metrics, "pipeline_active_jobs", job_name="eod") == 0


def test_a_committed_batch_counts_its_changed_rows_and_its_write(
    observer: Observer, metrics: Metrics
) -> None:
    observer.see(story.submitted())
    event = ev.BatchCommitted(
        at=story.after(4),
        run_id="run_1",
        pipeline="eod",
        node="fetch",
        next_chunk=1,
        cursor=None,
        totals={},
        receipts={"publish": story.receipt(rows=100)},
        job="eod",
        provider="synthetic_1",
        write_duration_s=0.004,
    )
    observer.see(event)
    labels = {"job": "eod", "provider": "synthetic_1"}
    assert value(metrics, "pipeline_rows_written_total", **labels) == 99
    assert value(metrics, "pipeline_batches_total", **labels) == 1
    assert value(metrics, "pipeline_storage_write_duration_seconds_sum", job="eod") == 0.004


def test_a_node_that_fails_to_write_is_a_storage_error_and_others_are_not(
    observer: Observer, metrics: Metrics
) -> None:
    observer.see(story.submitted())
    observer.see(changed("fetch", NodeState.FAILED, error_kind="transient"))
    observer.see(changed("publish", NodeState.RETRYING, error_kind="transient"))
    observer.see(changed("publish", NodeState.FAILED, error_kind="Strange kind!"))
    observer.see(changed("publish", NodeState.SUCCESS))
    name = "pipeline_storage_errors_total"
    assert {key: count for key, count in samples(metrics).items() if key[0] == name} == {
        (name, frozenset({("job", "eod"), ("kind", "transient")})): 1,
        (name, frozenset({("job", "eod"), ("kind", "other")})): 1,
    }


def test_requests_are_counted_by_outcome_and_refusals_twice(
    observer: Observer, metrics: Metrics
) -> None:
    for status, count, waited_s in (("ok", 5, 0.0), ("rate_limited", 1, 2.0), ("auth", 1, 0.0)):
        observer.see(
            ev.ProviderRequested(
                at=story.START,
                provider="v",
                status=status,
                request_count=count,
                waited_s=waited_s,
            )
        )
    assert value(metrics, "pipeline_provider_requests_total", provider="v", status="ok") == 5
    assert value(metrics, "pipeline_provider_requests_total", provider="v", status="auth") == 1
    assert value(metrics, "pipeline_provider_rate_limit_violations_total", provider="v") == 1
    assert value(metrics, "pipeline_budget_wait_seconds_sum", provider="v") == 2.0
    assert value(metrics, "pipeline_budget_wait_seconds_count", provider="v") == 1


def test_quality_attempts_crashes_workers_and_reloads_are_counted(
    observer: Observer, metrics: Metrics
) -> None:
    at = story.START
    finding = Finding(rule="ohlc", severity=Severity.FAIL, message="high < low", row_count=2)
    observer.see(
        ev.QualityChecked(
            at=at,
            run_id="run_1",
            pipeline="eod",
            node="check",
            chunk=0,
            verdict="fail",
            findings=[finding],
        )
    )
    observer.see(story.attempt_finished(state="failed"))
    observer.see(ev.ActorCrashed(at=at, pipeline="eod", error="x", restart_in_s=1))
    observer.see(ev.WorkerStopped(at=at, pid=7, reason="idle"))
    observer.see(ev.ConfigReloaded(at=at, digest="d"))
    observer.see(ev.ReloadRefused(at=at, problems=["x"]))
    found = samples(metrics)
    for name, labels in (
        ("pipeline_quality_results_total", {"job": "eod", "verdict": "fail"}),
        ("pipeline_quality_findings_total", {"job": "eod", "rule": "ohlc", "severity": "fail"}),
        ("pipeline_attempts_total", {"job": "eod", "status": "failed", "kind": ""}),
        ("openbell_actor_restarts_total", {"pipeline": "eod"}),
        ("openbell_worker_stops_total", {"reason": "idle"}),
        ("openbell_config_reloads_total", {"status": "applied"}),
        ("openbell_config_reloads_total", {"status": "refused"}),
    ):
        assert found[name, frozenset(labels.items())] == 1


@pytest.fixture
def telemetry(manual_clock: ManualClock) -> Iterator[Telemetry]:
    sink = os.open(os.devnull, os.O_WRONLY)
    with open_telemetry(TelemetryOptions(), manual_clock, version="1.2", env={}, fd=sink) as made:
        yield made
    os.close(sink)


SOURCES = Sources(
    pipelines=lambda: [
        PipelineStatus(
            name="eod",
            state="parked",
            mode="backfill",
            job="eod",
            version=1,
            node_count=3,
            active_runs=0,
            queued_runs=2,
        )
    ],
    workers=lambda: [
        WorkerStatus(pid=7, state="busy", started_at=story.START, task_count=1, memory_bytes=1000)
    ],
    budgets=lambda: [
        BudgetStatus(
            provider="v",
            tokens=3.5,
            burst=10,
            requests_per_minute=60,
            resting_until=None,
            waiting=1,
            request_count=9,
            violation_count=0,
        )
    ],
    mailbox_depths=lambda: {"eod": 4},
    database_bytes=lambda: 4096,
)


def test_gauges_show_what_their_sources_answer_now(telemetry: Telemetry) -> None:
    telemetry.watch(SOURCES)
    metrics = telemetry.metrics
    assert value(metrics, "pipeline_parked", pipeline="eod") == 1
    assert value(metrics, "pipeline_queued_runs", job_name="eod") == 2
    assert value(metrics, "openbell_workers", state="busy") == 1
    assert value(metrics, "openbell_workers", state="idle") == 0
    assert value(metrics, "openbell_worker_memory_bytes") == 1000
    assert value(metrics, "pipeline_budget_tokens", provider="v") == 3.5
    assert value(metrics, "pipeline_budget_waiting", provider="v") == 1
    assert value(metrics, "openbell_mailbox_depth", actor="eod") == 4
    assert value(metrics, "openbell_database_size_bytes") == 4096
    assert value(metrics, "openbell_telemetry_dropped", signal="logs") == 0
    [build] = [key for key in samples(metrics) if key[0] == "openbell_build_info"]
    assert ("version", "1.2") in build[1]


def test_gauges_without_a_source_are_absent(telemetry: Telemetry) -> None:
    text = telemetry.render().decode()
    assert "openbell_loop_lag_seconds 0.0" in text
    assert "openbell_workers" not in text


async def test_the_worst_lag_is_shown_for_a_minute_or_two(manual_clock: ManualClock) -> None:
    class _Blocked(ManualClock):
        """A clock on which every sleep overruns by `late_s`."""

        late_s = 0.0

        @override
        async def sleep(self, delay_s: float) -> None:
            await super().sleep(delay_s + self.late_s)

    clock = _Blocked()
    lag = LoopLag(clock)
    async with anyio.create_task_group() as tasks:
        clock.late_s = 0.25
        tasks.start_soon(lag.run)
        await clock.advance(timedelta(seconds=1.25))
        clock.late_s = 0.0
        await clock.advance(timedelta(seconds=60))
        assert lag.worst_s == pytest.approx(0.25)
        await clock.advance(timedelta(seconds=120))
        assert lag.worst_s == 0.0
        tasks.cancel_scope.cancel()


def test_calendars_that_end_or_fail_are_counted(observer: Observer, metrics: Metrics) -> None:
    for left in (13, 12):
        observer.see(
            ev.CalendarHorizonNear(
                at=story.START,
                calendar="XBOM",
                policy="block",
                horizon=date(2026, 12, 31),
                sessions_left=left,
            )
        )
    observer.see(
        ev.CalendarFailed(at=story.START, calendar="ASEX", policy="warn", reason="not today")
    )
    assert value(metrics, "openbell_calendar_sessions_left", calendar="XBOM") == 12
    assert value(metrics, "openbell_calendar_failures_total", calendar="ASEX") == 1


def test_labels_are_those_of_the_table_and_no_run_id_is_among_them(
    observer: Observer, metrics: Metrics
) -> None:
    assert {label for metric in names.METRICS for label in metric.labels} <= {
        "job",
        "job_name",
        "provider",
        "status",
        "kind",
        "verdict",
        "rule",
        "severity",
        "pipeline",
        "actor",
        "state",
        "reason",
        "signal",
        "calendar",
        "outcome",
        "version",
        "python",
    }
    with pytest.raises(KeyError):
        metrics.count(names.JOB_RUNS, job="eod")


def test_a_flood_of_labels_is_bounded(metrics: Metrics) -> None:
    for number in range(2500):
        metrics.count(names.BATCHES, job=f"job_{number}" + "x" * 500, provider="p")
    lines = re.findall(rb"^pipeline_batches_total\{.*$", metrics.render(), re.MULTILINE)
    assert len(lines) == 2001
    assert max(len(line) for line in lines) < 300
    assert any(b"overflow" in line for line in lines)


def test_another_reader_sees_the_same_under_dotted_names(manual_clock: ManualClock) -> None:
    reader = InMemoryMetricReader()
    metrics = Metrics(readers=[reader])
    metrics.count(names.BATCHES, job="eod", provider="p")
    data = reader.get_metrics_data()
    assert data is not None
    [scope] = data.resource_metrics[0].scope_metrics
    [metric] = scope.metrics
    assert (metric.name, metric.unit) == ("pipeline.batches", "{batch}")
    metrics.close()


def test_two_sets_of_metrics_share_nothing(metrics: Metrics) -> None:
    other = Metrics()
    other.count(names.BATCHES, job="eod", provider="p")
    assert metrics.render() != other.render()
    other.close()


def test_fires_are_counted_by_what_became_of_them_and_their_lateness_measured(
    observer: Observer, metrics: Metrics
) -> None:
    fire = ev.FireDecided(
        at=story.START,
        schedule_id="sch_1",
        pipeline="eod",
        identity="f/2026-01-05/close/0",
        session=None,
        event="close",
        index=0,
        due_at=story.START,
        outcome="run",
        run_id="run_1",
        late_s=0.25,
    )
    observer.see(fire)
    observer.see(replace(fire, outcome="skipped", run_id=None, reason="busy"))
    fires = "openbell_schedule_fires_total"
    assert value(metrics, fires, pipeline="eod", outcome="run") == 1
    assert value(metrics, fires, pipeline="eod", outcome="skipped") == 1
    assert value(metrics, "openbell_schedule_lateness_seconds_sum", pipeline="eod") == 0.25
