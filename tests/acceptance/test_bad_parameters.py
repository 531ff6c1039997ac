"""Parameters of the wrong type, and definitions that change while a run goes on, on a real daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from doubles.bad.place import Place, place_with, wait_for
from doubles.commands import Mdp

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

FN = "def twice(n):\n    return n * 2\n"


def held(value: str) -> dict[str, Any]:
    """Return a pipeline that waits for an answer and then hands on `value`."""
    return {
        "nodes": {
            "ask": {"op": "approve", "question": "go on?"},
            "tell": {"op": "noop", "needs": {"ask": ["approved"]}, "value": value},
        }
    }


def configuration() -> dict[str, Any]:
    return {
        "version": 2,
        "providers": {"made": {"type": "synthetic", "seed": 3}},
        "storage": {"primary": {"type": "lake", "uri": "./lake"}},
        "datasets": {
            "bars": {"provider": "made", "symbols": ["A"], "interval": "1d", "calendar": "XNYS"}
        },
        "pipelines": {
            "idle": {
                "params": {"seconds": 0},
                "nodes": {"n": {"op": "noop", "seconds": "${seconds}"}},
            },
            "checked": {
                "params": {"tolerated": 0.01},
                "nodes": {
                    "fetch": {"op": "ingest", "dataset": "bars"},
                    "check": {
                        "op": "gate",
                        "needs": ["fetch"],
                        "rules": [
                            {"name": "null_share", "column": "volume", "fail": "${tolerated}"}
                        ],
                    },
                },
            },
            "doubled": {
                "params": {"n": 1},
                "nodes": {
                    "n": {
                        "op": "python",
                        "function": "fn:twice",
                        "args": {"n": "${n}"},
                        "retry": {"max_attempts": 1},
                    }
                },
            },
            "changed": held("old"),
            "removed": held("old"),
        },
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("parameters")
    (folder / "fn.py").write_text(FN)
    with place_with(folder, configuration()) as made:
        yield made


def reconfigure(place: Place, **pipelines: Any) -> None:
    """Write the configuration with these pipelines over it (None: without) and let it be read."""
    changed = configuration()
    changed["pipelines"] |= pipelines
    changed["pipelines"] = {name: body for name, body in changed["pipelines"].items() if body}
    place.mdp.write("openbell.yaml", json.dumps(changed, indent=1))
    place.mdp.run("reload")


def runs_of(place: Place, pipeline: str) -> int:
    return len(place.get(f"/api/v1/runs?pipeline={pipeline}")["items"])


def go_on(place: Place, run_id: str) -> tuple[str, int, Any]:
    """Answer a run's question; return how it ended, by which version, and what it handed on."""
    wait_for(lambda: place.get(f"/api/v1/runs/{run_id}/approvals")["items"])
    answer = {"label": "approved"}
    status, _ = place.ask("POST", f"/api/v1/runs/{run_id}/nodes/ask/answer", answer)
    assert status == 200
    run = place.ended(run_id).run
    nodes = {node["node"]: node for node in place.get(f"/api/v1/runs/{run_id}/nodes")["items"]}
    return run["state"], run["workflow_version"], nodes["tell"]["output"]["value"]


def test_the_configuration_names_file_line_and_key(mdp: Mdp) -> None:
    wrong = configuration()
    wrong["pipelines"]["idle"]["params"] = {"seconds": "soon"}
    wrong["pipelines"]["checked"]["params"] = ["tolerated"]
    mdp.write("openbell.yaml", json.dumps(wrong, indent=1))
    told = mdp.run("validate", code=78).stderr
    assert "pipelines.idle.nodes.n.seconds: must be a time such as 0, 30s, 45m or 1h30m" in told
    assert "pipelines.checked.params: must be a mapping, not a list" in told
    assert "openbell.yaml:" in told


@pytest.mark.parametrize(
    ("pipeline", "given", "words"),
    [
        (
            "idle",
            "seconds=soon",
            "seconds: must be a time such as 0, 30s, 45m or 1h30m, not 'soon'",
        ),
        ("idle", "seconds=[1]", "not [1] (node 'n', op noop)"),
        ("idle", "second=1", "'idle' has no such parameter; there are: seconds"),
        ("checked", "tolerated=lots", "fail: must be a number, not 'lots' (node 'check', rule"),
    ],
)
def test_the_command_line_refuses_them_before_a_run_begins(
    place: Place, pipeline: str, given: str, words: str
) -> None:
    before = runs_of(place, pipeline)
    options = ("--session", "2026-01-05") if pipeline == "checked" else ()
    refused = place.mdp.run("run", "--pipeline", pipeline, "-p", given, *options, code=2)
    assert words in refused.stderr
    assert f"params.{given.partition('=')[0]}" in refused.stderr
    assert runs_of(place, pipeline) == before


