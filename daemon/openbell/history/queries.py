"""The named blocks of `queries.sql`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

_BLOCK = re.compile(
    r"^-- name: (?P<name>[a-z_]+)\n(?P<about>(?:-- [^\n]+\n)+)(?P<sql>.+?;)\s*(?=^-- name: |\Z)",
    re.MULTILINE | re.DOTALL,
)


def load_queries() -> Mapping[str, str]:
    """Return every block of `queries.sql` by its name."""
    return parse_queries(
        files("openbell.history").joinpath("queries.sql").read_text(encoding="utf-8")
    )


def parse_queries(text: str) -> Mapping[str, str]:
    """Return every block of `text` by its name; raises ValueError for one without a sentence."""
    queries = {block["name"]: block["sql"].strip() for block in _BLOCK.finditer(text)}
    if len(queries) != text.count("-- name: "):
        raise ValueError("queries.sql has a block without a sentence, or a name twice")
    return queries


class Statements:
    """Runs named blocks on one connection; `parameters` are by name."""

    def __init__(self, connection: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    def run(self, query: str, parameters: Mapping[str, Any]) -> sqlite3.Cursor:
        """Execute the block and return its cursor."""
        return self._connection.execute(self._queries[query], parameters)

    def run_each(self, query: str, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Execute the block once for each of `parameters`."""
        self._connection.executemany(self._queries[query], parameters)

    def first(self, query: str, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a row of any shape
        """Return the first row, or None."""
        return self.run(query, parameters).fetchone()
