"""Every route that steers work, over a real socket on a real daemon: history, workers and all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from doubles.living import Living, living

pytestmark = pytest.mark.integration

CONFIG = """\
version: 2
pipelines:
  quick:
    params: {word: hello}
    nodes:
      first: {op: noop, value: "${word}"}
      second: {op: noop, needs: [first]}
  slow:
    nodes:
      first: {op: noop}
      hang: {op: python, function: "steps:hang", needs: [first]}
      after: {op: noop, needs: [hang]}
      aside: {op: noop, needs: [first]}
      mend: {op: noop, needs: [hang], trigger: all_done}
  flaky:
    params: {file: "FOLDER/flag"}
    nodes:
      first: {op: python, function: "steps:count", args: {file: "FOLDER/first"}}
      work: {op: python, function: "steps:need", args: {file: "${file}"}, needs: [first], retry: {max_attempts: 2, backoff_seconds: 0.01}}
      last: {op: noop, needs: [work]}
  asks:
    nodes:
      ask: {op: approve, question: "go on?", labels: ["yes", "no"], deadline: 1h}
      go: {op: noop, needs: {ask: ["yes"]}}
      leave: {op: noop, needs: {ask: ["no"]}}
  many:
    nodes:
      each: {op: python, function: "steps:even", args: {number: "${item}"}, for_each: [0, 1, 2], retry: {max_attempts: 2, backoff_seconds: 0.01}}
  one_at_a_time:
    max_active_runs: 1
    nodes:
      hang: {op: noop, seconds: 600}
"""
FUNCTIONS = """
import time
from pathlib import Path


def hang():
    time.sleep(600)


def count(file):
    with Path(file).open("a", encoding="utf-8") as lines:
        lines.write("x")


def need(file):
    if not Path(file).exists():
        raise ValueError("there is no " + file)
    return 7


