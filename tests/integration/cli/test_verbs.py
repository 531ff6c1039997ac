from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import pytest
from doubles.command import mdp, mdp_beside
from doubles.serving import Served, serving

from openbell.model.control import Submission
from openbell.model.runs import RunState
from openbell.model.schedules import ScheduleUse

pytestmark = pytest.mark.integration

JOB = Submission(pipeline="lean_daily")


async def test_status_shows_the_daemon(served: Served) -> None:
    table = await mdp_beside("status")
    as_json = await mdp_beside("status", "-o", "json")

    assert table.code == 0
    assert "state:         running" in table.out
    assert as_json.json["state_dir"] == "/var/lib/openbell"


async def test_status_of_a_job_shows_its_last_run(served: Served) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.finish(run.run_id)

    table = await mdp_beside("status", "--job", "lean_daily")
    as_json = await mdp_beside("status", "--job", "lean_daily", "-o", "json")
    unknown = await mdp_beside("status", "--job", "lean_dialy")

    assert "last_rows_written:     7" in table.out
    assert as_json.json["last_run"]["nodes"]["publish"]["state"] == "success"
    assert unknown.code == 4
    assert unknown.err.endswith("hint: did you mean 'lean_daily'?\n")


async def test_status_without_a_daemon_says_that_none_runs(tmp_path: Path) -> None:
    done = await mdp_beside("status", "--socket", tmp_path / "openbell.sock")

    assert done.code == 3
    assert done.err.startswith("error: no daemon listens on ")
    assert "hint: start one with `mdp daemon run --config FILE`" in done.err


@pytest.mark.parametrize(
    "verb",
    [
        ("reload",),
        ("drain",),
        ("stop",),
        ("cancel", "run_1"),
        ("retry", "run_1"),
        ("pause", "p"),
        ("resume", "p"),
        ("get", "pipelines"),
        ("get", "runs"),
        ("get", "items", "run_1", "fetch"),
        ("describe", "run", "run_1"),
        ("describe", "item", "run_1", "fetch", "0"),
        ("logs", "run_1"),
        ("logs", "-f", "run_1"),
        ("events",),
        ("events", "-f"),
        ("wait", "run_1"),
        ("lineage", "bars"),
    ],
    ids=" ".join,
)
def test_without_a_daemon_a_verb_ends_with_69(verb: tuple[str, ...], tmp_path: Path) -> None:
    done = mdp(*verb, "--socket", tmp_path / "openbell.sock")

    assert done.code == 69
    assert done.out == ""
    assert len(done.err.splitlines()) == 2


def test_a_stale_socket_ends_with_69(tmp_path: Path) -> None:
    path = tmp_path / "openbell.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert mdp("get", "runs", "--socket", path).code == 69


def test_a_daemon_that_hangs_up_ends_with_69(tmp_path: Path) -> None:
    path = tmp_path / "openbell.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        done = mdp("get", "runs", "--socket", path)
        thread.join()

    assert done.code == 69
    assert "went away" in done.err


async def test_a_refused_user_ends_with_77(tmp_path: Path) -> None:
    async with serving(tmp_path, lambda _: False) as served:
        done = await mdp_beside("get", "runs", "--socket", served.socket)

    assert done.code == 77
    assert "may not use this socket" in done.err


@pytest.mark.parametrize(
    ("what", "head", "seen"),
    [
        ("pipelines", "NAME", "lean_daily"),
        ("runs", "RUN_ID", "success"),
        ("datasets", "NAME", "bars"),
        ("schedules", "PIPELINE", "XNYS close + 30m"),
        ("budgets", "PROVIDER", "vendor"),
        ("workers", "PID", "1048576"),
    ],
)
async def test_get_lists(served: Served, what: str, head: str, seen: str) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.finish(run.run_id)
    served.engine.scheduler.keep("lean_daily", ScheduleUse(expression="XNYS close + 30m"))

    table = await mdp_beside("get", what)
    as_json = await mdp_beside("get", what, "-o", "json")
    as_lines = await mdp_beside("get", what, "-o", "jsonl")
    as_yaml = await mdp_beside("get", what, "-o", "yaml")

    assert table.out.startswith(head)
    assert seen in table.out
    assert as_json.json == [json.loads(line) for line in as_lines.out.splitlines()]
    assert as_yaml.out.startswith("- ")
    assert {table.err, as_json.err, as_lines.err, as_yaml.err} == {""}


