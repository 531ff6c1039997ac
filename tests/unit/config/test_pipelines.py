"""Jobs and pipelines: graphs, references, and what is refused without an error."""

from __future__ import annotations

from datetime import date

import pytest
from doubles.configurations import EXAMPLE, SMALL, loaded, told
from doubles.registry import RefusedDouble, RegistryDouble

from openbell.config.difference import Difference, diff
from openbell.config.graph import cycle, in_order
from openbell.model.definitions import definition, from_definition
from openbell.model.pipelines import Pacing, RetryPolicy
from openbell.model.schedules import ScheduleUse

pytestmark = pytest.mark.unit

JOB = SMALL + "jobs:\n  j: {dataset: bars, mode: backfill}\n"


def pipeline(nodes: str) -> str:
    return SMALL + "pipelines:\n  p:\n    nodes:\n" + nodes


def test_a_job_becomes_fetch_check_publish_hold() -> None:
    found = loaded(EXAMPLE).deployment.pipelines["synthetic_backfill"]
    assert [(node.name, node.op, dict(node.needs)) for node in found.nodes] == [
        ("fetch", "ingest", {}),
        ("check", "gate", {"fetch": ()}),
        ("publish", "write", {"check": ("pass", "warn", "quarantine")}),
        ("hold", "quarantine", {"check": ("quarantine", "fail")}),
    ]
    assert (found.job, found.mode) == ("synthetic_backfill", "backfill")
    assert (found.start, found.end) == (date(2026, 1, 2), date(2026, 3, 31))
    assert found.node("publish").settings == {"to": "primary", "dataset": "synthetic_smoke"}


def test_a_jobs_gate_quarantines_bad_rows_by_rules_that_fit_its_mode() -> None:
    pipelines = loaded(EXAMPLE).deployment.pipelines
    by_mode = {
        mode: [
            rule["name"] for rule in pipelines[f"synthetic_{mode}"].node("check").settings["rules"]
        ]
        for mode in ("live", "backfill")
    }
    assert by_mode == {
        "live": ["ohlc", "not_null", "positive", "range"],
        "backfill": ["ohlc", "not_null", "positive", "range", "unique_key", "monotonic_time"],
    }
    assert pipelines["synthetic_live"].node("check").settings["severity"] == "quarantine"


def test_a_jobs_own_rules_replace_the_default_ones() -> None:
    text = JOB.replace("backfill}", "backfill, rules: [ohlc, {name: not_null, severity: fail}]}")
    rules = loaded(text).deployment.pipelines["j"].node("check").settings["rules"]
    assert rules == [{"name": "ohlc"}, {"name": "not_null", "severity": "fail"}]


def test_retry_and_timeout_go_where_they_work() -> None:
    text = JOB.replace(
        "backfill}",
        "backfill, execution: {concurrency: 2, timeout: 1h30m, retry: {max_attempts: 7, "
        "backoff_seconds: 1, multiplier: 3, max_backoff_seconds: 9}}}",
    )
    found = loaded(text).deployment.pipelines["j"]
    assert found.timeout_s == 5400
    assert found.max_active_runs == 2
    policy = RetryPolicy(max_attempts=7, backoff_s=1.0, multiplier=3.0, max_backoff_s=9.0)
    assert {node.retry for node in found.nodes} == {policy}


def test_a_pipeline_is_read_with_its_rules_in_their_long_form() -> None:
    found = loaded(EXAMPLE).deployment.pipelines["eod_equities"]
    assert found.schedule == (ScheduleUse(expression="XNYS close + 30m"),)
    assert found.timeout_s == 2700
    assert found.params == {"universe": ["AAPL", "MSFT"]}
    assert found.node("check").settings["rules"][2] == {
        "name": "null_share",
        "params": {"column": "close", "warn": 0.0, "fail": 0.01},
    }


def test_definitions_survive_history() -> None:
    for found in loaded(EXAMPLE).deployment.pipelines.values():
        assert definition(from_definition(definition(found))) == definition(found)


