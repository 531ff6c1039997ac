"""Spans and metrics as a real collector receives them: rotel, over OTLP/HTTP."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from doubles import story

from openbell.model.pipelines import TelemetryOptions
from openbell.model.runs import NodeState
from openbell.model.traces import node_span_id, span_id_of
from openbell.sdk.clock import SystemClock
from openbell.sdk.errors import SettingsError
from openbell.telemetry.export import LAST_WORDS_S, is_wanted
from openbell.telemetry.station import Telemetry, open_telemetry

pytestmark = pytest.mark.integration

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
WAIT_S = 60.0


def _agent() -> Path | None:
    found = importlib.util.find_spec("rotel")
    agent = Path(found.origin).parent / "rotel-agent" if found and found.origin else None
    return agent if agent and agent.is_file() else None


needs_rotel = pytest.mark.skipif(
    _agent() is None, reason="the collector is missing: uv sync installs rotel, a dev dependency"
)


@dataclass
class Collector:
    """A running agent that prints what arrives to `printed`."""

    endpoint: str
    printed: Path

    def wait_for(self, *texts: str) -> str:
        """Return everything printed once `texts` are in it and the collector prints no more."""
        give_up_at = time.monotonic() + WAIT_S
        before = ""
        while time.monotonic() < give_up_at:
            text = self.printed.read_text()
            if text == before and all(wanted in text for wanted in texts):
                return text
            before = text
            time.sleep(0.5)
        raise AssertionError(f"{texts} did not arrive:\n{self.printed.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    grpc, http = _free_port(), _free_port()
    command = [
        str(_agent()), "start",
        "--exporter", "blackhole",
        "--debug-log", "traces", "--debug-log", "metrics", "--debug-log-verbosity", "detailed",
        "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}",
        "--pid-file", str(tmp_path / "pid"), "--log-file", str(tmp_path / "log"),
    ]  # fmt: skip
    printed = tmp_path / "printed"
    with printed.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as agent:
        _wait_until_open(http)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{http}")
        yield Collector(f"http://127.0.0.1:{http}", printed)
        agent.terminate()


def _wait_until_open(port: int) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            assert time.monotonic() < give_up_at, "the collector did not start"
            time.sleep(0.05)
        else:
            return


def _tell(telemetry: Telemetry) -> None:
    for event in (
        story.submitted(trace_id=TRACE),
        story.started(),
        story.node("fetch", NodeState.RUNNING, attempt=1),
        story.committed(1),
        story.committed(2),
        story.node("fetch", NodeState.SUCCESS, attempt=1, at=story.after(8)),
        story.finished(),
    ):
        telemetry.observer.see(event)


async def _run_through(quiet: int, *, after_s: float = 0.0) -> None:
    """Tell one story to telemetry of its own and end it, as a daemon does."""
    with open_telemetry(TelemetryOptions(), SystemClock(), version="9.9", fd=quiet) as telemetry:
        async with anyio.create_task_group() as tasks:
            await tasks.start(telemetry.run)
            _tell(telemetry)
            await anyio.sleep(after_s)
            tasks.cancel_scope.cancel()


@pytest.fixture
def quiet() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_WRONLY)
    yield fd
    os.close(fd)


def _spans(printed: str) -> list[dict[str, str]]:
    spans = []
    for block in re.split(r"^Span #\d+\n", printed, flags=re.MULTILINE)[1:]:
        found = re.findall(r"^    ([A-Z][A-Za-z ]*?) *: ?(.*)$", block, re.MULTILINE)
        attributes = re.findall(r"^     -> ([a-z._]+): \w+\((.*)\)$", block, re.MULTILINE)
        spans.append(dict(found) | dict(attributes))
    return spans


@needs_rotel
async def test_a_run_arrives_as_a_tree_of_run_node_and_batches(
    collector: Collector, quiet: int
) -> None:
    await _run_through(quiet)
    printed = collector.wait_for("RUN eod", "execute node", "commit output")
    spans = _spans(printed)
    by_name = {span["Name"]: span for span in spans}
    run, node = by_name["RUN eod"], by_name["execute node"]
    batches = [span for span in spans if span["Name"] == "commit output"]
    assert {span["Trace ID"] for span in spans} == {TRACE}
    assert (run["ID"], run["Parent ID"]) == (span_id_of("run_1"), "")
    assert (node["ID"], node["Parent ID"]) == (node_span_id("run_1", "fetch", 1), run["ID"])
    assert [batch["Parent ID"] for batch in batches] == [node["ID"]] * 2
    assert (run["Kind"], node["Kind"]) == ("SPAN_KIND_SERVER", "SPAN_KIND_INTERNAL")
    assert run["cicd.pipeline.result"] == "success"
    assert node["cicd.pipeline.task.name"] == "fetch"
    assert "service.name: Str(openbell)" in printed
    assert "service.version: Str(9.9)" in printed


@needs_rotel
async def test_metrics_arrive_under_their_dotted_names(collector: Collector, quiet: int) -> None:
    await _run_through(quiet)
    printed = collector.wait_for(
        "pipeline.job.runs",
        "pipeline.active.jobs",
        "pipeline.rows.written",
        "pipeline.run.duration",
    )
    assert "Name: pipeline.rows.written" in printed
    assert "Name: pipeline.run.duration" in printed
    assert "AGGREGATION_TEMPORALITY_CUMULATIVE" in printed
    metrics = printed.split("ResourceMetrics")[1].split("ResourceSpans")[0]
    assert "run_1" not in metrics, "spans may be printed before or after"


@needs_rotel
async def test_metrics_are_pushed_at_the_interval_that_was_asked_for(
    collector: Collector, quiet: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
    await _run_through(quiet, after_s=1.0)
    collector.wait_for("pipeline.job.runs")
    assert collector.printed.read_text().count("Name: pipeline.job.runs") >= 3


async def test_a_collector_that_is_not_there_holds_nothing_up_for_long(
    quiet: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{_free_port()}")
    began_s = time.monotonic()
    with anyio.fail_after(3 * LAST_WORDS_S):
        await _run_through(quiet)
    assert time.monotonic() - began_s < 2 * LAST_WORDS_S


def test_a_collector_that_never_answers_does_not_keep_the_process_alive() -> None:
    code = """
