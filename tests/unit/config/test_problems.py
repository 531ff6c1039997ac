"""What is wrong with a configuration, in words for people, all at once."""

from __future__ import annotations

import pytest
from doubles.configurations import EXAMPLE, SMALL, loaded, problems_of, told
from ruamel.yaml.error import YAMLError

from openbell.config.fields import known_keys
from openbell.config.schema import Configuration
from openbell.config.yaml_reader import _syntax_problem

pytestmark = pytest.mark.unit


def changed(old: str, new: str) -> list[str]:
    assert old in EXAMPLE
    return told(EXAMPLE.replace(old, new))


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = EXAMPLE.replace("enabled: true, seed: 42", "enabeld: true, seed: x").replace(
        "dataset: synthetic_smoke, mode: live", "dataset: synthetic_smok, mode: life"
    )
    text = text.replace("op: write", "op: wirte").replace("log_level: INFO", "log_level: LOUD")
    assert told(text) == [
        (
            "openbell.yaml:8:34: providers.synthetic_1.enabeld: is not a key that is known here "
            "(did you mean 'enabled'?)"
        ),
        "openbell.yaml:8:55: providers.synthetic_1.seed: must be a whole number, not 'x'",
        (
            "openbell.yaml:18:29: jobs.synthetic_live.dataset: dataset 'synthetic_smok' does not exist "
            "(did you mean 'synthetic_smoke'?)"
        ),
        "openbell.yaml:18:51: jobs.synthetic_live.mode: must be 'backfill' or 'live', not 'life'",
        (
            "openbell.yaml:30:21: pipelines.eod_equities.nodes.publish.op: operator 'wirte' does not "
            "exist (did you mean 'write'?)"
        ),
        (
            "openbell.yaml:33:24: telemetry.log_level: must be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or "
            "'CRITICAL', not 'LOUD'"
        ),
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version: 2\n", "version: 1\n", "1:10: version: version 1 cannot be read"),
        ("version: 2\n", "version: true\n", "1:10: version: version True cannot be read"),
        ("version: 2\n", "", "1:1: version: is required (write version: 2)"),
        ("features:", "feature:", "32:1: feature: is not a section that is known (did you mean"),
        ("provider: synthetic_1, schema", "provider: syn, schema", "provider 'syn' does not exist"),
        ("bars_ohlcv", "bars_olhcv", "schema 'bars_olhcv' does not exist (did you mean 'bars_ohl"),
        ("calendar: NYSE", "calendar: XNYX", "'XNYX' is unknown (did you mean 'XNYS'?)"),
        ("[{calendar: XNYS", "[{calendar: NYXE", "overlays[0].calendar: calendar 'NYXE' is unkno"),
        (
            "closed: true,",
            "",
            "calendars.overlays[0]: changes nothing (give closed, open or close)",
        ),
        ("closed: true,", "closed: true, open: '09:30',", "a day that is closed has no open"),
        ("closed: true,", "open: 09:30:00,", "must be a time of day, written '13:00' in quotes"),
        ("closed: true,", "closed: 'maybe',", "must be true or false, not 'maybe'"),
        ("date: 2025-01-09", "date: 2025-02-30", "'2025-02-30' is no date: day is out of range"),
        ("date: 2025-01-09", "date: 20250109", "must be a date, written 2026-01-31, not 20250109"),
        ("interval: 1d", "interval: daily", "bar interval 'daily' is not understood"),
        (
            "symbols: [AAPL, MSFT], interval: 1d",
            "symbols: [], interval: 1d",
            "needs 1 or more entries",
        ),
        (
            "symbols: [AAPL, MSFT], interval: 1d",
            "symbols: [A, A], interval: 1d",
            "twice or more: A",
        ),
        (
            "symbols: [AAPL, MSFT], interval: 1d",
            "symbols: [''], interval: 1d",
            "is empty or has spa",
        ),
        (
            "symbols: [AAPL, MSFT], interval: 1d",
            "symbols: [' A'], interval: 1d",
            "spaces around it",
        ),
        ("symbols: [AAPL, MSFT], interval: 1d", "symbols: [BTC/USD], interval: 1d", "BTC-USD"),
        ("symbols: [AAPL, MSFT], interval: 1d", "symbols: [..], interval: 1d", "path separator"),
        (
            "symbols: [AAPL, MSFT], interval: 1d",
            'symbols: ["A\\tB"], interval: 1d',
            "cannot be seen",
        ),
        (
            "symbols: [AAPL, MSFT], interval: 1d",
            f"symbols: [{'A' * 65}], interval: 1d",
            "longer than",
        ),
        (
            "symbols: [AAPL, MSFT], interval: 1d",
            "symbols: [0700], interval: 1d",
            "put it in quotes",
        ),
        (
            "symbols: [AAPL, MSFT], interval: 1d",
            "symbols: [TRUE], interval: 1d",
            "not true (put it",
        ),
        (
            "symbols: [AAPL, MSFT], interval: 1d",
            "symbols: A, interval: 1d",
            "must be a list, not 'A'",
        ),
        ("to: 2026-03-31", "to: 2025-03-31", "jobs.synthetic_backfill.to: 2025-03-31 is before"),
        ("mode: live", "mode: live, from: 2026-01-02", "a live job has no range of days"),
        (
            "mode: live",
            "mode: live, to: 2026-01-02",
            "jobs.synthetic_live.to: a live job has no ra",
        ),
        (
            "mode: live",
            "mode: live, storage: primry",
            "storage 'primry' does not exist (did you mea",
        ),
        ("mode: live", "mode: live, rules: [olhc]", "jobs.synthetic_live.rules[0]: rule 'olhc' do"),
        ("mode: live", "mode: live, schedule: ''", "a schedule is missing"),
        ("mode: live", "mode: live, rules: ohlc", "rules: must be a list, not 'ohlc'"),
        ("max_attempts: 3", "max_attempts: true", "max_attempts: must be a number, not true"),
        ("max_attempts: 3", "max_attempts: 2.5", "must be a whole number, not 2.5"),
        ("backoff_seconds: 5", "backoff_seconds: .inf", "must be a finite number, not inf"),
        (
            "backoff_seconds: 5",
            "backoff_seconds: -1",
            "backoff_seconds: must be at least 0, not -1",
        ),
        (
            "timeout: 45m",
            "timeout: soon",
            "must be a duration such as 30s, 45m or 1h30m, not 'soon'",
        ),
        ("timeout: 45m", "timeout: ''", "must be a duration"),
        ("timeout: 45m", "timeout: 0s", "must be longer than nothing"),
        ("timeout: 45m", "timeout: true", "must be a duration"),
        ("features:", "daemon: {tcp_port: 1}\nfeatures:", "the API on TCP needs a bearer token"),
        (
            "symbol, interval, ts]}}",
            "symbl, ts]}}",
            "upsert_keys[1]: column 'symbl' does not exist",
        ),
        ("port: 9090", "port: 99999", "telemetry.metrics.port: must be at most 65535, not 99999"),
        ("type: synthetic", "tpye: synthetic", "providers.synthetic_1.type: is required"),
        ("pacing: {requests", "pacing: {reqests", "pacing.reqests_per_minute: is not a key"),
        ("synthetic_live:", "9live:", "jobs.9live: '9live' is not a name"),
        ("params: {universe", "params: {2uni", "params.2uni: '2uni' is not a name"),
        (
            "params: {universe: [AAPL, MSFT]}",
            "params: [a]",
            "params: must be a mapping, not a list",
        ),
        ("jobs:\n", "jobs: 3\njobz:\n", "jobs: must be a mapping of names"),
        (
            "  synthetic_live: {",
            "  synthetic_live: 7\n  x: {",
            "jobs.synthetic_live: must be a mappi",
        ),
        ("hold:    {op", "hold:    {opp", "pipelines.eod_equities.nodes.hold.op: is required"),
        (
            "  eod_equities:",
            "  synthetic_live:",
            "pipelines.synthetic_live: a job has this name al",
        ),
    ],
)
def test_each_fault_is_told_where_it_is(old: str, new: str, problem: str) -> None:
    found = changed(old, new)
    assert any(problem in one for one in found), found
    assert all(one.startswith("openbell.yaml:") for one in found)
    assert not any("pydantic" in one.lower() or "https:" in one for one in found)


