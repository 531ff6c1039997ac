"""What nodes and pipelines may say of order, fan-out, pools and each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doubles.configurations import FOLDER, SMALL, loaded, told
from doubles.registry import FACTORY, RegistryDouble
from pydantic import Field

from openbell.config.exclusion import MOST_CONDITIONS, Exclusion, exclusions
from openbell.config.load import Document, Seams, load
from openbell.config.reader import read_text
from openbell.config.verdicts import outcomes_of
from openbell.model.pipelines import Node, Pipeline, Rehearsal
from openbell.operators.control import BranchSettings
from openbell.sdk.errors import SettingsError
from openbell.sdk.hooks import OperatorSpec
from openbell.sdk.settings import NoSettings, PluginSettings

pytestmark = pytest.mark.unit


class Fork(PluginSettings):
    outcomes: tuple[str, ...] = ()
    outcome: str | None = None


class Ask(PluginSettings):
    labels: tuple[str, ...] = ("yes", "no")
    on_deadline: str | None = None


class Choose(PluginSettings):
    cases: dict[str, int] = Field(default_factory=dict)
    otherwise: str = "else"


class Start(PluginSettings):
    pipeline: str
    params: dict[str, Any] = Field(default_factory=dict)


class Wait(PluginSettings):
    dataset: str | None = None


class Run(PluginSettings):
    argv: tuple[str, ...] = ()
    tries: int = 1


def _spec(name: str, role: Any, model: type[PluginSettings], **more: Any) -> OperatorSpec:
    return OperatorSpec(name=name, settings_model=model, factory=FACTORY, role=role, **more)


EXTRA = {
    spec.name: spec
    for spec in (
        _spec("noop", "control", NoSettings),
        _spec("fork", "control", Fork, any_outcome=True),
        _spec("pipeline", "control", Start),
        _spec("wait", "control", Wait),
        _spec("ask", "control", Ask, any_outcome=True),
        _spec("choose", "control", Choose, any_outcome=True),
        _spec("run", "task", Run),
        _spec("branch", "control", BranchSettings, any_outcome=True),
    )
}
REGISTRY = replace(RegistryDouble(), operators={**RegistryDouble().operators, **EXTRA})
HEAD = SMALL + "pools: {vendor: 2}\njobs:\n  daily: {dataset: bars, mode: backfill}\n"


def one(nodes: str, keys: str = "") -> Pipeline:
    text = HEAD + f"pipelines:\n  p:\n{keys}    nodes:\n{nodes}"
    return loaded(text, registry=REGISTRY).deployment.pipelines["p"]


def wrong(nodes: str, keys: str = "", more: str = "") -> list[str]:
    return told(HEAD + f"pipelines:\n  p:\n{keys}    nodes:\n{nodes}{more}", registry=REGISTRY)


def test_a_pipeline_says_when_it_may_begin_and_how_it_behaves_in_rehearsals() -> None:
    found = one(
        "      a: {op: noop}\n",
        "    priority: 8\n    after: daily\n    needs_dataset: {bars: session}\n    give_up: 2h\n"
        "    expected_duration: 90\n"
        "    rehearsal: {a: {duration: 40s, fail_rate: 0.02}}\n",
    )
    assert (found.priority, found.after, found.give_up_s) == (8, ("daily",), 7200)
    assert (dict(found.needs_dataset), found.expected_s) == ({"bars": "session"}, 90)
    assert dict(found.rehearsal) == {"a": Rehearsal(duration_s=40, fail_rate=0.02)}


def test_a_job_has_a_priority_a_duration_and_rehearsals_of_its_own_nodes() -> None:
    text = SMALL + (
        "jobs:\n  j: {dataset: bars, mode: backfill, priority: 9, expected_duration: 1m, "
        "rehearsal: {check: {outcome: warn}, fetch: {duration: 3}, hold: {}}}\n"
    )
    found = loaded(text).deployment.pipelines["j"]
    assert (found.priority, found.expected_s) == (9, 60)
    assert found.rehearsal["check"].outcome == "warn"
    assert found.rehearsal["hold"] == Rehearsal()
    assert "node 'fetsh' does not exist" in told(text.replace("fetch", "fetsh"))[0]


def test_a_gate_passes_in_a_rehearsal_unless_it_is_told_otherwise() -> None:
    text = SMALL + (
        "jobs:\n  j: {dataset: bars, mode: backfill, rehearsal: {check: {duration: 1}}}\n"
    )
    assert loaded(text).deployment.pipelines["j"].rehearsal["check"].outcome == "pass"


def test_nodes_have_triggers_pools_fan_out_and_classes_of_errors() -> None:
    found = one(
        "      a: {op: noop, for_each: [1, {x: 2}], max_parallel: 3, pool: vendor}\n"
        "      b: {op: noop, needs: a, trigger: one_failed, retry: {on: [any, data]}}\n"
        "      c: {op: noop, needs: a, retry: {on: timeout}}\n"
    )
    first, second, third = found.nodes
    assert (first.for_each, first.max_parallel, first.pool) == ([1, {"x": 2}], 3, "vendor")
    assert (second.trigger, second.retry.on) == ("one_failed", ("any", "data"))
    assert third.retry.on == ("timeout",)
    assert loaded(HEAD, registry=REGISTRY).deployment.pools == {"vendor": 2}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("{param: universe}", {"param": "universe"}),
        ("{output: a}", {"output": "a"}),
        ("{file: items.txt}", {"file": "/etc/openbell/items.txt"}),
        ("{file: '~/items'}", {"file": "/home/q/items"}),
        ('{file: "${place}/x"}', {"file": "${place}/x"}),
        ('{file: "lists/${session}.txt"}', {"file": "/etc/openbell/lists/${session}.txt"}),
    ],
)
def test_items_come_from_a_parameter_an_output_or_a_file(written: str, read: Any) -> None:
    text = HEAD + (
        "pipelines:\n  p:\n    params: {universe: [A], place: /x}\n    nodes:\n"
        f"      a: {{op: noop}}\n      b: {{op: noop, needs: a, for_each: {written}}}\n"
    )
    found = loaded(text, registry=REGISTRY, env={"HOME": "/home/q"})
    assert found.deployment.pipelines["p"].node("b").for_each == read


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ("for_each: 3", "for_each: must be a list, or say where the items are, not 3"),
        ("for_each: '${universe}'", "(write {param: universe})"),
        ("for_each: []", "for_each: has no items"),
        ("for_each: ['${universe}']", "items are plain values: ${universe} is not filled in"),
        ("for_each: {params: universe}", "says in no known way where the items are"),
        ("for_each: {param: universe, file: x}", "says in no known way where the items are"),
        ("for_each: {param: 3}", "for_each.param: must be text, not 3"),
        ("for_each: {param: univers}", "did you mean 'universe'?"),
        ("for_each: {param: days}", "parameter 'days' must hold a list, not 3"),
        ("for_each: {output: b}", "node 'b' is none that this one needs"),
        ("for_each: {file: '${nope}'}", "parameter 'nope' does not exist"),
        ("max_parallel: 2", "max_parallel: says how many instances run at once"),
        ("max_parallel: 0, for_each: [1]", "max_parallel: must be at least 1"),
        ("trigger: one_success", "trigger one_success looks at nodes before this one"),
        ("trigger: all_sucess", "trigger: must be 'all_success'"),
        ("pool: vendr", "pool 'vendr' does not exist (did you mean 'vendor'?)"),
        ("retry: {on: [transiet]}", "retry.on[0]: must be 'transient'"),
        ("argv: ['${item}']", "${item} stands only in a node with for_each"),
        ("argv: ['x${item.a}']", "${item} stands only in a node with for_each"),
        ("tries: '${item}', for_each: [1], argv: 3", "argv: must be a list, not 3"),
    ],
)
def test_what_a_node_says_wrong_is_told_with_its_key(node: str, problem: str) -> None:
    found = wrong(f"      b: {{op: run, {node}}}\n", "    params: {universe: [A], days: 3}\n")
    assert any(problem in line for line in found), found
    assert all(line.startswith("openbell.yaml:") for line in found)


def test_what_waits_for_an_item_is_checked_when_the_item_is_known() -> None:
    found = one("      a: {op: run, for_each: [1], tries: '${item}', argv: ['x-${item.b.0}']}\n")
    assert found.node("a").settings == {"tries": "${item}", "argv": ["x-${item.b.0}"]}


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("    priority: 10\n", "priority: must be at most 9"),
        ("    after: dayly\n", "after[0]: pipeline 'dayly' does not exist (did you mean 'daily'?)"),
        ("    after: [p]\n", "after[0]: a pipeline cannot run after itself"),
        ("    needs_dataset: {brs: session}\n", "dataset 'brs' does not exist (did you mean"),
        ("    needs_dataset: {bars: sesion}\n", "needs_dataset.bars: must be 'session'"),
        ("    needs_dataset: {other: session}\n", "no other pipeline writes dataset 'other'"),
        ("    give_up: 0\n", "give_up: must be longer than nothing"),
        ("    rehearsal: {b: {duration: 1}}\n", "rehearsal.b: node 'b' does not exist"),
        ("    rehearsal: {a: {fail_rate: 2}}\n", "fail_rate: must be at most 1"),
        ("    rehearsal: {a: {outcome: left}}\n", "outcome of node 'a' 'left' does not exist"),
    ],
)
def test_what_a_pipeline_asks_of_others_must_be_there(keys: str, problem: str) -> None:
    text = HEAD.replace(
        "datasets:\n", "datasets:\n  other: {provider: made_up, symbols: [A], interval: 1d}\n"
    )
    found = told(
        text + f"pipelines:\n  p:\n{keys}    nodes:\n      a: {{op: noop}}\n", registry=REGISTRY
    )
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(
    ("pools", "problem"),
    [
        ("pools: {x: 0}", "pools.x: must be at least 1"),
        ("pools: {x: many}", "pools.x: must be a whole number"),
        ("pools: {3x: 1}", "is not a name"),
        ("pools: [x]", "pools: must be a mapping of names"),
    ],
)
def test_a_pool_is_a_name_and_a_number_of_slots(pools: str, problem: str) -> None:
    assert problem in told(SMALL + pools + "\n")[0]


def test_pipelines_that_wait_for_each_other_are_a_circle() -> None:
    node = "    nodes: {a: {op: noop}}\n"
    text = f"pipelines:\n  p:\n    after: q\n{node}  q:\n    after: r\n{node}  r:\n    after: p\n{node}"
    (found,) = told(HEAD + text, registry=REGISTRY)
    assert "pipelines form a circle: p waits for q waits for r waits for p" in found


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ("op: pipeline, pipeline: dayly", "nodes.a.pipeline: pipeline 'dayly' does not exist"),
        ("op: pipeline, pipeline: p", "nodes.a.pipeline: a pipeline cannot run itself"),
        ("op: wait, dataset: brs", "nodes.a.dataset: dataset 'brs' does not exist (did you mean"),
    ],
)
def test_nodes_name_pipelines_and_datasets_that_exist(node: str, problem: str) -> None:
    (found,) = wrong(f"      a: {{{node}}}\n")
    assert problem in found


def test_a_node_gives_a_pipeline_only_parameters_that_it_has() -> None:
    node = "a: {op: pipeline, pipeline: q, params: {symbl: A, from: 2026-01-05}}"
    text = (
        f"pipelines:\n  p: {{nodes: {{{node}}}}}\n"
        "  q: {params: {symbol: A}, nodes: {b: {op: noop}}}\n"
    )
    (found,) = told(HEAD + text, registry=REGISTRY)
    assert "nodes.a.params.symbl: pipeline 'q' has no such parameter (did you mean 'symbol'?)" in (
        found
    )


def test_what_a_node_names_may_be_a_parameters_affair() -> None:
    one(
        "      a: {op: pipeline, pipeline: '${x}'}\n      b: {op: pipeline, pipeline: daily}\n"
        "      c: {op: wait, dataset: bars}\n      d: {op: wait}\n",
        "    params: {x: y}\n",
    )


def test_a_pipeline_that_is_run_by_the_one_it_runs_is_a_circle() -> None:
    text = (
        "pipelines:\n  p: {nodes: {a: {op: pipeline, pipeline: q}}}\n"
        "  q: {nodes: {a: {op: pipeline, pipeline: p}}}\n"
    )
    (found,) = told(HEAD + text, registry=REGISTRY)
    assert "pipelines.p.nodes: pipelines form a circle: p waits for q waits for p" in found


def test_a_dataset_closes_a_circle_too() -> None:
    nodes = (
        "    nodes: {f: {op: ingest, dataset: bars}, g: {op: gate, needs: f, rules: [ohlc]}, "
        "w: {op: write, needs: g, dataset: derived}}\n"
    )
    text = SMALL.replace(
        "datasets:\n", "datasets:\n  derived: {provider: made_up, symbols: [A], interval: 1d}\n"
    )
    text += (
        f"pipelines:\n  p:\n    after: q\n{nodes}  q:\n    needs_dataset: {{derived: session}}\n"
    )
    (found,) = told(text + "    nodes: {a: {op: noop}}\n", registry=REGISTRY)
    assert "pipelines form a circle: p waits for q waits for p" in found


def test_a_pipeline_may_run_after_one_that_is_there_beside_the_file() -> None:
    text = HEAD + "pipelines:\n  p: {after: other, nodes: {a: {op: noop}}}\n"
    other = Pipeline(name="other", nodes=(Node(name="a", op="noop"),))
    document = Document(tree=read_text(text, "f"), source="f", folder=FOLDER)
    seams = Seams(around={"other": other})
    found = load(document, registry=REGISTRY, env={}, seams=seams).deployment
    assert found.pipelines["p"].after == ("other",)
    assert "other" not in found.pipelines


def test_the_engine_has_a_word_about_graphs() -> None:
    text = HEAD + "pipelines:\n  p: {nodes: {a: {op: noop}}}\n"
    document = Document(tree=read_text(text, "f"), source="f", folder=FOLDER)
    seams = Seams(graph_fault=lambda pipeline, roles: f"{pipeline.name} with {roles['noop']}")
    with pytest.raises(SettingsError, match=r"f:12:7: pipelines\.p\.nodes: p with control"):
        load(document, registry=REGISTRY, env={}, seams=seams)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "      a: {op: noop}\n      b: {op: noop, needs: {a: []}}\n",
            "the edge from 'a' opens for no outcome: list those it opens for",
        ),
        (
            "      a: {op: noop}\n      b: {op: branch, of: a}\n",
            "nodes.b.of: it compares what 'a' made, and does not wait for it (add it to needs)",
        ),
    ],
)
def test_what_can_never_go_on_is_refused(text: str, message: str) -> None:
    assert any(message in found for found in wrong(text))


FORK = "      f: {op: fork, outcomes: [left, right]}\n"


def test_an_edge_may_list_only_what_its_node_can_give() -> None:
    (found,) = wrong(FORK + "      a: {op: noop, needs: {f: middle}}\n")
    assert "outcome of node 'f' 'middle' does not exist (there are: left, right)" in found
    (found,) = wrong("      f: {op: fork, outcome: x}\n      a: {op: noop, needs: {f: y}}\n")
    assert "(there are: x)" in found
    one("      f: {op: fork}\n      a: {op: noop, needs: {f: anything}}\n")
    one(
        "      f: {op: fork, outcome: '${o}'}\n      a: {op: noop, needs: {f: z}}\n",
        "    params: {o: z}\n",
    )


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ("op: ask", "no, yes"),
        ("op: ask, labels: [a], on_deadline: late", "a, late"),
        ("op: choose", "else"),
        ("op: choose, cases: {high: 3, low: 1}, otherwise: middle", "high, low, middle"),
    ],
)
def test_an_operators_settings_tell_what_it_can_give(settings: str, labels: str) -> None:
    (found,) = wrong(f"      f: {{{settings}}}\n      a: {{op: noop, needs: {{f: what}}}}\n")
    assert f"(there are: {labels})" in found


def test_ways_that_exclude_each_other_meet_in_no_node() -> None:
    ways = FORK + "      a: {op: noop, needs: {f: left}}\n      b: {op: noop, needs: {f: right}}\n"
    (found,) = wrong(ways + "      c: {op: noop, needs: [a, b]}\n      d: {op: noop, needs: c}\n")
    assert "nodes.c.needs: this node can never run: it needs left and right of node 'f'" in found
    assert "none_failed_min_one_success" in found
    one(ways + "      c: {op: noop, needs: [a, b], trigger: none_failed_min_one_success}\n")
    one(ways + "      c: {op: noop, needs: {a: success}}\n")
    one(
        FORK + "      a: {op: noop, needs: {f: [left, right]}}\n"
        "      b: {op: noop, needs: {f: right, a: success}}\n"
    )


def test_only_the_nearest_forks_of_a_long_way_are_remembered() -> None:
    count = MOST_CONDITIONS + 5
    nodes = {"n0": Node(name="n0", op="fork")}
    for index in range(1, count):
        nodes[f"n{index}"] = Node(name=f"n{index}", op="fork", needs={f"n{index - 1}": ("x",)})
    last = f"n{count - 1}"

    def late(fork: str) -> list[Exclusion]:
        end = Node(name="end", op="fork", needs={last: ("x",), fork: ("y",)})
        return list(exclusions({**nodes, "end": end}, [*nodes, "end"], frozenset(nodes)))

    assert late(f"n{count - 2}") == [Exclusion("end", f"n{count - 2}", ("x", "y"))]
    assert late("n0") == []


class Coded(PluginSettings):
    outcomes: dict[int, str] = Field(default_factory=dict)


def test_an_edge_lists_success_or_what_a_code_stands_for_and_never_the_code() -> None:
    operators = {
        "coded": OperatorSpec(
            name="coded", settings_model=Coded, factory=FACTORY, role="task", any_outcome=True
        )
    }
    registry = RegistryDouble(operators=operators)
    node = Node(name="c", op="coded", settings={"outcomes": {3: "late"}})
    assert outcomes_of(registry, node) == ("success", "late")
    assert outcomes_of(registry, Node(name="c", op="coded")) == ("success",)
