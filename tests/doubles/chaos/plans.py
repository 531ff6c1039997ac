"""A seeded configuration and the work that is submitted to it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

SYMBOLS = ("AAPL", "MSFT", "NVDA")
BARS_A_SESSION = 24
_FIRST = date(2025, 1, 6)
_RULES = (
    *("all_success",) * 8,
    *("all_done", "none_failed", "one_success", "one_done", "one_failed", "all_failed"),
    *("none_failed_min_one_success", "none_skipped", "all_skipped", "always"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One submission, as the API takes it."""

    key: str
    body: dict[str, Any]


@dataclass(slots=True)
class Plan:
    """What a storm runs: pipelines that are drawn from a seed, and submissions to them."""

    seed: int
    lake: str
    graphs: int = 8
    tables: int = 3
    _chance: random.Random = field(init=False)
    _sessions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def configuration(self) -> dict[str, Any]:
        """Return the configuration; the same for the same seed."""
        chance = random.Random(self.seed)
        pipelines: dict[str, Any] = {}
        for number in range(2):
            pipelines[f"leaf_{number}"] = _leaf(chance)
            pipelines[f"clock_{number}"] = _clock(2 + number)
        for number in range(self.graphs):
            pipelines[f"graph_{number}"] = _graph(chance)
        pipelines[f"graph_{self.graphs}"] = _steady(chance)
        for number in range(self.tables):
            pipelines[f"load_{number}"] = _load(number)
        return {
            "version": 2,
            "providers": {"made_up": {"type": "synthetic", "seed": self.seed}},
            "storage": {"primary": {"type": "lake", "uri": self.lake, "write": {"batch_size": 24}}},
            "datasets": {
                f"bars_{number}": {
                    "provider": "made_up",
                    "symbols": list(SYMBOLS),
                    "interval": "1h",
                    "calendar": "24/7",
                }
                for number in range(self.tables)
            },
            "pools": {"narrow": 1, "wide": 3},
            "pipelines": pipelines,
            "daemon": {"max_workers": 3, "drain_timeout": "5s"},
        }

    def order(self, number: int) -> Order:
        """Return the next submission."""
        chance, key = self._chance, f"storm-{self.seed}-{number}"
        if chance.random() < 0.35:
            name = f"load_{chance.randrange(self.tables)}"
            at = self._sessions.get(name, -1)
            if at < 0 or chance.random() < 0.8:
                at = self._sessions[name] = at + 1
            session = _FIRST + timedelta(days=at)
            return Order(key=key, body={"pipeline": name, "session": session.isoformat()})
        name = f"graph_{chance.randrange(self.graphs + 1)}"
        count = chance.randrange(1, 6)
        return Order(key=key, body={"pipeline": name, "params": {"items": list(range(count))}})


def _retry(chance: random.Random) -> dict[str, Any]:
    return {
        "max_attempts": chance.randrange(1, 5),
        "backoff_seconds": round(chance.uniform(0.02, 0.3), 2),
        "on": ["any"],
    }


def _leaf(chance: random.Random) -> dict[str, Any]:
    return {
        "max_active_runs": 3,
        "nodes": {
            "first": {"op": "noop", "seconds": round(chance.uniform(0, 0.2), 2)},
            "second": _python(chance, seconds=0.05) | {"needs": ["first"]},
        },
    }


def _clock(seconds: int) -> dict[str, Any]:
    return {
        "schedule": [f"every {seconds}s"],
        "overlap": "queue_all",
        "on_missed": "run_all",
        "max_active_runs": 4,
        "nodes": {"tick": {"op": "noop"}, "tock": {"op": "noop", "needs": ["tick"]}},
    }


def _load(number: int) -> dict[str, Any]:
    often = {"max_attempts": 100, "backoff_seconds": 0.05, "max_backoff_seconds": 0.5}
    return {
        "max_active_runs": 2,
        "priority": 3 + number,
        "nodes": {
            "fetch": {"op": "ingest", "dataset": f"bars_{number}", "retry": often},
            "check": {"op": "gate", "needs": ["fetch"], "rules": ["ohlc"], "retry": often},
            "publish": {"op": "write", "needs": {"check": ["pass", "warn"]}, "retry": often},
        },
    }


