"""The driver: it starts the daemon again and again and harms it at random instants."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doubles.chaos.client import Listener, Submitter, call
from doubles.chaos.damage import children, fill, marked, tear
from doubles.chaos.meddler import Meddler
from doubles.chaos.plans import Plan
from doubles.chaos.wishes import WHATS
from doubles.commands import MDP, Mdp

_READY_S = 300.0


@dataclass
class Storm:
    """One storm in `folder`; state and lake lie on `disk`, which may be filled if `may_fill`.

    An order is submitted every `every_s` seconds, `least` of them at least; harm is done at random
    instants at most `longest_s` apart.
    """

    folder: Path
    disk: Path
    seed: int
    may_fill: bool = False
    every_s: float = 0.5
    meddle_s: float = 0.2
    longest_s: float = 1.0
    graphs: int = 8
    tables: int = 3
    least: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _daemon: subprocess.Popen[bytes] | None = None
    _filler: Path | None = None

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        lake = str(self.disk / "lake")
        self.plan = Plan(seed=self.seed, lake=lake, graphs=self.graphs, tables=self.tables)
        self.state = self.disk / "state"
        self.database = self.state / "history.sqlite"
        self.socket = self.folder / "s"
        self.mdp = Mdp(self.folder)
        config = json.dumps(self.plan.configuration(), indent=1)
        (self.folder / "c.json").write_text(config, encoding="utf-8")
        shutil.copy(Path(__file__).with_name("nodes.py"), self.folder / "chaos_nodes.py")
        self.submitter = Submitter(self.socket, self.plan.order, every_s=self.every_s)
        self.listener = Listener(self.socket)
        chance = random.Random(f"{self.seed}.meddler")
        self.meddler = Meddler(self.socket, self.mdp, self.plan, chance, every_s=self.meddle_s)

    @property
    def kills(self) -> int:
        """How many processes were killed so far."""
        return self.counts["daemon killed"] + self.counts["worker killed"]

    def start(self) -> None:
        """Start a daemon; it may not be ready yet."""
        log = (self.folder / "daemon.log").open("ab")
        env = {**self.mdp.env, "OPENBELL_STATE_DIR": str(self.state)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # or each start compiles everything anew
        with log:
            self._daemon = subprocess.Popen(
                [MDP, "daemon", "run", "--config", "c.json", "--socket", str(self.socket)],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.counts["start"] += 1

    def is_alive(self) -> bool:
        """Return whether the daemon runs."""
        return self._daemon is not None and self._daemon.poll() is None

    def wait_ready(self) -> None:
        """Wait until the daemon answers."""
        until = time.monotonic() + _READY_S
        while (reply := self.ask("/readyz")) is None or reply.status != 200:
            assert self.is_alive(), f"the daemon ended by itself; see {self.folder}/daemon.log"
            assert time.monotonic() < until, "the daemon did not get ready"
            time.sleep(0.02)

    def ask(self, url: str) -> Any:
        """Return the daemon's answer, None when there is none."""
        return call(self.socket, "GET", url)

    def rage(self, kills: int, *, daemons: int = 0, until: float = float("inf")) -> None:
        """Do harm until so many processes were killed, or until the monotonic instant `until`.

        At least so many `daemons` are among them.
        """
        self.submitter.start()
        self.listener.start()
        self.meddler.start()
        while time.monotonic() < until:
            if self.kills >= kills and self.counts["daemon killed"] >= daemons:
                return
            if not self.is_alive():
                self._again()
            self._wait()
            self._harm()

    def _again(self) -> None:
        if self._daemon is not None and self._daemon.returncode not in {None, -signal.SIGKILL}:
            self.counts["ended by itself"] += 1
            if self._filler is None:
                self.counts["ended by itself with room on the disk"] += 1
                assert self.counts["ended by itself with room on the disk"] < 5, "see daemon.log"
            time.sleep(0.1)
        if self._filler is not None and self.chance.random() < 0.7:
            self.free()
        self.start()

    def _wait(self) -> None:
        """Wait for a random instant: while the daemon starts, or when it is well at work."""
        if self.chance.random() < 0.8:
            until = time.monotonic() + _READY_S
            while self.is_alive() and self.ask("/readyz") is None and time.monotonic() < until:
                time.sleep(0.02)
        time.sleep(self.chance.uniform(0, self.longest_s))

    def _harm(self) -> None:
        if not self.is_alive():
            return
        dice = self.chance.random()
        if dice < 0.36:
            self.kill_daemon()
        elif dice < 0.88:
            self._kill_worker()
        elif dice < 0.94:
            self._stop_worker()
        elif self.may_fill and self.chance.random() < 0.5:
            self._toggle_disk()

    def kill_daemon(self) -> None:
        """Kill the daemon, and perhaps tear the log it leaves."""
        assert self._daemon is not None
        if self._daemon.poll() is not None:
            return
        self._daemon.kill()
        self._daemon.wait()
        self.counts["daemon killed"] += 1
        if self.chance.random() < 0.5 and self._filler is None:
            self.counts[f"log torn: {tear(self.database, self.chance)}"] += 1

    def _kill_worker(self) -> None:
        """Kill a worker, and perhaps those that take its place."""
        assert self._daemon is not None
        for _ in range(self.chance.randrange(1, 5)):
            workers = children(self._daemon.pid)
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.chance.choice(workers), signal.SIGKILL)
                    self.counts["worker killed"] += 1
            time.sleep(self.chance.uniform(0, self.longest_s / 2))

    def _stop_worker(self) -> None:
        assert self._daemon is not None
        workers = children(self._daemon.pid)
        if workers:
            pid = self.chance.choice(workers)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self.counts["worker stopped"] += 1
                later = threading.Timer(self.chance.uniform(0.1, 2.0), _go_on, (pid,))
                later.daemon = True
                later.start()

    def _toggle_disk(self) -> None:
        if self._filler is not None:
            self.free()
        else:
            self._filler = fill(self.disk, left_bytes=self.chance.choice((0, 4096, 65536, 500_000)))
            self.counts["disk filled"] += 1

    def free(self) -> None:
        """Give the disk its room back."""
        if self._filler is not None:
            self._filler.unlink(missing_ok=True)
            self._filler = None

    def calm(self, longest_s: float) -> None:
        """Leave the daemon alone until all that was accepted has ended, then end it."""
        self.free()
        if not self.is_alive():
            self.start()
        self.wait_ready()
        self.counts["orphans"] = len(self._orphans())
        until = time.monotonic() + longest_s
        self.submitter.every_s = max(1.0, self.every_s)
        self.meddler.is_calm = True
        while not self._is_enough() and time.monotonic() < until:
            time.sleep(0.1)
        self.submitter.finish(_READY_S)
        self.meddler.finish(until)
        while (open_runs := self._open_runs()) and time.monotonic() < until:
            time.sleep(0.2)
        self.counts["never ended"] = len(open_runs)
        for order in self.submitter.orders.values():
            while not self.submitter.submit(order):
                assert time.monotonic() < until + _READY_S, order
        self.stop()

    def _is_enough(self) -> bool:
        """Return whether enough was ordered, and every kind of wish was granted once."""
        is_ordered = len(self.submitter.accepted) >= self.least
        return is_ordered and self.meddler.granted() >= WHATS

    def _open_runs(self) -> list[str]:
        """Return runs that have not ended; those of clocks come for ever."""
        reply = self.ask("/api/pipeline/jobs/running")
        items = reply.body["items"] if reply is not None else [{"run_id": "?", "pipeline": ""}]
        return [run["run_id"] for run in items if not run["pipeline"].startswith("clock_")]

    def stop(self) -> None:
        """End the daemon as an operator does."""
        assert self._daemon is not None
        self._daemon.terminate()
        try:
            self._daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.counts["did not end when asked"] += 1
            self._daemon.kill()
            self._daemon.wait()
        self.listener.finish()

    def _orphans(self) -> set[int]:
        """Return what still runs of daemons that are gone."""
        assert self._daemon is not None
        own = {self._daemon.pid}
        grown = True
        while grown:
            more = {child for pid in own for child in children(pid)} - own
            own |= more
            grown = bool(more)
        return {pid for pid in marked(self.state) if pid not in own}

    def end(self) -> None:
        """Kill everything, whatever happened."""
        self.free()
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait()
        self.submitter.give_up()
        self.listener.give_up()
        self.meddler.give_up()


def _go_on(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
