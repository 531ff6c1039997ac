from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files

import pytest

from openbell.history.queries import load_queries, parse_queries
from openbell.history.schema import load_migrations, split_statements

pytestmark = pytest.mark.unit


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for migration in load_migrations():
            for statement in split_statements(migration.sql):
                connection.execute(statement)
        yield connection


@pytest.mark.parametrize("name", load_queries())
def test_every_block_can_be_prepared_on_the_newest_schema(
    name: str, database: sqlite3.Connection
) -> None:
    sql = load_queries()[name]
    parameters = dict.fromkeys(re.findall(r":([a-z_]+)", sql))
    if not sql.startswith("PRAGMA"):
        database.execute(f"EXPLAIN {sql}", parameters)


def test_every_block_is_used_and_every_name_that_is_used_exists() -> None:
    sources = "".join(
        source.read_text(encoding="utf-8")
        for source in files("openbell.history").iterdir()
        if source.name.endswith(".py")
    )
    unused = [name for name in load_queries() if f'"{name}"' not in sources]
    assert unused == []
    called = re.findall(r'\.(?:run|run_each|first|rows)\(\s*"([a-z_]+)"', sources)
    assert set(called) <= set(load_queries())
    assert len(called) > 40


@pytest.mark.parametrize(
    "text",
    [
        "-- name: one\nSELECT 1;\n",
        "-- name: one\n-- A sentence.\nSELECT 1;\n-- name: one\n-- Again.\nSELECT 2;\n",
    ],
)
def test_a_block_without_a_sentence_or_with_a_known_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a block without a sentence, or a name twice"):
        parse_queries(text)


LISTS = {
    "runs_newest": "sqlite_autoindex_pipeline_runs_1",
    "runs_in_state": "pipeline_runs_by_state",
    "runs_of_pipeline": "pipeline_runs_by_pipeline",
    "runs_of_pipeline_in_state": "pipeline_runs_by_pipeline_and_state",
    "runs_of_job": "pipeline_runs_by_job",
    "run_ids_in_state": "COVERING INDEX pipeline_runs_by_state",
    "run_ids_of_pipeline_in_state": "COVERING INDEX pipeline_runs_by_pipeline_and_state",
    "fires_of_pipeline": "fires_by_pipeline",
    "letters_newest": "dead_letters_newest",
    "letters_in_state": "dead_letters_by_state",
    "letters_of_pipeline": "dead_letters_by_pipeline",
    "letters_of_pipeline_in_state": "dead_letters_by_pipeline_and_state",
    "decisions_of_run": "decisions_by_run",
    "decisions_of_pipeline": "decisions_by_pipeline",
    "delete_old_events": "events_by_age",
    "delete_old_decisions": "decisions_by_age",
    "delete_settled_letters": "dead_letters_by_end",
    "runs_ended_before": "pipeline_runs_by_finish",
    "events_of_run": "events_by_run",
    "logs_of_run": "node_logs_by_run",
    "logs_of_node": "node_logs_by_node",
    "lineage": "data_lineage_by_dataset",
    "insert_run_metrics": "sqlite_autoindex_pipeline_runs_1",
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_come_from_an_index_without_a_sort(name: str, database: sqlite3.Connection) -> None:
    sql = load_queries()[name]
    parameters = dict.fromkeys(re.findall(r":([a-z_]+)", sql))
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    assert any(LISTS[name] in step for step in plan), plan
    assert not any("ORDER BY" in step for step in plan), plan


OPEN = {
    "open_runs": "pipeline_runs_by_state (state=? AND run_id>?)",
    "open_runs_of_pipeline": "pipeline_runs_by_pipeline_and_state (pipeline=? AND state=? AND run_id>?)",
    "open_approvals": "pipeline_runs_by_state (state=?)",
    "succeeded": "pipeline_runs_by_session (pipeline=? AND session=? AND state=?)",
}


@pytest.mark.parametrize("name", OPEN)
def test_what_is_open_or_of_a_session_is_found_without_a_look_at_all_that_has_ended(
    name: str, database: sqlite3.Connection
) -> None:
    sql = load_queries()[name]
    parameters = dict.fromkeys(re.findall(r":([a-z_]+)", sql))
    plan = database.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
    assert [row[3] for row in plan if OPEN[name] in row[3]]


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [migration.number for migration in load_migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


SCANNED = re.compile(r"SCAN (json_each|[a-z]+ VIRTUAL TABLE|c|CONSTANT ROW)\b")


@pytest.mark.parametrize(
    "name", [name for name, sql in load_queries().items() if "json_each(:rows)" in sql]
)
def test_a_step_looks_at_its_own_rows_only(name: str, database: sqlite3.Connection) -> None:
    plan = database.execute(f"EXPLAIN QUERY PLAN {load_queries()[name]}", {"rows": "[]"})
    scans = [row[3] for row in plan if row[3].startswith("SCAN")]
    assert scans
    assert [scan for scan in scans if not SCANNED.match(scan)] == []
