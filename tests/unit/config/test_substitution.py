"""`${env:}`, `${secret:}` and `${param}`."""

from __future__ import annotations

import pytest
from doubles.configurations import SMALL, loaded, told

from openbell.config.substitution import fill_params, params_in

pytestmark = pytest.mark.unit

PIPELINE = """\
pipelines:
  p:
    params: {days: 3, words: [a, b]}
    nodes:
      fetch: {op: ingest, dataset: bars, lookback_bars: "${days}"}
      run: {op: command, needs: [fetch], argv: ["x ${days} $${y}", "${env:V}"]}
"""


def test_an_environment_variable_is_filled_in() -> None:
    text = SMALL.replace("type: lake", 'type: lake, uri: "${env:BASE}/${env:NAME}-$${x}"')
    found = loaded(text, env={"BASE": "/srv", "NAME": "l"}).deployment
    assert found.storage["primary"].settings["uri"] == "/srv/l-${x}"


def test_a_variable_that_is_not_set_names_the_key() -> None:
    text = SMALL.replace("type: lake", 'type: lake, uri: "${env:BASE}"')
    assert told(text) == [
        "openbell.yaml:5:30: storage.primary.uri: environment variable BASE is not set"
    ]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("${enw:X}", "substitution ${enw:X} is not understood here"),
        ("${X}", "substitution ${X} is not understood here"),
        ("${env:}", "substitution ${env:} is not understood here"),
        ("${secret:../x}", "substitution ${secret:../x} is not understood here"),
        ("${}", "substitution ${} is not understood here"),
        ("a ${env:X", "'${' is never closed"),
    ],
)
def test_anything_else_is_a_problem(written: str, problem: str) -> None:
    assert problem in told(SMALL.replace("type: lake", f'type: lake, uri: "{written}"'))[0]


def test_a_secret_may_stand_only_where_secrets_are_needed() -> None:
    text = SMALL + 'jobs:\n  j: {dataset: "${secret:x}", mode: live}\n'
    assert "a secret may not stand here" in told(text)[0]


def test_without_a_place_for_secrets_the_hint_names_one() -> None:
    text = SMALL.replace("type: synthetic", 'type: vendor, api_key: "${secret:key}"')
    assert told(text) == [
        (
            "openbell.yaml:3:36: providers.made_up.api_key: secret 'key' does not exist "
            "(set OPENBELL_SECRETS_DIR, or load it as a systemd credential)"
        )
    ]


def test_parameters_stay_for_the_run_and_are_checked_with_their_defaults() -> None:
    found = loaded(SMALL + PIPELINE, env={"V": "v${q}"}).deployment.pipelines["p"]
    run = found.node("run")
    assert run.settings["argv"] == ["x ${days} $${y}", "v$${q}"]
    assert fill_params(run.settings, {"days": 5})["argv"] == ["x 5 ${y}", "v${q}"]
    assert found.node("fetch").settings["lookback_bars"] == "${days}"
    assert fill_params(found.node("fetch").settings, {"days": 5})["lookback_bars"] == 5


def test_a_parameter_that_is_not_declared_is_a_problem() -> None:
    assert told((SMALL + PIPELINE).replace("${days}", "${dyas}"), env={"V": "v"}) == [
        (
            "openbell.yaml:12:14: pipelines.p.nodes.fetch: parameter 'dyas' does not exist "
            "(did you mean 'days'?)"
        ),
        (
            "openbell.yaml:13:12: pipelines.p.nodes.run: parameter 'dyas' does not exist "
            "(did you mean 'days'?)"
        ),
    ]


def test_a_default_of_the_wrong_type_is_a_problem() -> None:
    text = (SMALL + PIPELINE).replace("days: 3", "days: three")
    assert "lookback_bars: must be a whole number, not 'three'" in told(text, env={"V": "v"})[0]


def test_whole_text_takes_the_parameters_type() -> None:
    value = {"a": "${n}", "b": ["n is ${n}"], "c": 1, "d": ("${n}",)}
    assert fill_params(value, {"n": [1, 2]}) == {
        "a": [1, 2],
        "b": ["n is [1, 2]"],
        "c": 1,
        "d": [[1, 2]],
    }
    assert params_in(value) == {"n"}


def test_a_parameter_that_is_missing_at_run_time_raises() -> None:
    with pytest.raises(KeyError):
        fill_params("${x}", {})


def test_text_in_a_jobs_rules_is_filled_in_once() -> None:
    rule = "{name: not_null, columns: ['$${x}', '${env:V}']}"
    text = SMALL + f"jobs:\n  j: {{dataset: bars, mode: live, rules: [{rule}]}}\n"
    settings = loaded(text, env={"V": "${y}"}).deployment.pipelines["j"].node("check").settings
    assert fill_params(settings, {})["rules"][0]["params"] == {"columns": ["${x}", "${y}"]}
    assert "parameter 'z' does not exist" in told(text.replace("$${x}", "${z}"), env={"V": ""})[0]


def test_parameters_may_stand_in_rules() -> None:
    text = (
        SMALL
        + """\
pipelines:
  p:
    params: {most: 0.5}
    nodes:
      fetch: {op: ingest, dataset: bars}
      check: {op: gate, needs: [fetch], rules: [{name: null_share, column: close, fail: "${most}"}]}
      hold: {op: quarantine, needs: {check: [pass, fail]}}
"""
    )
    rules = loaded(text).deployment.pipelines["p"].node("check").settings["rules"]
    assert rules == [{"name": "null_share", "params": {"column": "close", "fail": "${most}"}}]
    assert "at most 1" in told(text.replace("most: 0.5", "most: 7"))[0]


FACTS = """\
pipelines:
  p:
    params: {since: null, start: 2026-01-02, days: 3}
    nodes:
      fetch: {op: ingest, dataset: bars, lookback_bars: "${sessions_since(start)}"}
      run: {op: command, needs: [fetch], argv: ["${session}", "$${session}", "${sessions_since(since)}"]}
"""


def test_what_only_a_run_knows_is_filled_in_when_it_starts() -> None:
    nodes = loaded(SMALL + FACTS).deployment.pipelines["p"].nodes
    assert nodes[0].settings["lookback_bars"] == "${sessions_since(start)}"
    assert nodes[1].settings["argv"] == [
        "${session}",
        "$${session}",
        "${sessions_since(since)}",
    ]
    params = {"session": "2026-01-05", "sessions_since(since)": 4}
    assert fill_params(nodes[1].settings["argv"], params) == ["2026-01-05", "${session}", 4]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        pytest.param(
            "(start)}", "(days)}", "parameter 'days' must hold a date for sessions_since, not 3"
        ),
        pytest.param("(start)}", "(strat)}", "'strat' is no date and no parameter"),
        pytest.param("(start)}", "(2026-02-30)}", "'2026-02-30' is no date and no parameter"),
        pytest.param("(since)}", "()}", "substitution ${sessions_since()} is not understood here"),
        pytest.param("${sessions_since(start)}", "${sesion}", "did you mean 'session'?"),
        pytest.param("lookback_bars:", "lookback:", "fetch.lookback: is not a key that is known"),
        pytest.param(
            "days: 3", "prev_session: 3", "params.prev_session: 'prev_session' is what every run"
        ),
    ],
)
def test_facts_that_are_asked_for_in_a_wrong_way_are_told(
    before: str, after: str, problem: str
) -> None:
    (found,) = told(SMALL + FACTS.replace(before, after))
    assert problem in found