async def test_get_nodes_shows_rows(served: Served) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.finish(run.run_id)

    table = await mdp_beside("get", "nodes", run.run_id)

    assert [line.split()[0] for line in table.out.splitlines()] == [
        "NODE",
        "fetch",
        "check",
        "publish",
        "hold",
    ]


async def test_get_runs_pages_until_the_limit(served: Served) -> None:
    for _ in range(7):
        await served.engine.submit(JOB)

    done = await mdp_beside("get", "runs", "-n", "5", "--state", "queued", "-o", "json")

    assert len(done.json) == 5


async def test_items_of_a_fan_out_are_listed_counted_and_described(served: Served) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.finish(run.run_id)

    nodes = await mdp_beside("get", "nodes", run.run_id)
    listed = await mdp_beside("get", "items", run.run_id, "fetch", "--state", "failed")
    described = await mdp_beside("describe", "item", run.run_id, "fetch", "0")
    as_json = await mdp_beside("describe", "item", run.run_id, "fetch", "0", "-o", "json")
    lines = await mdp_beside("logs", run.run_id, "--node", "fetch", "--item", "3")
    missing = await mdp_beside("describe", "item", run.run_id, "fetch", "7")
    without_node = await mdp_beside("logs", run.run_id, "--item", "3")

    assert "ITEMS" in nodes.out
    assert "1 failed" in nodes.out
    assert "AAPL" in listed.out
    assert "ATTEMPTS" in listed.out
    assert "att_" not in described.out
    assert "number:" in described.out
    assert [each["item"] for each in as_json.json["tries"]] == [0]
    assert lines.out == ""
    assert (missing.code, without_node.code) == (4, 2)
    assert "has no item 7" in missing.err


async def test_describe_shows_everything_about_one_thing(served: Served) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.finish(run.run_id)

    of_run = await mdp_beside("describe", "run", run.job_id)
    as_json = await mdp_beside("describe", "run", run.run_id, "-o", "json")
    of_pipeline = await mdp_beside("describe", "pipeline", "lean_daily")
    of_dataset = await mdp_beside("describe", "dataset", "bars")

    assert "rows_written:     7" in of_run.out
    assert "high below low" in of_run.out
    assert as_json.json["quality"][0]["rule"] == "ohlc"
    assert "check:pass|warn" in of_pipeline.out
    assert "publish" in of_dataset.out


async def test_an_unknown_run_ends_with_4(served: Served) -> None:
    for verb in (("describe", "run"), ("logs",), ("cancel",), ("retry",), ("wait",)):
        done = await mdp_beside(*verb, "run_nope")
        assert done.code == 4
        assert "'run_nope' is unknown" in done.err


async def test_cancel_and_retry_follow_the_life_of_a_run(served: Served) -> None:
    run = await served.engine.submit(JOB)

    too_early = await mdp_beside("retry", run.run_id)
    cancelled = await mdp_beside("cancel", run.run_id)
    await served.engine.finish(run.run_id, RunState.CANCELLED)
    too_late = await mdp_beside("cancel", run.run_id)
    retried = await mdp_beside("retry", run.run_id, "-o", "json")

    assert too_early.code == 3
    assert cancelled.code == 0
    assert (cancelled.out, cancelled.err) == ("", f"run {run.run_id} was asked to end\n")
    assert too_late.code == 3
    assert retried.json["retry_of"] == run.run_id


async def test_pause_and_resume(served: Served) -> None:
    paused = await mdp_beside("pause", "lean_daily")
    resumed = await mdp_beside("resume", "lean_daily", "-o", "json")

    assert paused.err == "pipeline lean_daily is paused\n"
    assert resumed.json["state"] == "active"


