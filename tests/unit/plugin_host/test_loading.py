from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from openbell.plugin_host import PluginInfo, Registry, load_plugins
from openbell.sdk import (
    NoSettings,
    OperatorSpec,
    PluginError,
    ProviderSpec,
    RouteSpec,
    RuleScope,
    RuleSpec,
    TemplateSpec,
    hookimpl,
)

pytestmark = pytest.mark.unit


def spec(name: Any = "acme", **changes: Any) -> ProviderSpec:
    fields: dict[str, Any] = {
        "name": name,
        "settings_model": NoSettings,
        "factory": "collections:OrderedDict",
    }
    return ProviderSpec(**(fields | changes))


def plugin(*specs: Any, **members: Any) -> ModuleType:
    """Return a plugin module that registers `specs` as providers, with `members` beside."""
    module = ModuleType("acme_plugin")

    @hookimpl
    def openbell_register_providers() -> list[Any]:
        return list(specs)

    module.openbell_register_providers = openbell_register_providers  # type: ignore[attr-defined]
    for name, member in members.items():
        setattr(module, name, member)
    return module


def unmarked() -> list[ProviderSpec]:
    raise AssertionError


def info(registry: Registry, name: str) -> PluginInfo:
    return next(plugin for plugin in registry.plugins if plugin.name == name)


def refusal(*extra: tuple[str, object]) -> PluginInfo:
    """Load `extra` beside a good plugin; return the fate of the last one of `extra`."""
    registry = load_plugins([("good", plugin(spec("good-one"))), *extra])
    assert info(registry, "good").state == "loaded"
    assert "good-one" in registry.providers
    refused = registry.plugins[-1]
    assert refused.state == "refused"
    assert not refused.registers
    assert "Traceback" in refused.traceback
    return refused


def test_a_plugins_specs_are_found_by_kind_and_name() -> None:
    registry = load_plugins([("acme", plugin(spec("b"), spec("a"), OPENBELL_API="1.0"))])
    assert registry.providers["a"].factory == "collections:OrderedDict"
    fate = info(registry, "acme")
    assert (fate.state, fate.api_version, fate.distribution) == ("loaded", "1.0", "(in process)")
    assert fate.registers == {"provider": ("b", "a")}


def test_installed_plugins_are_listed_with_their_distribution() -> None:
    fate = info(load_plugins(), "rules-core")
    assert fate.distribution == "openbell-rules-core"
    assert fate.version == "0.1.0"


def test_an_object_can_be_a_plugin() -> None:
    class Plugin:
        @hookimpl
        def openbell_register_rules(self) -> list[RuleSpec]:
            return [
                RuleSpec(
                    name="acme_rule",
                    settings_model=NoSettings,
                    factory="a.b:C",
                    scope=RuleScope.ROW,
                )
            ]

    assert "acme_rule" in load_plugins([("acme", Plugin())]).rules


def test_every_kind_has_its_shelf() -> None:
    class Plugin:
        @hookimpl
        def openbell_register_operators(self) -> list[OperatorSpec]:
            return [
                OperatorSpec(
                    name="acme_op", settings_model=NoSettings, factory="a:B", role="transform"
                )
            ]

        @hookimpl
        def openbell_register_routes(self) -> list[RouteSpec]:
            return [RouteSpec(name="acme", factory="a:make")]

    registry = load_plugins([("acme", Plugin())])
    assert registry.operators["acme_op"].role == "transform"
    assert registry.routes["acme"].factory == "a:make"


def test_a_registry_cannot_be_changed() -> None:
    registry = load_plugins([("acme", plugin(spec()))])
    with pytest.raises(TypeError):
        registry.providers["other"] = spec()  # type: ignore[index]


def test_a_misspelt_hook_is_refused_with_the_right_name() -> None:
    @hookimpl
    def openbell_register_provider() -> list[ProviderSpec]:
        raise AssertionError

    fate = refusal(("bad", plugin(openbell_register_provider=openbell_register_provider)))
    assert "did you mean 'openbell_register_providers'" in fate.reason


def test_a_misspelt_hook_is_refused_even_without_its_mark() -> None:
    fate = refusal(("bad", plugin(openbell_register_provders=unmarked)))
    assert "hook 'openbell_register_provders' does not exist" in fate.reason


def test_a_hook_without_its_mark_is_refused() -> None:
    fate = refusal(("bad", plugin(openbell_register_rules=unmarked)))
    assert "is not marked with @hookimpl" in fate.reason