def even(number):
    print(f"looking at {number}")
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number
"""


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Living]:
    async with living(tmp_path, CONFIG.replace("FOLDER", str(tmp_path)), FUNCTIONS) as at:
        yield at


def done(at: Living) -> int:
    """Return how often the first node of `flaky` was done."""
    return len((at.folder / "first").read_text(encoding="utf-8"))


async def test_a_job_is_asked_for_looked_at_and_done_once_a_key(daemon: Living) -> None:
    body = {"pipeline": "quick", "params": {"word": "hi"}}
    first = await daemon.ask("POST /api/pipeline/jobs", body, status=202, key="k")
    again = await daemon.ask("POST /api/pipeline/jobs", body, status=202, key="k")
    assert again == first
    other = {"pipeline": "quick", "params": {"word": "ho"}}
    problem = await daemon.ask("POST /api/pipeline/jobs", other, status=422, key="k")
    assert problem["type"].endswith("idempotency-conflict")
    await daemon.until_run(first["run_id"], "success")
    found = await daemon.ask(f"GET /api/pipeline/jobs/{first['job_id']}")
    assert (found["run_id"], found["params"]) == (first["run_id"], {"word": "hi"})
    assert len((await daemon.ask("GET /api/v1/runs?pipeline=quick"))["items"]) == 1
    assert (await daemon.ask("GET /api/pipeline/jobs/running"))["items"] == []


async def test_what_is_unknown_or_wrong_gets_a_problem_that_says_so(daemon: Living) -> None:
    unknown = {
        "GET /api/pipeline/jobs/run_nothing": "unknown-run",
        "PUT /api/pipeline/jobs/run_nothing/retry": "unknown-run",
        "DELETE /api/pipeline/jobs/run_nothing": "unknown-run",
        "POST /api/v1/runs/run_nothing/pause": "unknown-run",
        "POST /api/v1/runs/run_nothing/nodes/a/cancel": "unknown-run",
        "GET /api/v1/runs/run_nothing/approvals": "unknown-run",
        "GET /api/v1/explain/runs/run_nothing": "unknown-run",
        "GET /api/v1/explain/pipelines/nothing": "unknown-pipeline",
        "POST /api/pipeline/workflows/nothing/execute": "unknown-pipeline",
        "GET /api/pipeline/workflows/nothing/dag": "unknown-pipeline",
        "POST /api/v1/pipelines/nothing/pause": "unknown-pipeline",
        "GET /api/v1/dlq/dlq_nothing": "unknown-letter",
        "POST /api/v1/dlq/dlq_nothing/replay": "unknown-letter",
        "DELETE /api/v1/dlq/dlq_nothing": "unknown-letter",
    }
    for what, word in unknown.items():
        assert await daemon.refused(what, status=404) == word, what
    run_id = await daemon.submit("quick")
    await daemon.until_run(run_id, "success")
    at = f"/api/v1/runs/{run_id}"
    mark = {"state": "success", "reason": "r"}
    over: dict[str, Any] = {
        f"DELETE /api/pipeline/jobs/{run_id}": None,
        f"POST {at}/pause": None,
        f"POST {at}/resume": None,
        f"PUT {at}/priority": {"priority": 9},
        f"POST {at}/nodes/first/cancel": None,
        f"POST {at}/nodes/first/mark": mark,
        f"POST {at}/nodes/first/answer": {"label": "yes"},
    }
    for what, body in over.items():
        assert await daemon.refused(what, body, status=409) == "conflict", what
    wrong: dict[str, Any] = {
        f"PUT {at}/priority": {"priority": 10},
        f"POST {at}/nodes/first/mark": {"state": "skipped", "reason": "r"},
        "POST /api/pipeline/jobs": {"pipeline": "quick", "nonsense": 1},
        f"GET {at}/logs?item=1": None,
    }
    for what, body in wrong.items():
        assert await daemon.refused(what, body, status=422) == "invalid-request", what
    gone = await daemon.refused(
        "PUT " + f"/api/pipeline/jobs/{run_id}/retry", {"from_node": "x"}, status=404
    )
    assert gone == "unknown-node"
    assert await daemon.refused(f"GET {at}/nodes/nowhere/items", status=404) == "unknown-node"


async def test_a_run_is_cancelled_with_its_worker_and_what_is_finished_stays(
    daemon: Living,
) -> None:
    run_id = await daemon.submit("slow")
    await daemon.until_node(run_id, "hang", "running")
    running = await daemon.ask("GET /api/pipeline/jobs/running")
    assert [run["run_id"] for run in running["items"]] == [run_id]
    await daemon.ask(f"DELETE /api/pipeline/jobs/{run_id}", status=202)
    await daemon.until_run(run_id, "cancelled")
    assert await daemon.nodes(run_id) == {
        "first": "success",
        "hang": "cancelled",
        "after": "cancelled",
        "aside": "success",
        "mend": "cancelled",
    }
    (attempt,) = (await daemon.ask(f"GET /api/v1/runs/{run_id}/attempts"))["items"]
    assert (attempt["node"], attempt["state"]) == ("hang", "interrupted")
    await daemon.until(
        "GET /api/v1/workers", lambda page: all(w["state"] == "idle" for w in page["items"])
    )


async def test_a_node_is_cancelled_and_the_others_go_on(daemon: Living) -> None:
    run_id = await daemon.submit("slow")
    await daemon.until_node(run_id, "hang", "running")
    at = f"POST /api/v1/runs/{run_id}/nodes/hang"
    asked = await daemon.ask(f"{at}/cancel", status=202, key="c")
    assert asked["node"] == "hang"
    assert await daemon.ask(f"{at}/cancel", status=202, key="c") == asked
    ended = await daemon.until_run(run_id, "success", "failed")
    assert await daemon.nodes(run_id) == {
        "first": "success",
        "hang": "cancelled",
        "after": "upstream_failed",
        "aside": "success",
        "mend": "success",
    }
    assert ended["state"] == "failed"
    assert await daemon.refused(f"{at}/cancel", status=409) == "conflict"


@pytest.mark.parametrize(
    ("mark", "after", "end"),
    [("success", "success", "success"), ("failed", "upstream_failed", "failed")],
)
async def test_a_node_is_marked_as_somebody_says(
    daemon: Living, mark: str, after: str, end: str
) -> None:
    run_id = await daemon.submit("slow")
    await daemon.until_node(run_id, "hang", "running")
    body = {"state": mark, "reason": "looked at by hand"}
    await daemon.ask(f"POST /api/v1/runs/{run_id}/nodes/hang/mark", body, status=202)
    await daemon.until_run(run_id, end)
    states = await daemon.nodes(run_id)
    assert (states["hang"], states["after"], states["mend"]) == (mark, after, "success")
    why = await daemon.ask(f"GET /api/v1/explain/runs/{run_id}/nodes/hang")
    assert "looked at by hand" in " ".join(each["text"] for each in why["sentences"])


async def test_a_paused_run_begins_nothing_until_it_is_resumed(daemon: Living) -> None:
    run_id = await daemon.submit("asks")
    at = f"/api/v1/runs/{run_id}"
    await daemon.until_node(run_id, "ask", "running")
    assert (await daemon.ask(f"POST {at}/pause"))["paused"] is True
    assert (await daemon.ask(f"POST {at}/pause"))["paused"] is True, "asked twice is no error"
    await daemon.ask(f"POST {at}/nodes/ask/answer", {"label": "yes"})
    await daemon.until_node(run_id, "ask", "success")
    assert (await daemon.nodes(run_id))["go"] == "pending"
    why = await daemon.ask(f"GET /api/v1/explain/runs/{run_id}")
    assert "paused" in [each["what"] for each in why["sentences"]]
    assert (await daemon.ask(f"POST {at}/resume"))["paused"] is False
    await daemon.until_run(run_id, "success")
    assert await daemon.nodes(run_id) == {"ask": "success", "go": "success", "leave": "skipped"}


async def test_a_paused_pipeline_takes_work_and_starts_none_until_it_is_resumed(
    daemon: Living,
) -> None:
    paused = await daemon.ask("POST /api/v1/pipelines/quick/pause")
    assert paused["state"] == "paused"
    run = await daemon.ask("POST /api/pipeline/workflows/quick/execute", status=202)
    why = await daemon.ask(f"GET /api/v1/explain/runs/{run['run_id']}")
    assert (why["state"], why["sentences"][0]["what"]) == ("queued", "paused")
    assert (await daemon.ask("GET /api/v1/pipelines/quick"))["queued_runs"] == 1
    assert (await daemon.ask("POST /api/v1/pipelines/quick/resume"))["state"] == "active"
    await daemon.until_run(run["run_id"], "success")


async def test_everything_is_paused_and_resumed_at_once(daemon: Living) -> None:
    found = (await daemon.ask("POST /api/v1/pause"))["items"]
    assert {status["state"] for status in found} == {"paused"}
    assert (await daemon.ask("GET /api/v1/status"))["paused"] is True
    found = (await daemon.ask("POST /api/v1/resume"))["items"]
    assert {status["state"] for status in found} == {"active"}
    await daemon.until_run(await daemon.submit("quick"), "success")


async def test_a_failed_run_is_retried_from_what_failed_from_a_node_or_whole(
    daemon: Living,
) -> None:
    first = await daemon.submit("flaky")
    await daemon.until_run(first, "failed")
    assert await daemon.nodes(first) == {
        "first": "success",
        "work": "failed",
        "last": "upstream_failed",
    }
    assert done(daemon) == 1
    at = f"PUT /api/pipeline/jobs/{first}/retry"
    again = await daemon.ask(at, status=202)
    assert again["retry_of"] == first
    await daemon.until_run(again["run_id"], "failed")
    assert done(daemon) == 1, "what succeeded is taken over"
    there = daemon.folder / "there"
    there.touch()
    with_params = await daemon.ask(at, {"params": {"file": str(there)}}, status=202)
    assert with_params["job_id"] == again["job_id"]
    await daemon.until_run(with_params["run_id"], "success")
    assert done(daemon) == 1
    at = f"PUT /api/pipeline/jobs/{with_params['run_id']}/retry"
    from_node = await daemon.ask(at, {"from_node": "work"}, status=202)
    await daemon.until_run(from_node["run_id"], "success")
    assert done(daemon) == 1
    whole = await daemon.ask(at, {"from_failed": False}, status=202, key="w")
    assert await daemon.ask(at, {"from_failed": False}, status=202, key="w") == whole
    await daemon.until_run(whole["run_id"], "success")
    assert done(daemon) == 2


async def test_a_run_that_has_not_ended_is_not_retried(daemon: Living) -> None:
    run_id = await daemon.submit("slow")
    refused = await daemon.refused(f"PUT /api/pipeline/jobs/{run_id}/retry", status=409)
    assert refused == "conflict"


async def test_dead_letters_are_listed_shown_replayed_and_given_up(daemon: Living) -> None:
    run_id = await daemon.submit("flaky")
    await daemon.until_run(run_id, "failed")
    (letter,) = (await daemon.ask("GET /api/v1/dlq?state=waiting"))["items"]
    assert (letter["run_id"], letter["node"], letter["attempts"]) == (run_id, "work", 2)
    assert "ValueError" in letter["traceback"]
    at = f"/api/v1/dlq/{letter['letter_id']}"
    assert await daemon.ask(f"GET {at}") == letter
    (daemon.folder / "flag").touch()
    replayed = await daemon.ask(f"POST {at}/replay", status=202)
    assert replayed["retry_of"] == run_id
    await daemon.until_run(replayed["run_id"], "success")
    assert done(daemon) == 1
    settled = await daemon.ask(f"GET {at}")
    assert (settled["state"], settled["replayed_by"]) == ("replayed", replayed["run_id"])
    assert await daemon.refused(f"POST {at}/replay", status=409) == "conflict"
    assert await daemon.refused(f"DELETE {at}", status=409) == "conflict"
    (daemon.folder / "flag").unlink()
    await daemon.until_run(await daemon.submit("flaky"), "failed")
    (letter,) = (await daemon.ask("GET /api/v1/dlq?state=waiting"))["items"]
    purged = await daemon.ask(f"DELETE /api/v1/dlq/{letter['letter_id']}")
    assert (purged["state"], bool(purged["settled_by"])) == ("purged", True)
    assert (await daemon.ask("GET /api/v1/dlq?state=waiting"))["items"] == []


async def test_a_person_answers_a_question_once(daemon: Living) -> None:
    run_id = await daemon.submit("asks")
    at = f"/api/v1/runs/{run_id}"
    (asked,) = (await daemon.until("GET /api/v1/approvals", lambda page: page["items"]))["items"]
    assert (asked["run_id"], asked["node"], asked["labels"]) == (run_id, "ask", ["yes", "no"])
    answer = f"POST {at}/nodes/ask/answer"
    assert await daemon.refused(answer, {"label": "maybe"}, status=409) == "conflict"
    given = await daemon.ask(answer, {"label": "no", "comment": "not today"})
    assert (given["label"], given["comment"]) == ("no", "not today")
    assert await daemon.refused(answer, {"label": "yes"}, status=409) == "conflict"
    await daemon.until_run(run_id, "success")
    assert await daemon.nodes(run_id) == {"ask": "success", "go": "skipped", "leave": "success"}
    assert (await daemon.ask(f"GET {at}/approvals"))["items"] == [given]
    assert (await daemon.ask("GET /api/v1/approvals"))["items"] == []


async def test_a_queued_run_gets_ahead_by_its_priority(daemon: Living) -> None:
    active, early, late = [await daemon.submit("one_at_a_time") for _ in range(3)]
    await daemon.until_node(active, "hang", "running")
    assert (await daemon.ask(f"GET /api/v1/runs/{late}"))["queue_position"] == 2
    body = {"priority": 9}
    assert (await daemon.ask(f"PUT /api/v1/runs/{late}/priority", body))["priority"] == 9
    await daemon.until(f"GET /api/v1/runs/{late}", lambda run: run["queue_position"] == 1)
    why = await daemon.ask(f"GET /api/v1/explain/runs/{early}")
    assert why["state"] == "queued"
    assert why["sentences"]
    await daemon.ask(f"DELETE /api/pipeline/jobs/{active}", status=202)
    await daemon.until_run(late, "running")
    assert (await daemon.ask(f"GET /api/v1/runs/{early}"))["state"] == "queued"
    await daemon.ask(f"DELETE /api/pipeline/jobs/{early}", status=202)
    await daemon.until_run(early, "cancelled")


async def test_a_definition_is_posted_drawn_executed_and_changed(daemon: Living) -> None:
    posted = {"name": "made", "nodes": {"a": {"op": "noop"}, "b": {"op": "noop", "needs": ["a"]}}}
    made = await daemon.ask("POST /api/pipeline/workflows", posted, status=201)
    assert (made["name"], made["version"]) == ("made", 1)
    dag = await daemon.ask("GET /api/pipeline/workflows/made/dag")
    assert dag["levels"] == [["a"], ["b"]]
    assert dag["edges"] == [{"from": "a", "to": "b", "on": ["success"]}]
    run = await daemon.ask("POST /api/pipeline/workflows/made/execute", {"priority": 7}, status=202)
    assert run["priority"] == 7
    await daemon.until_run(run["run_id"], "success")
    again = await daemon.ask("POST /api/pipeline/workflows", posted, status=201)
    assert again["version"] == 1, "the same definition is no new version"
    posted["nodes"]["c"] = {"op": "noop", "needs": ["b"]}  # type: ignore[index]
    changed = await daemon.ask("POST /api/pipeline/workflows", posted, status=201)
    assert changed["version"] == 2
    assert (await daemon.ask("GET /api/pipeline/workflows/made/dag?version=1")) == dag
    posted["nodes"]["a"] = {"op": "noop", "needs": ["c"]}  # type: ignore[index]
    assert await daemon.refused("POST /api/pipeline/workflows", posted, status=422) == (
        "invalid-settings"
    )


async def test_items_of_a_fan_out_are_shown_with_their_attempts_and_logs(daemon: Living) -> None:
    run_id = await daemon.submit("many")
    await daemon.until_run(run_id, "failed")
    at = f"/api/v1/runs/{run_id}"
    (node,) = (await daemon.ask(f"GET {at}/nodes"))["items"]
    assert node["items"] == {"failed": 1, "success": 2}
    page = await daemon.ask(f"GET {at}/nodes/each/items?limit=2")
    assert [(each["number"], each["item"], each["state"]) for each in page["items"]] == [
        (0, 0, "success"),
        (1, 1, "failed"),
    ]
    rest = await daemon.ask(f"GET {at}/nodes/each/items?limit=2&cursor={page['next']}")
    assert [each["number"] for each in rest["items"]] == [2]
    (bad,) = (await daemon.ask(f"GET {at}/nodes/each/items?state=failed"))["items"]
    assert (bad["number"], bad["attempts"]) == (1, 2)
    tries = (await daemon.ask(f"GET {at}/attempts?node=each&item=1"))["items"]
    assert [(each["item"], each["number"], each["state"]) for each in tries] == [
        (1, 1, "failed"),
        (1, 2, "failed"),
    ]
    assert all(each["cpu_s"] is not None and each["worker_pid"] for each in tries)
    assert "1 is odd" in tries[1]["error"]
    lines = (await daemon.ask(f"GET {at}/logs?node=each&item=1&attempt=2"))["items"]
    assert [(each["item"], each["attempt"], each["text"]) for each in lines] == [
        (1, 2, "looking at 1")
    ]
    (letter,) = (await daemon.ask(f"GET /api/v1/dlq?run={run_id}"))["items"]
    assert (letter["node"], letter["item"]) == ("each", 1)
