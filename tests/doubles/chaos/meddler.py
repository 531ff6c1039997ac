"""Somebody who steers the work of a storm at random: pauses, cancels, retries, reloads, follows."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doubles.chaos import wishes
from doubles.chaos.client import call
from doubles.chaos.plans import EXTRA, FOLLOWED, LIVE, MADE, Plan
from doubles.chaos.wishes import Reply, Said, Wish
from doubles.commands import Mdp

_BY_COMMAND = 0.1
_PATIENCE_S = 60.0
_STATUS = {0: 200, 2: 422, 3: 409, 4: 404, 77: 403}
_OPEN = frozenset({"pending", "queued", "running", "retrying"})
_HELD_FOR = {"pause run": 30, "pause pipeline": 12, "pause schedule": 20, "pause all": 4}
"""How many turns of the meddler a pause lasts at most."""


@dataclass
class Meddler:
    """Sends one wish every `every_s` seconds, in a thread; `said` is all of them with the answers.

    Which wish comes next is drawn like cards from a shuffled pack, so that all of them are sent.
    What is paused is resumed some turns later. When `is_calm` only what was never granted is sent.
    """

    path: Path
    mdp: Mdp
    plan: Plan
    chance: random.Random
    every_s: float = 0.2
    said: list[Said] = field(default_factory=list)
    error: Exception | None = None
    is_calm: bool = False
    _turn: int = 0
    _pack: list[Callable[[], Wish | None]] = field(default_factory=list)
    _later: list[tuple[int, Wish]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="meddler", daemon=True)
        self._thread.start()

    def give_up(self) -> None:
        """End soon."""
        self._stop.set()

    def finish(self, until: float) -> None:
        """End, and take back what holds work up; raise what went wrong with the meddler itself."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join(3 * _PATIENCE_S)
        if self.error is not None:
            raise self.error
        for wish in self._taken_back():
            while not self.say(wish) and time.monotonic() < until:
                time.sleep(0.1)

    def granted(self) -> set[str]:
        """Return the kinds of wishes that were granted so far; a live job, once it got somewhere."""
        granted = {said.wish.what for said in list(self.said) if said.is_granted}
        has_followed = bool(self._items(f"/api/pipeline/lineage/{FOLLOWED}?limit=1"))
        return granted if has_followed else granted - {"live"}

    def _taken_back(self) -> Iterator[Wish]:
        yield from (wish for _, wish in self._later)
        self._later = []
        yield from (wishes.remove_schedule(each["id"]) for each in self._schedules())
        yield from (wishes.cancel_run(run["run_id"]) for run in self._open_runs(LIVE))

    def _run(self) -> None:
        try:
            while not self._stop.wait(self.every_s):
                if call(self.path, "GET", "/livez") is None:
                    continue
                self._turn += 1
                self._resume_what_is_due()
                self._answer()
                self._draw()
        except Exception as error:  # noqa: BLE001 - told to whoever waits for the end
            self.error = error

    def _resume_what_is_due(self) -> None:
        due = [wish for turn, wish in self._later if turn <= self._turn]
        self._later = [(turn, wish) for turn, wish in self._later if turn > self._turn]
        self._later += [(self._turn + 1, wish) for wish in due if not self.say(wish)]

    def _draw(self) -> None:
        """Send the next wish of the pack that fits what there is."""
        for _ in range(3):
            if not self._pack:
                self._pack = list(self._cards())
                self.chance.shuffle(self._pack)
            if not self._pack:
                return
            card = self._pack.pop()
            wish = card()
            if wish is not None:
                if not self.say(wish):
                    self._pack.insert(0, card)
                return

    def say(self, wish: Wish) -> bool:
        """Send a wish once; return whether that settled it."""
        sent_us = time.time_ns() // 1000
        is_by_command = bool(wish.argv) and self.chance.random() < _BY_COMMAND
        reply = self._by_command(wish) if is_by_command else self._by_socket(wish)
        said = Said(wish=wish, sent_us=sent_us, done_us=time.time_ns() // 1000, reply=reply)
        self.said.append(said)
        undone = None if said.is_refused else wishes.undone(wish)
        if undone is not None and undone not in (later for _, later in self._later):
            turns = self.chance.randrange(1, _HELD_FOR[wish.what])
            self._later.append((self._turn + turns, undone))
        return said.is_granted or said.is_refused

    def _by_socket(self, wish: Wish) -> Reply | None:
        return call(self.path, wish.method, wish.url, wish.body)

    def _by_command(self, wish: Wish) -> Reply | None:
        """Say it as people do; a command that did not reach the daemon may have been heard."""
        command = self.mdp.start(*wish.argv, "--socket", str(self.path), "-o", "json")
        try:
            printed, _ = command.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            command.kill()
            command.communicate()
            return None
        status = _STATUS.get(command.returncode)
        if status is None:
            return None
        body = json.loads(printed) if status == 200 else None
        return Reply(status, body[0] if isinstance(body, list) and len(body) == 1 else body)

    def _cards(self) -> Iterator[Callable[[], Wish | None]]:
        """Yield what may be wished for; a wish that fits nothing now is None."""
        has = self.granted() if self.is_calm else set()
        yield from (card for what, card in self._kinds() if what not in has)

    def _kinds(self) -> Iterator[tuple[str, Callable[[], Wish | None]]]:
        yield from (("pause run", self._pause_run), ("pause pipeline", self._pause_pipeline))
        yield from (("pause schedule", self._pause_schedule), ("pause all", self._pause_all))
        yield from (("cancel run", self._cancel_run), ("cancel run", self._cancel_live))
        yield from (("cancel node", self._cancel_node), ("priority", self._prioritize))
        yield from (("mark node", self._mark), ("mark node", self._mark))
        yield from (("retry", self._retry), ("retry", self._retry_live))
        yield from (("retry from node", self._retry_from), ("replay", self._replay))
        yield from (("purge", self._purge), ("reload", self._reload), ("define", self._define))
        yield from (("execute", self._execute), ("execute", self._execute))
        yield from (("live", self._follow), ("live", self._follow))
        yield from (("add schedule", self._add_schedule),)
        yield from (("remove schedule", self._remove_schedule),)

    def _items(self, url: str) -> list[dict[str, Any]]:
        found = call(self.path, "GET", url)
        return list(found.body["items"]) if found is not None and found.status == 200 else []

    def _open_runs(self, *prefixes: str) -> list[dict[str, Any]]:
        items = self._items("/api/pipeline/jobs/running")
        return [run for run in items if run["pipeline"].startswith(prefixes)]

    def _ended_runs(self, prefix: str) -> list[dict[str, Any]]:
        states = "state=failed&state=cancelled" + ("&state=success" * self.chance.randrange(2))
        items = self._items(f"/api/v1/runs?{states}&limit=30")
        return [run for run in items if run["pipeline"].startswith(prefix)]

    def _one(self, items: list[dict[str, Any]]) -> dict[str, Any] | None:
        return self.chance.choice(items) if items else None

    def _of_one(
        self, items: list[dict[str, Any]], key: str, make: Callable[[str], Wish]
    ) -> Wish | None:
        found = self._one(items)
        return make(found[key]) if found is not None else None

    def _answer(self) -> None:
        for asked in self._items("/api/v1/approvals"):
            label = self.chance.choice(asked["labels"])
            self.say(wishes.answer(asked["run_id"], asked["node"], asked["item"], label))

    def _pause_run(self) -> Wish | None:
        runs = self._open_runs("graph_", "load_")
        return self._of_one(runs, "run_id", lambda run: wishes.switch_run(run, "pause"))

    def _pause_pipeline(self) -> Wish | None:
        return wishes.switch_pipeline(self.chance.choice(self.plan.names()), "pause")

    def _pause_all(self) -> Wish | None:
        return wishes.switch_all("pause")

    def _cancel_run(self) -> Wish | None:
        return self._of_one(self._open_runs("graph_"), "run_id", wishes.cancel_run)

    def _cancel_live(self) -> Wish | None:
        return self._of_one(self._open_runs(LIVE), "run_id", wishes.cancel_run)

    def _prioritize(self) -> Wish | None:
        priority = self.chance.randrange(10)
        runs = self._open_runs("graph_", "load_")
        return self._of_one(runs, "run_id", lambda run: wishes.prioritize(run, priority))

    def _node_of(self, run: Mapping[str, Any] | None, states: frozenset[str]) -> str | None:
        nodes = [] if run is None else self._items(f"/api/v1/runs/{run['run_id']}/nodes")
        found = self._one([node for node in nodes if not states or node["state"] in states])
        return found["node"] if found is not None else None

    def _cancel_node(self) -> Wish | None:
        run = self._one(self._open_runs("graph_"))
        node = self._node_of(run, _OPEN)
        return wishes.cancel_node(run["run_id"], node) if run and node else None

    def _mark(self) -> Wish | None:
        run = self._one(self._open_runs("graph_"))
        node = self._node_of(run, _OPEN)
        state = self.chance.choice(("success", "success", "failed"))
        return wishes.mark(run["run_id"], node, state) if run and node else None

    def _retry(self) -> Wish | None:
        is_new = self.chance.random() < 0.3
        runs = self._ended_runs("graph_")
        return self._of_one(runs, "run_id", lambda run: wishes.retry(run, new_definition=is_new))

    def _retry_from(self) -> Wish | None:
        run = self._one(self._ended_runs("graph_"))
        node = self._node_of(run, frozenset())
        return wishes.retry(run["run_id"], from_node=node) if run and node else None

    def _retry_live(self) -> Wish | None:
        return self._of_one(self._ended_runs(LIVE), "run_id", wishes.retry)

    def _letters(self) -> list[dict[str, Any]]:
        return self._items("/api/v1/dlq?state=waiting&limit=20")

    def _replay(self) -> Wish | None:
        return self._of_one(self._letters(), "letter_id", wishes.replay)

    def _purge(self) -> Wish | None:
        return self._of_one(self._letters(), "letter_id", wishes.purge)

    def _reload(self) -> Wish | None:
        """Change definitions where the daemon reads them; a restart may find them before we ask."""
        self.plan.change(self.chance)
        beside = self.mdp.folder / "c.json.new"
        beside.write_text(json.dumps(self.plan.configuration(), indent=1), encoding="utf-8")
        beside.replace(self.mdp.folder / "c.json")
        return wishes.reload()

    def _define(self) -> Wish | None:
        return wishes.define(self.plan.made(self.chance))

    def _execute(self) -> Wish | None:
        return wishes.execute(self.chance.choice((EXTRA, MADE, MADE)))

    def _follow(self) -> Wish | None:
        if len(self._open_runs(LIVE)) > 1:
            return None
        is_endless = self.chance.random() < 0.3
        return wishes.follow(LIVE, None if is_endless else round(self.chance.uniform(1, 12), 1))

    def _schedules(self) -> list[dict[str, Any]]:
        return [each for each in self._items("/api/v1/schedules") if each["origin"] == "api"]

    def _add_schedule(self) -> Wish | None:
        if len(self._schedules()) > 2:
            return None
        when = f"every {self.chance.randrange(2, 30)}s"
        return wishes.add_schedule(f"leaf_{self.chance.randrange(2)}", when)

    def _remove_schedule(self) -> Wish | None:
        return self._of_one(self._schedules(), "id", wishes.remove_schedule)

    def _pause_schedule(self) -> Wish | None:
        return self._of_one(
            self._items("/api/v1/schedules"), "id", lambda one: wishes.switch_schedule(one, "pause")
        )
