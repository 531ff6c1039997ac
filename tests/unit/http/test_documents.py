from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from doubles.engine import DoubleEngine
from doubles.serving import app_of

from openbell.http.problems import TYPES

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[3] / "daemon" / "spec" / "api.md").read_text(encoding="utf-8")


def document() -> dict[str, Any]:
    return app_of(DoubleEngine()).api.openapi()


def test_every_route_is_on_the_page_and_the_page_names_no_other() -> None:
    routes = {
        f"{method.upper()} {path}"
        for path, operations in document()["paths"].items()
        for method in operations
    }
    described = set(re.findall(r"^- `([A-Z]+ /[^`]*)` - ", PAGE, flags=re.MULTILINE))

    assert described == routes


def test_every_problem_is_on_the_page_and_the_page_names_no_other() -> None:
    table = PAGE.split("## Problems")[1].split("## Jobs")[0]
    described = set(re.findall(r"^\| `([a-z-]+)` \|", table, flags=re.MULTILINE))

    assert described == set(TYPES)


def test_every_route_has_a_summary_and_an_answer() -> None:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            good = [status for status in operation["responses"] if status.startswith("2")]
            assert len(good) == 1, (method, path)
            assert "default" in operation["responses"], (method, path)
            assert operation["description"], (method, path)
