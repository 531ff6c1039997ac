from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

HEAVY = "{'pyarrow', 'numpy', 'pandas', 'duckdb', 'pydantic', 'hypothesis'}"


def test_the_pytest_plugin_imports_nothing_heavy() -> None:
    code = f"import sys, openbell.testing.pytest_plugin; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_plugin_host_imports_nothing_of_the_data_plane() -> None:
    code = (
        "import sys; from openbell.plugin_host import load_plugins; load_plugins();"
        "print(sorted({'pyarrow', 'numpy', 'pandas', 'duckdb', 'deltalake'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
