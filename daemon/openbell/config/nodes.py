"""One node of a pipeline: its own keys, and its operator's settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from openbell.config.facts import facts_in
from openbell.config.fanout import ITEM, FanoutReader
from openbell.config.invalid import nearest
from openbell.config.node_schema import NodeSection, RetrySection
from openbell.config.plugins import Registry, refusal_of
from openbell.config.problems import Problems
from openbell.config.substitution import fill_params, param_names, params_in
from openbell.config.tree import Path, Plain
from openbell.model.facts import SESSION_FACTS
from openbell.model.pipelines import Node, RetryPolicy
from openbell.sdk.hooks import OperatorSpec
from openbell.sdk.values import Severity

NODE_KEYS = tuple(NodeSection.model_fields)
_RULE_KEYS = ("name", "severity")
DEFAULT_RETRY = RetryPolicy()


class NodeReader:
    """Reads the nodes of one pipeline; `refusals` says what they lack of the plugins."""

    def __init__(
        self,
        registry: Registry,
        problems: Problems,
        params: Mapping[str, Any],
        *,
        pools: Collection[str] = (),
        fanout: FanoutReader | None = None,
    ) -> None:
        self._registry = registry
        self._problems = problems
        self._params = params
        self._pools = pools
        self._fanout = fanout
        self.refusals: list[str] = []

    def read(self, name: str, raw: Mapping[str, Any], path: Path) -> Node | None:
        """Return the node written at `path`, or None when it cannot be used."""
        try:
            section = NodeSection.model_validate(raw)
        except ValidationError as error:
            self._problems.add_invalid(path, NodeSection, error)
            return None
        spec = self._registry.operators.get(section.op)
        if spec is None:
            self._missing("operator", section.op, (*path, "op"), self._registry.operators)
            return None
        for_each = self._spread(section, path)
        settings = self.settings(
            spec, section.model_extra or {}, path, is_item=section.for_each is not None
        )
        if settings is None:
            return None
        return Node(
            name=name,
            op=section.op,
            needs=dict(section.needs),
            settings=settings,
            retry=retry_policy(section.retry),
            timeout_s=section.timeout,
            trigger=section.trigger,
            pool=section.pool,
            for_each=for_each,
            max_parallel=section.max_parallel,
        )

    def _spread(self, section: NodeSection, path: Path) -> Plain:
        """Check what makes a node wait or run more than once; return its `for_each`."""
        if section.pool is not None and section.pool not in self._pools:
            hint = nearest(section.pool, self._pools) or "declare it: pools: {NAME: SLOTS}"
            self._problems.add((*path, "pool"), f"pool {section.pool!r} does not exist", hint)
        if not section.needs and section.trigger not in {"all_success", "always"}:
            message = (
                f"trigger {section.trigger} looks at nodes before this one, and there are none"
            )
            self._problems.add((*path, "trigger"), message)
        if section.for_each is None:
            if section.max_parallel is not None:
                message = "says how many instances run at once, and there is no for_each"
                self._problems.add((*path, "max_parallel"), message, at_key=True)
            return None
        if self._fanout is None:
            return section.for_each
        return self._fanout.read(section.for_each, (*path, "for_each"), needs=section.needs)

    def settings(
        self, spec: OperatorSpec, raw: Mapping[str, Any], path: Path, *, is_item: bool
    ) -> dict[str, Any] | None:
        """Return the operator's settings as plain JSON, rules in their long form.

        What waits for `${item}` (`is_item`: there is one) or for what only a run knows is checked
        when it is known.
        """
        before = len(self._problems) + len(self.refusals)
        settings = dict(raw)
        if "rules" in settings and "rules" in spec.settings_model.model_fields:
            settings["rules"] = self._rules(settings["rules"], (*path, "rules"))
        wanted = params_in(settings)
        known = facts_in(wanted, self._params, self._problems, path)
        late = (wanted & {ITEM} if is_item else set()) | set(known)
        for name in sorted(wanted - late - set(self._params)):
            if name == ITEM:
                self._problems.add(path, "${item} stands only in a node with for_each")
            else:
                there = (*self._params, *SESSION_FACTS)
                self._problems.add_unknown(path, "parameter", name, there)
        if len(self._problems) + len(self.refusals) > before:
            return None
        filled = fill_params(settings, {**_stand_ins(settings), **self._params, **known})
        try:
            checked = spec.settings_model.model_validate(filled)
        except ValidationError as error:
            found = len(self._problems)
            self._problems.add_invalid(
                path,
                spec.settings_model,
                error,
                NODE_KEYS,
                unless=lambda loc: bool(params_in(_at(settings, loc)) & late),
            )
            return settings if len(self._problems) == found else None
        if filled != settings:
            return settings
        return checked.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def _rules(self, raw: Plain, path: Path) -> Plain:
        if not isinstance(raw, list):
            return raw
        return [self._rule(entry, (*path, index)) for index, entry in enumerate(raw)]

    def _rule(self, raw: Plain, path: Path) -> Plain:
        """Return one entry in its long form: name, severity if it was given, parameters."""
        entry: Plain = {"name": raw} if isinstance(raw, str) else raw
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            self._problems.add(path, "a rule is its name, or a mapping with its name")
            return raw
        name = entry["name"]
        long: dict[str, Any] = {"name": name}
        if "severity" in entry:
            long["severity"] = entry["severity"]
            if entry["severity"] not in list(Severity):
                expected = ", ".join(Severity)
                self._problems.add((*path, "severity"), f"severity must be one of {expected}")
        params = {key: value for key, value in entry.items() if key not in {"name", "severity"}}
        spec = self._registry.rules.get(name)
        if spec is None:
            self._missing("rule", name, path, self._registry.rules)
            return long
        try:
            known = {
                key: value
                for key, value in params.items()
                if not params_in(value) - set(self._params)
            }
            spec.settings_model.model_validate(fill_params(known, self._params))
        except ValidationError as error:
            self._problems.add_invalid(path, spec.settings_model, error, _RULE_KEYS)
        return long | ({"params": params} if params else {})

    def _missing(self, kind: str, name: str, path: Path, known: Mapping[str, Any]) -> None:
        reason = refusal_of(self._registry, kind, name)
        if reason:
            self.refusals.append(reason)
        else:
            self._problems.add_unknown(path, kind, name, known)


def _stand_ins(settings: Plain) -> dict[str, str]:
    """Return a value for everything that an item could be asked for."""
    return {name: "" for name in param_names(settings) if name.partition(".")[0] == ITEM}


def _at(settings: Plain, loc: Path) -> Plain:
    """Return what stands at `loc`, or the nearest that it is in."""
    for step in loc:
        try:
            settings = settings[step]
        except (KeyError, IndexError, TypeError):
            break
    return settings


def retry_policy(section: RetrySection | None) -> RetryPolicy:
    """Return the section as the engine's policy."""
    if section is None:
        return DEFAULT_RETRY
    return RetryPolicy(
        max_attempts=section.max_attempts,
        backoff_s=section.backoff_seconds,
        multiplier=section.multiplier,
        max_backoff_s=section.max_backoff_seconds,
        on=section.on,
    )
