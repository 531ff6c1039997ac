"""Read the entry points of group `openbell`, check each plugin, and register what it brings."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from openbell.plugin_host.guard import Failure, guarded
from openbell.plugin_host.kinds import KINDS, Spec
from openbell.plugin_host.registry import PluginInfo, Registry
from openbell.plugin_host.rules import Refusal, refuse_control, registered_specs, stated_api
from openbell.sdk.hooks import TemplateSpec

GROUP = "openbell"
CORE = "openbell"
IN_PROCESS = "(in process)"
_HEAVY = ("pyarrow", "pandas", "numpy", "duckdb", "polars", "deltalake")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    name: str
    distribution: str
    version: str
    load: Callable[[], object]


@dataclass(slots=True)
class _Shelf:
    """What was registered so far: specs, and which plugin holds a name."""

    specs: dict[str, dict[str, Spec]] = field(
        default_factory=lambda: {kind.name: {} for kind in KINDS}
    )
    holders: dict[tuple[str, str], str] = field(default_factory=dict)

    def put(self, owner: str, specs: Mapping[str, tuple[Spec, ...]]) -> None:
        """Register all of `specs`, or nothing and raise Refusal if a name is held already."""
        mine: set[tuple[str, str]] = set()
        for kind, of_kind in specs.items():
            for spec in of_kind:
                key = (kind, spec.name)
                if key in mine:
                    raise Refusal(f"it registers {kind} {spec.name!r} twice")
                if key in self.holders:
                    holder = self.holders[key]
                    raise Refusal(f"{kind} {spec.name!r} is already registered by {holder}")
                mine.add(key)
        for kind, of_kind in specs.items():
            for spec in of_kind:
                self.specs[kind][spec.name] = spec
                self.holders[kind, spec.name] = owner


def load_plugins(extra: Iterable[tuple[str, object]] = ()) -> Registry:
    """Return what the installed plugins bring; `extra` are (name, module or object) of this process.

    Plugins are taken in the order of their distributions' names, the core's own first and `extra`
    last: of two plugins that register the same name the later one is refused as a whole. Nothing
    that a plugin does wrong stops another one, or raises here.
    """
    candidates = [*_installed(), *(_in_process(name, plugin) for name, plugin in extra)]
    shelf = _Shelf()
    plugins = tuple(_load(candidate, shelf) for candidate in candidates)
    return _registry(shelf, plugins)


def _installed() -> Sequence[_Candidate]:
    found = [_candidate(point) for point in importlib.metadata.entry_points(group=GROUP)]
    return sorted(found, key=lambda c: (c.distribution != CORE, c.distribution, c.name))


def _candidate(point: importlib.metadata.EntryPoint) -> _Candidate:
    distribution = point.dist
    return _Candidate(
        name=point.name,
        distribution=distribution.name if distribution else "",
        version=distribution.version if distribution else "",
        load=point.load,
    )


def _in_process(name: str, plugin: object) -> _Candidate:
    return _Candidate(name=name, distribution=IN_PROCESS, version="", load=lambda: plugin)


def _load(candidate: _Candidate, shelf: _Shelf) -> PluginInfo:
    """Register one plugin, or nothing of it; return its fate."""
    heavy_before = _heavy_modules()
    info = partial(
        PluginInfo,
        name=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
    )
    plugin = guarded(candidate.load)
    if isinstance(plugin, Failure):
        return info(state="refused", reason=plugin.reason, traceback=plugin.traceback)
    stated = getattr(plugin, "OPENBELL_API", "")
    specs = guarded(lambda: _registered(plugin, candidate, shelf))
    if isinstance(specs, Failure):
        return info(
            state="refused",
            api_version=str(stated),
            reason=specs.reason,
            traceback=specs.traceback,
        )
    return info(
        state="loaded",
        api_version=str(stated),
        registers=MappingProxyType(
            {kind: tuple(spec.name for spec in of_kind) for kind, of_kind in specs.items()}
        ),
        warnings=tuple(_warnings(specs, sorted(_heavy_modules() - heavy_before))),
    )


def _warnings(specs: Mapping[str, object], brought: Sequence[str]) -> Iterable[str]:
    if not specs:
        yield "it registers nothing"
    for module in brought:
        yield f"its entry module imports {module}; import it in the implementation only"


def _registered(
    plugin: object, candidate: _Candidate, shelf: _Shelf
) -> Mapping[str, tuple[Spec, ...]]:
    stated_api(plugin)
    specs = registered_specs(plugin, candidate.name)
    if candidate.distribution != CORE:
        refuse_control(specs)
    shelf.put(f"{candidate.name} of {candidate.distribution}", specs)
    return specs


def _heavy_modules() -> set[str]:
    return {name for name in _HEAVY if name in sys.modules}


def _registry(shelf: _Shelf, plugins: tuple[PluginInfo, ...]) -> Registry:
    frozen: dict[str, Mapping[str, Any]] = {
        kind: MappingProxyType(dict(sorted(specs.items()))) for kind, specs in shelf.specs.items()
    }
    owners = {
        spec.factory: shelf.holders[kind, name]
        for kind, specs in shelf.specs.items()
        for name, spec in specs.items()
        if not isinstance(spec, TemplateSpec)
    }
    return Registry(
        providers=frozen["provider"],
        rules=frozen["rule"],
        backends=frozen["backend"],
        sinks=frozen["sink"],
        operators=frozen["operator"],
        routes=frozen["route"],
        templates=frozen["template"],
        plugins=plugins,
        owners=MappingProxyType(owners),
    )
