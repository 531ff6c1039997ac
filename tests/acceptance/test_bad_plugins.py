"""Providers, rules and backends of others that go wrong in the middle of a chain, on a real daemon.

Whatever they do, the record names their node and what it was, the rows that were good before stay,
each once, and neither a process nor a file is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doubles.bad.parts import GOOD, PAGES, ROWS
from doubles.bad.place import Place, Record, is_gone, place_with, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

LIMIT_MB = 1024
SLOW_S = 8
NODES = {"provider": "fetch", "rule": "check", "backend": "publish"}
MISDEEDS = ("raise", "wrong", "exit", "eat_arrow", "eat_and_abort", "hang", "fork")
ONCE = {"max_attempts": 1}


def configuration(folder: Path) -> dict[str, Any]:
    """Return one pipeline for each misdeed in each place, and one that takes up what is left."""
    made: dict[str, Any] = {
        "version": 2,
        "daemon": {"max_workers": 5, "worker_max_memory_mb": LIMIT_MB},
        "providers": {"well": {"type": "bad"}},
        "storage": {},
        "datasets": {"well": {"provider": "well", "symbols": ["AAPL"], "interval": "1min"}},
        "pipelines": {"idle": {"nodes": {"n": {"op": "noop"}}}},
    }
    for where in NODES:
        made["storage"][f"warm_{where}"] = {"type": "lake", "uri": f"./warm_{where}"}
        made["pipelines"][f"warm_{where}"] = chain("well", "ohlc", f"warm_{where}", {})
    for how in MISDEEDS:
        for where in NODES:
            name = f"{where}_{how}"
            bad = {"how": how, "mark": str(folder / f"{name}.mark")}
            made["storage"][name] = {"type": "lake", "uri": f"./{name}"}
            if where == "provider":
                made["providers"][name] = {"type": "bad", **bad}
                made["datasets"][name] = {**made["datasets"]["well"], "provider": name}
            if where == "backend":
                made["storage"][name] = {"type": "bad", **bad}
            made["pipelines"][name] = chain(
                name if where == "provider" else "well",
                {"name": "bad", **bad} if where == "rule" else "ohlc",
                name,
                {"timeout": SLOW_S} if how == "hang" else {},
            )
    made["pipelines"]["twice"] = chain("well", {"name": "bad", "how": "exit"}, "twice", {})
    made["storage"]["twice"] = {"type": "lake", "uri": "./twice"}
    for node in made["pipelines"]["twice"]["nodes"].values():
        node["retry"] = {"max_attempts": 2, "backoff_seconds": 0.05}
    return made


def chain(dataset: str, rule: Any, storage: str, limit: dict[str, Any]) -> dict[str, Any]:
    return {
        "nodes": {
            "fetch": {"op": "ingest", "dataset": dataset, "retry": ONCE, **limit},
            "check": {"op": "gate", "needs": ["fetch"], "rules": [rule], "retry": ONCE},
            "publish": {
                "op": "write",
                "needs": {"check": ["pass", "warn"]},
                "to": storage,
                "retry": ONCE,
            },
        }
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("plugins")
    with place_with(folder, configuration(folder)) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def hanging(place: Place) -> dict[str, str]:
    """Runs that take their time, in workers that have loaded everything, begun before all others."""
    warm = [place.submit(f"warm_{where}", session="2026-01-05") for where in NODES]
    assert {place.ended(run_id).state for run_id in warm} == {"success"}
    return {where: place.submit(f"{where}_hang", session="2026-01-05") for where in NODES}


def ran(place: Place, where: str, how: str) -> Record:
    return place.ended(place.submit(f"{where}_{how}", session="2026-01-05"))


def check_blamed(record: Record, where: str, kind: str) -> str:
    """The node whose code it was failed, once, with its letter; return what is told of it."""
    assert record.state == "failed"
    failed = record.failed
    assert (failed["name"], failed["error_kind"]) == (NODES[where], kind)
    assert [(each["error_kind"], each["state"]) for each in record.attempts] == [(kind, "failed")]
    (letter,) = record.letters
    assert (letter["node"], letter["error_kind"]) == (NODES[where], kind)
    assert letter["error"] == failed["error"]
    if where != "provider":
        assert record.run["rows_in"] >= GOOD * ROWS
    return str(failed["error"])


@pytest.mark.parametrize("where", NODES)
def test_one_that_raises_is_named_with_its_traceback(place: Place, where: str) -> None:
    record = ran(place, where, "raise")
    error = check_blamed(record, where, "plugin" if where == "rule" else "error")
    assert "the vendor's answer makes no sense" in error
    assert "KeyError: 'price'" in record.attempts[0]["traceback"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("provider", "provider 'provider_wrong': fetch() gave a value of type set, not Page"),
        ("rule", "rule 'bad': observe() gave a value of type set, not ndarray"),
        ("backend", "storage 'backend_wrong': stage() gave a value of type set, not Staged"),
    ],
)
def test_one_that_gives_the_wrong_type_is_told_which_it_should_be(
    place: Place, where: str, words: str
) -> None:
    assert check_blamed(ran(place, where, "wrong"), where, "plugin") == f"plugin {words}"


@pytest.mark.parametrize("where", NODES)
def test_one_that_leaves_by_os_exit_is_lost_with_its_last_words(place: Place, where: str) -> None:
    record = ran(place, where, "exit")
    assert "was lost: exit code 3" in check_blamed(record, where, "worker_lost")
    assert record.lines == ["the last words"]


@pytest.mark.parametrize("where", NODES)
@pytest.mark.parametrize("how", ["eat_arrow", "eat_and_abort"])
def test_one_that_eats_memory_is_told_so_and_not_tried_again(
    place: Place, where: str, how: str
) -> None:
    record = ran(place, where, how)
    error = check_blamed(record, where, "memory")
    assert f"of {LIMIT_MB:,} MiB allowed" in error
    assert ("'std::bad_alloc'" if how == "eat_and_abort" else "malloc of size") in error
    assert record.attempts[0]["peak_memory_bytes"] > LIMIT_MB * 1024 * 1024 / 4


@pytest.mark.parametrize("where", NODES)
def test_one_that_hangs_is_ended_and_told_where_it_was(
    place: Place, where: str, hanging: dict[str, str]
) -> None:
    record = place.ended(hanging[where])
    assert record.state == "failed"
    assert (record.failed["name"], record.failed["error_kind"]) == ("fetch", "timeout")
    assert record.failed["error"].startswith(f"took longer than {SLOW_S} s")
    if where != "provider":
        assert record.failed["error"].endswith(f"({NODES[where]!r} was at work)")
    assert "in _hang" in record.attempts[0]["traceback"]


@pytest.mark.parametrize("where", NODES)
def test_one_that_forks_goes_on_once(place: Place, where: str) -> None:
    record = ran(place, where, "fork")
    assert record.state == "success"
    assert (record.run["rows_in"], record.run["rows_written"]) == (PAGES * ROWS, PAGES * ROWS)
    assert record.run["nodes"]["publish"]["attempts"] == 1
    child = int((place.mdp.folder / f"{where}_fork.mark").read_text())
    wait_for(lambda: is_gone(child))


def test_what_was_good_before_is_kept_and_another_attempt_goes_on_behind_it(place: Place) -> None:
    record = place.ended(place.submit("twice", session="2026-01-05"))
    assert record.state == "success"
    assert [(each["state"], each["error_kind"]) for each in record.attempts] == [
        ("failed", "worker_lost"),
        ("success", ""),
    ]
    assert (record.run["rows_in"], record.run["rows_written"]) == (PAGES * ROWS, PAGES * ROWS)
    assert record.lines == ["the last words"]


def test_nobody_left_anything(place: Place) -> None:
    place.check_unharmed()
