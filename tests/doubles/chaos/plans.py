"""A seeded configuration and the work that is submitted to it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

SYMBOLS = ("AAPL", "MSFT", "NVDA")
BARS_A_SESSION = 24
LIVE = "live"
FOLLOWED = "ticks"
LIVE_SYMBOLS = ("BTC", "ETH")
LIVE_INTERVAL = "2s"
EXTRA = "graph_extra"
"""A pipeline that comes and goes."""
MADE = "graph_made"
"""A pipeline that is defined through the API."""
_MOODS = {"duplicates": 0.001, "outages": {"rate": 0.02}}
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
    """What a storm runs: pipelines that are drawn from a seed, and submissions to them.

    A definition is drawn from the seed, its name and its edition, which `change` counts up; each
    function of its nodes is told the edition and writes it down.
    """

    seed: int
    lake: str
    graphs: int = 8
    tables: int = 3
    _chance: random.Random = field(init=False)
    _sessions: dict[str, int] = field(default_factory=dict)
    _editions: Counter[str] = field(default_factory=Counter)
    _has_extra: bool = False

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def names(self) -> tuple[str, ...]:
        """Return the names of the pipelines that are always configured."""
        return (
            *(f"{kind}_{number}" for number in range(2) for kind in ("leaf", "clock")),
            *(f"graph_{number}" for number in range(self.graphs + 1)),
            *(f"load_{number}" for number in range(self.tables)),
        )

    def change(self, chance: random.Random) -> None:
        """Let some pipelines have another edition, and one come or go."""
        self._editions.update(name for name in self.names() if chance.random() < 0.3)
        self._has_extra = not self._has_extra

    def made(self, chance: random.Random) -> dict[str, Any]:
        """Return the next edition of the pipeline that is defined through the API."""
        self._editions[MADE] += chance.randrange(2)
        return {"name": MADE, **self._drawn(MADE)}

    def _drawn(self, name: str) -> dict[str, Any]:
        edition = f"{name}.{self._editions[name]}"
        chance, (kind, _, which) = random.Random(f"{self.seed}.{edition}"), name.partition("_")
        match kind:
            case "leaf":
                found = _leaf(chance)
            case "clock":
                found = _clock(chance, 3 + 2 * int(which))
            case "load":
                return _load(int(which))
            case _:
                found = _steady(chance) if which == str(self.graphs) else _graph(chance)
        for node in found["nodes"].values():
            if node["op"] == "python":
                node["args"]["edition"] = edition
        return found

    def configuration(self) -> dict[str, Any]:
        """Return the configuration as it is to be now."""
        names = (*self.names(), *([EXTRA] if self._has_extra else ()))
        bars = {"provider": "made_up", "symbols": list(SYMBOLS), "interval": "1h"}
        ticks = {"provider": "moody", "symbols": list(LIVE_SYMBOLS), "interval": LIVE_INTERVAL}
        datasets = {f"bars_{number}": {**bars, "calendar": "24/7"} for number in range(self.tables)}
        often = {"max_attempts": 100, "backoff_seconds": 0.05, "max_backoff_seconds": 0.5}
        lake = {"type": "lake", "uri": self.lake}
        return {
            "version": 2,
            "providers": {
                "made_up": {"type": "synthetic", "seed": self.seed},
                "moody": {"type": "synthetic", "seed": self.seed, "faults": _MOODS},
            },
            "storage": {
                "primary": {**lake, "write": {"batch_size": 24}},
                LIVE: {**lake, "uri": f"{self.lake}_{LIVE}", "write": {"batch_size": 10_000}},
            },
            "datasets": {**datasets, FOLLOWED: {**ticks, "calendar": "24/7"}},
            "jobs": {
                LIVE: {
                    "dataset": FOLLOWED,
                    "mode": "live",
                    "storage": LIVE,
                    "execution": {"concurrency": 2, "retry": often},
                }
            },
            "pools": {"narrow": 1, "wide": 3},
            "pipelines": {name: self._drawn(name) for name in names},
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


def _clock(chance: random.Random, seconds: int) -> dict[str, Any]:
    tick = {"op": "noop", "seconds": round(chance.uniform(0, 0.1), 3)}
    return {
        "schedule": [f"every {seconds}s"],
        "overlap": "queue_all",
        "on_missed": "run_all",
        "max_active_runs": 4,
        "nodes": {"tick": tick, "tock": {"op": "noop", "needs": ["tick"]}},
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
    share = 0.2 if how == "vanish" else 0.5  # a worker that vanishes costs the start of another
    args = {"how": how, "seconds": round(chance.uniform(0, seconds), 3), "share": share}
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
            node["needs"] = {need: [ways.get(need) or _outcome(nodes[need])] for need in needs}
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


def _outcome(node: dict[str, Any]) -> str:
    """Return the label with which a node ends when all goes as told."""
    return str(node.get("outcome", "success"))


def _steady(chance: random.Random) -> dict[str, Any]:
    """Return a graph that gets to its end whatever is killed."""
    often = {"max_attempts": 100, "backoff_seconds": 0.05, "max_backoff_seconds": 0.5, "on": "any"}
    return {
        "params": {"items": [1]},
        "max_active_runs": 3,
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
