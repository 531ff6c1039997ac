"""`mdp schedule add`, `remove`, `pause`, `resume`, `fires` and `mdp get schedules`."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.command import mdp_beside
from doubles.serving import Served

from openbell.model.schedules import ScheduleUse

pytestmark = pytest.mark.integration


async def test_a_schedule_is_added_paused_resumed_and_removed(served: Served) -> None:
    del served
    added = await mdp_beside(
        *("schedule", "add", "lean_daily", "XNYS close + 30m", "--from", "2026-12-01"),
        *("--until", "2027-01-01", "--jitter", "30s", "--on-missed", "latest", "-o", "json"),
    )
    schedule = added.json["id"]
    paused = await mdp_beside("schedule", "pause", schedule)
    listed = await mdp_beside("get", "schedules")
    resumed = await mdp_beside("schedule", "resume", schedule, "--tz", "America/New_York")
    removed = await mdp_beside("schedule", "remove", schedule)
    again = await mdp_beside("schedule", "remove", schedule)

    assert added.err == "added sch_1; next at 2026-11-20 21:00:00+00:00\n"
    told = {key: added.json[key] for key in ("when", "origin", "jitter_s", "active")}
    assert told == {
        "when": "XNYS close + 30m",
        "origin": "api",
        "jitter_s": 30.0,
        "active": {"from": "2026-12-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
    }
    assert added.json["on_missed"]["catch"] == "latest"
    assert paused.err == "schedule sch_1 is paused\n"
    assert "paused" in listed.out
    assert resumed.err == "schedule sch_1 is active; next at 2026-11-20 16:00:00-05:00\n"
    assert (removed.code, removed.err) == (0, "removed sch_1\n")
    assert (again.code, again.err.splitlines()[0]) == (
        4,
        "error: schedule 'sch_1' is unknown; `mdp get schedules` lists them",
    )


async def test_parameters_and_a_deadline_are_sent(served: Served) -> None:
    arguments = ("schedule", "add", "lean_daily", "every 1h", "--if-before", "XLON open")
    done = await mdp_beside(*arguments, "-p", "from=2026-01-02", "-o", "json")
    (status,) = served.engine.scheduler.statuses()
    assert done.json["on_missed"]["if_before"] == "XLON open"
    assert status.record.use.params == {"from": "2026-01-02"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(
            ("lean_daily", "XNYS clse"),
            2,
            "when: 'clse' is no event of XNYS at character 6 of 'XNYS clse' (did you mean 'close'?)",
            id="a wrong expression",
        ),
        pytest.param(
            ("lean_dayly", "XNYS close"), 4, "hint: did you mean 'lean_daily'?", id="no pipeline"
        ),
        pytest.param(
            ("lean_daily", "XNYS close", "--jitter", "-3s"),
            2,
            "jitter: must be a duration such as 30s",
            id="a negative jitter",
        ),
        pytest.param(
            ("lean_daily", "XNYS close", "--on-missed", "never"),
            2,
            "on_missed.catch",
            id="an unknown policy",
        ),
        pytest.param(("lean_daily", "XNYS open"), 3, "of this meaning: 'NYSE open'", id="twice"),
    ],
)
async def test_what_is_refused_says_why(
    served: Served, arguments: tuple[str, ...], code: int, words: str
) -> None:
    served.engine.scheduler.keep("lean_daily", ScheduleUse(expression="NYSE open"))
    done = await mdp_beside("schedule", "add", *arguments)
    assert (done.code, words in done.err) == (code, True), done.err


async def test_schedules_are_listed_with_their_last_fire(served: Served) -> None:
    served.engine.scheduler.keep("bars", ScheduleUse(expression="every 1s"))
    served.engine.scheduler.keep("other", ScheduleUse(expression="XNYS open"))
    served.engine.scheduler.decide(3)
    table = (await mdp_beside("get", "schedules")).out.splitlines()
    assert table[0].split() == [
        *(
            "PIPELINE",
            "SCHEDULE",
            "STATE",
            "NEXT_AT",
            "LAST_AT",
            "OUTCOME",
            "ORIGIN",
            "ID",
            "REASON",
        )
    ]
    assert "2026-11-20 12:00:02+00:00  run" in table[1]
    only = (await mdp_beside("get", "schedules", "--pipeline", "other", "-o", "json")).json
    assert [(item["pipeline"], item["last"]) for item in only] == [("other", None)]


async def test_fires_are_listed_newest_first(served: Served) -> None:
    served.engine.scheduler.keep("bars", ScheduleUse(expression="every 1s"))
    served.engine.scheduler.decide(30)
    newest = (await mdp_beside("schedule", "fires", "-o", "json")).json
    most = (await mdp_beside("schedule", "fires", "-n", "25", "-o", "jsonl")).out.splitlines()
    table = (await mdp_beside("schedule", "fires", "--pipeline", "bars", "-n", "1")).out
    assert [fire["run_id"] for fire in newest] == [f"run_{n}" for n in range(29, 9, -1)]
    assert len(most) == 25
    assert table.splitlines()[0].split()[0] == "DUE_AT"
    assert "run_29" in table


async def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    done = await mdp_beside("schedule", "fires", "--socket", tmp_path / "no.sock")
    assert (done.code, done.err.startswith("error: no daemon listens on")) == (69, True)
