"""The built-in tasks keep the contract of tasks."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pytest
from typing_extensions import override

from openbell.operators.command import CommandOperator
from openbell.operators.python import PythonOperator
from openbell.operators.settings import CommandSettings, PythonSettings, SqlSettings
from openbell.operators.sql import SqlOperator
from openbell.testing import FakeTaskContext, TaskCase, TaskConformance

pytestmark = pytest.mark.integration

BARS = pa.table({"symbol": ["A", "A", "B"], "close": [1.0, 2.0, 3.0]})


class TestSql(TaskConformance):
    @pytest.fixture
    @override
    def task_case(self, tmp_path: Path) -> TaskCase:
        settings = SqlSettings(query="SELECT symbol, sum(close) AS s FROM bars GROUP BY ALL")
        context = FakeTaskContext(made={"bars": BARS}, scratch_folder=tmp_path)
        return TaskCase(make=lambda: SqlOperator(settings), context=context)


class TestPython(TaskConformance):
    @pytest.fixture
    @override
    def task_case(self, tmp_path: Path) -> TaskCase:
        settings = PythonSettings(
            function="doubles.task_functions:doubled", args={"column": "close"}
        )
        context = FakeTaskContext(made={"bars": BARS}, scratch_folder=tmp_path)
        return TaskCase(make=lambda: PythonOperator(settings), context=context, any_outcome=True)


class TestCommand(TaskConformance):
    @pytest.fixture
    @override
    def task_case(self, tmp_path: Path) -> TaskCase:
        program = "import os, pathlib; pathlib.Path(os.environ['OPENBELL_OUT']).write_text('x')"
        out = tmp_path / "out"
        settings = CommandSettings(
            command=[sys.executable, "-c", program + "; print('{\"rows\": 3}')"],
            value="last_line",
            env={"OPENBELL_OUT": str(out)},
        )
        context = FakeTaskContext(scratch_folder=tmp_path / "scratch")
        return TaskCase(
            make=lambda: CommandOperator(settings),
            context=context,
            any_outcome=True,
            left=out.exists,
        )
