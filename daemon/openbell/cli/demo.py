"""`mdp demo`: the main job on the embedded defaults, twice, and what to type next."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from openbell.cli.errors import FAILED, USAGE, CliError
from openbell.cli.progress import progress
from openbell.cli.render import Format, Printer, counted, say, span

_MARK = ".openbell-demo"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(demo)


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Where to put it [~/.local/share/openbell/demo]."),
    ] = None,
) -> None:
    """Fetch a quarter of made-up minutes, check, store, fetch again: nothing changes."""
    from openbell.config.demo import DEMO_DATASET, DEMO_JOB, demo_text

    place = _fresh(folder or _default_folder())
    config = place / "openbell.yaml"
    config.write_text(demo_text(), encoding="utf-8")
    say(f"1. A quarter of one-minute bars, five symbols, with a few faults. Config: {config}")
    first = _run(place, DEMO_JOB)
    Printer(Format.TABLE).rows(
        [{"node": name, **node} for name, node in first["nodes"].items()],
        ("node", "state", "rows_in", "rows_out", "verdict"),
    )
    _numbers(first)
    say("\n2. What the gate held back, and why:")
    for reason, count in _held(place / "state" / "quarantine").most_common():
        say(f"   {count:>6,}  {reason}")
    say("\n3. The same job again: every bar is there already, so nothing is written.")
    second = _run(place, DEMO_JOB)
    _numbers(second)
    if second["rows_written"]:
        raise CliError(FAILED, f"the second run wrote {second['rows_written']} rows")
    given = f"--config {shlex.quote(str(config))}"
    say(
        f"""
What to type next:
  mdp data stats {given}
  mdp data read {DEMO_DATASET} {given} --symbol AAPL --from 2026-03-31 -o csv
  mdp run {given} --job {DEMO_JOB} --state-dir {shlex.quote(str(place / "state"))} -o json
  mdp daemon run {given} --state-dir {shlex.quote(str(place / "state"))}
  mdp plugins"""
    )


def _default_folder() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "openbell" / "demo"


def _fresh(folder: Path) -> Path:
    """Return an empty demo folder; refuses one that holds anything else."""
    if folder.exists():
        if not (folder / _MARK).exists() and any(folder.iterdir()):
            raise CliError(
                USAGE, f"{folder} is not empty and no earlier demo", hint="name another with --dir"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARK).touch()
    return folder.resolve()


def _run(place: Path, job: str) -> dict[str, Any]:
    from openbell.cli.running import Where, run_here
    from openbell.model.control import Submission

    where = Where(config=place / "openbell.yaml", state_dir=place / "state")
    with progress(quiet=False) as shown:
        summary = run_here(where, Submission(pipeline=job, origin="demo"), shown)
    if summary["state"] != "success":
        raise CliError(FAILED, f"the demo's run {summary['state']}: {summary['error']}")
    return summary


def _numbers(summary: dict[str, Any]) -> None:
    say(
        f"   {summary['rows_in']:,} rows in, {summary['rows_written']:,} written, "
        f"{summary['rows_unchanged']:,} unchanged, {summary['rows_quarantined']:,} quarantined, "
        f"{counted(summary['batches'], 'batch')}, {span(summary['duration_s'])}"
    )


def _held(folder: Path) -> Counter[str]:
    """Return how many held rows there are by reason."""
    reasons: Counter[str] = Counter()
    for path in folder.rglob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            reasons[json.loads(line)["reason"]] += 1
    return reasons