def test_a_backend_that_does_not_exist_yet_names_those_there_are() -> None:
    [problem] = changed("type: lake", "type: timescaledb")
    assert problem == (
        "openbell.yaml:11:19: storage.primary.type: backend 'timescaledb' does not exist yet; "
        "there are: lake, warehouse"
    )


def test_a_misspelt_type_is_given_its_spelling() -> None:
    [problem] = changed("type: synthetic", "type: syntetic")
    assert problem.endswith("there are: files, synthetic, vendor (did you mean 'synthetic'?)")


def test_one_fault_hides_no_other_section() -> None:
    text = SMALL.replace("interval: 1d", "interval: x").replace("type: lake", "type: laek")
    assert len(problems_of(text)) == 2


def test_a_reference_to_an_entry_with_a_fault_is_no_second_fault() -> None:
    text = (
        SMALL.replace("interval: 1d", "interval: x") + "jobs:\n  j: {dataset: bars, mode: live}\n"
    )
    assert len(problems_of(text)) == 1


def test_a_reference_into_an_empty_section_says_so() -> None:
    text = "version: 2\njobs:\n  j: {dataset: d, mode: live}\n"
    assert told(text) == [
        (
            "openbell.yaml:3:3: jobs.j.storage: storage 'primary' does not exist "
            "(there is nothing under storage)"
        ),
        (
            "openbell.yaml:3:16: jobs.j.dataset: dataset 'd' does not exist "
            "(there is nothing under datasets)"
        ),
    ]


