"""Definitions as a user meets them: Python, templates, the difference that a reload makes."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doubles.commands import Mdp

pytestmark = pytest.mark.acceptance

CONFIG = """\
version: 2
providers:
  made: {type: synthetic, seed: 42}
storage:
  primary: {type: lake, uri: "./lake"}
datasets:
  smoke: {provider: made, symbols: [AAPL, MSFT], interval: 1d, calendar: XNYS}
pools: {vendor: 2}
pipelines_from: desk_pipelines:daily
pipelines:
  eod: {template: market_data_daily, with: {dataset: smoke, pool: vendor}}
  live: {template: market_data_intraday, with: {dataset: smoke, every: 30m}}
  again: {template: reconcile, with: {dataset: smoke, after: eod}}
  model:
    template: ml_training
    with: {dataset: smoke, wait: 30s, least: 0.5, features: "models:features", train: "models:train",
           evaluate: "models:evaluate", publish: "models:publish"}
"""
MODELS = """\
from pathlib import Path
from openbell.sdk import ReadFilter

def features(data, storage, context):
    return context.backend(storage).read(data["dataset"], ReadFilter(columns=("symbol", "close")))

def train(features):
    return {"rows": features.num_rows}

def evaluate(train, features):
    return 0.9 if train["rows"] == features.num_rows else 0.1

def publish(train):
    Path(__file__).with_name("published").write_text(str(train["rows"]))
"""
MODULE = """\
from openbell.sdk import Pipeline, PipelineNode

def daily():
    return [
        Pipeline(
            name="by_hand",
            priority=7,
            nodes=[
                PipelineNode(name="fetch", op="ingest", settings={"dataset": "smoke"}),
                PipelineNode(name="check", op="gate", needs=["fetch"], settings={"rules": ["ohlc"]}),
                PipelineNode(name="publish", op="write", needs={"check": ["pass", "warn"]}),
            ],
        )
    ]
