"""Dagster in process, its leanest way, with states and events in SQLite files."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

HOME = Path(os.environ["PEER_HOME"]) / "dagster"
HOME.mkdir(exist_ok=True)
(HOME / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
os.environ["DAGSTER_HOME"] = str(HOME)

from dagster import (  # noqa: E402
    DagsterInstance,
    DependencyDefinition,
    GraphDefinition,
    In,
    Nothing,
    Out,
    op,
)
from shape import shape  # noqa: E402

SILENT = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def job(name, nodes):
    operations, edges = [], {}
    for node, needs in nodes:
        inputs = {f"p{place}": In(Nothing) for place in range(len(needs))}

        def nothing():
            pass

        operations.append(op(name=node, ins=inputs, out=Out(Nothing))(nothing))
        edges[node] = {f"p{place}": DependencyDefinition(need) for place, need in enumerate(needs)}
    return GraphDefinition(name=name, node_defs=operations, dependencies=edges).to_job()


def main() -> None:
    runs = int(sys.argv[1])
    found = {}
    with DagsterInstance.get() as instance:
        for key, made in (("graph_s", job("wide", shape())), ("one_s", job("alone", [("n", [])]))):
            taken = []
            for _ in range(runs + 1):
                began = time.perf_counter()
                done = made.execute_in_process(instance=instance, run_config=SILENT)
                taken.append(time.perf_counter() - began)
                assert done.success
            found[key] = taken[1:]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