def test_long_values_are_cut() -> None:
    assert "..." in changed("mode: live", f"mode: {'x' * 100}")[0]


def test_empty_values_are_called_empty() -> None:
    assert "must be 'backfill' or 'live', not empty" in changed("mode: live", "mode: ~")[0]


def test_a_small_configuration_loads() -> None:
    assert loaded(SMALL).deployment.pipelines == {}


def test_what_a_backends_plugin_refuses_is_told_in_its_words() -> None:
    text = SMALL.replace("type: lake", "type: warehouse, uri: here")
    assert told(text) == ["openbell.yaml:5:35: storage.primary.uri: 'here' is no place"]


def test_a_fault_of_a_kind_without_a_phrase_keeps_the_libraries_words() -> None:
    text = SMALL.replace("type: synthetic", "type: vendor, api_key: x, account: 7x")
    assert "providers.made_up.account: Input should be a valid UUID" in told(text)[0]


def test_a_value_that_should_be_secret_is_not_shown() -> None:
    text = SMALL.replace("type: synthetic", "type: vendor, api_key: 12345678")
    assert told(text) == [
        (
            "openbell.yaml:3:36: providers.made_up.api_key: must be text, not ******** "
            "(put it in quotes)"
        )
    ]


def test_keys_are_known_as_deep_as_a_model_goes() -> None:
    assert known_keys(Configuration, ("providers", "x", "pacing", "burst", "y")) == ()
    assert known_keys(Configuration, ("zzz", "y")) == ()
    assert known_keys(Configuration, ("calendars", "overlays", 3))[:2] == ("calendar", "date")
    assert "schema" in known_keys(Configuration, ("datasets", "x"))


def test_an_error_without_a_place_is_told_at_the_beginning() -> None:
    problem = _syntax_problem(YAMLError("odd"), "", "f.yaml")
    assert str(problem) == "f.yaml:1: odd"