def test_nodes_stand_after_what_they_need_whatever_the_order_in_the_file() -> None:
    found = loaded(
        pipeline(
            "      z: {op: write, needs: b, retry: {max_attempts: 1}, timeout: 30}\n"
            "      b: {op: gate, needs: {a: success}, rules: [ohlc]}\n"
            "      a: {op: ingest, dataset: bars}\n"
            "      h: {op: quarantine, needs: {b: fail}}\n"
        )
    ).deployment.pipelines["p"]
    assert [node.name for node in found.nodes] == ["a", "b", "z", "h"]
    assert found.node("z").retry.max_attempts == 1
    assert found.node("z").timeout_s == 30
    assert found.node("b").needs == {"a": ("success",)}


@pytest.mark.parametrize(
    ("nodes", "problem"),
    [
        (
            "      a: {op: ingest, dataset: bars, needs: [a]}\n",
            "12:45: pipelines.p.nodes.a.needs: a node cannot need itself",
        ),
        (
            "      a: {op: ingest, dataset: bars}\n      w: {op: write, needs: [b]}\n",
            "pipelines.p.nodes.w.needs: node 'b' does not exist (there are: a, w)",
        ),
        (
            (
                "      a: {op: write, needs: [b]}\n      b: {op: write, needs: [c]}\n"
                "      c: {op: write, needs: [a]}\n"
            ),
            "nodes form a circle: a needs b needs c needs a",
        ),
        (
            "      w: {op: write}\n",
            "nodes.w: nothing reaches this node: a sink needs a node before",
        ),
        ("      a: {op: ingest}\n", "pipelines.p.nodes.a.dataset: is required"),
        (
            "      a: {op: ingest, dataset: brs}\n",
            "dataset 'brs' does not exist (did you mean 'bars'",
        ),
        ("      a: {op: ingest, dataset: bars, datset: 1}\n", "datset: is not a key that is known"),
        ("      a: {op: ingest, dataset: bars, timeot: 1}\n", "(did you mean 'timeout'?)"),
        (
            "      a: {op: ingest, dataset: bars, needs: 3}\n",
            "must be a list of nodes, or a mapping",
        ),
        ("      a: {op: ingest, dataset: bars, needs: {b: 3}}\n", "needs.b: must be a list, not 3"),
        (
            "      a: {op: ingest, dataset: bars}\n      w: {op: write, needs: [a], to: x}\n",
            "pipelines.p.nodes.w.to: storage 'x' does not exist (did you mean",
        ),
        (
            "      a: {op: ingest, dataset: bars}\n      w: {op: write, needs: {a: [pas]}}\n",
            "needs.a: outcome of node 'a' 'pas' does not exist",
        ),
        (
            (
                "      a: {op: ingest, dataset: bars}\n      c: {op: gate, needs: [a], severity: quarantine,"
                " rules: [ohlc]}\n      w: {op: write, needs: {c: [pass]}}\n"
            ),
            "13:7: pipelines.p.nodes.c: no node takes the rows of verdict 'quarantine': they would",
        ),
        (
            (
                "      a: {op: ingest, dataset: bars}\n      c: {op: gate, needs: [a], rules: ["
                "{name: null_share, column: x, warn: 0}]}\n      w: {op: write, needs: {c: [pass]}}\n"
            ),
            "no node takes the rows of verdict 'warn': they would be lost (add it to a node's needs",
        ),
        (
            (
                "      a: {op: ingest, dataset: bars}\n      c: {op: gate, needs: [a], rules: [ohlc]}\n"
                "      w: {op: write, needs: {c: [success]}}\n"
            ),
            "needs.c: outcome of node 'c' 'success' does not exist",
        ),
        (
            "      c: {op: gate, rules: [ohlc, {name: 3}, {nam: x}, 7]}\n",
            "rules[3]: a rule is its name, or a mapping with its name",
        ),
        (
            "      c: {op: gate, rules: [{name: ohlc, severity: bad}]}\n",
            "rules[0].severity: severity must be one of warn, quarantine, fail",
        ),
        (
            "      c: {op: gate, rules: [{name: range, colum: x}]}\n",
            "rules[0].colum: is not a key that is known here (did you mean 'column'?)",
        ),
        (
            "      a: {op: ingest, dataset: '${d}'}\n    params: {d: bars}\n",
            "nodes.a.dataset: must name it here: parameters are not known before a run",
        ),
        ("      c: {op: gate, rules: ohlc}\n", "rules: must be a list, not 'ohlc'"),
    ],
)
def test_a_graph_that_cannot_run_is_told(nodes: str, problem: str) -> None:
    text = pipeline(nodes).replace("{type: lake}", "{type: lake}\n  x1: {type: lake}")
    found = told(text)
    assert any(problem in one for one in found), found


