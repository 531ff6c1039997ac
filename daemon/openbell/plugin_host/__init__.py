"""Entry points in, a frozen registry out. A bad plugin is a fact in it, not an outage."""

from __future__ import annotations

from openbell.plugin_host.loading import load_plugins
from openbell.plugin_host.registry import PluginInfo, Registry

__all__ = ["PluginInfo", "Registry", "load_plugins"]
