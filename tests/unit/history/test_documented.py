from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from openbell.history.schema import load_migrations, split_statements

pytestmark = pytest.mark.unit

DOCUMENT = Path(__file__).parents[3] / "daemon" / "spec" / "history.md"


def _documented() -> dict[str, list[str]]:
    text = DOCUMENT.read_text(encoding="utf-8").split("## Tables and views")[1]
    sections = re.findall(
        r"^### ([a-z_]+)[^\n]*\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL
    )
    return {
        name: re.findall(r"^\| ([a-z_]+) \|", body, re.MULTILINE)[1:] for name, body in sections
    }


def _actual(database: sqlite3.Connection) -> dict[str, list[str]]:
    names = database.execute(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    columns = "SELECT name FROM pragma_table_info(?)"
    return {name: [column for (column,) in database.execute(columns, (name,))] for (name,) in names}


def _migrated() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    for migration in load_migrations():
        for statement in split_statements(migration.sql):
            database.execute(statement)
    return database


def test_every_table_view_and_column_is_documented_and_nothing_else() -> None:
    with closing(_migrated()) as database:
        assert _documented() == _actual(database)


def test_the_questions_of_the_document_can_be_asked() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    statements = split_statements(block)
    assert len(statements) == 3
    with closing(_migrated()) as database:
        for statement in statements:
            assert database.execute(statement).fetchall() == []


def test_instants_are_integer_microseconds() -> None:
    with closing(_migrated()) as database:
        for table in _actual(database):
            for name, kind in database.execute(
                "SELECT name, type FROM pragma_table_info(?)", (table,)
            ):
                if name.endswith("at_us"):
                    assert kind == "INTEGER", f"{table}.{name}"
