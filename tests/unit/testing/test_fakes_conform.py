from __future__ import annotations

from datetime import timedelta

import pytest
from typing_extensions import override

from openbell.operators.ingest import IngestOperator
from openbell.operators.quarantine import QuarantineOperator
from openbell.operators.settings import IngestSettings, QuarantineSettings, WriteSettings
from openbell.operators.write import WriteOperator
from openbell.sdk import Page, RejectedRow
from openbell.testing import (
    START,
    BackendCase,
    BackendConformance,
    FakeBackend,
    FakeNodeContext,
    FakePlace,
    FakeProvider,
    FakeSink,
    OperatorCase,
    OperatorConformance,
    ProviderCase,
    ProviderConformance,
    SinkCase,
    SinkConformance,
    dataset_context,
    fetch_request,
    provided_bars,
)

pytestmark = pytest.mark.unit

SCRIPT = (
    provided_bars("AAPL", count=20),
    provided_bars("MSFT", count=20),
    Page(
        batches=(provided_bars("AAPL", count=20, start=START + timedelta(minutes=20)),),
        cursor="",
        rejected=(RejectedRow(source="script", line=1, raw="x", reason="not a bar"),),
    ),
    provided_bars("OTHER", count=2),
)


class TestFakeProvider(ProviderConformance):
    @pytest.fixture
    @override
    def provider_case(self) -> ProviderCase:
        return ProviderCase(
            make=lambda: FakeProvider(SCRIPT), request=fetch_request(["AAPL", "MSFT"])
        )


class TestFakeBackend(BackendConformance):
    @pytest.fixture
    @override
    def backend_case(self) -> BackendCase:
        place = FakePlace()
        return BackendCase(open=lambda: FakeBackend(place))


class TestFakeSink(SinkConformance):
    @pytest.fixture
    @override
    def sink_case(self) -> SinkCase:
        sink = FakeSink()
        return SinkCase(make=lambda: sink, arrived=lambda: [a.title for a in sink.delivered])


class TestIngest(OperatorConformance):
    @pytest.fixture
    @override
    def operator_case(self) -> OperatorCase:
        context = FakeNodeContext(
            dataset=dataset_context(["AAPL", "MSFT"]),
            providers={"fake": FakeProvider(SCRIPT[:2])},
        )
        return OperatorCase(
            make=lambda: IngestOperator(IngestSettings(dataset="bars")),
            context=context,
            is_source=True,
        )


@pytest.mark.parametrize("to_dataset", [None, "elsewhere"])
class TestWrite(OperatorConformance):
    @pytest.fixture
    @override
    def operator_case(self, to_dataset: str | None) -> OperatorCase:
        return OperatorCase(
            make=lambda: WriteOperator(WriteSettings(to="primary", dataset=to_dataset)),
            context=FakeNodeContext(backends={"primary": FakeBackend()}),
        )


class TestQuarantine(OperatorConformance):
    @pytest.fixture
    @override
    def operator_case(self) -> OperatorCase:
        return OperatorCase(
            make=lambda: QuarantineOperator(QuarantineSettings()), context=FakeNodeContext()
        )