import anyio
from doubles import story
from openbell.model.pipelines import TelemetryOptions
from openbell.sdk.clock import SystemClock
from openbell.telemetry.station import open_telemetry

async def main():
    with open_telemetry(TelemetryOptions(), SystemClock(), version="1") as telemetry:
        async with anyio.create_task_group() as tasks:
            await tasks.start(telemetry.run)
            telemetry.observer.see(story.submitted())
            telemetry.observer.see(story.finished())
            tasks.cancel_scope.cancel()

anyio.run(main)
"""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        env = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "PYTHONPATH": str(Path(story.__file__).parents[1]),
        }
        began_s = time.monotonic()
        subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)
    assert time.monotonic() - began_s < 2 * LAST_WORDS_S


def test_without_an_endpoint_no_exporter_is_loaded_and_no_thread_runs() -> None:
    code = """
import sys, threading
from openbell.model.pipelines import TelemetryOptions
from openbell.sdk.clock import SystemClock
from openbell.telemetry.station import open_telemetry
with open_telemetry(TelemetryOptions(), SystemClock(), version="1") as telemetry:
    telemetry.render()
    assert threading.active_count() == 1, threading.enumerate()
heavy = {"google.protobuf", "requests", "urllib3", "grpc", "rich", "pyarrow", "numpy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    env = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/v1/metrics"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_decide(env: dict[str, str], wanted: bool) -> None:
    assert is_wanted("traces", env) is wanted


def test_a_protocol_that_is_not_spoken_is_refused_with_a_way_out() -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(SettingsError, match=r"'grpc' is not spoken.*http/protobuf.*4318"):
        is_wanted("traces", env)
    assert is_wanted("traces", {**env, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"})
