"""`op: command`: a program of this machine, with everything it starts."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from openbell.operators.settings import CommandSettings
from openbell.sdk.errors import DataError, FatalError, TransientError
from openbell.sdk.tasks import MAX_VALUE_BYTES, TaskContext, TaskResult

_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR")
_OURS = ("TRACEPARENT", "OPENBELL_WORKER")
_LOOK_S = 0.1
_LAST_GRACE_S = 3.0
_READ_BYTES = 65_536


class CommandOperator:
    """Runs the program in a process group of its own and waits for it."""

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings

    def run(self, context: TaskContext) -> TaskResult:
        """Return how the program ended; whatever it left running is ended too."""
        settings = self._settings
        if context.dry_run and settings.in_dry_run == "skip":
            context.log("dry run: the command is not run (in_dry_run: skip)")
            return TaskResult()
        last = _LastLine() if settings.value == "last_line" else None
        process = self._started(context, last)
        try:
            self._wait(process, context)
        finally:
            _end_group(process, _LAST_GRACE_S)
            if last is not None:
                last.end()
        if context.is_stopping():
            return TaskResult()
        outcome = self._outcome(process.returncode)
        return TaskResult(outcome=outcome, value=None if last is None else last.value())

    def _started(self, context: TaskContext, last: _LastLine | None) -> subprocess.Popen[bytes]:
        settings = self._settings
        command: Any = settings.command
        cwd = _folder(settings.cwd, context)
        try:
            process = subprocess.Popen(  # noqa: S603 - what the node's settings say is what is run
                command,
                shell=settings.shell,
                cwd=cwd,
                env=environment(context.environment, settings.env),
                stdin=subprocess.DEVNULL,
                stdout=None if last is None else subprocess.PIPE,
                process_group=0,
            )
        except OSError as error:
            program = command if settings.shell else command[0]
            raise FatalError(
                f"{program!r} cannot be run: {error.strerror} (in folder {cwd})"
            ) from error
        if last is not None:
            assert process.stdout is not None
            last.read(process.stdout)
        return process

    def _wait(self, process: subprocess.Popen[bytes], context: TaskContext) -> None:
        handle = os.pidfd_open(process.pid)
        try:
            ended = select.poll()
            ended.register(handle, select.POLLIN)
            while not ended.poll(_LOOK_S * 1000):
                if context.is_stopping():
                    context.log("the command is asked to end (SIGTERM)", level="WARNING")
                    _end_group(process, self._settings.grace_seconds)
                    return
        finally:
            os.close(handle)
        process.wait()

    def _outcome(self, exit_code: int) -> str:
        settings = self._settings
        if exit_code in settings.outcomes:
            return settings.outcomes[exit_code]
        if exit_code in settings.success_codes:
            return "success"
        if exit_code < 0:
            with contextlib.suppress(ValueError):
                raise TransientError(f"the command was killed by {signal.Signals(-exit_code).name}")
        raise TransientError(
            f"the command ended with exit code {exit_code}; its output is in the node's log"
        )


def environment(facts: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return a command's environment: a few of the daemon's variables, facts of the run, its own.

    The rest of the daemon's is left out: it may hold what is nobody else's business.
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name in _OURS or name.startswith("LC_")
    }
    return {**passed, **facts, **own}


def _folder(cwd: str | None, context: TaskContext) -> str:
    if cwd is None:
        folder = Path(context.scratch("work"))
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)
    folder = Path(context.folder or ".", cwd)
    if not folder.is_dir():
        raise FatalError(f"cwd {str(folder)!r} is no folder")
    return str(folder)


def _end_group(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """End a process and its group: SIGTERM, a grace time for the process, SIGKILL."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


class _LastLine:
    """Passes a command's output on to the log and keeps the last line that is not empty."""

    def __init__(self) -> None:
        self._line = b""
        self._thread: threading.Thread | None = None

    def read(self, output: IO[bytes]) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait for the end of the output; nothing that could write is left by then."""
        if self._thread is not None:
            self._thread.join(_LAST_GRACE_S)

    def value(self) -> Any:  # noqa: ANN401 - plain JSON
        """Return the line as JSON; raises DataError."""
        try:
            return json.loads(self._line)
        except ValueError as error:
            shown = self._line[:200].decode("utf-8", "replace")
            raise DataError(
                f"the last line of the command's output is no JSON value: {shown!r} ({error})"
            ) from error

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for line in _lines(output):
                if line.strip():
                    self._line = line
                    sys.stdout.buffer.write(line + b"\n")
                    sys.stdout.buffer.flush()


def _lines(output: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, each cut where it is longer than a value may be."""
    rest = b""
    while received := os.read(output.fileno(), _READ_BYTES):
        *lines, rest = (rest + received).split(b"\n")
        yield from lines
        rest = rest[: MAX_VALUE_BYTES + 1]
    yield rest
