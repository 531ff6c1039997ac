"""A client that never gives up: it submits until it is answered, and hears events without a gap."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from doubles.chaos.plans import Order
from doubles.chaos.wishes import Reply

_ANSWER_S = 10.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(path: Path, method: str, url: str, body: object = None, **headers: str) -> Reply | None:
    """Return the answer of the daemon behind the socket `path`, None when there is none."""
    connection = _Connection(path)
    sent = {"content-type": "application/json"} if body is not None else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, url, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        return Reply(answer.status, json.loads(answer.read() or b"null"))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


@dataclass
class Submitter:
    """Submits orders one by one, each again and again until it is accepted, in a thread.

    It waits while more than `most_open` runs are open: a storm is to end some day.
    """

    path: Path
    order: Callable[[int], Order]
    every_s: float
    most_open: int = 40
    accepted: dict[str, str] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    refused: list[tuple[str, Reply]] = field(default_factory=list)
    sent: int = 0
    _has_given_up: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="submitter", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """End once the order in hand is accepted."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "an order was never accepted"

    def give_up(self) -> None:
        """End, whether or not the order in hand was accepted."""
        self._stop.set()
        self._has_given_up = True

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            if self._is_busy():
                self._stop.wait(self.every_s)
                continue
            order = self.order(number)
            number += 1
            self.orders[order.key] = order
            while not self.submit(order) and not self._has_given_up:
                time.sleep(0.05)
            self._stop.wait(self.every_s)

    def _is_busy(self) -> bool:
        found = call(self.path, "GET", "/api/pipeline/jobs/running")
        has_answer = found is not None and found.status == 200
        return has_answer and len(found.body["items"]) > self.most_open

    def submit(self, order: Order) -> bool:
        """Send an order once; return whether that settled it."""
        self.sent += 1
        reply = call(self.path, "POST", "/api/pipeline/jobs", order.body, idempotency_key=order.key)
        if reply is None or reply.status >= 500 or reply.status == 429:
            return False
        if reply.status != 202:
            self.refused.append((order.key, reply))
            return True
        before = self.accepted.setdefault(order.key, reply.body["run_id"])
        if before != reply.body["run_id"]:
            self.refused.append((order.key, reply))
        return True


@dataclass
class Listener:
    """Follows the stream of events over all restarts, in a thread; `heard` are ids with names."""

    path: Path
    heard: list[tuple[int, str]] = field(default_factory=list)
    connects: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin with the first event there ever was."""
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def give_up(self) -> None:
        """End soon."""
        self._stop.set()

    def finish(self) -> None:
        """End; call it when the daemon is gone."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join(_ANSWER_S + 5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)

    def _follow(self) -> None:
        after = self.heard[-1][0] if self.heard else 0
        connection = _Connection(self.path)
        try:
            connection.request("GET", "/api/v1/events", headers={"last-event-id": str(after)})
            answer = connection.getresponse()
            if answer.status != 200:
                raise OSError(answer.status)
            self.connects += 1
            fields: dict[str, str] = {}
            while not self._stop.is_set():
                line = answer.readline()
                if not line.endswith(b"\n"):
                    return
                if line == b"\n":
                    if "id" in fields:
                        self.heard.append((int(fields["id"]), fields["event"]))
                    fields = {}
                else:
                    name, _, value = line.rstrip(b"\n").decode().partition(": ")
                    fields[name] = value
        finally:
            connection.close()
