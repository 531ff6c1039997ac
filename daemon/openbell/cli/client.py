"""A client of the daemon's API over its Unix socket, on the standard library alone."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from typing_extensions import override

from openbell.cli.errors import (
    NO_PERMISSION,
    TIMED_OUT,
    UNREACHABLE,
    CliError,
    of_problem,
)

TIMEOUT_S = 30.0
_MAX_LINE = 1 << 22

Query = Mapping[str, str | int | bool | Sequence[str] | None]


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("openbell", timeout=timeout_s)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event; `id` is empty when it has none. A heartbeat has no event name."""

    event: str
    data: Any = None
    id: str = ""


class Client:
    """Asks the daemon that listens on `path`. Every failure is a CliError with its exit code."""

    def __init__(self, path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s

    def get(self, path: str, query: Query | None = None) -> Any:  # noqa: ANN401 - JSON
        """Return the answer to a GET."""
        return self.call("GET", path, query=query)

    def items(self, path: str, query: Query | None = None, *, limit: int = 0) -> list[Any]:
        """Return a listing's items over all its pages, at most `limit` (0 for all)."""
        found: list[Any] = []
        asked = dict(query or {})
        while True:
            page = self.get(path, asked)
            found += page["items"]
            if page["next"] is None or (limit and len(found) >= limit):
                return found[:limit] if limit else found
            asked["cursor"] = page["next"]

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        """Return the answer's JSON; raises CliError for a problem or an unreachable daemon."""
        sent = json.dumps(body).encode() if body is not None else None
        head = {"accept": "application/json", **(headers or {})}
        if sent is not None:
            head["content-type"] = "application/json"
        with closing(_UnixConnection(self.path, self._timeout_s)) as connection:
            try:
                connection.request(method, path + _query(query), body=sent, headers=head)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._failure(error) from error
        return _decoded(answer, content)

    def stream(
        self,
        path: str,
        query: Query | None = None,
        *,
        after: str = "",
        deadline: float | None = None,
    ) -> Iterator[ServerEvent]:
        """Yield a stream's events until the daemon ends it or `deadline` (of `time.monotonic`).

        A heartbeat is an event without a name.
        """
        head = {"accept": "text/event-stream"}
        if after:
            head["last-event-id"] = after
        with closing(_UnixConnection(self.path, self._timeout_s)) as connection:
            try:
                connection.request("GET", path + _query(query), headers=head)
                assert connection.sock is not None
                stream_socket = connection.sock
                answer = connection.getresponse()
                if answer.status != http.client.OK:
                    _decoded(answer, answer.read())
                stream_socket.settimeout(_left_s(deadline))
                for event in _events(answer):
                    yield event
                    stream_socket.settimeout(_left_s(deadline))
            except TimeoutError as error:
                if deadline is None or time.monotonic() < deadline:
                    raise self._failure(error) from error
            except (OSError, http.client.HTTPException) as error:
                raise self._failure(error) from error

    def _failure(self, error: Exception) -> CliError:
        if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            return CliError(
                UNREACHABLE,
                f"no daemon listens on {self.path}",
                hint="start one with `mdp daemon run --config FILE`, or name its socket with --socket",
            )
        if isinstance(error, PermissionError):
            return CliError(
                NO_PERMISSION,
                f"the socket {self.path} may not be used by this user",
                hint="use the daemon's own user or root, or join the group of `daemon: socket_group`",
            )
        if isinstance(error, TimeoutError):
            return CliError(
                TIMED_OUT, f"the daemon on {self.path} did not answer in {self._timeout_s:g} s"
            )
        return CliError(
            UNREACHABLE, f"the daemon on {self.path} went away: {str(error) or 'no answer'}"
        )


def _left_s(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.001, deadline - time.monotonic())


def part(value: str) -> str:
    """Return `value` as one part of a path."""
    return quote(value, safe="")


def _query(query: Query | None) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in (query or {}).items()
        if value is not None
    }
    return "?" + urlencode(given, doseq=True) if given else ""


def _decoded(answer: http.client.HTTPResponse, content: bytes) -> Any:  # noqa: ANN401 - JSON
    is_json = "json" in (answer.headers.get("content-type") or "")
    try:
        decoded = json.loads(content) if is_json and content else content.decode()
    except ValueError as error:
        raise CliError(UNREACHABLE, "the daemon's answer cannot be read") from error
    if answer.status >= http.client.BAD_REQUEST:
        problem = decoded if isinstance(decoded, dict) else {"detail": decoded}
        raise of_problem(answer.status, problem)
    return decoded


def _events(answer: http.client.HTTPResponse) -> Iterator[ServerEvent]:
    fields: dict[str, str] = {}
    while line := answer.readline(_MAX_LINE):
        text = line.decode().rstrip("\r\n")
        if text.startswith(":"):
            yield ServerEvent("")
        elif text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            data = json.loads(fields["data"]) if "data" in fields else None
            yield ServerEvent(fields.get("event", "message"), data, fields.get("id", ""))
            fields = {}
