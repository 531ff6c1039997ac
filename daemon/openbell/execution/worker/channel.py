"""The worker's end of the line to the daemon."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from datetime import datetime
from queue import SimpleQueue

import msgspec

from openbell.execution.protocol import (
    Answer,
    Ask,
    CallTask,
    ChainTask,
    FrameReader,
    FromWorker,
    Shutdown,
    StopTask,
    decode_to_worker,
    encode,
)
from openbell.sdk.values import from_us

LINE_LOST_EXIT = 75


class Channel:
    """Frames both ways over a blocking socket; a thread of its own receives.

    When the line breaks the daemon is gone: the process exits at once, because nobody is left who
    could use what it does.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._send_lock = threading.Lock()
        self._asked: dict[int, SimpleQueue[Answer]] = {}
        self._ids = itertools.count(1)
        self.tasks: SimpleQueue[ChainTask | CallTask | Shutdown] = SimpleQueue()
        self.stop: StopTask | None = None
        self._receiver = threading.Thread(target=self._receive, name="receive", daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._receiver.start()

    def send(self, message: FromWorker) -> None:
        """Send one frame. Safe from any thread."""
        frame = encode(message)
        with self._send_lock:
            try:
                self._line.sendall(frame)
            except OSError:
                os._exit(LINE_LOST_EXIT)

    def ask(self, question: Ask) -> tuple[bool, datetime]:
        """Send a question and wait for its answer: whether it is granted, and the daemon's time."""
        ask_id = next(self._ids)
        answers: SimpleQueue[Answer] = SimpleQueue()
        self._asked[ask_id] = answers
        self.send(msgspec.structs.replace(question, ask_id=ask_id))
        answer = answers.get()
        del self._asked[ask_id]
        return answer.is_granted, from_us(answer.now_us)

    def _receive(self) -> None:
        frames = FrameReader()
        while True:
            try:
                received = self._line.recv(65536)
            except OSError:
                received = b""
            if not received:
                os._exit(LINE_LOST_EXIT)
            for body in frames.feed(received):
                message = decode_to_worker(body)
                if isinstance(message, Answer):
                    self._asked[message.ask_id].put(message)
                elif isinstance(message, StopTask):
                    self.stop = message
                else:
                    self.stop = None
                    self.tasks.put(message)
