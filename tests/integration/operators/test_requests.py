"""`op: http`: what requests do, and what they say about what they cannot do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from pydantic import ValidationError
from typing_extensions import override

from openbell.model.urls import place
from openbell.operators.http import HttpOperator, retry_after_s
from openbell.operators.settings import HttpSettings
from openbell.sdk import (
    AuthError,
    DataError,
    EntitlementError,
    FatalError,
    NotFoundError,
    OpenbellError,
    RateLimitedError,
    TaskResult,
    TransientError,
)
from openbell.testing import START, FakeTaskContext

pytestmark = pytest.mark.integration


class Vendor(BaseHTTPRequestHandler):
    """Answers as the path says."""

    seen: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append(dict(self.headers))
        match self.path.split("?", maxsplit=1)[0].strip("/").split("/"):
            case ["slow"]:
                self._answer(200, [], size=1000)
                for _ in range(100):
                    self.wfile.write(b".")
                    self.wfile.flush()
                    time.sleep(0.05)
            case ["status", code, *rest]:
                headers = [("Retry-After", rest[0])] if rest else []
                self._answer(int(code), headers, b"because of s3cret-token")
            case ["echo"]:
                self._answer(200, [], b'[{"a": 1}, {"a": 2}]')
            case ["text"]:
                self._answer(200, [], b"plain")
            case ["away"]:
                self._answer(302, [("Location", "/text")])
            case _:
                self._answer(200, [], b"x" * 3_000_000)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"]))
        self._answer(201, [], sent)

    def _answer(
        self, code: int, headers: list[tuple[str, str]], body: bytes = b"", size: int | None = None
    ) -> None:
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass

    @override
    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@pytest.fixture(scope="module")
def vendor() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def http(url: str, **settings: Any) -> TaskResult:
    return HttpOperator(HttpSettings(url=url, **settings)).run(FakeTaskContext())


def test_an_answer_becomes_a_value_or_rows(vendor: str) -> None:
    assert http(f"{vendor}/echo", result="json").value == [{"a": 1}, {"a": 2}]
    assert http(f"{vendor}/text", result="text").value == "plain"
    assert http(f"{vendor}/away", result="text").value == "plain"
    made = http(f"{vendor}/echo", result="rows").rows
    assert isinstance(made, pa.Table)
    assert made.column("a").to_pylist() == [1, 2]
    posted = http(f"{vendor}/", method="POST", json={"day": "2026-01-02"}, result="json")
    assert posted.value == {"day": "2026-01-02"}
    with pytest.raises(DataError, match="no JSON"):
        http(f"{vendor}/text", result="json")
    with pytest.raises(FatalError, match="longer than 1 MiB"):
        http(f"{vendor}/large", max_mb=1)


@pytest.mark.parametrize(
    ("path", "error", "wait_s"),
    [
        ("status/429", RateLimitedError, None),
        ("status/429/7", RateLimitedError, 7.0),
        ("status/503/2", RateLimitedError, 2.0),
        ("status/503", TransientError, None),
        ("status/500", TransientError, None),
        ("status/401", AuthError, None),
        ("status/403", EntitlementError, None),
        ("status/404", NotFoundError, None),
        ("status/410", FatalError, None),
    ],
)
def test_a_status_is_sorted_by_what_can_be_done(
    vendor: str, path: str, error: type[OpenbellError], wait_s: float | None
) -> None:
    with pytest.raises(error, match=path.split("/")[1]) as caught:
        http(f"{vendor}/{path}")
    assert getattr(caught.value, "retry_after_s", None) == wait_s


def test_statuses_mean_what_the_settings_say(vendor: str) -> None:
    assert http(f"{vendor}/status/404", outcomes={404: "absent"}).outcome == "absent"
    assert http(f"{vendor}/status/418", expect=[418]).outcome == "success"
    with pytest.raises(FatalError, match="200"):
        http(f"{vendor}/text", expect=[204])


def test_no_secret_is_told(vendor: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VENDOR_TOKEN", "s3cret-token\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "vendor-key").write_text("from-systemd")
    headers = {
        "Authorization": {"env": "VENDOR_TOKEN", "prefix": "Bearer "},
        "X-Key": {"credential": "vendor-key"},
    }
    with pytest.raises(FatalError) as caught:
        http(f"{vendor}/status/410?key=in-the-query", secret_headers=headers)
    assert Vendor.seen[-1]["Authorization"] == "Bearer s3cret-token"
    assert Vendor.seen[-1]["X-Key"] == "from-systemd"
    assert "because of [redacted]" in str(caught.value)
    assert "in-the-query" not in str(caught.value)
    with pytest.raises(FatalError, match="follows no redirect"):
        http(f"{vendor}/away", secret_headers=headers)
    with pytest.raises(FatalError, match="no variable GONE"):
        http(vendor, secret_headers={"X": {"env": "GONE"}})
    with pytest.raises(FatalError, match="cannot be read: No such file"):
        http(vendor, secret_headers={"X": {"credential": "gone"}})


def test_an_answer_that_never_ends_is_given_up(vendor: str) -> None:
    began_s = time.monotonic()
    with pytest.raises(TransientError, match=r"did not answer whole within 0\.3 s"):
        http(f"{vendor}/slow", timeout_seconds=0.3)
    assert time.monotonic() - began_s < 3
    context = FakeTaskContext()
    threading.Timer(0.2, lambda: setattr(context, "is_asked", True)).start()
    HttpOperator(HttpSettings(url=f"{vendor}/slow")).run(context)
    assert time.monotonic() - began_s < 5


def test_a_place_that_cannot_be_reached_is_told() -> None:
    with pytest.raises(TransientError, match="could not be reached"):
        http("http://127.0.0.1:1/x")
    with pytest.raises(FatalError, match="cannot be asked"):
        http("http://[::1/x")


def test_a_dry_run_sends_nothing_that_could_change_something(vendor: str) -> None:
    before = len(Vendor.seen)
    context = FakeTaskContext(dry_run=True)
    for method in ("GET", "POST"):
        HttpOperator(HttpSettings(url=f"{vendor}/text", method=method)).run(context)
    assert len(Vendor.seen) == before + 1
    assert "no POST is sent" in context.lines[-1][1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "ftp://x"}, "begins with http"),
        ({"url": "http://x", "json": {}, "body": "x"}, "not both"),
        ({"url": "http://x", "secret_headers": {"A": {}}}, "one of them"),
    ],
)
def test_settings_of_requests_are_checked(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        HttpSettings(**settings)


def test_places_and_waits_are_read() -> None:
    assert place("https://user:pw@h.example:81/a/b?key=1#x") == "https://h.example:81/a/b"
    assert retry_after_s("Mon, 05 Jan 2026 14:31:00 GMT", START) == 60.0
    assert retry_after_s("Sat, 01 Jan 2000 00:00:00 GMT", START) == 0.0
    assert retry_after_s("soon", START) is None
