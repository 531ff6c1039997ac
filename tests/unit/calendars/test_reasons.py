"""Why a calendar cannot be built is a sentence, whatever the library raised."""

from __future__ import annotations

import pytest

from openbell.calendars.reasons import reason_of, way_out

pytestmark = pytest.mark.unit

LIBRARY = "exchange_calendars 4.13.2"


def test_a_long_list_of_days_is_counted() -> None:
    days = ", ".join(
        f"Timestamp('1990-{1 + n % 12:02}-07 13:40:00', tz='UTC')" for n in range(1500)
    )
    message = repr(ValueError(f"Special dates [{days}] are not sessions."))
    assert reason_of(message, LIBRARY) == (
        "exchange_calendars 4.13.2 fails on it with ValueError: "
        "Special dates (1,500 from 1990-01-07 to 1990-12-07) are not sessions."
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(
            repr(NotImplementedError("implemented by subclasses")),
            f"{LIBRARY} fails on it with NotImplementedError: implemented by subclasses",
            id="an error",
        ),
        pytest.param("the worker was lost", "the worker was lost", id="a sentence"),
        pytest.param("KeyError()", "KeyError()", id="an error that says nothing"),
        pytest.param(
            repr(ValueError("[Timestamp(what)]")),
            f"{LIBRARY} fails on it with ValueError: [Timestamp(what)]",
            id="a list of something else",
        ),
    ],
)
def test_what_went_wrong_is_told_with_the_library(message: str, reason: str) -> None:
    assert reason_of(message, LIBRARY) == reason


def test_what_is_very_long_is_cut_at_a_word() -> None:
    found = reason_of("word " * 100, LIBRARY)
    assert len(found) <= 200
    assert found.endswith("word ...")


def test_the_way_out_names_the_calendar() -> None:
    assert "policies: {XTAE: weekmask}" in way_out("XTAE")
