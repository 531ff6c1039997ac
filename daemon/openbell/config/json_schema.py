"""The configuration's JSON Schema (draft 2020-12), with the keys of the installed plugins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from openbell.config.node_schema import NodeSection
from openbell.config.plugins import Registry
from openbell.config.schema import Configuration
from openbell.config.tree import Plain
from openbell.sdk.hooks import BackendSpec, OperatorSpec, ProviderSpec, RuleSpec
from openbell.sdk.values import Severity

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SUBSTITUTED = {"type": "string", "pattern": r"\$\{"}
_TYPED = {"integer", "number", "boolean"}
Spec = ProviderSpec | BackendSpec | OperatorSpec | RuleSpec
Schema = dict[str, Any]


def json_schema(registry: Registry) -> Schema:
    """Return the schema for editors and checkers; it knows every plugin of `registry`.

    What only the loader can know (names that refer to each other, cycles, environment) is not in
    it, nor are short forms that a plugin's own schema does not tell.
    """
    return _Writer(registry).write()


class _Writer:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._definitions: dict[str, Schema] = {}

    def write(self) -> Schema:
        root = self._model(Configuration, "")
        node = self._model(NodeSection, "")
        providers = self._variants(
            "provider", "type", self._registry.providers.values(), "Provider"
        )
        storage = self._variants("backend", "type", self._registry.backends.values(), "Storage")
        operators = self._variants("operator", "op", self._registry.operators.values(), node)
        self._definitions["ProviderSection"] = providers
        self._definitions["StorageSection"] = storage
        self._definitions["Node"] = operators
        rules = self._rules()
        for name, definition in self._definitions.items():
            properties = definition.get("properties", {})
            if name in {"JobSection", *self._gates()} and "rules" in properties:
                properties["rules"] = rules | {"description": "the gate's rules"}
        nodes = self._definitions["PipelineSection"]["properties"]["nodes"]
        nodes["additionalProperties"] = {"$ref": "#/$defs/Node"}
        self._templates()
        del root["properties"]["version"]["title"]
        return {
            "$schema": DIALECT,
            **_lenient(root),
            "title": "openbell configuration",
            "$defs": {name: _lenient(body) for name, body in sorted(self._definitions.items())},
        }

    def _model(self, model: type[BaseModel], prefix: str) -> Schema:
        """Return the schema of `model`, its parts among the definitions under `prefix`."""
        schema = model.model_json_schema(
            by_alias=True, ref_template=f"#/$defs/{prefix}{{model}}", mode="validation"
        )
        for name, body in schema.pop("$defs", {}).items():
            self._definitions[prefix + name] = body
        return dict(schema)

    def _variants(self, kind: str, key: str, specs: Iterable[Spec], common: Schema | str) -> Schema:
        """Return one schema for each plugin's entry: the keys common to all, and its own."""
        base = self._definitions[f"{common}Section"] if isinstance(common, str) else common
        names: list[str] = []
        for spec in sorted(specs, key=lambda spec: spec.name):
            prefix = f"{kind}.{spec.name}"
            own = self._model(spec.settings_model, f"{prefix}.")
            properties = {**own.get("properties", {}), **base["properties"]}
            properties[key] = {"const": spec.name, "description": spec.summary or f"{kind} type"}
            self._definitions[prefix] = {
                "type": "object",
                "description": spec.summary,
                "properties": properties,
                "required": sorted({key, *own.get("required", ())}),
                "additionalProperties": False,
            }
            names.append(prefix)
        return _chosen(key, names, [name.split(".", 1)[1] for name in names])

    def _templates(self) -> None:
        """Let a pipeline be made from a template instead of nodes."""
        pipeline = self._definitions["PipelineSection"]
        pipeline["properties"]["template"]["enum"] = [*sorted(self._registry.templates), None]
        pipeline["required"].remove("nodes")
        pipeline["anyOf"] = [{"required": ["nodes"]}, {"required": ["template"]}]

    def _gates(self) -> set[str]:
        return {
            f"operator.{name}"
            for name, spec in self._registry.operators.items()
            if "rules" in spec.settings_model.model_fields
        }

    def _rules(self) -> Schema:
        entries: list[Schema] = [{"enum": sorted(self._registry.rules)}]
        for name, spec in sorted(self._registry.rules.items()):
            own = self._model(spec.settings_model, f"rule.{name}.")
            self._definitions[f"rule.{name}"] = {
                "type": "object",
                "description": spec.summary,
                "properties": {
                    **own.get("properties", {}),
                    "name": {"const": name},
                    "severity": {"enum": list(Severity)},
                },
                "required": sorted({"name", *own.get("required", ())}),
                "additionalProperties": False,
            }
            entries.append({"$ref": f"#/$defs/rule.{name}"})
        return {"type": "array", "items": {"anyOf": entries}}


def _chosen(key: str, references: list[str], names: list[str]) -> Schema:
    """Return a schema that applies the definition which `key` names."""
    return {
        "type": "object",
        "properties": {key: {"enum": names}},
        "required": [key],
        "allOf": [
            {
                "if": {"properties": {key: {"const": name}}, "required": [key]},
                "then": {"$ref": f"#/$defs/{reference}"},
            }
            for name, reference in zip(names, references, strict=True)
        ],
    }


def _lenient(schema: Plain) -> Plain:
    """Return `schema` with `${...}` allowed wherever a number or a switch is asked for."""
    if isinstance(schema, Mapping):
        written = {key: _lenient(value) for key, value in schema.items()}
        kind = schema.get("type")
        if isinstance(kind, str) and kind in _TYPED and "const" not in schema:
            about = {
                key: written.pop(key)
                for key in ("title", "description", "default")
                if key in written
            }
            return {**about, "anyOf": [written, dict(_SUBSTITUTED)]}
        return written
    if isinstance(schema, list):
        return [_lenient(value) for value in schema]
    return schema
