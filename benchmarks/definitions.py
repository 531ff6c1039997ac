"""How long does a configuration with one pipeline of 10,000 nodes take to read and to validate?

`uv run python benchmarks/definitions.py`. Each node needs two of the layer above, 100 a layer; the same
file in YAML and in JSON, parsed and then validated with the installed plugins: median of 5.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from pathlib import Path
from typing import Any

from openbell.config.load import Document, load
from openbell.config.reader import read_text
from openbell.plugin_host import load_plugins

NODES, WIDTH, ROUNDS = 10_000, 100, 5


def nodes() -> dict[str, dict[str, Any]]:
    """Return the graph."""
    made: dict[str, dict[str, Any]] = {}
    for index in range(NODES):
        layer, column = divmod(index, WIDTH)
        above = [(layer - 1) * WIDTH + (column + step) % WIDTH for step in (0, 1)]
        made[f"n{index}"] = {"op": "noop", "needs": [f"n{n}" for n in above] if layer else []}
    return made


def main() -> None:
    """Print one line a format."""
    registry = load_plugins()
    graph = nodes()
    lines = [f"      {name}: {json.dumps(node)}\n" for name, node in graph.items()]
    texts = {
        "yaml": "version: 2\npipelines:\n  big:\n    nodes:\n" + "".join(lines),
        "json": json.dumps({"version": 2, "pipelines": {"big": {"nodes": graph}}}),
    }
    for name, text in texts.items():
        parsing, validating = [], []
        for _ in range(ROUNDS):
            gc.collect()
            began = time.perf_counter()
            tree = read_text(text, f"big.{name}")
            parsed = time.perf_counter()
            document = Document(tree=tree, source=f"big.{name}", folder=Path("/"))
            load(document, registry=registry, env={})
            parsing.append(parsed - began)
            validating.append(time.perf_counter() - parsed)
        parse_s, validate_s = statistics.median(parsing), statistics.median(validating)
        print(f"{name}: parsed in {parse_s:.3f} s, validated in {validate_s:.3f} s")


if __name__ == "__main__":
    main()
