from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from openbell.history.lock import LockInfo, StateDirError, StateInUseError, StateLock, serving

pytestmark = pytest.mark.integration

HOLDER = """
import sys
from pathlib import Path
from openbell.history.lock import StateLock
with StateLock(Path(sys.argv[1])).acquire(version="1.2.3", socket="/run/x.sock"):
    print("held", flush=True)
    sys.stdin.read()
"""


def _holder(state_dir: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HOLDER, str(state_dir)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_the_second_is_refused_with_the_firsts_pid_and_socket(tmp_path: Path) -> None:
    with _holder(tmp_path) as first:
        with pytest.raises(StateInUseError) as caught:
            StateLock(tmp_path).acquire(version="1.2.3")
        assert f"in use by process {first.pid} (openbell 1.2.3, serving /run/x.sock)" in str(
            caught.value
        )
        assert caught.value.holder == LockInfo(pid=first.pid, socket="/run/x.sock", version="1.2.3")
        assert serving(tmp_path) == caught.value.holder
        assert first.stdin is not None
        first.stdin.close()
    assert serving(tmp_path) is None
    with StateLock(tmp_path).acquire(version="1.2.3"):
        assert serving(tmp_path) == LockInfo(pid=os.getpid(), socket=None, version="1.2.3")


def test_a_killed_holder_leaves_nothing_held(tmp_path: Path) -> None:
    with _holder(tmp_path) as first:
        first.kill()
    assert serving(tmp_path) is None
    StateLock(tmp_path).acquire(version="1").release()


def test_asking_who_serves_does_not_get_in_a_starters_way(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    for _ in range(100):
        with lock.acquire(version="1"):
            assert serving(tmp_path) is not None
        assert serving(tmp_path) is None


def test_nobody_serves_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert serving(tmp_path / "nowhere") is None


def test_a_holder_that_has_not_said_who_it_is_still_holds(tmp_path: Path) -> None:
    with StateLock(tmp_path).acquire(version="1"):
        (tmp_path / "openbell.lock").write_text("{")
        with pytest.raises(StateInUseError, match="in use by another process"):
            StateLock(tmp_path).acquire(version="1")


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateDirError, match="state cannot be used: "):
        StateLock(tmp_path / "state").acquire(version="1")
