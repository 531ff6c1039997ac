"""What a run is asked for with: checked against the pipeline, nothing left unheard."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from openbell.model.control import Submission
from openbell.model.pipelines import Node, Pipeline
from openbell.sdk.errors import SettingsError
from openbell.supervisor.intake import run_params

pytestmark = pytest.mark.unit

NODE = Node(name="fetch", op="ingest", settings={"dataset": "bars", "limit": "${limit}"})
FILL = Pipeline(
    name="fill",
    mode="backfill",
    nodes=(NODE,),
    params={"universe": "all"},
    start=date(2024, 1, 2),
    end=date(2024, 1, 31),
)
LIVE = Pipeline(name="live", mode="live", nodes=(NODE,))


def problems(pipeline: Pipeline, **asked: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        run_params(Submission(pipeline=pipeline.name, **asked), pipeline)
    return [str(problem) for problem in refused.value.problems]


def test_the_request_goes_over_the_definition() -> None:
    asked = Submission(pipeline="fill", params={"limit": 3}, end=date(2024, 1, 5))
    assert run_params(asked, FILL) == {
        "universe": "all",
        "limit": 3,
        "from": "2024-01-02",
        "to": "2024-01-05",
    }


def test_a_parameter_that_nothing_uses_is_refused_with_those_there_are() -> None:
    told = problems(FILL, params={"limmit": 3})
    assert told == ["params.limmit: 'fill' has no such parameter; there are: limit, universe"]


def test_what_every_run_knows_by_itself_cannot_be_given() -> None:
    asks = Node(name="ask", op="sql", settings={"a": "${session} ${sessions_since(day)} ${day}"})
    told = problems(Pipeline(name="fill", nodes=(asks,)), params={"session": "x", "dya": "y"})
    assert told[0].startswith("params.session: every run knows this by itself; it cannot be given")
    assert told[1:] == ["params.dya: 'fill' has no such parameter; there are: day"]


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    told = problems(FILL, start=date(2025, 1, 2))
    assert told == ["params.to: 2024-01-31 is before from, 2025-01-02"]


def test_only_a_live_job_ends_after_a_time() -> None:
    assert run_params(Submission(pipeline="live", stop_after_s=3.0), LIVE) == {"for_s": 3.0}
    (told,) = problems(FILL, stop_after_s=3.0)
    assert "'fill' is no live job: it ends when its work is done" in told


def test_a_live_job_has_no_span() -> None:
    told = problems(LIVE, start=date(2024, 1, 2), end=date(2024, 1, 3))
    assert [line.partition(":")[0] for line in told] == ["params.from", "params.to"]
