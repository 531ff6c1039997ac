"""The provider: plans the files of a request and yields their bars page by page."""

from __future__ import annotations

import json
from collections.abc import Iterator

from openbell.sdk.errors import FatalError, Problem, SettingsError
from openbell.sdk.providers import Capabilities, FetchRequest, Page
from openbell.sdk.schemas import BARS_OHLCV
from openbell.sdk.values import BarWidth
from openbell_provider_files.bars import BarMaker
from openbell_provider_files.columnar import ColumnarReader
from openbell_provider_files.delimited import DelimitedReader
from openbell_provider_files.jsonlines import JsonLinesReader
from openbell_provider_files.opening import FileTask, Fingerprint, OpenFile, opened, reading
from openbell_provider_files.plan import make_plan
from openbell_provider_files.raw import RawRows, RowReader
from openbell_provider_files.settings import FilesSettings


class FilesProvider:
    """Bars from files. A page holds rows of one file, sorted by symbol and ts."""

    def __init__(self, settings: FilesSettings) -> None:
        self._settings = settings

    def capabilities(self) -> Capabilities:
        """Any schema of bars, of the widths that the settings name; files may grow, so also live."""
        return Capabilities(
            schemas=(BARS_OHLCV.name,), intervals=self._settings.intervals, live=True
        )

    def fetch(self, request: FetchRequest) -> Iterator[Page]:
        """Yield pages: at most `batch_rows` rows of one file each, files in the order of the plan."""
        self._check_interval(request)
        plan = make_plan(self._settings, request)
        maker = BarMaker(self._settings, request)
        begin, start_row = _resume(request.cursor, plan.tasks)
        yielded, cursor = request.cursor is not None, request.cursor or ""
        for task in plan.tasks[begin:]:
            fingerprint, first = _fingerprint(task), True
            for rows, file in self._read(task, start_row, request.batch_rows):
                bars = maker.bars(rows, source=file.source, symbol=task.symbol, day=task.day)
                cursor = _cursor(task, fingerprint, rows.next_row)
                if bars.batch is not None or bars.rejected:
                    yielded = True
                    yield Page(
                        batches=() if bars.batch is None else (bars.batch,),
                        cursor=cursor,
                        rejected=bars.rejected,
                        size_bytes=file.size_bytes if first else 0,
                    )
                    first = False
            start_row = 0
        if not yielded:
            yield Page(batches=(), cursor=cursor or _cursor(None, "", 0), no_data_confirmed=True)

    def close(self) -> None:
        """Nothing stays open between pages' files; safe to call twice."""

    def _check_interval(self, request: FetchRequest) -> None:
        widths = self._settings.intervals
        if widths and request.interval not in [BarWidth.parse(text) for text in widths]:
            raise SettingsError(
                [
                    Problem(
                        message=f"dataset {request.dataset!r} asks for bars of "
                        f"{request.interval.text}, the files hold {', '.join(widths)}",
                        key="interval",
                        hint="choose the profile for that width, or set `intervals:`",
                    )
                ]
            )

    def _read(
        self, task: FileTask, start_row: int, batch_rows: int
    ) -> Iterator[tuple[RawRows, OpenFile]]:
        with opened(task, self._settings) as file:
            stretches = _reader(file, self._settings).stretches(start_row, max(batch_rows, 1))
            while True:
                with reading(file.source):
                    rows = next(stretches, None)
                if rows is None:
                    return
                yield rows, file


def _reader(file: OpenFile, settings: FilesSettings) -> RowReader:
    if file.kind in {"csv", "tsv"}:
        return DelimitedReader(file, settings)
    if file.kind == "jsonl":
        return JsonLinesReader(file, settings)
    return ColumnarReader(file, settings)


def _fingerprint(task: FileTask) -> str:
    with reading(str(task.path)):
        return Fingerprint.of(task.path).text()


def _cursor(task: FileTask | None, fingerprint: str, next_row: int) -> str:
    place = (task.symbol, task.relative) if task is not None else (None, "")
    return json.dumps([*place, fingerprint, next_row], separators=(",", ":"))


def _resume(cursor: str | None, tasks: tuple[FileTask, ...]) -> tuple[int, int]:
    """Return the index of the file to go on with, and the row in it.

    A file that changed since is read again from its start, and so is everything when the file of
    the cursor is gone: writing a row again changes nothing.
    """
    if cursor is None:
        return 0, 0
    try:
        symbol, relative, fingerprint, next_row = json.loads(cursor)
    except (ValueError, TypeError) as error:
        raise FatalError(f"cursor {cursor[:80]!r} was not made by this provider") from error
    for index, task in enumerate(tasks):
        if (task.symbol, task.relative) == (symbol, relative):
            same = _fingerprint(task) == fingerprint
            return index, int(next_row) if same else 0
    return 0, 0
