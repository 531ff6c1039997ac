"""The built-in tasks: what they do, and what they say about what they cannot do."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from openbell.operators.command import CommandOperator, environment
from openbell.operators.python import PythonOperator
from openbell.operators.settings import (
    CommandSettings,
    PythonSettings,
    SqlSettings,
)
from openbell.operators.sql import SqlOperator
from openbell.sdk import (
    DataError,
    FatalError,
    OpenbellError,
    TaskResult,
    TransientError,
)
from openbell.testing import FakeTaskContext

pytestmark = pytest.mark.integration

BARS = pa.table({"symbol": ["A", "A", "B"], "close": [1.0, 2.0, 3.0]})


def sql(tmp_path: Path, query: str, **world: Any) -> TaskResult:
    context = FakeTaskContext(**{"made": {"bars": BARS}, "scratch_folder": tmp_path, **world})
    return SqlOperator(SqlSettings(query=query)).run(context)


def rows(result: TaskResult) -> list[dict[str, Any]]:
    assert isinstance(result.rows, pa.RecordBatchReader)
    found: list[dict[str, Any]] = result.rows.read_all().to_pylist()
    return found


def test_a_query_reads_its_inputs_by_name_more_than_once(tmp_path: Path) -> None:
    query = "SELECT a.symbol FROM bars a JOIN bars b USING (close) WHERE close > $least ORDER BY 1"
    result = sql(tmp_path, query, params={"least": 1.5, "unused": 1})
    assert rows(result) == [{"symbol": "A"}, {"symbol": "B"}]
    assert result.rows_in == 3


def test_a_query_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    result = sql(tmp_path, "SELECT symbol, close FROM bars WHERE close > 99")
    assert isinstance(result.rows, pa.RecordBatchReader)
    assert result.rows.schema.names == ["symbol", "close"]
    assert result.rows.read_all().num_rows == 0


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("SELECT nope FROM bars", FatalError, ['column "nope" not found', "LINE 1", "^"]),
        ("SELECT 1\nFROM bras", FatalError, ["bras", "LINE 2", "rows it can read: bars"]),
        ("SELEC 1", FatalError, ["syntax error", "LINE 1"]),
        ("SELECT 1; SELECT 2", FatalError, ["one SELECT"]),
        ("CREATE TABLE t (a int)", FatalError, ["one SELECT"]),
        (";", FatalError, ["one SELECT"]),
        ("SELECT $day", FatalError, ["$day", "no parameter"]),
        ("SELECT * FROM read_csv('/etc/passwd')", FatalError, ["not its own", "/etc/passwd"]),
        ("SELECT * FROM '/etc/passwd'", FatalError, ["/etc/passwd"]),
        ("SELECT symbol::INT FROM bars", DataError, ["fails on this data", "INT32"]),
    ],
)
def test_a_query_that_cannot_run_says_where_and_why(
    tmp_path: Path, query: str, error: type[OpenbellError], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        rows(sql(tmp_path, query))
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_node_that_is_called_like_a_word_of_sql_stands_in_quotes(tmp_path: Path) -> None:
    made = {"fetch": BARS}
    with pytest.raises(FatalError, match='in quotes where they name a node: "fetch"'):
        sql(tmp_path, "SELECT symbol FROM fetch", made=made)
    assert len(rows(sql(tmp_path, 'SELECT symbol FROM "fetch"', made=made))) == 3


def test_a_query_over_its_memory_says_which_setting_to_raise(tmp_path: Path) -> None:
    settings = SqlSettings(query="SELECT list(range) FROM range(50_000_000)", memory_mb=64)
    with pytest.raises(FatalError, match="raise memory_mb"):
        rows(SqlOperator(settings).run(FakeTaskContext(scratch_folder=tmp_path)))


def test_a_table_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    made = {"bars": BARS, "limit": 3}
    with pytest.raises(FatalError) as found:
        sql(tmp_path, "SELECT * FROM limits", made=made)
    assert "rows it can read: bars; limit, which it needs, made no rows" in str(found.value)


def test_a_long_query_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    context = FakeTaskContext(scratch_folder=tmp_path)
    threading.Timer(0.3, lambda: setattr(context, "is_asked", True)).start()
    began_s = time.monotonic()
    settings = SqlSettings(
        query="SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b WHERE a.range * 7 + b.range > 5"
    )
    with pytest.raises(OpenbellError, match="interrupted"):
        rows(SqlOperator(settings).run(context))
    assert time.monotonic() - began_s < 20


def python(function: str, args: dict[str, Any] | None = None, **world: Any) -> TaskResult:
    name = function if ":" in function else f"doubles.task_functions:{function}"
    how = world.pop("inputs", "table")
    settings = PythonSettings(function=name, args=args or {}, inputs=how)
    return PythonOperator(settings).run(FakeTaskContext(**world))


def test_a_function_gets_what_it_names() -> None:
    world = {"made": {"bars": BARS, "not-asked": 3}}
    doubled = python("doubled", {"column": "close"}, **world)
    assert isinstance(doubled.rows, pa.Table)
    assert doubled.rows.column("close").to_pylist() == [2.0, 4.0, 6.0]
    assert doubled.rows_in == 3
    assert python("counted", made={"bars": BARS}, inputs="reader").value == 3
    assert python("of", **world).value == ["bars", "not_asked"]
    told = python("labelled", params={"day": "2026-01-02"}, item="AAPL")
    assert (told.outcome, told.value) == ("late", {"item": "AAPL", "params": {"day": "2026-01-02"}})


@pytest.mark.parametrize(
    ("function", "args", "words"),
    [
        ("nowhere.at_all:f", {}, "module 'nowhere.at_all' is not installed"),
        ("doubles.task_functions:gone", {}, "gone does not exist"),
        ("doubles.task_functions:BARS_ARE_NONE", {}, "does not exist"),
        ("doubles.task_functions:__doc__", {}, "is a value of type str"),
        ("doubled", {"column": "close"}, "missing a required argument: 'bars'"),
        ("raises", {"extra": 1}, "unexpected keyword argument 'extra'"),
        ("wrong", {"kind": "set"}, "a value of type set"),
        ("wrong", {"kind": "object"}, "a value of type object"),
    ],
)
def test_a_function_that_does_not_fit_says_so(
    function: str, args: dict[str, Any], words: str
) -> None:
    with pytest.raises(FatalError, match=words):
        python(function, args)


def test_an_argument_cannot_hide_an_input() -> None:
    with pytest.raises(FatalError, match="'bars' is an argument"):
        python("doubled", {"bars": 1, "column": "x"}, made={"bars": BARS})


def test_a_function_beside_the_configuration_is_found_and_read_again(tmp_path: Path) -> None:
    module = tmp_path / "beside_the_config.py"
    module.write_text("def f():\n    return 1\n")
    try:
        assert python("beside_the_config:f", folder=str(tmp_path)).value == 1
        time.sleep(0.02)
        module.write_text("def f():\n    return 'two'\n")
        assert python("beside_the_config:f", folder=str(tmp_path)).value == "two"
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("beside_the_config", None)


def test_a_module_that_a_function_imports_is_read_again_too(tmp_path: Path) -> None:
    (tmp_path / "uses_part.py").write_text("def f():\n    import part\n    return part.VALUE\n")
    part = tmp_path / "part.py"
    part.write_text("VALUE = 1\n")
    try:
        assert python("uses_part:f", folder=str(tmp_path)).value == 1
        assert python("uses_part:f", folder=str(tmp_path)).value == 1
        part.write_text("VALUE = 22\n")
        assert python("uses_part:f", folder=str(tmp_path)).value == 22
        part.unlink()
        with pytest.raises(ModuleNotFoundError):
            python("uses_part:f", folder=str(tmp_path))
    finally:
        sys.path.remove(str(tmp_path))
        for name in ("uses_part", "part"):
            sys.modules.pop(name, None)


def test_a_module_that_nobody_changed_is_imported_once(tmp_path: Path) -> None:
    module = tmp_path / "counts_imports.py"
    module.write_text(
        "import sys\nsys.imported = getattr(sys, 'imported', 0) + 1\ndef f():\n    return sys.imported\n"
    )
    os.utime(module, (1_700_000_000, 1_700_000_000))
    try:
        found = [python("counts_imports:f", folder=str(tmp_path)).value for _ in range(3)]
        assert found == [1, 1, 1]
    finally:
        del sys.imported  # type: ignore[attr-defined]
        sys.path.remove(str(tmp_path))
        sys.modules.pop("counts_imports", None)


def command(tmp_path: Path, *program: str, **settings: Any) -> TaskResult:
    context = FakeTaskContext(scratch_folder=tmp_path, environment={"OPENBELL_RUN_ID": "run_1"})
    return CommandOperator(CommandSettings(command=list(program), **settings)).run(context)


def test_exit_codes_mean_what_the_settings_say(tmp_path: Path) -> None:
    assert command(tmp_path, "true").outcome == "success"
    assert command(tmp_path, "false", success_codes=[0, 1]).outcome == "success"
    assert command(tmp_path, "false", outcomes={1: "late"}).outcome == "late"
    with pytest.raises(TransientError, match="exit code 1"):
        command(tmp_path, "false")
    with pytest.raises(TransientError, match="killed by SIGKILL"):
        command(tmp_path, "sh", "-c", "kill -9 $$")
    with pytest.raises(FatalError, match="'no-such-program' cannot be run: No such file"):
        command(tmp_path, "no-such-program")
    with pytest.raises(FatalError, match=r"cwd .* is no folder"):
        command(tmp_path, "true", cwd=str(tmp_path / "gone"))


def test_the_last_line_is_a_value(tmp_path: Path) -> None:
    program = ("printf", 'first\\n{"rows": [1, 2]}\\n\\n')
    assert command(tmp_path, *program, value="last_line").value == {"rows": [1, 2]}
    with pytest.raises(DataError, match=r"no JSON value: 'done\.'"):
        command(tmp_path, "echo", "done.", value="last_line")
    told = command(tmp_path, "sh", "-c", 'echo "\\"$OPENBELL_RUN_ID\\""', value="last_line")
    assert told.value == "run_1"


def test_a_shell_reads_a_command_only_when_asked(tmp_path: Path) -> None:
    settings = CommandSettings(command="echo '[1]' | cat; pwd >&2", shell=True, value="last_line")
    context = FakeTaskContext(scratch_folder=tmp_path)
    assert CommandOperator(settings).run(context).value == [1]
    with pytest.raises(ValidationError, match="command is a list"):
        CommandSettings(command="echo x")
    with pytest.raises(ValidationError, match="one text"):
        CommandSettings(command=["echo"], shell=True)
    with pytest.raises(ValidationError, match="empty"):
        CommandSettings(command=[])


def test_a_command_sees_no_more_of_the_daemons_environment_than_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VENDOR_TOKEN", "very-secret")
    monkeypatch.setenv("LC_ALL", "C")
    found = environment({"OPENBELL_RUN_ID": "run_1"}, {"MODE": "fast"})
    assert "VENDOR_TOKEN" not in found
    assert {"LC_ALL", "PATH", "OPENBELL_RUN_ID", "MODE"} <= set(found)


def test_a_command_that_is_asked_to_end_ends_with_all_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"trap '' TERM; sleep 300 & echo $! > {pid_file}; wait; sleep 300"
    context = FakeTaskContext(scratch_folder=tmp_path)
    threading.Timer(0.5, lambda: setattr(context, "is_asked", True)).start()
    settings = CommandSettings(command=["sh", "-c", script], grace_seconds=0.2)
    CommandOperator(settings).run(context)
    left = Path(f"/proc/{pid_file.read_text().strip()}/exe")
    end = time.monotonic() + 10
    while left.exists():  # it is killed, and nobody but the kernel waits for it
        assert time.monotonic() < end
        time.sleep(0.01)
    assert any("SIGTERM" in text for _, text in context.lines)
