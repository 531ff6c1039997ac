"""Laws of definitions: however one is written down, it stays the same one."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest
from doubles.configurations import FILE, FOLDER, SMALL
from doubles.registry import FACTORY, RegistryDouble
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from openbell.config.exclusion import exclusions
from openbell.config.graph import in_order
from openbell.config.load import Document, Seams, load
from openbell.config.python_pipelines import Collected
from openbell.config.reader import read_text
from openbell.model.changes import changes
from openbell.model.definitions import definition, fingerprint, from_definition
from openbell.model.pipelines import (
    ErrorClass,
    Node,
    Pipeline,
    Rehearsal,
    RetryPolicy,
    TriggerRule,
)
from openbell.model.schedules import MissedRule, Overlap, ScheduleUse
from openbell.sdk import pipelines as sdk
from openbell.sdk.hooks import OperatorSpec
from openbell.sdk.settings import NoSettings

pytestmark = pytest.mark.property

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab {}:#'\"", max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SECONDS = st.floats(0.5, 1e6, allow_nan=False)
RETRIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 9),
    backoff_s=SECONDS,
    on=st.lists(st.sampled_from(get_args(ErrorClass)), unique=True).map(tuple),
)
USES = st.builds(
    ScheduleUse,
    expression=st.sampled_from(["XNYS close", "every 15m"]),
    active_from=st.none() | st.just(datetime(2026, 1, 2, tzinfo=UTC)),
    jitter_s=st.sampled_from([0.0, 3.5]),
    on_missed=st.builds(MissedRule, most=st.integers(1, 9)),
    params=st.dictionaries(NAMES, JSON, max_size=2),
)


@st.composite
def models(draw: st.DrawFn) -> Pipeline:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    nodes = []
    for index, name in enumerate(names):
        before = draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        nodes.append(
            Node(
                name=name,
                op=draw(NAMES),
                needs={need: tuple(draw(st.lists(NAMES, max_size=2))) for need in before},
                settings=draw(st.dictionaries(NAMES, JSON, max_size=3)),
                retry=draw(RETRIES),
                timeout_s=draw(st.none() | SECONDS),
                trigger=draw(st.sampled_from(get_args(TriggerRule))),
                pool=draw(st.none() | NAMES),
                for_each=draw(st.none() | st.lists(JSON, max_size=3)),
                max_parallel=draw(st.none() | st.integers(1, 9)),
            )
        )
    return Pipeline(
        name=draw(NAMES),
        nodes=tuple(nodes),
        params=draw(st.dictionaries(NAMES, JSON, max_size=3)),
        schedule=tuple(draw(st.lists(USES, max_size=2))),
        overlap=draw(st.sampled_from(get_args(Overlap))),
        priority=draw(st.integers(0, 9)),
        after=tuple(draw(st.lists(NAMES, max_size=2))),
        needs_dataset=draw(st.dictionaries(NAMES, st.just("session"), max_size=2)),
        give_up_s=draw(st.none() | SECONDS),
        expected_s=draw(st.none() | SECONDS),
        rehearsal=draw(st.dictionaries(NAMES, st.builds(Rehearsal, fail_rate=st.just(0.5)))),
    )


@given(pipeline=models())
def test_a_definition_survives_being_kept(pipeline: Pipeline) -> None:
    kept = json.loads(json.dumps(definition(pipeline)))
    assert from_definition(kept) == pipeline
    assert fingerprint(from_definition(kept)) == fingerprint(pipeline)
    assert list(changes(kept, definition(pipeline))) == []


@settings(max_examples=50)
@given(one=models(), other=models())
def test_definitions_differ_exactly_when_their_fingerprints_do(
    one: Pipeline, other: Pipeline
) -> None:
    other = replace(other, name=one.name)
    is_same_but_for_order = {n.name: n for n in one.nodes} == {n.name: n for n in other.nodes}
    found = list(changes(definition(one), definition(other)))
    if fingerprint(one) == fingerprint(other):
        assert found == []
    elif not is_same_but_for_order:
        assert found != []


REGISTRY = replace(
    RegistryDouble(),
    operators={
        "noop": OperatorSpec(
            name="noop",
            settings_model=NoSettings,
            factory=FACTORY,
            role="control",
            outcomes=("left", "right"),
        )
    },
)


@st.composite
def written(draw: st.DrawFn) -> sdk.Pipeline:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    nodes = []
    for index, name in enumerate(names):
        before = draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        spread = draw(st.none() | st.lists(st.integers(), min_size=1, max_size=3))
        nodes.append(
            sdk.PipelineNode(
                name=name,
                op="noop",
                needs=draw(st.sampled_from([before, {need: ["success"] for need in before}])),
                retry=draw(st.none() | st.just({"max_attempts": 2, "on": ["timeout"]})),
                timeout=draw(st.none() | st.just("45m") | SECONDS),
                trigger=draw(st.none() | st.just("all_done")) if before else None,
                pool=draw(st.none() | st.just("vendor")),
                for_each=spread,
                max_parallel=3 if spread else None,
            )
        )
    return sdk.Pipeline(
        name="p",
        nodes=nodes,
        schedule=draw(st.sampled_from([(), "XNYS close", ["XNYS open", {"when": "every 15m"}]])),
        params=draw(st.dictionaries(NAMES.map(lambda name: f"p_{name}"), JSON, max_size=3)),
        priority=draw(st.none() | st.integers(0, 9)),
        give_up=draw(st.none() | SECONDS),
        rehearsal={names[0]: {"duration": 2, "outcome": "left"}} if draw(st.booleans()) else {},
    )


def read(text: str, seams: Seams) -> Pipeline:
    document = Document(tree=read_text(text, FILE), source=FILE, folder=FOLDER)
    return load(document, registry=REGISTRY, env={}, seams=seams).deployment.pipelines["p"]


@given(pipeline=written())
def test_python_yaml_and_json_mean_the_same(pipeline: sdk.Pipeline) -> None:
    document = pipeline.document()
    head = SMALL + "pools: {vendor: 1}\n"
    seams = Seams(
        collect=lambda functions, _: [Collected(function="m:f", pipelines={"p": document})]
    )
    python = read(head + "pipelines_from: m:f\n", seams)
    stream = io.StringIO()
    YAML().dump({"pipelines": {"p": document}}, stream)
    yaml = read(head + stream.getvalue(), Seams())
    whole = {**YAML(typ="safe").load(head), "pipelines": {"p": document}}
    assert fingerprint(python) == fingerprint(yaml) == fingerprint(read(json.dumps(whole), Seams()))


@settings(max_examples=50)
@given(pipeline=models())
def test_a_node_that_is_told_to_be_hopeless_is_one(pipeline: Pipeline) -> None:
    """No answers of the forks let it run: every one is tried."""
    nodes = {node.name: node for node in pipeline.nodes}
    order = in_order({name: node.needs for name, node in nodes.items()})
    forks = frozenset(nodes)
    labels = {label for node in nodes.values() for each in node.needs.values() for label in each}
    answers = [dict(zip(order, chosen, strict=True)) for chosen in _chosen(order, labels)]
    for found in exclusions(nodes, order, forks):
        assert not any(_runs(found.node, nodes, answer) for answer in answers)


def _chosen(order: list[str], labels: set[str]) -> list[tuple[str, ...]]:
    product = itertools.product(sorted(labels)[:4] or ["x"], repeat=len(order))
    return list(itertools.islice(product, 300))


def _runs(name: str, nodes: dict[str, Node], answer: dict[str, str]) -> bool:
    node = nodes[name]
    if node.trigger not in {"all_success", "none_skipped"}:
        return True
    return all(
        (not outcomes or answer[need] in outcomes) and _runs(need, nodes, answer)
        for need, outcomes in node.needs.items()
    )