async def test_reload_drain_and_stop_reach_the_engine(served: Served) -> None:
    reloaded = await mdp_beside("reload", "-o", "json")
    await mdp_beside("drain")
    await mdp_beside("stop", "--fast")

    assert reloaded.json["changed"] == ["lean_daily"]
    assert served.engine.stops == [False, True]


async def test_wait_ends_with_the_run(served: Served) -> None:
    run = await served.engine.submit(JOB)

    async def finish() -> None:
        await served.subscribed()
        await served.engine.finish(run.run_id)

    async with anyio.create_task_group() as tg:
        tg.start_soon(finish)
        done = await mdp_beside("wait", run.run_id, "-o", "json")

    assert done.code == 0
    assert done.json["rows_written"] == 7


async def test_waiting_for_a_run_that_failed_ends_with_1(served: Served) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.finish(run.run_id, RunState.FAILED)

    done = await mdp_beside("wait", run.run_id)

    assert done.code == 1
    assert f"hint: see `mdp describe run {run.run_id}`" in done.err


async def test_waiting_too_long_ends_with_124(served: Served) -> None:
    run = await served.engine.submit(JOB)

    done = await mdp_beside("wait", run.run_id, "--timeout", "0.3s")

    assert done.code == 124
    assert "has not ended after 0.3 s" in done.err


async def test_logs_are_shown_and_followed(served: Served) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.log(run.run_id, "one", "two")

    async def go_on() -> None:
        await served.subscribed()
        await served.engine.log(run.run_id, "three")
        await served.engine.finish(run.run_id)

    shown = await mdp_beside("logs", run.run_id)
    async with anyio.create_task_group() as tg:
        tg.start_soon(go_on)
        followed = await mdp_beside("logs", "-f", run.run_id, "-o", "jsonl")

    assert [line.split()[-1] for line in shown.out.splitlines()] == ["one", "two"]
    texts = [json.loads(line)["text"] for line in followed.out.splitlines()]
    assert texts == ["one", "two", "three"]


async def test_events_are_listed(served: Served) -> None:
    run = await served.engine.submit(JOB)
    await served.engine.start(run.run_id)
    await served.engine.finish(run.run_id)

    table = await mdp_beside("events")
    as_json = await mdp_beside("events", "--after", "1", "-o", "json")

    assert "run.started" in table.out
    assert [event["name"] for event in as_json.json] == ["run.finished"]


async def test_followed_events_come_as_they_happen_until_interrupted(served: Served) -> None:
    run = await served.engine.submit(JOB)
    code = "from openbell.cli.main import main; main()"
    command = [sys.executable, "-c", code, "events", "-f", "-o", "jsonl"]
    process = await anyio.open_process(command, stderr=subprocess.PIPE)
    async with process:
        await served.subscribed()
        await served.engine.start(run.run_id)
        assert process.stdout is not None
        with anyio.fail_after(10):
            line = await process.stdout.receive()
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(10):
            code_at_end = await process.wait()

    assert json.loads(line)["name"] == "run.started"
    assert code_at_end == 130


async def test_a_closed_pipe_is_no_traceback(served: Served) -> None:
    for _ in range(20):
        await served.engine.submit(JOB)
    script = (
        f"{sys.executable} -c 'from openbell.cli.main import main; main()' "
        "get runs -o json | head -1"
    )
    done = await anyio.run_process(script, env=dict(os.environ))

    assert done.stdout == b"[\n"
    assert b"Traceback" not in done.stderr


async def test_lineage_and_pace(served: Served) -> None:
    lineage = await mdp_beside("lineage", "bars", "-o", "json")
    pace = await mdp_beside("pace", "status", "-o", "json")
    unknown = await mdp_beside("lineage", "nope")

    assert lineage.json[0]["version"] == 7
    assert pace.json[0]["tokens"] == 4.5
    assert unknown.code == 4
