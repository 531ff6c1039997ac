"""What a task leaves behind: processes that outlive their worker, folders that nobody will read.

Every process that a worker starts, however far down and in whatever session, inherits a mark in
its environment (unless it clears it on purpose), and is found by that.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

MARK = "OPENBELL_WORKER"
SPOOL = "spool"
_ATTEMPT, _RUN = "att_", "run_"


def mark_of(place: str) -> str:
    """Return what stands for a file or folder in an environment, where no path is to be read.

    What stands for a folder begins what stands for everything inside it.
    """
    parts = Path(place).parts
    return "/".join(hashlib.sha256(part.encode()).hexdigest()[:12] for part in parts)


def marked(place: str) -> Iterator[int]:
    """Yield processes whose environment carries the mark of `place`, or of something inside it."""
    wanted = f"{MARK}={mark_of(place)}".encode()
    own = os.getpid()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == own:
            continue
        with contextlib.suppress(OSError), Path(f"/proc/{entry.name}/environ").open("rb") as file:
            values = file.read().split(b"\0")
            if any(value == wanted or value.startswith(wanted + b"/") for value in values):
                yield int(entry.name)


def end_marked(place: str) -> int:
    """Kill what carries the mark of `place`; return how many processes that were. Blocks for moments."""
    count = 0
    for pid in marked(place):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            count += 1
    return count


def end_orphans(scratch_dir: Path) -> int:
    """Kill what workers of a dead daemon with this scratch folder left running; return how many.

    Call it as the only daemon of the state folder, before the first worker starts.
    """
    return end_marked(str(scratch_dir))


def output_path(state_dir: Path, run_id: str, node: str, item: int = -1) -> Path:
    """Return where the rows that a node of a run makes are kept."""
    name = f"{node}.arrow" if item < 0 else f"{node}.{item}.arrow"
    return state_dir / SPOOL / run_id / name


def scratch_path(state_dir: Path, attempt_id: str) -> Path:
    """Return the scratch folder of an attempt."""
    return state_dir / SPOOL / attempt_id


def forget_run(state_dir: Path, run_id: str) -> None:
    """Delete what the nodes of a run made; of one that is unknown there is nothing."""
    if run_id.startswith(_RUN):
        shutil.rmtree(state_dir / SPOOL / run_id, ignore_errors=True)


def spooled_runs(state_dir: Path) -> list[str]:
    """Return the runs whose nodes' rows are kept here, oldest first."""
    folder = state_dir / SPOOL
    names = (entry.name for entry in os.scandir(folder)) if folder.is_dir() else ()
    return sorted(name for name in names if name.startswith(_RUN))


def clean_spool(
    state_dir: Path, *, is_kept: Callable[[str], bool], is_start: bool = False
) -> list[str]:
    """Delete the outputs of runs that `is_kept` does not name; return those runs.

    At the start of the daemon (`is_start`) no attempt is under way, and all scratch goes too.
    """
    folder = state_dir / SPOOL
    removed = []
    names = sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else []
    for name in names:
        is_scratch = name.startswith(_ATTEMPT) and is_start
        is_past = name.startswith(_RUN) and not is_kept(name)
        if is_scratch or is_past:
            shutil.rmtree(folder / name, ignore_errors=True)
        if is_past:
            removed.append(name)
    return removed
