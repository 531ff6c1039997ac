"""The daemon's log: one JSON object a line on stderr, or words and colours on a terminal.

Records come from events (`observe.py`) and from libraries that use `logging`; both go through
the same chain: context, redaction, bounds, rendering.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
from typing_extensions import override

from openbell.telemetry.lean import structlog
from openbell.telemetry.lines import LineWriter
from openbell.telemetry.names import LIBRARY_LOGGED, RECORDS_DROPPED
from openbell.telemetry.redact import Redactor

Style = Literal["auto", "json", "console"]
Record = MutableMapping[str, Any]

MAX_TEXT = 8192
MAX_FIELDS = 64
MAX_ITEMS = 100
MAX_LINE_BYTES = 65536
FLUSH_WAIT_S = 1.0
_KEPT_WHEN_CUT = ("timestamp", "level", "event", "run_id", "node", "trace_id")


class Logs:
    """The log of one process, while it is entered: `logging` of every library goes through it.

    `now` gives the time of records that do not bring one. `redactor` may be replaced when the
    configuration changes. Lines never hold up the program: see `LineWriter`.
    """

    def __init__(
        self,
        fd: int,
        *,
        now: Callable[[], datetime],
        level: str = "INFO",
        style: Style = "auto",
        redactor: Redactor | None = None,
    ) -> None:
        self.redactor = redactor or Redactor()
        self._out = LineWriter(fd)
        self._now = now
        self._level = level_number(level)
        self._told_dropped = 0
        self._render = _console(fd) if _is_console(style, fd) else _json
        self._bridge = _Bridge(self)
        self._before: tuple[list[logging.Handler], int] = ([], logging.WARNING)
        self._logger = self._new_logger()

    @property
    def dropped_count(self) -> int:
        """How many records were lost because nobody read the log."""
        return self._out.dropped_count

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before = (root.handlers[:], root.level)
        root.handlers[:] = [self._bridge]
        root.setLevel(max(self._level, logging.INFO))
        logging.captureWarnings(capture=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        logging.captureWarnings(capture=False)
        root = logging.getLogger()
        root.handlers[:], level = self._before
        root.setLevel(level)
        self._out.flush(FLUSH_WAIT_S)

    def set_level(self, level: str) -> None:
        """Log `level` and what is graver; libraries are heard from INFO on. Raises ValueError."""
        self._level = level_number(level)
        self._logger = self._new_logger()
        if self._bridge in logging.getLogger().handlers:
            logging.getLogger().setLevel(max(self._level, logging.INFO))

    def is_wanted(self, level: int) -> bool:
        """Return whether records of this level are written."""
        return level >= self._level

    def write(self, level: int, event: str, /, **fields: Any) -> None:  # noqa: ANN401 - any value
        """Write one record; `fields` may bring a `timestamp`, and win over the context's."""
        if not self.is_wanted(level):
            return
        dropped = self._out.dropped_count
        if dropped > self._told_dropped and self._out.flush():
            self._logger.log(logging.WARNING, RECORDS_DROPPED, count=dropped - self._told_dropped)
            self._told_dropped = dropped
        self._logger.log(level, event, **fields)

    def redacted(self, text: str) -> str:
        """Return `text` without the secrets that are known by now."""
        return self.redactor.text(text)

    def flush(self) -> None:
        """Write what a slow reader made wait."""
        self._out.flush()

    def _new_logger(self) -> structlog.typing.FilteringBoundLogger:
        made: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            _Lines(self._out),
            processors=[
                structlog.contextvars.merge_contextvars,
                self._clean,
                structlog.processors.add_log_level,
                self._stamp,
                self._rendered,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(self._level),
            cache_logger_on_first_use=False,
        )
        return made

    def _stamp(self, _logger: object, _method: str, record: Record) -> Record:
        at = record.pop("timestamp", None) or self._now()
        level, event = record.pop("level"), record.pop("event")
        head = {"timestamp": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z", "level": level}
        return {**head, "event": event, **record}

    def _clean(self, _logger: object, _method: str, record: Record) -> Record:
        head = {key: record.pop(key) for key in ("event", "timestamp") if key in record}
        cleaned: Record = _bounded(self.redactor.value(record))
        return {**cleaned, **head}

    def _rendered(self, _logger: object, _method: str, record: Record) -> bytes:
        line = self._render(record)
        if len(line) > MAX_LINE_BYTES:
            kept = {key: record[key] for key in _KEPT_WHEN_CUT if key in record}
            line = self._render({**kept, "cut_bytes": len(line)})
        return line


class _Lines:
    """What structlog writes finished lines to, whatever the level."""

    def __init__(self, out: LineWriter) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = out.write


class _Bridge(logging.Handler):
    """Takes what libraries say through `logging`."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # a library's arguments do not fit its own format
            message = str(record.msg)
        fields: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC),
            "logger": record.name,
            "message": message,
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        self._logs.write(record.levelno, LIBRARY_LOGGED, **fields)


@contextmanager
def log_context(**fields: str) -> Iterator[None]:
    """Add `fields` (run_id, node, trace_id ...) to every record written inside.

    Tasks started inside keep them.
    """
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def level_number(level: str) -> int:
    """Return the number of a level's name in any case; raises ValueError with the names."""
    known = logging.getLevelNamesMapping()
    try:
        return known[level.upper()]
    except KeyError:
        names = "DEBUG, INFO, WARNING, ERROR, CRITICAL"
        raise ValueError(f"log level {level!r} is unknown; there are: {names}") from None


def _bounded(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - JSON-like values
    """Return `value` with long texts and collections cut, saying by how much."""
    match value:
        case str() if len(value) > MAX_TEXT:
            return f"{value[:MAX_TEXT]}... [{len(value) - MAX_TEXT} more characters]"
        case dict():
            limit = MAX_ITEMS if depth else MAX_FIELDS
            kept = {key: _bounded(item, depth + 1) for key, item in list(value.items())[:limit]}
            return kept | ({"more": len(value) - limit} if len(value) > limit else {})
        case list():
            kept_items = [_bounded(item, depth + 1) for item in value[:MAX_ITEMS]]
            more = [f"[{len(value) - MAX_ITEMS} more]"] if len(value) > MAX_ITEMS else []
            return kept_items + more
        case _:
            return value


def _json(record: Record) -> bytes:
    try:
        return msgspec.json.encode(record, enc_hook=str)
    except (UnicodeEncodeError, OverflowError):  # lone surrogates, integers beyond 64 bits
        return json.dumps(record, default=str).encode()


def _is_console(style: Style, fd: int) -> bool:
    return style == "console" or (style == "auto" and os.isatty(fd))


def _console(fd: int) -> Callable[[Record], bytes]:
    is_coloured = os.isatty(fd) and not os.environ.get("NO_COLOR")
    renderer = structlog.dev.ConsoleRenderer(colors=is_coloured, sort_keys=False)

    def render(record: Record) -> bytes:
        return str(renderer(None, "", record)).encode("utf-8", "backslashreplace")

    return render
