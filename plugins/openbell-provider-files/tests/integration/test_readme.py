"""The README: its examples are run, and nothing that can be set is missing from it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from openbell.sdk.values import EPOCH, Interval, SessionTable, to_us
from openbell_provider_files.profiles import PROFILES
from openbell_provider_files.settings import FIELDS, FilesSettings

pytestmark = pytest.mark.integration

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
CONFIG: dict[str, Any] = YAML(typ="safe").load(
    next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "jobs:" in block)
)
RESULTS = {
    job: (int(read), int(written), int(held))
    for job, read, written, held in re.findall(r"\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \|", README)
}
CORE = {"type", "enabled", "pacing"}


def every_day(first: date, last: date) -> SessionTable:
    labels = [(first - EPOCH.date()).days + n for n in range((last - first).days + 1)]
    day_us = 86_400_000_000
    return SessionTable(
        calendar="24/7",
        labels_day=tuple(labels),
        opens_us=tuple(label * day_us for label in labels),
        closes_us=tuple((label + 1) * day_us for label in labels),
    )


@pytest.mark.parametrize("job", sorted(CONFIG["jobs"]))
def test_the_jobs_of_the_readme_read_what_it_says(
    *, job: str, real: Path, ask: Callable[..., Any]
) -> None:
    told = CONFIG["jobs"][job]
    dataset = CONFIG["datasets"][told["dataset"]]
    provider = {k: v for k, v in CONFIG["providers"][dataset["provider"]].items() if k not in CORE}
    provider["root"] = str(real / provider["root"].removeprefix("./data/"))
    start = datetime.combine(told["from"], datetime.min.time(), tzinfo=UTC)
    end = datetime.combine(told["to"], datetime.min.time(), tzinfo=UTC) + timedelta(hours=32)
    answer = ask(
        provider,
        dataset["interval"],
        list(dataset["symbols"]),
        span=Interval(start, end),
        sessions=every_day(told["from"], told["to"]),
        now=datetime(2026, 11, 1, tzinfo=UTC),
    )
    rows, rejected = len(answer.rows), len(answer.rejected)
    assert (rows + rejected, rows, rejected) == RESULTS[job]
    assert all(to_us(ts) >= to_us(start) for ts in answer.column("ts"))


def test_an_editor_with_the_json_schema_accepts_the_example() -> None:
    validator = Draft202012Validator(FilesSettings.model_json_schema())
    for name, section in CONFIG["providers"].items():
        told = {key: value for key, value in section.items() if key not in CORE}
        assert list(validator.iter_errors(told)) == [], name
    assert list(validator.iter_errors({"profile": "leen-daily"}))


def test_every_job_has_a_result() -> None:
    assert set(RESULTS) == set(CONFIG["jobs"])


def test_every_setting_field_and_profile_is_described() -> None:
    for name in FilesSettings.model_fields:
        assert f"\n| `{name}` |" in README, name
    for name in (*FIELDS, *PROFILES):
        assert f"`{name}`" in README, name
