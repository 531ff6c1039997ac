"""The worker's end of the line to the daemon."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from queue import Empty, SimpleQueue

import msgspec

from openbell.execution.protocol import (
    Answer,
    Ask,
    Done,
    Failed,
    FrameError,
    FrameReader,
    FromWorker,
    Shutdown,
    StopTask,
    Task,
    ToWorker,
    decode_to_worker,
    encode,
)
from openbell.sdk.values import from_us

LINE_LOST_EXIT = 75
FORKED_EXIT = 70
_LOOK_S = 0.1


class Channel:
    """Frames both ways over a blocking socket; a thread of its own receives.

    When the line breaks the daemon is gone: the process exits at once, because nobody is left who
    could use what it does. A child that a task forked has no part in it: it says nothing, and when
    it comes to the end of the task it leaves.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._pid = os.getpid()
        self._send_lock = threading.Lock()
        self._asked: dict[int, SimpleQueue[Answer]] = {}
        self._ids = itertools.count(1)
        self.tasks: SimpleQueue[Task | Shutdown] = SimpleQueue()
        self._attempt_id = ""
        self.stop: StopTask | None = None
        self.stopped = threading.Event()
        self._receiver = threading.Thread(target=self._receive, name="receive", daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._receiver.start()

    def is_forked(self) -> bool:
        """Return whether this is a process that the worker's forked."""
        return os.getpid() != self._pid

    def send(self, message: FromWorker) -> None:
        """Send one frame. Safe from any thread. Raises FrameError for what cannot be sent."""
        if self.is_forked():
            if isinstance(message, Done | Failed):
                os._exit(FORKED_EXIT)
            return
        frame = encode(message)
        with self._send_lock:
            try:
                self._line.sendall(frame)
            except OSError:
                os._exit(LINE_LOST_EXIT)

    def ask(self, question: Ask, is_over: Callable[[], bool]) -> tuple[bool, datetime] | None:
        """Send a question and wait for its answer: whether it is granted, and the daemon's time.

        None: nobody needs the answer any more.
        """
        ask_id = next(self._ids)
        answers: SimpleQueue[Answer] = SimpleQueue()
        self._asked[ask_id] = answers
        try:
            self.send(msgspec.structs.replace(question, ask_id=ask_id))
            while not is_over():
                try:
                    answer = answers.get(timeout=_LOOK_S)
                except Empty:
                    continue
                return answer.is_granted, from_us(answer.now_us)
            return None
        finally:
            del self._asked[ask_id]

    def _receive(self) -> None:
        frames = FrameReader()
        while True:
            try:
                for body in frames.feed(self._line.recv(65536) or _lost()):
                    self._take(decode_to_worker(body))
            except (OSError, EOFError, FrameError):
                os._exit(LINE_LOST_EXIT)

    def _take(self, message: ToWorker) -> None:
        match message:
            case Answer():
                asker = self._asked.get(message.ask_id)
                if asker is not None:
                    asker.put(message)
            case StopTask():
                if message.attempt_id == self._attempt_id:
                    self.stop = message
                    self.stopped.set()
            case _:
                self._attempt_id = "" if isinstance(message, Shutdown) else message.attempt_id
                self.stop = None
                self.stopped.clear()
                self.tasks.put(message)


def _lost() -> bytes:
    raise EOFError
