"""A progress bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from typing_extensions import override

from openbell.cli.render import use_colour


class Progress(Protocol):
    """Shows how far a run came."""

    def show(self, rows: int, batches: int, total_rows: int | None) -> None:
        """Show rows and batches so far, and the total once it is known."""
        ...


class _Nothing(Progress):
    @override
    def show(self, rows: int, batches: int, total_rows: int | None) -> None:
        del rows, batches, total_rows


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """Yield a progress bar with rows, batches, rate and time left, on stderr if a terminal."""
    if quiet or not sys.stderr.isatty():
        yield _Nothing()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    console = Console(stderr=True, no_color=not use_colour(sys.stderr))
    with Bar(
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows  {task.fields[batches]} batches  {task.fields[rate]} rows/s"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("rows", total=None, batches=0, rate="-")

        class Shown(Progress):
            @override
            def show(self, rows: int, batches: int, total_rows: int | None) -> None:
                speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
                rate = f"{speed:,.0f}" if speed else "-"
                bar.update(task, completed=rows, total=total_rows, batches=batches, rate=rate)

        yield Shown()
