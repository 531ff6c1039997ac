"""The reference page and the JSON Schema tell of every key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from doubles.configurations import EXAMPLE, FILE, SMALL, told
from doubles.registry import RegistryDouble
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from openbell.config.compile import default_rules
from openbell.config.demo import demo_text
from openbell.config.fields import entry_model, field_model
from openbell.config.json_schema import json_schema
from openbell.config.node_schema import NodeSection
from openbell.config.reader import read_text
from openbell.config.schema import Configuration, JobSection, PipelineSection
from openbell.sdk.hooks import TemplateSpec

pytestmark = pytest.mark.unit

REFERENCE = Path(__file__).resolve().parents[3] / "daemon/spec/config.md"
SCHEMA = json_schema(RegistryDouble())


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key under `prefix` that holds a value and not a section."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner, entry = field_model(field), entry_model(field)
        if model is PipelineSection and name == "nodes":
            entry = NodeSection
        if inner is not None:
            yield from keys(inner, f"{key}.")
        elif entry is not None:
            is_list = "tuple" in str(field.annotation)
            yield from keys(entry, f"{key}[]." if is_list else f"{key}.NAME.")
        else:
            yield key, field


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value in ((), {}, ""):
        return "empty"
    if isinstance(value, tuple):
        return ", ".join(f"`{entry}`" for entry in value)
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def rows() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in REFERENCE.read_text().splitlines():
        match = re.match(r"\| `([^`$]+)` \|", line)
        if match is not None:
            found[match[1]] = [cell.strip() for cell in line.strip("|").split(" | ")]
    return found


@pytest.mark.parametrize(
    ("key", "field"), [pytest.param(key, field, id=key) for key, field in keys(Configuration)]
)
def test_the_reference_tells_key_default_and_meaning(key: str, field: FieldInfo) -> None:
    row = rows().get(key)
    assert row is not None, f"{REFERENCE.name} has no row for {key}"
    assert row[2] == default_of(field)
    assert row[3].startswith(str(field.description))


def test_the_reference_tells_of_no_key_that_is_gone() -> None:
    assert set(rows()) == {key for key, _ in keys(Configuration)}


@pytest.mark.parametrize("mode", ["live", "backfill"])
def test_the_reference_tells_the_default_rules(mode: Any) -> None:
    text = REFERENCE.read_text()
    for rule in default_rules(JobSection(dataset="d", mode=mode)):
        assert f"`{rule if isinstance(rule, str) else rule['name']}`" in text


def test_the_examples_of_the_reference_load() -> None:
    blocks = re.findall(r"```yaml\n(version: 2.*?)```", REFERENCE.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        with pytest.raises(AssertionError, match="the configuration loads"):
            told(block, env={"VENDOR": "x", "HOME": "/home/q"})


def schema_errors(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    document = read_text(text, FILE).plain()
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def test_the_schema_is_one_of_its_dialect() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("text", [EXAMPLE, SMALL])
def test_the_schema_accepts_what_loads(text: str) -> None:
    assert schema_errors(text) == []


def test_the_demo_is_of_this_schema_but_for_its_plugins_keys() -> None:
    assert all("faults" in error for error in schema_errors(demo_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("enabled: true", "enabeld: true"),
        ("seed: 42", "seed: x"),
        ("type: synthetic", "type: sinthetic"),
        ("type: lake", "type: timescaledb"),
        ("mode: live", "mode: life"),
        ("features:", "feature:"),
        ("version: 2", "version: 3"),
        ("op: ingest", "op: injest"),
        ("dataset: eod_bars}", "datset: eod_bars}"),
        ("rules: [ohlc,", "rules: [olhc,"),
        ("column: close", "colum: close"),
        ("timeout: 45m", "timeout: soon"),
        ("burst: 10", "burst: 0"),
    ],
)
def test_the_schema_refuses_what_a_reader_would_see(old: str, new: str) -> None:
    assert old in EXAMPLE
    assert schema_errors(EXAMPLE.replace(old, new)) != []


GRAPHS = """\
version: 2
pools: {vendor: 3}
pipelines_from: m:f
pipelines:
  p:
    after: q
    needs_dataset: {bars: session}
    give_up: 2h
    rehearsal: {a: {duration: 4s, outcome: success}}
    nodes:
      a: {op: ingest, dataset: bars, retry: {on: [any]}, pool: vendor}
      b: {op: ingest, dataset: bars, retry: {on: timeout}, for_each: {param: x}, trigger: all_done}
  q: {template: daily, with: {dataset: bars}, priority: 3}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("vendor: 3", "vendor: 0"),
        ("session}", "sesion}"),
        ("[any]", "[anny]"),
        ("on: timeout", "on: timeut"),
        ("all_done", "al_done"),
        ("priority: 3", "priority: 10"),
        ("template: daily", "template: dayly"),
        ("    nodes:", "    nods:"),
        ("{duration: 4s", "{fail_rate: 2"),
    ],
)
def test_the_schema_knows_graphs_pools_and_templates(old: str, new: str) -> None:
    daily = TemplateSpec(name="daily", resource="p:daily.yaml")
    schema = json_schema(replace(RegistryDouble(), templates={"daily": daily}))
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(read_text(GRAPHS, FILE).plain())) == []
    changed = read_text(GRAPHS.replace(old, new), FILE).plain()
    assert list(validator.iter_errors(changed)) != []


def test_the_schema_lets_substitutions_stand_for_numbers() -> None:
    text = EXAMPLE.replace("port: 9090", 'port: "${env:PORT}"').replace(
        "seed: 42", "seed: '${env:S}'"
    )
    assert schema_errors(text) == []
    assert schema_errors(EXAMPLE.replace("port: 9090", "port: high")) != []