def test_without_a_daemon_they_are_refused_alike(mdp: Mdp) -> None:
    mdp.write("openbell.yaml", json.dumps(configuration()))
    refused = mdp.run("run", "--pipeline", "idle", "-p", "seconds=soon", code=2)
    assert "params.seconds: seconds: must be a time such as" in refused.stderr


@pytest.mark.parametrize(
    ("url", "body", "key", "words"),
    [
        (
            "/api/pipeline/jobs",
            {"pipeline": "idle", "params": {"seconds": {"a": 1}}},
            "params.seconds",
            "must be a time",
        ),
        (
            "/api/pipeline/workflows/checked/execute",
            {"params": {"tolerated": "lots"}, "session": "2026-01-05"},
            "params.tolerated",
            "must be a number",
        ),
        ("/api/pipeline/jobs", {"pipeline": "idle", "params": [1]}, "params", "dictionary"),
    ],
)
def test_the_api_refuses_them_with_their_key(
    place: Place, *, url: str, body: dict[str, Any], key: str, words: str
) -> None:
    before = runs_of(place, "idle"), runs_of(place, "checked")
    status, problem = place.ask("POST", url, body)
    assert status == 422
    (error,) = problem["errors"]
    assert error["key"] == key
    assert words in error["message"]
    assert (runs_of(place, "idle"), runs_of(place, "checked")) == before
    assert place.get("/api/v1/dlq")["items"] == []


def test_one_that_only_the_function_minds_fails_its_node_with_the_traceback(place: Place) -> None:
    record = place.ended(place.submit("doubled", params={"n": None}))
    assert record.state == "failed"
    assert record.failed["error_kind"] == "error"
    assert "'NoneType' and 'int'" in record.failed["error"]
    (letter,) = record.letters
    assert letter["params"]["n"] is None
    assert "fn.py" in letter["traceback"]
    (replayed,) = place.mdp.json("dlq", "replay", letter["letter_id"], code=0)
    assert place.ended(replayed["run_id"]).state == "failed"


def test_a_run_keeps_its_definition_when_a_reload_changes_it(place: Place) -> None:
    first = place.submit("changed")
    wait_for(lambda: place.get(f"/api/v1/runs/{first}")["state"] == "running")
    reconfigure(place, changed=held("new"))
    second = place.submit("changed")
    assert go_on(place, first) == ("success", 1, "old")
    assert go_on(place, second) == ("success", 2, "new")
    versions = [
        place.get(f"/api/v1/workflows/changed?version={number}")["definition"] for number in (1, 2)
    ]
    assert [each["nodes"][1]["settings"]["value"] for each in versions] == ["old", "new"]
    listed = {run["run_id"]: run["workflow_version"] for run in place.mdp.json("get", "runs")}
    assert (listed[first], listed[second]) == (1, 2)


def test_a_run_keeps_its_definition_when_the_api_changes_it(place: Place) -> None:
    def post(value: str) -> int:
        body = {"name": "posted", **held(value)}
        status, made = place.ask("POST", "/api/pipeline/workflows", body)
        assert status == 201, made
        return int(made["version"])

    assert post("old") == 1
    first = place.submit("posted")
    assert post("new") == 2
    second = place.submit("posted")
    assert go_on(place, first) == ("success", 1, "old")
    assert go_on(place, second) == ("success", 2, "new")


def test_a_run_goes_on_when_its_definition_is_taken_away(place: Place) -> None:
    first = place.submit("removed")
    wait_for(lambda: place.get(f"/api/v1/runs/{first}")["state"] == "running")
    reconfigure(place, removed=None)
    status, problem = place.ask("POST", "/api/pipeline/jobs", {"pipeline": "removed"})
    assert (status, "removed" in problem["detail"]) == (404, True), problem
    assert go_on(place, first) == ("success", 1, "old")


def test_a_change_that_is_wrong_changes_nothing(place: Place) -> None:
    run_id = place.submit("changed")
    wrong = configuration()
    wrong["pipelines"]["changed"]["nodes"]["tell"]["needs"] = ["nobody"]
    place.mdp.write("openbell.yaml", json.dumps(wrong))
    refused = place.mdp.run("reload", code=78)
    assert "nobody" in refused.stderr
    assert go_on(place, run_id)[0] == "success"
