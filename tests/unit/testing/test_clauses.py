"""Written contracts and conformance suites say the same, clause by clause."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from openbell.plugin_host.kinds import KINDS
from openbell.testing import (
    BackendConformance,
    OperatorConformance,
    ProviderConformance,
    RuleConformance,
    SinkConformance,
    TaskConformance,
)

pytestmark = pytest.mark.unit

SPEC = Path(__file__).resolve().parents[3] / "daemon" / "spec"
CLAUSE = re.compile(r"^- \*\*([A-Z]{4}-\d\d)\*\* (\*review\* )?(.*)$", re.MULTILINE)
SUITES = {
    "provider": ProviderConformance,
    "rule": RuleConformance,
    "backend": BackendConformance,
    "sink": SinkConformance,
    "operator": OperatorConformance,
    "task": TaskConformance,
}
PLACES = {"operator": ("operator", "OPER"), "task": ("operator", "TASK")}
"""The page and the prefix of contracts that share a page; the others have one of their own."""
each_kind = pytest.mark.parametrize("kind", SUITES)


def clauses(kind: str) -> list[tuple[str, bool]]:
    """Return the clauses of a written contract: number, and whether a case is expected."""
    page, prefix = PLACES.get(kind, (kind, ""))
    text = (SPEC / f"{page}.md").read_text(encoding="utf-8")
    found = [(match[1], match[2] is None) for match in CLAUSE.finditer(text)]
    return [(number, has_case) for number, has_case in found if number.startswith(prefix)]


def cases(kind: str) -> list[tuple[str, str]]:
    """Return the cases of a suite: the clause number in the docstring, and the name."""
    found = inspect.getmembers(SUITES[kind], inspect.isfunction)
    return [
        ((inspect.getdoc(case) or "")[:7], name) for name, case in found if name.startswith("test_")
    ]


@each_kind
def test_every_clause_that_can_be_checked_has_its_case(kind: str) -> None:
    expected = {number for number, is_testable in clauses(kind) if is_testable}
    assert expected - {number for number, _ in cases(kind)} == set()


@each_kind
def test_every_case_has_its_clause(kind: str) -> None:
    known = {number for number, is_testable in clauses(kind) if is_testable}
    assert [(number, name) for number, name in cases(kind) if number not in known] == []


@each_kind
def test_no_clause_has_two_cases(kind: str) -> None:
    numbers = [number for number, _ in cases(kind)]
    assert sorted(numbers) == sorted(set(numbers))


@each_kind
def test_clauses_are_numbered_without_gaps(kind: str) -> None:
    numbers = [int(number[-2:]) for number, _ in clauses(kind)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len({number[:4] for number, _ in clauses(kind)}) == 1


def test_the_page_about_plugins_names_every_hook() -> None:
    text = (SPEC / "plugin.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(openbell_\w+)` \| `(\w+)` ", text, re.MULTILINE))
    assert named == {(kind.hook, kind.spec_type.__name__) for kind in KINDS}