def test_a_gate_may_send_rows_on_by_plain_success() -> None:
    found = loaded(
        pipeline(
            "      a: {op: ingest, dataset: bars}\n"
            "      c: {op: gate, needs: [a], rules: [{name: ohlc, severity: warn}]}\n"
            "      w: {op: write, needs: [c]}\n"
        )
    )
    assert "p" in found.deployment.pipelines


def test_a_gate_may_only_check() -> None:
    nodes = (
        "      a: {op: ingest, dataset: bars}\n      c: {op: gate, needs: [a], rules: [ohlc]}\n"
        "      h: {op: quarantine, needs: {c: [fail]}}\n"
    )
    assert "p" in loaded(pipeline(nodes)).deployment.pipelines


def test_a_disabled_provider_refuses_its_pipelines_and_nothing_else() -> None:
    text = EXAMPLE.replace("enabled: true, seed", "enabled: false, seed")
    found = loaded(text).deployment
    reason = "provider 'synthetic_1' is disabled"
    assert found.refused == dict.fromkeys(
        ("synthetic_live", "synthetic_backfill", "eod_equities"), reason
    )
    assert found.pipelines == {}
    assert found.providers["synthetic_1"].enabled is False


def refusing(name: str, **without: str) -> RegistryDouble:
    registry = RegistryDouble(
        refused=(RefusedDouble(name, f"openbell-{name}", "ImportError: no module named x"),)
    )
    for kind, gone in without.items():
        getattr(registry, kind).pop(gone)
    return registry


@pytest.mark.parametrize(
    ("registry", "reason"),
    [
        (
            refusing("provider-synthetic", providers="synthetic"),
            (
                "provider type 'synthetic' is not there; plugin openbell-provider-synthetic was "
                "refused: ImportError: no module named x"
            ),
        ),
        (refusing("storage-lake", backends="lake"), "backend 'lake' is not there; plugin"),
        (refusing("rules-core", rules="ohlc"), "rule 'ohlc' is not there; plugin openbell-rules"),
        (refusing("operator-io", operators="gate"), "operator 'gate' is not there; plugin"),
    ],
)
def test_a_plugin_refused_at_load_refuses_its_pipelines_only(
    registry: RegistryDouble, reason: str
) -> None:
    found = loaded(EXAMPLE, registry=registry).deployment
    assert set(found.refused) == {"synthetic_live", "synthetic_backfill", "eod_equities"}
    assert all(told_reason.startswith(reason) for told_reason in found.refused.values())


def test_a_refused_plugin_of_another_kind_excuses_no_unknown_type() -> None:
    registry = refusing("provider-synthetic")
    assert "does not exist yet" in told(EXAMPLE.replace("lake,", "lak,"), registry=registry)[0]


def test_providers_and_storage_are_handed_on_with_their_budget_and_place() -> None:
    found = loaded(EXAMPLE, env={"HOME": "/home/q"}).deployment
    assert found.providers["synthetic_1"].pacing == Pacing(
        requests_per_minute=40, burst=10, cooldown_s=60
    )
    assert found.providers["synthetic_1"].settings == {"seed": 42}
    assert found.storage["primary"].settings == {
        "uri": "/etc/openbell/data/lake",
        "write": {"batch_size": 1000},
    }
    assert found.storage["primary"].batch_rows == 1000
    assert found.storage["primary"].upsert_keys == ("provider", "symbol", "interval", "ts")
    assert found.datasets["eod_bars"].calendar == "XNYS"
    assert found.overlays[0].calendar == "XNYS"