def test_an_async_hook_is_refused() -> None:
    @hookimpl
    async def openbell_register_rules() -> list[RuleSpec]:
        return []

    fate = refusal(("bad", plugin(openbell_register_rules=openbell_register_rules)))
    assert "hook 'openbell_register_rules' is `async def`" in fate.reason


def test_a_hook_under_another_name_is_checked_by_what_it_implements() -> None:
    @hookimpl(specname="openbell_register_providers")
    def offer() -> list[ProviderSpec]:
        return [spec("offered")]

    @hookimpl(specname="openbell_register_nothing")
    def nothing() -> list[ProviderSpec]:
        raise AssertionError

    module = ModuleType("named_otherwise")
    module.offer = offer  # type: ignore[attr-defined]
    assert "offered" in load_plugins([("other", module)]).providers
    module.nothing = nothing  # type: ignore[attr-defined]
    assert "'openbell_register_nothing' does not exist" in refusal(("bad", module)).reason


def test_a_wrapper_is_refused() -> None:
    @hookimpl(wrapper=True)
    def openbell_register_rules() -> Any:
        return (yield)

    fate = refusal(("bad", plugin(openbell_register_rules=openbell_register_rules)))
    assert "is a wrapper" in fate.reason


def test_a_plugin_that_registers_nothing_is_told_so() -> None:
    fate = load_plugins([("idle", ModuleType("idle"))]).plugins[-1]
    assert fate.state == "loaded"
    assert fate.warnings == ("it registers nothing",)


def test_a_hook_with_parameters_is_refused() -> None:
    @hookimpl
    def openbell_register_rules(config: object) -> list[RuleSpec]:
        raise AssertionError

    fate = refusal(("bad", plugin(openbell_register_rules=openbell_register_rules)))
    assert "config" in fate.reason


def test_a_hook_that_raises_is_refused_with_its_traceback() -> None:
    @hookimpl
    def openbell_register_rules() -> list[RuleSpec]:
        raise LookupError("no rules today")

    fate = refusal(("bad", plugin(openbell_register_rules=openbell_register_rules)))
    assert fate.reason == "LookupError: no rules today"
    assert "openbell_register_rules" in fate.traceback


def test_a_hook_that_exits_stops_nothing() -> None:
    @hookimpl
    def openbell_register_rules() -> list[RuleSpec]:
        sys.exit(3)

    fate = refusal(("bad", plugin(openbell_register_rules=openbell_register_rules)))
    assert fate.reason == "SystemExit: 3"


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("2.0", "written for plugin API 2.0, this daemon has 1.0"),
        ("0.9", "written for plugin API 0.9"),
        ("1.7", "upgrade openbell"),
        ("one", "write it as a string"),
        (1.0, "write it as a string"),
        ((1, 0), "write it as a string"),
    ],
)
def test_an_incompatible_api_version_is_refused(stated: object, told: str) -> None:
    fate = refusal(("bad", plugin(spec("bad"), OPENBELL_API=stated)))
    assert told in fate.reason
    assert fate.api_version == str(stated)


def test_a_plugin_that_takes_a_held_name_is_refused_as_a_whole() -> None:
    registry = load_plugins(
        [("first", plugin(spec("taken"))), ("second", plugin(spec("own"), spec("taken")))]
    )
    fate = info(registry, "second")
    assert fate.state == "refused"
    assert fate.reason == "provider 'taken' is already registered by first of (in process)"
    assert "own" not in registry.providers
    assert info(registry, "first").state == "loaded"


def test_a_plugin_that_registers_a_name_twice_is_refused() -> None:
    fate = refusal(("bad", plugin(spec("twin"), spec("twin"))))
    assert fate.reason == "it registers provider 'twin' twice"


def test_the_same_name_of_another_kind_is_no_clash() -> None:
    class Rules:
        @hookimpl
        def openbell_register_rules(self) -> list[RuleSpec]:
            return [
                RuleSpec(name="acme", settings_model=NoSettings, factory="a:B", scope=RuleScope.ROW)
            ]

    registry = load_plugins([("p", plugin(spec("acme"))), ("r", Rules())])
    assert "acme" in registry.providers
    assert "acme" in registry.rules


