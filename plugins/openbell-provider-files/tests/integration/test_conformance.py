"""The provider against the written contract of providers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typing_extensions import override

from openbell.testing.conformance.provider import ProviderCase, ProviderConformance
from openbell.testing.requests import fetch_request
from openbell_provider_files.provider import FilesProvider
from openbell_provider_files.settings import FilesSettings

pytestmark = pytest.mark.integration
START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


class TestFiles(ProviderConformance):
    @override
    @pytest.fixture
    def provider_case(self, tmp_path: Path) -> ProviderCase:
        for symbol in ("AAPL", "MSFT"):
            lines = ["Datetime,Open,High,Low,Close,Volume"]
            for minute in range(400):
                at = START + timedelta(minutes=minute)
                lines.append(f"{at.isoformat()},{minute}.5,{minute + 1},{minute},{minute}.25,100")
            lines.insert(50, "2026-01-05T15:00:00+00:00,oops,1,1,1,1")
            (tmp_path / f"{symbol}.csv").write_text("\n".join(lines))
        settings = FilesSettings.model_validate({"profile": "yahoo-csv", "root": str(tmp_path)})
        return ProviderCase(
            make=lambda: FilesProvider(settings),
            request=fetch_request(("AAPL", "MSFT"), end=START + timedelta(hours=5)),
        )
