"""What plugins serve beside the API: each group of routes under `/x/{name}`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from starlette.types import ASGIApp

from openbell.plugin_host import PluginInfo, Registry
from openbell.plugin_host.guard import Failure, guarded
from openbell.plugin_host.rules import Refusal

Told = Callable[[str, Failure], None]
"""Called with the name of a group of routes that cannot be served, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounts:
    """The applications by name, and every plugin, with a warning where its routes failed."""

    apps: tuple[tuple[str, ASGIApp], ...]
    plugins: tuple[PluginInfo, ...]


def mount_plugins(registry: Registry, told: Told) -> Mounts:
    """Return what the plugins serve; one whose factory fails is told, and stops nothing.

    The factories are called with no argument, in the daemon itself.
    """
    apps: list[tuple[str, ASGIApp]] = []
    plugins = registry.plugins
    for name, spec in registry.routes.items():
        made = guarded(partial(_made, registry, spec.factory))
        if isinstance(made, Failure):
            told(name, made)
            plugins = tuple(_warned(info, name, made) for info in plugins)
        else:
            apps.append((name, made))
    return Mounts(apps=tuple(apps), plugins=plugins)


def _made(registry: Registry, factory: str) -> ASGIApp:
    made = registry.resolve(factory)()
    if not callable(made):
        raise Refusal(f"factory {factory!r} returned {type(made).__name__}, not an application")
    app: ASGIApp = made
    return app


def _warned(info: PluginInfo, name: str, failure: Failure) -> PluginInfo:
    if name not in info.registers.get("route", ()):
        return info
    warning = f"routes {name!r} are not served: {failure.reason}"
    return replace(info, warnings=(*info.warnings, warning))
