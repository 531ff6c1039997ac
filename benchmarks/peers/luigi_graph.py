"""Luigi with its local scheduler in one process; a task's state is its output file."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import luigi
from shape import shape

SHAPE = dict(shape())


class Node(luigi.Task):
    name = luigi.Parameter()
    root = luigi.Parameter()

    def requires(self):
        return [Node(name=needed, root=self.root) for needed in SHAPE.get(self.name, [])]

    def output(self):
        return luigi.LocalTarget(str(Path(self.root) / self.name))

    def run(self):
        with self.output().open("w"):
            pass


class Whole(luigi.WrapperTask):
    root = luigi.Parameter()

    def requires(self):
        return [Node(name=name, root=self.root) for name in SHAPE]


def seconds(make) -> float:
    with tempfile.TemporaryDirectory(dir=os.environ["PEER_HOME"]) as root:
        began = time.perf_counter()
        assert luigi.build([make(root)], local_scheduler=True, no_lock=True, log_level="ERROR")
        return time.perf_counter() - began


def main() -> None:
    runs = int(sys.argv[1])
    seconds(lambda root: Whole(root=root))
    graph = [seconds(lambda root: Whole(root=root)) for _ in range(runs)]
    one = [seconds(lambda root: Node(name="alone", root=root)) for _ in range(runs)]
    print(json.dumps({"graph_s": graph, "one_s": one}))


if __name__ == "__main__":
    main()
