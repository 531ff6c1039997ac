"""Laws of a rehearsal: chance and order are the only things that it depends on, and it says which."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from doubles.rehearsals import scheduled, staged, told
from hypothesis import given, settings
from hypothesis import strategies as st

from openbell.app.rehearsal.stage import Span
from openbell.model.pipelines import Pipeline, Rehearsal

pytestmark = pytest.mark.property

SPAN = Span(first=date(2027, 3, 12), last=date(2027, 3, 16))
"""New York changes its clocks in the middle of it."""

expressions = st.sampled_from(
    ["DESK close + 30m", "DESK open - 1h", "every 3h", "cron '0 7 * * 1-5' Europe/London"]
)
plays = st.builds(
    Rehearsal,
    duration_s=st.sampled_from([0.0, 40.0, 4000.0, 20_000.0]),
    fail_rate=st.sampled_from([0.0, 0.1, 0.6]),
)


@st.composite
def crews(draw: st.DrawFn) -> list[Pipeline]:
    """Return one to three pipelines that share workers, some of them slow or unlucky."""
    return [
        scheduled(
            f"p{number}",
            draw(expressions),
            nodes={"fetch": draw(plays), "publish": draw(plays)},
            overlap=draw(st.sampled_from(["skip", "queue_one", "cancel_running", "allow"])),
            timeout_s=draw(st.sampled_from([None, 3600.0])),
        )
        for number in range(draw(st.integers(1, 3)))
    ]


def fires(entries: list[Any]) -> set[tuple[str, str]]:
    return {(entry["pipeline"], entry["fire"]) for entry in entries}


few = settings(max_examples=8, deadline=None)


@few
@given(crew=crews(), seed=st.integers(0, 2**32))
def test_the_same_inputs_give_the_same_digest(crew: list[Pipeline], seed: int) -> None:
    assert staged(*crew, span=SPAN, seed=seed)[1] == staged(*crew, span=SPAN, seed=seed)[1]


@few
@given(crew=crews(), data=st.data())
def test_the_order_of_pipelines_in_the_file_means_nothing(
    crew: list[Pipeline], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(crew))
    assert staged(*crew, span=SPAN)[1] == staged(*shuffled, span=SPAN)[1]


@few
@given(crew=crews(), days=st.integers(0, 3))
def test_a_span_cut_in_two_has_the_same_fires(crew: list[Pipeline], days: int) -> None:
    middle = SPAN.first + timedelta(days=days)
    halves = [replace(SPAN, last=middle), replace(SPAN, first=middle + timedelta(days=1))]
    whole = fires(told(staged(*crew, span=SPAN)[0]))
    parts = [fires(told(staged(*crew, span=half)[0])) for half in halves]
    assert parts[0] | parts[1] == whole
    assert not parts[0] & parts[1]


@few
@given(seeds=st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True))
def test_another_seed_is_another_story(seeds: list[int]) -> None:
    unlucky = scheduled(nodes={"fetch": Rehearsal(duration_s=5.0, fail_rate=0.5)})
    span = Span(first=date(2027, 1, 1), last=date(2027, 2, 15))
    digests = {staged(unlucky, span=span, seed=seed)[1] for seed in seeds}
    assert len(digests) == 2


@few
@given(play=plays, seed=st.integers(0, 100))
def test_another_pipeline_changes_no_ones_luck(play: Rehearsal, seed: int) -> None:
    one = scheduled("one", nodes={"fetch": play})
    other = scheduled("two", "DESK open", nodes={"fetch": play})
    alone = told(staged(one, span=SPAN, seed=seed)[0])
    together = told(staged(one, other, span=SPAN, seed=seed)[0])
    assert [run for run in together if run["pipeline"] == "one"] == alone