@pytest.mark.parametrize(
    ("written", "placed"),
    [
        ("./lake", "/etc/openbell/lake"),
        ("../lake", "/etc/lake"),
        ("/srv/lake", "/srv/lake"),
        ("~/lake", "/home/q/lake"),
        ("~", "/home/q"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("file:///srv/x", "file:///srv/x"),
    ],
)
def test_relative_places_are_resolved_against_the_files_folder(written: str, placed: str) -> None:
    text = SMALL.replace("type: lake", f"type: lake, uri: '{written}'").replace(
        "type: synthetic", "type: files"
    )
    found = loaded(text, env={"HOME": "/home/q"}).deployment
    assert found.storage["primary"].settings["uri"] == placed
    assert found.providers["made_up"].settings == {"root": "/etc/openbell/data"}


def test_options_of_the_daemon_are_read() -> None:
    text = SMALL + (
        "daemon: {max_workers: 4, worker_idle: 2m, tcp_port: 8443, tcp_token_file: token}\n"
        "calendars: {overlays: [{calendar: LSE, date: 2026-01-02, close: '12:30'}]}\n"
    )
    found = loaded(text).deployment
    assert found.daemon.max_workers == 4
    assert found.daemon.worker_idle_s == 120
    assert found.daemon.tcp_token_file == "/etc/openbell/token"
    assert (found.overlays[0].calendar, found.overlays[0].close_time) == ("XLON", "12:30")


def test_a_digest_ignores_comments_and_knows_meaning() -> None:
    plain = loaded(SMALL).deployment.digest
    assert loaded("# hello\n" + SMALL).deployment.digest == plain
    assert loaded(SMALL.replace("[A]", "[B]")).deployment.digest != plain


def test_nothing_changes_with_a_comment() -> None:
    difference = diff(loaded(EXAMPLE).deployment, loaded(f"# hello\n{EXAMPLE}").deployment)
    assert difference == Difference()
    assert not difference


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("seed: 42", "seed: 43", ("eod_equities", "synthetic_backfill", "synthetic_live")),
        ("burst: 10", "burst: 11", ("eod_equities", "synthetic_backfill", "synthetic_live")),
        ("./data/lake", "./data/x", ("eod_equities", "synthetic_backfill", "synthetic_live")),
        ("interval: 1d", "interval: 1h", ("eod_equities",)),
        ("timeout: 45m", "timeout: 46m", ("eod_equities",)),
        ("to: 2026-03-31", "to: 2026-04-01", ("synthetic_backfill",)),
        (
            "{calendar: XNYS",
            "{calendar: XLON",
            ("eod_equities", "synthetic_backfill", "synthetic_live"),
        ),
        ("log_level: INFO", "log_level: DEBUG", ()),
    ],
)
def test_a_pipeline_changes_with_what_it_uses(old: str, new: str, changed: tuple[str, ...]) -> None:
    after = loaded(EXAMPLE.replace(old, new)).deployment
    assert diff(loaded(EXAMPLE).deployment, after) == Difference(changed=changed)


def test_pipelines_appear_and_vanish() -> None:
    one, two = loaded(JOB).deployment, loaded(JOB.replace("  j:", "  k:")).deployment
    assert diff(one, two) == Difference(added=("k",), removed=("j",))
    disabled = loaded(JOB.replace("type: synthetic", "type: synthetic, enabled: false")).deployment
    assert diff(one, disabled) == Difference(removed=("j",))


def test_order_and_cycles_of_a_graph() -> None:
    assert in_order({"b": ["a"], "a": [], "c": ["zzz"]}) == ["a", "b", "c"]
    assert cycle({"a": [], "b": ["a"]}) == []
    assert cycle({"x": ["a"], "a": ["b"], "b": ["a"]}) == ["a", "b"]
