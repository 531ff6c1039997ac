"""Functions that return pipelines are called apart, whatever they do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from openbell.config.python_pipelines import Collected
from openbell.execution.collecting import collect

pytestmark = pytest.mark.integration

MODULE = """\
import os, sys, threading, time
from openbell.sdk import Pipeline, PipelineNode

NODE = PipelineNode(name="a", op="noop")
number = 3

def one():
    print("said by the way")
    return Pipeline(name=os.environ["NAME"], nodes=[NODE])

def several():
    return (Pipeline(name="p", nodes=[NODE]), Pipeline(name="q", nodes=[NODE], priority=2))

def raises():
    raise RuntimeError("no\\nway")

def hangs():
    if os.fork() == 0:
        open(os.environ["CHILD"], "w").write(str(os.getpid()))
    time.sleep(60)

def leaves():
    print("bye", flush=True)
    os._exit(3)

def ends():
    sys.exit("enough")

def crashes():
    os.kill(os.getpid(), 11)

def nothing(): pass
def number_of(): return 5
def mixed(): return [Pipeline(name="p", nodes=[NODE]), {"name": "q"}]
def twice(): return [Pipeline(name="p", nodes=[NODE])] * 2
def unwritable(): return [Pipeline(name="p", nodes=[NODE], params={"f": print})]
def huge(): return [Pipeline(name="p", nodes=[NODE], params={"x": "y" * 17_000_000})]

def lingers():
    threading.Thread(target=time.sleep, args=(60,)).start()
    return []
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "made_by_hand.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('the folder goes before the library')\n")
    return tmp_path


def called(folder: Path, function: str) -> Collected:
    env = {**os.environ, "NAME": "mine", "CHILD": str(folder / "child")}
    (answer,) = collect([function], folder, env=env)
    assert answer.function == function
    return answer


def test_what_a_function_returns_comes_back_as_documents(folder: Path) -> None:
    assert called(folder, "made_by_hand:one").pipelines == {
        "mine": {"nodes": {"a": {"op": "noop"}}}
    }
    found = called(folder, "made_by_hand:several")
    assert (list(found.pipelines), found.error) == (["p", "q"], "")
    assert found.pipelines["q"]["priority"] == 2


@pytest.mark.parametrize(
    ("function", "error", "hint"),
    [
        ("made_by_hand:raises", "raised RuntimeError: no", "made_by_hand.py, line 15"),
        ("made_by_hand:leaves", "ended its process (exit code 3)", "bye"),
        ("made_by_hand:ends", "ended its process (exit code 1)", "enough"),
        ("made_by_hand:crashes", "ended its process (killed by SIGSEGV)", ""),
        ("made_by_hand:nothing", "returns None, not a list of pipelines", "openbell.sdk.Pipeline"),
        ("made_by_hand:number_of", "returns a value of type int", ""),
        ("made_by_hand:mixed", "returns a list with a value of type dict in it", ""),
        ("made_by_hand:twice", "returns two pipelines called 'p'", ""),
        ("made_by_hand:unwritable", "returns pipeline 'p', of which <built-in", ""),
        ("made_by_hand:huge", "returns more than 16,777,216 bytes", ""),
        ("made_by_hand:number", "is no function but a value of type int", ""),
        ("made_by_hand:gone", "does not exist", ""),
        ("broken:one", "raised ModuleNotFoundError: No module named", "broken.py, line 1"),
        ("nowhere:one", "raised ModuleNotFoundError: No module named 'nowhere'", ""),
    ],
)
def test_whatever_a_function_does_is_told_in_words(
    folder: Path, function: str, error: str, hint: str
) -> None:
    found = called(folder, function)
    assert error in found.error
    assert hint in found.hint
    assert not found.pipelines


def test_those_that_hang_are_ended_together_with_all_that_they_started(folder: Path) -> None:
    began = time.monotonic()
    env = {**os.environ, "CHILD": str(folder / "child")}
    wanted = ["made_by_hand:hangs", "made_by_hand:several", "made_by_hand:hangs"]
    found = collect(wanted, folder, env=env, time_limit_s=5.0)
    assert time.monotonic() - began < 20
    assert [answer.error for answer in found] == ["did not return within 5 s", "", found[0].error]
    child = int((folder / "child").read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text():
            return
        time.sleep(0.05)
    raise AssertionError("a child outlived its function")


def test_a_thread_left_behind_holds_nobody_up(folder: Path) -> None:
    assert called(folder, "made_by_hand:lingers").error == ""


def test_answers_come_in_the_order_of_the_functions(folder: Path) -> None:
    wanted = ["made_by_hand:several", "made_by_hand:gone"]
    found = collect(wanted, folder, env=os.environ)
    assert [answer.function for answer in found] == wanted


def test_a_process_that_cannot_be_started_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(folder / "no-python"))
    assert called(folder, "made_by_hand:one").error.startswith("cannot be called: ")