def _python(chance: random.Random, *, seconds: float) -> dict[str, Any]:
    how = chance.choice(("go", "go", "go", "raise", "vanish"))
    args = {"how": how, "seconds": round(chance.uniform(0, seconds), 3), "share": 0.5}
    made: dict[str, Any] = {"op": "python", "function": "chaos_nodes:work", "args": args}
    if chance.random() < 0.3:
        made["pool"] = chance.choice(("narrow", "wide"))
    return made | {"retry": _retry(chance)}


def _graph(chance: random.Random) -> dict[str, Any]:
    nodes: dict[str, Any] = {"n0": {"op": "python", "function": "chaos_nodes:listed"}}
    nodes["n0"]["args"] = {"count": chance.randrange(1, 6)}
    ways: dict[str, str] = {}
    for number in range(1, chance.randrange(5, 12)):
        name = f"n{number}"
        node = _node(chance)
        earlier = list(nodes)
        needs = chance.sample(earlier, min(len(earlier), chance.randrange(1, 4)))
        if any(need in ways for need in needs):
            node["needs"] = {need: [ways[need]] if need in ways else [] for need in needs}
        else:
            node["needs"] = needs
        if len(needs) > 1:
            node["trigger"] = chance.choice(_RULES)
        if node["op"] == "branch":
            ways[name] = chance.choice(("few", "many"))
        if node["op"] == "approve":
            ways[name] = chance.choice(("approved", "approved", "rejected"))
        nodes[name] = node
    return {
        "params": {"items": [1]},
        "max_active_runs": chance.randrange(1, 5),
        "priority": chance.randrange(10),
        "nodes": nodes,
    }


def _steady(chance: random.Random) -> dict[str, Any]:
    """Return a graph that gets to its end whatever is killed."""
    often = {"max_attempts": 100, "backoff_seconds": 0.05, "max_backoff_seconds": 0.5, "on": "any"}
    return {
        "params": {"items": [1]},
        "nodes": {
            "many": _fan_out(chance) | {"retry": often},
            "made": _rows(chance) | {"retry": often, "needs": ["many"]},
            "inner": _sub_run(chance) | {"needs": ["many"], "retry": often},
            "asked": _approve(chance) | {"needs": ["made"]},
        },
    }


def _node(chance: random.Random) -> dict[str, Any]:
    return chance.choice(_NODES)(chance)


def _work(chance: random.Random) -> dict[str, Any]:
    return _python(chance, seconds=0.4)


def _pause(chance: random.Random) -> dict[str, Any]:
    return {"op": chance.choice(("noop", "wait")), "seconds": round(chance.uniform(0, 0.4), 2)}


def _told(chance: random.Random) -> dict[str, Any]:
    return {"op": "noop", "outcome": chance.choice(("success", "failed", "skipped"))}


def _sub_run(chance: random.Random) -> dict[str, Any]:
    return {"op": "pipeline", "pipeline": f"leaf_{chance.randrange(2)}"}


def _fan_out(chance: random.Random) -> dict[str, Any]:
    many = _python(chance, seconds=0.1) | {"for_each": {"param": "items"}}
    return many | {"max_parallel": chance.randrange(1, 4)}


def _branch(_chance: random.Random) -> dict[str, Any]:
    return {"op": "branch", "value": "${items}", "cases": {"few": [0]}, "otherwise": "many"}


def _approve(chance: random.Random) -> dict[str, Any]:
    deadline = round(chance.uniform(0.5, 4), 1)
    return {"op": "approve", "deadline": deadline, "on_deadline": "approved"}


def _rows(chance: random.Random) -> dict[str, Any]:
    made = {"op": "python", "function": "chaos_nodes:rows", "args": {"count": 1000}}
    return made | {"retry": _retry(chance)}


def _command(chance: random.Random) -> dict[str, Any]:
    return {"op": "command", "command": ["sleep", "0.05"], "retry": _retry(chance)}


_NODES: tuple[Callable[[random.Random], dict[str, Any]], ...] = (
    *(_work, _work, _work, _work),
    *(_pause, _told, _sub_run, _fan_out, _branch, _approve, _rows, _command),
)
