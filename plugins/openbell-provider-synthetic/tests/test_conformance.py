"""The synthetic provider against the suite of every provider."""

from __future__ import annotations

from typing import Any

import pytest
from typing_extensions import override

from openbell.testing import ProviderCase, ProviderConformance

pytestmark = pytest.mark.unit

ROWS = {"gaps": 0.05, "duplicates": 0.05, "late": 0.05, "out_of_order": 0.05, "bad_ohlc": 0.05}


class TestSynthetic(ProviderConformance):
    """Bars of minutes, nothing wrong with them."""

    @override
    @pytest.fixture
    def provider_case(self, kit: Any) -> ProviderCase:
        """Return two symbols for half a day."""
        return ProviderCase(
            make=kit.provider,
            request=kit.request(end=kit.start.replace(hour=18), batch_rows=100),
            unknown_symbol=None,
        )


class TestSyntheticDaily(ProviderConformance):
    """Daily bars."""

    @override
    @pytest.fixture
    def provider_case(self, kit: Any) -> ProviderCase:
        """Return two symbols for a week, a page a session."""
        request = kit.request(interval="1d", batch_rows=2)
        return ProviderCase(make=kit.provider, request=request, unknown_symbol=None)


class TestSyntheticWithRowFaults(ProviderConformance):
    """Minutes with every fault of rows at once: a broken vendor keeps the contract as well."""

    @override
    @pytest.fixture
    def provider_case(self, kit: Any) -> ProviderCase:
        """Return two symbols for half a day."""
        faults = ROWS | {"nulls": 0.05, "revisions": 0.05, "splits": 0.5}
        return ProviderCase(
            make=lambda: kit.provider(faults=faults),
            request=kit.request(end=kit.start.replace(hour=18), batch_rows=100),
            unknown_symbol=None,
        )
