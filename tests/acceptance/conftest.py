"""The installed commands, as processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.commands import SHARED, Mdp


@pytest.fixture
def mdp(tmp_path: Path) -> Mdp:
    return Mdp(tmp_path)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip(f"no real data at {data}; set OPENBELL_SHARED to the folder that holds it")
    return data
