"""What operators may be told, and how it is told where it does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from openbell.config.invalid import in_a_sentence
from openbell.operators.control import (
    ApproveSettings,
    BranchSettings,
    NoopSettings,
    NotifySettings,
    WaitSettings,
)
from openbell.operators.settings import CommandSettings, HttpSettings
from openbell.sdk.settings import PluginSettings

pytestmark = pytest.mark.unit

URL = "https://a.example"


def refused(model: type[PluginSettings], settings: Mapping[str, Any]) -> str:
    with pytest.raises(ValidationError) as found:
        model.model_validate(settings)
    return in_a_sentence(model, found.value)


def test_numbers_are_written_out_where_text_is_meant() -> None:
    ran = CommandSettings.model_validate(
        {"command": ["sleep", 5, 0.25, True], "env": {"N": 3, "RATE": 0.01}}
    )
    assert ran.command == ["sleep", "5", "0.25", "true"]
    assert ran.env == {"N": "3", "RATE": "0.01"}
    assert HttpSettings.model_validate({"url": URL, "headers": {"X-N": 3}}).headers == {"X-N": "3"}
    assert NotifySettings.model_validate({"message": 7}).message == "7"
    assert NoopSettings.model_validate({"outcome": 1}).outcome == "1"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"command": ["echo", {"a": 1}]}, "command[1]: must be text, not a mapping"),
        ({"command": ["echo", None]}, "command[1]: must be text, not empty"),
        ({"command": 5}, "command: must be text, not 5 (put it in quotes)"),
        (
            {"command": "ls"},
            "command is a list: [program, argument, ...]; or say shell: true to let /bin/sh read it",
        ),
        ({"command": ["ls"], "shel": True}, "shel: is not a key that is known here"),
    ],
)
def test_what_is_wrong_with_a_command_is_told_once_and_where(
    settings: Mapping[str, Any], told: str
) -> None:
    found = refused(CommandSettings, settings)
    assert found.startswith(told)
    assert "pydantic" not in found


@pytest.mark.parametrize(
    ("model", "settings", "told"),
    [
        (WaitSettings, {"url": "ftp://x"}, "url begins with http:// or https://"),
        (WaitSettings, {"file": "x", "poll": 0}, "poll: must be at least 0.1, not 0"),
        (WaitSettings, {"until": "2026-01-01"}, "until: must say its zone, such as 2026-12-01T"),
        (WaitSettings, {"until": "soon"}, "until: must be an instant, such as 2026-12-01T14:00Z"),
        (WaitSettings, {}, "give exactly one of file, dataset, url, until and seconds"),
        (BranchSettings, {"cases": {"a": 1}}, "say what is compared: give value or of"),
        (BranchSettings, {"value": 1, "of": "a"}, "say what is compared: give value or of"),
        (
            ApproveSettings,
            {"deadline": 9, "on_deadline": "maybe"},
            "on_deadline is one of labels (approved, rejected), not 'maybe'",
        ),
        (ApproveSettings, {"on_deadline": "approved"}, "on_deadline needs a deadline"),
        (NotifySettings, {"message": "x", "webhook": "x"}, "webhook begins with http:// or"),
    ],
)
def test_what_cannot_work_is_refused(
    model: type[PluginSettings], settings: Mapping[str, Any], told: str
) -> None:
    assert refused(model, settings).startswith(told)


@pytest.mark.parametrize(
    ("written", "wanted"), [("1h30m", 5400), ("90", 90), ("0s", 0), (0.5, 0.5)]
)
def test_times_are_written_as_everywhere(written: object, wanted: float) -> None:
    assert NoopSettings.model_validate({"seconds": written}).seconds == wanted


def test_parameters_may_hold_what_is_checked_later() -> None:
    assert WaitSettings.model_validate({"url": "${where}"}).url == "${where}"
    asked = {"labels": ["a", "${b}"], "deadline": 1, "on_deadline": "x"}
    assert ApproveSettings.model_validate(asked).on_deadline == "x"
    assert BranchSettings.model_validate({"value": None}).value is None