@pytest.mark.parametrize(
    "factory", ["", "pkg.mod", "pkg.mod:", ":Class", "pkg..mod:Class", "pkg/mod:Class", "a:b.c", 3]
)
def test_a_malformed_factory_is_refused(factory: object) -> None:
    fate = refusal(("bad", plugin(spec("bad", factory=factory))))
    assert "write 'package.module:Class'" in fate.reason


@pytest.mark.parametrize("name", ["", "Upper", "with space", "-x", 7])
def test_a_malformed_name_is_refused(name: Any) -> None:
    fate = refusal(("bad", plugin(spec(name))))
    assert "a name is lower case letters" in fate.reason


@pytest.mark.parametrize("model", [dict, NoSettings(), None])
def test_settings_that_are_no_plugin_settings_are_refused(model: object) -> None:
    fate = refusal(("bad", plugin(spec("bad", settings_model=model))))
    assert "settings_model is no subclass" in fate.reason


def test_a_spec_of_another_kind_is_refused() -> None:
    fate = refusal(("bad", plugin(RouteSpec(name="x", factory="a:b"))))
    assert fate.reason == "openbell_register_providers returned a RouteSpec, not a ProviderSpec"


@pytest.mark.parametrize("answer", [None, "text", 5])
def test_a_hook_that_returns_no_list_is_refused(answer: object) -> None:
    @hookimpl
    def openbell_register_rules() -> object:
        return answer

    module = plugin(openbell_register_rules=openbell_register_rules)
    if answer is None:  # pluggy reads None as "nothing to say"
        assert load_plugins([("quiet", module)]).plugins[-1].state == "loaded"
        return
    assert "not a list of RuleSpec" in refusal(("bad", module)).reason


@pytest.mark.parametrize("resource", ["acme", "acme:x.json", "acme:../x.yaml", ":x.yaml", 3])
def test_a_template_names_a_file_of_a_package(resource: Any) -> None:
    class Templates:
        @hookimpl
        def openbell_register_templates(self) -> list[TemplateSpec]:
            return [TemplateSpec(name="daily", resource=resource)]

    assert "write 'package:file.yaml'" in refusal(("bad", Templates())).reason


def test_templates_are_registered_like_everything_else() -> None:
    class Templates:
        @hookimpl
        def openbell_register_templates(self) -> list[TemplateSpec]:
            return [TemplateSpec(name="daily", resource="acme.files:daily/v1.yml")]

    registry = load_plugins([("acme", Templates())])
    assert registry.templates["daily"].resource == "acme.files:daily/v1.yml"


def test_control_is_for_openbells_own_operators() -> None:
    class Operators:
        @hookimpl
        def openbell_register_operators(self) -> list[OperatorSpec]:
            return [
                OperatorSpec(name=f"a_{role}", settings_model=NoSettings, factory="a:B", role=role)
                for role in ("task", "control")
            ]

    assert "operator 'a_control': role control is for" in refusal(("bad", Operators())).reason


def test_a_wrong_scope_or_role_is_refused() -> None:
    class Rules:
        @hookimpl
        def openbell_register_rules(self) -> list[Any]:
            bad: Any = "column"
            return [RuleSpec(name="r", settings_model=NoSettings, factory="a:B", scope=bad)]

    class Operators:
        @hookimpl
        def openbell_register_operators(self) -> list[Any]:
            bad: Any = "middle"
            return [OperatorSpec(name="o", settings_model=NoSettings, factory="a:B", role=bad)]

    assert "not a RuleScope" in refusal(("bad", Rules())).reason
    assert "role is 'middle'" in refusal(("bad", Operators())).reason


def test_loading_imports_no_factory() -> None:
    load_plugins([("acme", plugin(spec(factory="no.such.package:Thing")))])


def test_a_factory_resolves_to_its_class() -> None:
    registry = load_plugins([("acme", plugin(spec()))])
    made = registry.resolve(registry.providers["acme"].factory)
    assert made.__name__ == "OrderedDict"


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("no.such.package:Thing", "ModuleNotFoundError"),
        ("collections:NoSuch", "has no 'NoSuch'"),
        ("sys:maxsize", "is not callable"),
    ],
)
def test_a_factory_that_fails_names_its_plugin(factory: str, told: str) -> None:
    registry = load_plugins([("acme", plugin(spec(factory=factory)))])
    with pytest.raises(PluginError, match="plugin acme of") as caught:
        registry.resolve(factory)
    assert told in str(caught.value)
