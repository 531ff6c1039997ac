"""Dead letters, explanations, plans and logs of attempts, by the installed command on a real daemon."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from doubles.commands import Mdp

pytestmark = pytest.mark.acceptance

CONFIG = """\
version: 2
pipelines:
  two:
    params: {file: "FLAG"}
    nodes:
      first: {op: noop, value: 7}
      second: {op: command, needs: [first], command: ["test", "-e", "${file}"], retry: {max_attempts: 2, backoff_seconds: 0.01}}
      third: {op: noop, needs: [second]}
  ask: {nodes: {release: {op: approve, question: "go?", deadline: 0.2, on_deadline: approved}}}
"""


@pytest.fixture
def daemon(mdp: Mdp) -> Iterator[Mdp]:
    mdp.write("openbell.yaml", CONFIG.replace("FLAG", str(mdp.folder / "flag")))
    with mdp.start("daemon", "run") as process:
        try:
            for _ in range(100):
                if (mdp.state / "openbell.sock").exists():
                    break
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.1)
            yield mdp
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_failed_work_is_kept_explained_and_replayed(daemon: Mdp) -> None:
    assert daemon.json("plan", "--pipeline", "two")["order"] == ["first", "second", "third"]
    failed = daemon.json("run", "--pipeline", "two", code=1)

    (letter,) = daemon.json("dlq", "list")
    assert (letter["node"], letter["attempts"], letter["run_id"]) == (
        "second",
        2,
        failed["run_id"],
    )
    assert letter["input"] == {"nodes": {"first": {"kind": "value", "value": 7}}}
    assert daemon.json("dlq", "show", letter["letter_id"]) == letter
    why = daemon.json("explain", failed["run_id"])
    assert [each["what"] for each in why["sentences"][:3]] == [
        "failed",
        "attempts_used_up",
        "letter",
    ]
    node = daemon.json("explain", failed["run_id"], "third")
    assert (
        node["sentences"][0]["text"] == "it did not run: 'second' is failed (trigger all_success)"
    )
    assert "it has no schedule" in daemon.run("explain", "two").stdout
    daemon.run("logs", failed["run_id"], "--node", "second", "--attempt", "2")
    attempts = daemon.json("describe", "run", failed["run_id"])["attempts"]
    assert all(each["cpu_s"] is not None for each in attempts)

    (daemon.folder / "flag").touch()
    (again,) = daemon.json("dlq", "replay", letter["letter_id"])
    assert again["retry_of"] == failed["run_id"]
    assert daemon.json("wait", again["run_id"])["state"] == "success"
    settled = daemon.json("dlq", "show", letter["letter_id"])
    assert (settled["state"], settled["replayed_by"]) == ("replayed", again["run_id"])
    daemon.run("dlq", "replay", letter["letter_id"], code=3)
    assert daemon.json("dlq", "list") == []


def test_letters_are_purged_only_when_that_is_confirmed(daemon: Mdp) -> None:
    daemon.json("run", "--pipeline", "two", code=1)
    (letter,) = daemon.json("dlq", "list", "--pipeline", "two", "--since", "1h")
    daemon.run("dlq", "purge", letter["letter_id"], code=2)
    daemon.run("dlq", "purge", code=2)
    (purged,) = daemon.json("dlq", "purge", "--all", "--yes")
    assert (purged["state"], purged["letter_id"]) == ("purged", letter["letter_id"])
    assert daemon.json("dlq", "list") == []
    (kept,) = daemon.json("dlq", "list", "--state", "all")
    assert kept["settled_by"]


def test_who_follows_a_run_hears_what_it_asks(daemon: Mdp) -> None:
    done = daemon.run("run", "--pipeline", "ask")
    assert "node release asks people 'go?': `mdp approve run_" in done.stderr
