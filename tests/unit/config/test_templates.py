"""Pipelines made from templates: what is filled in, and where faults are told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from doubles.configurations import SMALL, loaded, told
from doubles.registry import RefusedDouble, RegistryDouble

from openbell.config.expansion import Expansion
from openbell.config.problems import Problems
from openbell.config.reader import read_text
from openbell.config.template_file import read_template
from openbell.model.pipelines import Pipeline
from openbell.plugin_host import load_plugins
from openbell.sdk.hooks import TemplateSpec

pytestmark = pytest.mark.unit

SPECS = {
    name: TemplateSpec(name=name, resource=f"doubles.templates:{file}.yaml")
    for name, file in (
        ("daily", "daily"),
        ("unknown_slot", "unknown_slot"),
        ("malformed", "malformed"),
        ("empty", "empty"),
        ("gone", "gone"),
    )
}
SPECS["nowhere"] = TemplateSpec(name="nowhere", resource="no_such_package:x.yaml")
REGISTRY = replace(RegistryDouble(), templates=SPECS)
HEAD = SMALL.replace("interval: 1d}", "interval: 1d, calendar: XNYS}") + "pools: {vendor: 2}\n"


def made(entry: str, **how: str) -> Pipeline:
    text = HEAD + f"pipelines:\n  p: {entry}\n"
    return loaded(text, registry=REGISTRY, **how).deployment.pipelines["p"]  # type: ignore[arg-type]


def wrong(entry: str) -> list[str]:
    return told(HEAD + f"pipelines:\n  p: {entry}\n", registry=REGISTRY)


def test_arguments_and_defaults_are_filled_in_with_their_own_types() -> None:
    found = made("{template: daily, with: {dataset: bars}}")
    assert [node.name for node in found.nodes] == ["fetch_bars", "check"]
    assert found.schedule[0].expression == "XNYS close + 30m"
    assert found.node("fetch_bars").retry.max_attempts == 2
    assert found.node("fetch_bars").pool is None
    assert found.node("check").settings == {"rules": [{"name": "ohlc"}]}
    assert found.params == {"words": "strict true ", "width": "1d"}


def test_what_is_given_goes_over_the_defaults_that_depend_on_it() -> None:
    found = made(
        "{template: daily, with: {dataset: bars, calendar: XLON, pool: vendor, attempts: '7', "
        "first: get, rules: [unique_key]}}"
    )
    assert [node.name for node in found.nodes] == ["get", "check"]
    assert found.schedule[0].expression == "XLON close + 30m"
    assert (found.node("get").pool, found.node("get").retry.max_attempts) == ("vendor", 7)
    assert found.node("check").settings == {"rules": [{"name": "unique_key"}]}


def test_other_keys_of_the_pipeline_are_laid_over_the_template() -> None:
    found = made(
        "{template: daily, with: {dataset: bars}, priority: 8, max_active_runs: 3, "
        "nodes: {fetch_bars: {timeout: 5m}, hold: {op: quarantine, needs: {check: fail}}}}"
    )
    assert (found.priority, found.max_active_runs) == (8, 3)
    assert found.node("fetch_bars").timeout_s == 300
    assert found.node("fetch_bars").settings == {"dataset": "bars"}
    assert "hold" in {node.name for node in found.nodes}


def test_parameters_of_runs_and_the_environment_may_stand_in_arguments() -> None:
    entry = (
        "{template: daily, with: {dataset: '${env:D}', attempts: '${env:N}', "
        "rules: [{name: null_share, column: close, fail: '${most}'}]}, params: {most: 0.5}}"
    )
    text = HEAD + f"pipelines:\n  p: {entry}\n"
    found = loaded(text, registry=REGISTRY, env={"D": "bars", "N": "4"}).deployment.pipelines["p"]
    assert found.node("check").settings["rules"][0]["params"]["fail"] == "${most}"
    assert found.nodes[0].settings == {"dataset": "bars"}
    assert found.schedule[0].expression == "XNYS close + 30m"
    assert found.nodes[0].retry.max_attempts == 4


def test_a_profile_changes_an_argument() -> None:
    text = HEAD + "pipelines: {p: {template: daily, with: {dataset: bars}}}\n"
    text += "profiles: {prod: {pipelines: {p: {with: {attempts: 9}}}}}\n"
    found = loaded(text, registry=REGISTRY, profile="prod").deployment.pipelines["p"]
    assert found.nodes[0].retry.max_attempts == 9


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{template: daily}", "10:3: pipelines.p.with.dataset: is required"),
        ("{template: daily, with: {datset: bars}}", "with.datset: is not a key that is known here"),
        (
            "{template: daily, with: {dataset: brs}}",
            "10:40: pipelines.p.with.dataset: dataset 'brs' does not exist (did you mean 'bars'?)",
        ),
        (
            "{template: daily, with: {dataset: bars, attempts: many}}",
            "pipelines.p.with.attempts: must be a whole number, not 'many'",
        ),
        (
            "{template: daily, with: {dataset: bars, attempts: 0}}",
            "10:56: pipelines.p.with.attempts: must be at least 1, not 0",
        ),
        (
            "{template: daily, with: {dataset: bars, calendar: XNYX}}",
            "10:56: pipelines.p.with.calendar: calendar 'XNYX' is unknown",
        ),
        (
            "{template: daily, with: {dataset: bars, rules: [ohlc, olhc]}}",
            "10:60: pipelines.p.with.rules[1]: rule 'olhc' does not exist",
        ),
        (
            "{template: daily, with: {dataset: '${env:NO}'}}",
            "10:40: pipelines.p.with.dataset: environment variable NO is not set",
        ),
        (
            "{template: daily, with: {dataset: bars, calendar: '${universe}'}}",
            "10:56: pipelines.p.with.calendar: substitution ${universe} is not understood",
        ),
        ("{template: daily, with: [bars]}", "pipelines.p.with: must be a mapping"),
        ("{template: 3}", "pipelines.p.template: must be the name of a template"),
        ("{template: dayly}", "template 'dayly' does not exist (did you mean 'daily'?)"),
        ("{with: {dataset: bars}, nodes: {a: {op: ingest, dataset: bars}}}", "with: is for a temp"),
        ("{template: unknown_slot}", "{{datset}} is no parameter of template 'unknown_slot'"),
        ("{template: malformed}", "template malformed:2:10: params.dataset.type: is required"),
        ("{template: malformed}", "template malformed:2:10: params.dataset.help: is required"),
        ("{template: malformed}", "template malformed:3:1: pipelin: is not a key that is known"),
        ("{template: empty}", "template empty: the template says nothing"),
        ("{template: gone}", "template gone: doubles.templates:gone.yaml cannot be read"),
        ("{template: nowhere}", "template nowhere: no_such_package:x.yaml cannot be read"),
    ],
)
def test_what_is_wrong_is_told_at_the_argument_that_brought_it(entry: str, problem: str) -> None:
    found = wrong(entry)
    assert any(problem in line for line in found), found


def test_a_fault_of_the_template_itself_is_told_where_it_is_used() -> None:
    (found,) = wrong("{template: daily, with: {dataset: bars}, nodes: {check: {rules: 3}}}")
    assert found.startswith("openbell.yaml:10:70: pipelines.p.nodes.check.rules: must be a list")
    first, *_ = wrong("{template: daily, with: {dataset: bars, first: check}}")
    assert first.startswith("openbell.yaml:10:")


def test_a_template_is_told_once_however_often_it_is_used() -> None:
    text = HEAD + "pipelines: {p: {template: empty}, q: {template: empty}}\n"
    assert len(told(text, registry=REGISTRY)) == 1


def test_a_template_of_a_plugin_that_was_refused_says_so() -> None:
    plugin = RefusedDouble("acme-daily", "openbell-templates-acme", "it raises")
    registry = replace(REGISTRY, refused=(plugin,))
    (found,) = told(HEAD + "pipelines: {p: {template: acme}}\n", registry=registry)
    assert "openbell-templates-acme was refused: it raises" in found


def test_every_template_that_openbell_brings_explains_itself() -> None:
    registry = load_plugins()
    brought = {"market_data_daily", "market_data_intraday", "ml_training", "reconcile"}
    assert brought <= set(registry.templates)
    for name in brought:
        template = read_template(registry.templates[name])
        assert registry.templates[name].summary
        assert template.about
        assert all(param.help for param in template.params.values())


def test_without_a_configuration_any_name_may_be_a_datasets() -> None:
    text = "pipelines: {p: {template: daily, with: {dataset: x, calendar: XLON, pool: v}}}"
    tree = read_text(text, "t")
    problems = Problems(tree)
    Expansion(tree, REGISTRY, problems, is_alone=True).apply()
    assert len(problems) == 1
    assert "interval of dataset 'x' is not known without a configuration" in str(
        problems.sorted()[0]
    )


def test_pipelines_that_are_no_mappings_are_left_for_others_to_tell() -> None:
    assert "pipelines: must be a mapping" in wrong_file("pipelines: [p]\n")[0]
    assert "pipelines.p: must be a mapping" in wrong_file("pipelines: {p: 3}\n")[0]


def wrong_file(keys: str) -> list[str]:
    return told(HEAD + keys, registry=REGISTRY)
