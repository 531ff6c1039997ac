"""Pipelines from functions stand beside those of the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from doubles.configurations import FILE, FOLDER, SMALL, loaded, told
from doubles.registry import RegistryDouble

from openbell.config.load import Document, Loaded, Seams, load
from openbell.config.python_pipelines import Collected
from openbell.config.reader import read_text
from openbell.sdk.errors import SettingsError

pytestmark = pytest.mark.unit

GRAPH = {"nodes": {"a": {"op": "ingest", "dataset": "bars"}}}


def read(keys: str, answers: dict[str, Any]) -> Loaded:
    """Load a file with `keys`, functions answering as `answers` says."""

    def collect(functions: Sequence[str], folder: Path) -> list[Collected]:
        assert folder == FOLDER
        return [
            Collected(function=name, error=found, hint="see there")
            if isinstance(found := answers[name], str)
            else Collected(function=name, pipelines=found)
            for name in functions
        ]

    document = Document(tree=read_text(SMALL + keys, FILE), source=FILE, folder=FOLDER)
    return load(document, registry=RegistryDouble(), env={}, seams=Seams(collect=collect))


def problems(keys: str, answers: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(keys, answers)
    return [str(problem) for problem in caught.value.problems]


def test_what_functions_return_stands_beside_the_file() -> None:
    keys = (
        "pipelines_from: [m:f, m.n:g]\npipelines: {x: {nodes: {a: {op: ingest, dataset: bars}}}}\n"
    )
    found = read(keys, {"m:f": {"p": GRAPH, "q": GRAPH}, "m.n:g": {}})
    assert list(found.deployment.pipelines) == ["x", "p", "q"]
    assert found.tree.mark_at(("pipelines", "p", "nodes")).origin() == "m:f"


def test_a_changed_function_changes_the_digest() -> None:
    keys = "pipelines_from: m:f\n"
    digests = {
        read(keys, {"m:f": {"p": GRAPH | more}}).deployment.digest for more in ({}, {"priority": 1})
    }
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("keys", "answers", "problem"),
    [
        ("pipelines_from: m:f\n", {"m:f": "raised it"}, "8:17: pipelines_from: m:f raised it (see"),
        (
            "pipelines_from: [m:f, m:g]\n",
            {"m:f": {"p": GRAPH}, "m:g": {"p": GRAPH}},
            "pipelines_from[1]: m:g returns pipeline 'p', which m:f has",
        ),
        (
            "pipelines: {p: {nodes: {a: {op: ingest, dataset: bars}}}}\npipelines_from: m:f\n",
            {"m:f": {"p": GRAPH}},
            "m:f returns pipeline 'p', which the file has",
        ),
        (
            "pipelines_from: m:f\n",
            {"m:f": {"p": {"nodes": {"a": {"op": "injest"}}}}},
            "m:f: pipelines.p.nodes.a.op: operator 'injest' does not exist",
        ),
        (
            "pipelines_from: m:f\n",
            {"m:f": {"3p": GRAPH}},
            "m:f: pipelines.3p: '3p' is not a name",
        ),
        ("pipelines_from: [m:f, m:f]\n", {"m:f": {}}, "pipelines_from[1]: m:f is named twice"),
        ("pipelines_from: mf\n", {}, "pipelines_from: 'mf' names no function (write it as"),
        ("pipelines_from: [3, m:f]\n", {"m:f": {}}, "pipelines_from[0]: 3 names no function"),
    ],
)
def test_what_is_wrong_with_functions_is_told_where_they_are_named(
    keys: str, answers: dict[str, Any], problem: str
) -> None:
    assert any(problem in line for line in problems(keys, answers))


def test_where_no_code_may_run_a_function_is_a_problem() -> None:
    assert "m:f is not called here" in told(SMALL + "pipelines_from: m:f\n")[0]
    assert loaded(SMALL + "pipelines_from: []\n").deployment.pipelines == {}