"""


def ask(path: Path, method: str, url: str, body: object = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("openbell", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(path))
        sent = None if body is None else json.dumps(body)
        connection.request(method, url, body=sent, headers={"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture
def place(mdp: Mdp) -> Mdp:
    mdp.write("openbell.yaml", CONFIG)
    mdp.write("desk_pipelines.py", MODULE)
    mdp.write("models.py", MODELS)
    return mdp


def _is_ready(path: Path) -> bool:
    try:
        return ask(path, "GET", "/readyz")[0] == 200
    except OSError:
        return False


@pytest.fixture
def daemon(place: Mdp) -> Iterator[Path]:
    path = place.state / "openbell.sock"
    with place.start("daemon", "run") as process:
        try:
            while not _is_ready(path):
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.05)
            yield path
        finally:
            process.terminate()
            process.communicate(timeout=60)


@pytest.mark.usefixtures("daemon")
def test_what_templates_and_functions_make_runs_with_made_up_data(place: Mdp) -> None:
    runs = [
        place.json("run", "--pipeline", name, "--session", "2024-01-03")
        for name in ("eod", "by_hand", "again", "live", "model")
    ]
    assert [run["state"] for run in runs] == ["success"] * 5
    assert [run["rows_written"] for run in runs] == [2, 0, 0, 0, 0]
    assert [run["rows_unchanged"] for run in runs] == [0, 2, 2, 2, 0]
    assert (place.folder / "published").read_text() == "2"


def test_the_difference_is_told_against_nothing_history_and_the_daemon(place: Mdp) -> None:
    first = place.json("diff", "-f", "openbell.yaml", code=3)
    assert first["against"].startswith("nothing")
    assert first["added"] == ["again", "by_hand", "eod", "live", "model"]
    place.run("run", "--pipeline", "eod", "--session", "2024-01-03")
    again = place.json("diff", "-f", "openbell.yaml", code=3)
    assert again["against"].startswith("the history")
    assert again["added"] == ["again", "by_hand", "live", "model"]
    assert (again["changed"], again["removed"]) == ([], [])


def test_a_reload_does_what_the_difference_said(place: Mdp, daemon: Path) -> None:
    same = place.run("diff", "-f", "openbell.yaml")
    assert same.stdout == ""
    assert "nothing would change" in same.stderr

    place.write("desk_pipelines.py", MODULE.replace("priority=7", "priority=2"))
    place.write(
        "openbell.yaml",
        CONFIG.replace("pool: vendor}}", "close_offset: 45m}}")
        + "  more: {template: reconcile, with: {dataset: smoke, after: eod}}\n",
    )
    told = place.json("diff", "-f", "openbell.yaml", code=3)
    assert told["against"].startswith("the daemon")
    assert told["added"] == ["more"]
    changed = {entry["pipeline"]: entry["changes"] for entry in told["changed"]}
    assert changed["by_hand"] == [{"key": "priority", "kind": "changed", "before": 7, "after": 2}]
    assert [change["key"] for change in changed["eod"]] == ["schedule", "nodes.fetch.pool"]
    assert told["schedules_added"] == [
        {"pipeline": "eod", "expression": "XNYS close + 45m"},
        {"pipeline": "more", "expression": "XNYS close + 14h"},
    ]
    shown = place.run("diff", "-f", "openbell.yaml", code=3).stdout
    assert "~ pipeline by_hand\n    ~ priority: 7 -> 2\n" in shown
    assert "+ pipeline more\n" in shown

    place.run("reload")
    assert place.run("diff", "-f", "openbell.yaml").stdout == ""
    versions = {
        record["name"]: record["version"]
        for record in ask(daemon, "GET", "/api/v1/workflows")[1]["items"]
    }
    assert versions == {"again": 1, "by_hand": 2, "eod": 2, "live": 1, "model": 1, "more": 1}


def test_a_function_that_fails_stops_a_reload_and_nothing_else(place: Mdp, daemon: Path) -> None:
    place.write("desk_pipelines.py", "def daily():\n    raise RuntimeError('not today')\n")
    refused = place.run("reload", code=78)
    assert "desk_pipelines:daily raised RuntimeError: not today" in refused.stderr
    assert "desk_pipelines.py, line 2" in refused.stderr
    assert place.run("validate", code=78).stderr.count("not today") == 1
    assert ask(daemon, "GET", "/readyz")[0] == 200
    names = [record["name"] for record in ask(daemon, "GET", "/api/v1/workflows")[1]["items"]]
    assert names == ["again", "by_hand", "eod", "live", "model"]


def test_the_api_takes_the_same_keys_as_the_file(place: Mdp, daemon: Path) -> None:
    body = {
        "name": "after_eod",
        "after": "eod",
        "needs_dataset": {"smoke": "session"},
        "give_up": "2h",
        "priority": 3,
        "expected_duration": "1m",
        "rehearsal": {"fetch": {"duration": 4}},
        "nodes": {
            "fetch": {"op": "ingest", "dataset": "smoke", "pool": "vendor", "retry": {"on": "any"}}
        },
    }
    status, made = ask(daemon, "POST", "/api/pipeline/workflows", body)
    assert (status, made["version"]) == (201, 1)
    assert made["definition"]["after"] == ["eod"]
    assert made["definition"]["give_up_s"] == 7200
    assert made["definition"]["nodes"][0]["retry"]["on"] == ["any"]
    assert ask(daemon, "POST", "/api/pipeline/workflows", body)[1]["version"] == 1
    assert place.run("diff", "-f", "openbell.yaml").stdout == ""

    status, made = ask(daemon, "POST", "/api/pipeline/workflows", body | {"priority": 4})
    assert made["version"] == 2
    kept = ask(daemon, "GET", "/api/v1/workflows/after_eod?version=1")[1]
    assert kept["definition"]["priority"] == 3

    wrong = {"name": "x", "after": "nobody", "nodes": {"a": {"op": "ingest", "dataset": "smok"}}}
    status, problem = ask(daemon, "POST", "/api/pipeline/workflows", wrong)
    assert status == 422
    assert "nobody" in json.dumps(problem)
    assert "did you mean 'smoke'" in json.dumps(problem)

    made_by = {"name": "t", "template": "reconcile", "with": {"dataset": "smoke"}}
    status, made = ask(daemon, "POST", "/api/pipeline/workflows", made_by)
    assert status == 201, made
    assert len(made["definition"]["nodes"]) == 4
