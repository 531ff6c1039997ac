"""The lake keeps the contract of backends."""

from __future__ import annotations

from pathlib import Path

import pytest
from typing_extensions import override

from openbell.testing.conformance.backend import BackendConformance
from openbell.testing.conformance.backend_case import BackendCase
from openbell_storage_lake.backend import LakeBackend
from openbell_storage_lake.settings import FoldSettings, LakeSettings

pytestmark = pytest.mark.integration


class TestLake(BackendConformance):
    @override
    @pytest.fixture
    def backend_case(self, tmp_path: Path) -> BackendCase:
        settings = LakeSettings(uri=str(tmp_path / "lake"))
        return BackendCase(open=lambda: LakeBackend(settings))


class TestLakeWithoutL0(BackendConformance):
    """Every commit that only adds rows goes to the base at once."""

    @override
    @pytest.fixture
    def backend_case(self, tmp_path: Path) -> BackendCase:
        settings = LakeSettings(
            uri=str(tmp_path / "lake"), fold=FoldSettings(base_rows=1, max_runs=1)
        )
        return BackendCase(open=lambda: LakeBackend(settings))
