"""The installed commands, as processes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from doubles.commands import SHARED, Mdp
from doubles.good_run import GOOD


@pytest.fixture
def mdp(tmp_path: Path) -> Mdp:
    return Mdp(tmp_path)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip(f"no real data at {data}; set OPENBELL_SHARED to the folder that holds it")
    return data


@pytest.fixture(scope="session")
def one_good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, a state directory and a lake after one run."""
    made = Mdp(tmp_path_factory.mktemp("filled"))
    made.write("c.yaml", GOOD)
    made.run("run", "--config", "c.yaml", "--job", "fill")
    return made.folder


@pytest.fixture
def filled(mdp: Mdp, one_good_run: Path) -> Mdp:
    """A state directory and a lake that hold one good run."""
    shutil.copytree(one_good_run, mdp.folder, dirs_exist_ok=True)
    return mdp
