"""What a plugin must be before anything of it is registered. Each rule raises `Refusal`."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping, Sequence

import pluggy

from openbell.plugin_host.kinds import KINDS, Kind, Spec
from openbell.sdk import hooks
from openbell.sdk.hooks import API_VERSION, OperatorSpec, RouteSpec, RuleSpec, TemplateSpec
from openbell.sdk.rules import RuleScope
from openbell.sdk.settings import PluginSettings

_PREFIX = "openbell_"
_API = re.compile(r"(\d{1,4})\.(\d{1,4})")
_NAME = re.compile(r"[a-z][a-z0-9]*([_.-][a-z0-9]+)*")
_FILE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\.ya?ml")
_ROLES = ("source", "transform", "sink", "task", "control")


class Refusal(Exception):  # noqa: N818 - not an error of the daemon: a plugin's, told in a list
    """The plugin breaks a rule; the message says which one and what to do."""


def stated_api(plugin: object) -> str:
    """Return the plugin's `OPENBELL_API`, empty if it states none; refuse one we cannot serve."""
    stated = getattr(plugin, "OPENBELL_API", None)
    if stated is None:
        return ""
    match = _API.fullmatch(stated) if isinstance(stated, str) else None
    if match is None:
        raise Refusal(f'OPENBELL_API is {stated!r}; write it as a string such as "1.0"')
    major, minor = int(match[1]), int(match[2])
    ours = f"{API_VERSION[0]}.{API_VERSION[1]}"
    if major != API_VERSION[0]:
        raise Refusal(f"it was written for plugin API {stated}, this daemon has {ours}")
    if minor > API_VERSION[1]:
        raise Refusal(f"it needs plugin API {stated}, this daemon has {ours}; upgrade openbell")
    return str(stated)


def registered_specs(plugin: object, name: str) -> Mapping[str, tuple[Spec, ...]]:
    """Return the specs that `plugin` registers, by kind, each checked; raises Refusal."""
    manager = pluggy.PluginManager("openbell")
    manager.add_hookspecs(hooks)
    _check_hook_functions(manager, plugin)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise Refusal(_first_sentence(str(error))) from error
    specs: dict[str, tuple[Spec, ...]] = {}
    for kind in KINDS:
        answers = getattr(manager.hook, kind.hook)()
        found = tuple(spec for answer in answers for spec in _specs_of(kind, answer))
        if found:
            specs[kind.name] = found
    return specs


def refuse_control(specs: Mapping[str, tuple[Spec, ...]]) -> None:
    """Refuse operators that the daemon itself would have to answer: it has no code for them."""
    for spec in specs.get("operator", ()):
        if isinstance(spec, OperatorSpec) and spec.role == "control":
            raise Refusal(
                f"operator {spec.name!r}: role control is for openbell's own; "
                "write a task, or a source, transform or sink"
            )


def _check_hook_functions(manager: pluggy.PluginManager, plugin: object) -> None:
    known = {kind.hook for kind in KINDS}
    for name in dir(plugin):
        function = inspect.getattr_static(plugin, name, None)
        function = getattr(function, "__func__", function)
        marks = manager.parse_hookimpl_opts(plugin, name)
        if marks is None and not (name.startswith(_PREFIX) and inspect.isroutine(function)):
            continue
        hook = (marks and marks["specname"]) or name
        if hook not in known:
            close = difflib.get_close_matches(hook, sorted(known), n=1, cutoff=0.0)
            raise Refusal(f"hook {hook!r} does not exist; did you mean {close[0]!r}?")
        if marks is None:
            raise Refusal(f"hook {hook!r} is not marked with @hookimpl of openbell.sdk")
        if marks["wrapper"] or marks["hookwrapper"]:
            raise Refusal(f"hook {hook!r} is a wrapper; a plugin registers for itself only")
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise Refusal(f"hook {hook!r} is `async def`; hooks are plain functions")


def _first_sentence(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines[1:]) or lines[0]


def _specs_of(kind: Kind, answer: object) -> Sequence[Spec]:
    if isinstance(answer, str) or not isinstance(answer, Sequence):
        raise Refusal(
            f"{kind.hook} returned {type(answer).__name__}, not a list of {kind.spec_type.__name__}"
        )
    return [_checked(kind, spec) for spec in answer]


def _checked(kind: Kind, spec: object) -> Spec:
    if not isinstance(spec, kind.spec_type):
        raise Refusal(
            f"{kind.hook} returned a {type(spec).__name__}, not a {kind.spec_type.__name__}"
        )
    place = f"{kind.name} {spec.name!r}"
    name: object = spec.name
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise Refusal(f"{place}: a name is lower case letters, digits and single - _ or .")
    if isinstance(spec, TemplateSpec):
        _check_resource(spec.resource, place)
        return spec
    check_factory(spec.factory, place)
    if not isinstance(spec, RouteSpec):
        model: object = spec.settings_model
        if not (isinstance(model, type) and issubclass(model, PluginSettings)):
            raise Refusal(f"{place}: settings_model is no subclass of openbell.sdk.PluginSettings")
    if isinstance(spec, RuleSpec):
        scope: object = spec.scope
        if not isinstance(scope, RuleScope):
            raise Refusal(f"{place}: scope is {scope!r}, not a RuleScope")
    if isinstance(spec, OperatorSpec) and spec.role not in _ROLES:
        raise Refusal(f"{place}: role is {spec.role!r}, not one of {', '.join(_ROLES)}")
    return spec


def _check_resource(resource: object, place: str) -> None:
    if isinstance(resource, str):
        package, separator, file = resource.partition(":")
        named = all(part.isidentifier() for part in package.split("."))
        if separator and named and _FILE.fullmatch(file):
            return
    raise Refusal(f"{place}: resource is {resource!r}; write 'package:file.yaml'")


def check_factory(factory: object, place: str) -> tuple[str, str]:
    """Return (module, attribute) of `package.module:Class`; raises Refusal for another form."""
    if isinstance(factory, str):
        module, separator, attribute = factory.partition(":")
        parts = module.split(".")
        if separator and attribute.isidentifier() and all(part.isidentifier() for part in parts):
            return module, attribute
    raise Refusal(f"{place}: factory is {factory!r}; write 'package.module:Class'")
