"""Numbers about the daemon's work, kept by OpenTelemetry and shown in Prometheus' text format.

Nothing here is global: several `Metrics` live side by side, each with its own registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from openbell.telemetry.names import METRICS, SCOPE, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_LABEL_LENGTH = 128

Readings = Iterable[tuple[float, Mapping[str, str]]]
"""Values of a gauge with their labels."""


class Metrics:
    """The instruments of `names.METRICS`. `readers` get the same numbers, for pushing them.

    A metric keeps at most 2,000 combinations of labels (the SDK's limit); what comes after that
    is added up under the label `otel_metric_overflow`.
    """

    def __init__(
        self, *, resource: Resource | None = None, readers: Sequence[MetricReader] = ()
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        shown = PrometheusMetricReader(
            disable_target_info=True, scope_info_enabled=False, registry=self._registry
        )
        self._provider = MeterProvider(
            metric_readers=[shown, *readers],
            resource=resource or Resource.get_empty(),
            shutdown_on_exit=False,
        )
        meter = self._provider.get_meter(SCOPE)
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, Callable[[], Readings]] = {}
        for metric in METRICS:
            match metric.kind:
                case "counter":
                    self._counters[metric.name] = meter.create_counter(
                        metric.name, unit=metric.unit, description=metric.text
                    )
                case "histogram":
                    self._histograms[metric.name] = meter.create_histogram(
                        metric.name,
                        unit=metric.unit,
                        description=metric.text,
                        explicit_bucket_boundaries_advisory=[
                            float(bound) for bound in metric.bounds
                        ],
                    )
                case "gauge":
                    meter.create_observable_gauge(
                        metric.name,
                        callbacks=[self._reader_of(metric)],
                        unit=metric.unit,
                        description=metric.text,
                    )

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add `amount` to a counter."""
        self._counters[metric.name].add(amount, _labels(metric, labels))

    def measure(self, metric: Metric, value: float, **labels: str) -> None:
        """Add one observation to a histogram, in the metric's unit."""
        self._histograms[metric.name].record(value, _labels(metric, labels))

    def show(self, metric: Metric, readings: Callable[[], Readings]) -> None:
        """Ask `readings` for a gauge's values whenever somebody looks; it must be quick.

        A gauge nobody shows has no values. It is called from the event loop's thread only.
        """
        self._gauges[metric.name] = readings

    def render(self) -> bytes:
        """Return everything in Prometheus' text format 0.0.4 (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """Let go of the readers; afterwards nothing is counted."""
        self._provider.shutdown()

    def _reader_of(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_: CallbackOptions) -> Iterable[Observation]:
            readings = self._gauges.get(metric.name)
            for value, labels in readings() if readings else ():
                yield Observation(value, _labels(metric, labels))

        return read


def _labels(metric: Metric, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return exactly the metric's labels; raises KeyError for a missing one."""
    return {name: labels[name][:MAX_LABEL_LENGTH] for name in metric.labels}
