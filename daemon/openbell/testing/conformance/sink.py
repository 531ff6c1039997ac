"""What every sink must do; the clauses are in `daemon/spec/sink.md`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import anyio
import pytest

from openbell.sdk.sinks import Sink
from openbell.sdk.values import Alert
from openbell.testing.requests import START

ALERT = Alert(
    id="alert_1",
    at=START,
    severity="warning",
    title="pipeline eod_equities is late",
    text='It was due at 21:30 and has not begun. <b>Ünïcode</b> & "quotes" are plain text.',
    fields={"pipeline": "eod_equities", "late_s": 90, "share": 0.5, "is_test": True},
)
DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkCase:
    """A sink and a way to see what arrived.

    `make` returns a new instance that delivers to the same place; `arrived` returns, for every
    delivery so far, some text that contains the alert's title.
    """

    make: Callable[[], Sink]
    arrived: Callable[[], Sequence[str]]


class SinkConformance:
    """Subclass it as `TestYourSink` and override the fixture `sink_case`."""

    @pytest.fixture
    def sink_case(self) -> SinkCase:
        """Return the sink under test; override this."""
        raise NotImplementedError("override the fixture sink_case")

    def test_an_alert_arrives(self, sink_case: SinkCase) -> None:
        """SINK-01."""
        anyio.run(_deliver, sink_case, [ALERT])
        (text,) = sink_case.arrived()
        assert ALERT.title in text

    def test_the_same_alert_arrives_once(self, sink_case: SinkCase) -> None:
        """SINK-02."""
        anyio.run(_deliver, sink_case, [ALERT, ALERT])
        assert len(sink_case.arrived()) == 1

    def test_alerts_with_other_ids_all_arrive_in_order(self, sink_case: SinkCase) -> None:
        """SINK-03."""
        alerts = [replace(ALERT, id=f"alert_{n}", title=f"title {n}") for n in range(5)]
        anyio.run(_deliver, sink_case, alerts)
        arrived = sink_case.arrived()
        assert len(arrived) == 5
        assert all(a.title in text for a, text in zip(alerts, arrived, strict=True))

    def test_an_alert_without_fields_arrives(self, sink_case: SinkCase) -> None:
        """SINK-04."""
        anyio.run(_deliver, sink_case, [replace(ALERT, text="", fields={})])
        assert len(sink_case.arrived()) == 1

    def test_closing_twice_is_safe(self, sink_case: SinkCase) -> None:
        """SINK-05."""
        anyio.run(_close_twice, sink_case)


async def _deliver(case: SinkCase, alerts: Sequence[Alert]) -> None:
    with anyio.fail_after(DEADLINE_S):
        async with aclosing(case.make()) as sink:
            for alert in alerts:
                await sink.deliver(alert)


async def _close_twice(case: SinkCase) -> None:
    with anyio.fail_after(DEADLINE_S):
        sink = case.make()
        await sink.aclose()
        await sink.aclose()
