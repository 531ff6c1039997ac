"""The table of names, the instruments and the written page say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from openbell.model import events as ev
from openbell.telemetry import names

pytestmark = [pytest.mark.unit, pytest.mark.architecture]

PAGE = (Path(__file__).parents[2] / "daemon" / "spec" / "telemetry.md").read_text()
EVENTS = [
    kind
    for kind in vars(ev).values()
    if isinstance(kind, type) and issubclass(kind, ev.Event) and kind is not ev.Event
]
PROMISED = {
    "pipeline_job_runs_total": ("job", "status"),
    "pipeline_rows_written_total": ("job", "provider"),
    "pipeline_batches_total": ("job", "provider"),
    "pipeline_provider_requests_total": ("provider", "status"),
    "pipeline_provider_rate_limit_violations_total": ("provider",),
    "pipeline_active_jobs": ("job_name",),
    "pipeline_run_duration_seconds": ("job", "status"),
    "pipeline_storage_write_duration_seconds": ("job",),
    "pipeline_storage_errors_total": ("job", "kind"),
}


def _rows(heading: str) -> list[list[str]]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_page_lists_exactly_the_metrics_there_are() -> None:
    written = [
        [
            f"`{metric.prometheus}`",
            f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels) or "-",
            metric.text,
        ]
        for metric in names.METRICS
    ]
    assert _rows("Metrics") == written


def test_the_page_lists_exactly_the_events_there_are() -> None:
    events = [kind.name for kind in EVENTS]
    logged = [row[0].strip("`") for row in _rows("Log")]
    assert sorted(logged) == sorted([*events, names.LIBRARY_LOGGED, names.RECORDS_DROPPED])


def test_the_page_names_every_span_and_attribute() -> None:
    spans = [row[0].strip("`").removesuffix(" <pipeline>") for row in _rows("Traces")]
    assert tuple(spans) == names.SPANS
    assert not [name for name in names.ATTRIBUTES if f"`{name}`" not in PAGE]


def test_the_names_that_dashboards_rely_on_are_kept() -> None:
    kept = {metric.prometheus: metric.labels for metric in names.METRICS}
    assert PROMISED.items() <= kept.items()


@pytest.mark.parametrize("metric", names.METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_opentelemetry_asks(metric: names.Metric) -> None:
    assert re.fullmatch(r"(pipeline|openbell)(\.[a-z][a-z_]*)+", metric.name)
    assert not metric.name.endswith(("total", "seconds", "bytes", "count"))
    assert metric.text.endswith(".")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert list(metric.bounds) == sorted(metric.bounds)


def test_event_names_are_dotted_lower_case_and_unique() -> None:
    logged = [kind.name for kind in EVENTS]
    logged += [names.LIBRARY_LOGGED, names.RECORDS_DROPPED]
    assert len(set(logged)) == len(logged)
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", name) for name in logged)
