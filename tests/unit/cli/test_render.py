from __future__ import annotations

import io
import json
from typing import Any

import pytest
from typing_extensions import override

from openbell.cli.errors import USAGE, CliError, of_problem
from openbell.cli.render import Format, Printer, span, use_colour, zone
from openbell.cli.waiting import seconds

pytestmark = pytest.mark.unit

ROWS: list[dict[str, Any]] = [
    {"name": "a", "state": "success", "at": "2026-01-05T14:30:00Z", "share": 0.25, "more": [1, 2]},
    {"name": "long name", "state": "failed", "at": None, "share": None, "more": {}},
]


def test_a_table_has_aligned_columns(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TABLE).rows(ROWS, ("name", "state", "at", "share", "more"))

    assert capsys.readouterr().out.splitlines() == [
        "NAME       STATE    AT                         SHARE  MORE",
        "a          success  2026-01-05 14:30:00+00:00  0.25   1,2",
        "long name  failed   -                          -      -",
    ]


def test_instants_are_shown_in_the_zone_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TABLE, "America/New_York").rows(ROWS[:1], ("at",))
    assert "2026-01-05 09:30:00-05:00" in capsys.readouterr().out


def test_json_is_the_data_untouched(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.JSON, "America/New_York").rows(ROWS, ("name",))
    assert json.loads(capsys.readouterr().out) == ROWS


def test_jsonl_is_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.JSONL).rows(ROWS, ("name",))
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_yaml_is_block_style(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.YAML).record({"b": 1, "a": {"c": [1, 2]}})
    assert capsys.readouterr().out == "b: 1\na:\n  c:\n  - 1\n  - 2\n"


def test_a_record_is_one_line_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TABLE).record({"name": "a", "longer": True, "nested": {"x": 1}})
    assert capsys.readouterr().out == "name:   a\nlonger: yes\n"


def test_an_empty_listing_still_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TABLE).rows([], ("name", "state"))
    assert capsys.readouterr().out == "NAME  STATE\n"


def test_an_unknown_zone_is_a_usage_error() -> None:
    with pytest.raises(CliError, match="'Mars/Base' is unknown") as caught:
        zone("Mars/Base")
    assert caught.value.code == USAGE


def test_colours_are_for_terminals_whose_user_did_not_opt_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        @override
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert use_colour(Terminal())
    assert not use_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_colour(Terminal())


@pytest.mark.parametrize(
    ("text", "found"), [("90", 90), ("45s", 45), ("10m", 600), ("1.5h", 5400), ("1d", 86400)]
)
def test_lengths_of_time_are_understood(text: str, found: float) -> None:
    assert seconds(text) == found


@pytest.mark.parametrize("text", ["", "soon", "-1", "0", "inf", "nan", "1w", "m"])
def test_other_lengths_of_time_are_refused(text: str) -> None:
    with pytest.raises(CliError, match="is no length of time"):
        seconds(text)


def test_durations_are_written_for_people() -> None:
    assert (span(2.25), span(3725)) == ("2.2 s", "1:02:05")


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, 4), (401, 77), (403, 77), (409, 3), (422, 2), (400, 2), (503, 75), (429, 75), (500, 69)],
)
def test_each_answer_has_its_exit_code(status: int, code: int) -> None:
    assert of_problem(status, {"detail": "x"}).code == code


def test_wrong_settings_are_told_line_by_line() -> None:
    problem = {
        "type": "urn:openbell:problem:invalid-settings",
        "errors": [
            {
                "file": "a.yaml",
                "line": 3,
                "column": 7,
                "key": "jobs.x",
                "message": "bad",
                "hint": "mend",
            }
        ],
    }
    error = of_problem(422, problem)

    assert error.code == 78
    assert error.text == "error: the daemon refuses this\n  a.yaml:3:7: jobs.x: bad (mend)"


def test_local_is_the_zone_of_the_machine() -> None:
    assert zone("local") is not None
