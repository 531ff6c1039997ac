"""What the items of a node made together is read by the nodes after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbell.execution.worker.outputs import items, read_rows
from openbell.sdk.errors import DataError

pytestmark = pytest.mark.integration

LINES = (
    '{"number":0,"item":"2026-01-02","outcome":"success","value":1}\n'
    '{"number":1,"item":"2026-01-05","outcome":"failed","value":null}\n'
)


def test_lines_are_rows_and_dates_stay_the_text_they_were(tmp_path: Path) -> None:
    path = tmp_path / "each.jsonl"
    path.write_text(LINES, encoding="utf-8")
    rows = read_rows(path, "each").read_all().to_pylist()
    assert [row["item"] for row in rows] == ["2026-01-02", "2026-01-05"]
    assert [row["value"] for row in rows] == [1, None]
    assert items({"kind": "spool", "path": str(path), "rows": 2}, 10) == rows


def test_torn_lines_name_the_node(tmp_path: Path) -> None:
    path = tmp_path / "each.jsonl"
    path.write_text(LINES[:-20], encoding="utf-8")
    with pytest.raises(DataError, match="'each' made cannot be read"):
        read_rows(path, "each")
