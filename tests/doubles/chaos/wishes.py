"""What people ask a daemon for, each as a request and, where there is one, as a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WHATS = frozenset(
    (
        *(f"{how} {what}" for how in ("pause", "resume") for what in ("run", "pipeline", "all")),
        *("pause schedule", "resume schedule", "add schedule", "remove schedule"),
        *("cancel run", "cancel node", "mark node", "answer", "priority"),
        *("retry", "retry from node", "replay", "purge"),
        *("reload", "define", "execute", "live"),
    )
)
"""Every kind of wish."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One request; `argv` is the same for `mdp`. `target` and `node` say what it is about."""

    what: str
    method: str
    url: str
    body: object = None
    argv: tuple[str, ...] = ()
    target: str = ""
    node: str = ""
    item: int = -1
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A wish that was sent, and the answer; None when there was none, so that it may be granted."""

    wish: Wish
    sent_us: int
    done_us: int
    reply: Reply | None

    @property
    def is_granted(self) -> bool:
        """Whether the daemon said yes."""
        return self.reply is not None and 200 <= self.reply.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether the daemon said no; it did nothing then."""
        return self.reply is not None and 400 <= self.reply.status < 500


def switch_run(run_id: str, how: str) -> Wish:
    """Pause or resume a run."""
    url = f"/api/v1/runs/{run_id}/{how}"
    return Wish(what=f"{how} run", method="POST", url=url, argv=(how, run_id), target=run_id)


def switch_pipeline(name: str, how: str) -> Wish:
    """Pause or resume a pipeline."""
    url = f"/api/v1/pipelines/{name}/{how}"
    return Wish(what=f"{how} pipeline", method="POST", url=url, argv=(how, name), target=name)


def switch_all(how: str) -> Wish:
    """Pause or resume everything."""
    return Wish(what=f"{how} all", method="POST", url=f"/api/v1/{how}", argv=(how, "--all"))


def switch_schedule(schedule_id: str, how: str) -> Wish:
    """Pause or resume a schedule."""
    url = f"/api/v1/schedules/{schedule_id}/{how}"
    argv = ("schedule", how, schedule_id)
    return Wish(what=f"{how} schedule", method="POST", url=url, argv=argv, target=schedule_id)


def undone(wish: Wish) -> Wish | None:
    """Return what takes a pause back, None for any other wish."""
    match wish.what:
        case "pause run":
            return switch_run(wish.target, "resume")
        case "pause pipeline":
            return switch_pipeline(wish.target, "resume")
        case "pause all":
            return switch_all("resume")
        case "pause schedule":
            return switch_schedule(wish.target, "resume")
        case _:
            return None


def cancel_run(run_id: str) -> Wish:
    """End a run."""
    url, argv = f"/api/pipeline/jobs/{run_id}", ("cancel", run_id)
    return Wish(what="cancel run", method="DELETE", url=url, argv=argv, target=run_id)


def cancel_node(run_id: str, node: str) -> Wish:
    """End a node of a run."""
    return Wish(
        what="cancel node",
        method="POST",
        url=f"/api/v1/runs/{run_id}/nodes/{node}/cancel",
        argv=("cancel", run_id, node),
        target=run_id,
        node=node,
        value="cancelled",
    )


def mark(run_id: str, node: str, state: str) -> Wish:
    """Let a node end as somebody says."""
    return Wish(
        what="mark node",
        method="POST",
        url=f"/api/v1/runs/{run_id}/nodes/{node}/mark",
        body={"state": state, "reason": "a storm"},
        argv=("mark", run_id, node, state, "--reason", "a storm"),
        target=run_id,
        node=node,
        value=state,
    )


def answer(run_id: str, node: str, item: int, label: str) -> Wish:
    """Answer a question."""
    return Wish(
        what="answer",
        method="POST",
        url=f"/api/v1/runs/{run_id}/nodes/{node}/answer",
        body={"label": label, "item": item},
        argv=("approve", run_id, node, label, "--item", str(item)),
        target=run_id,
        node=node,
        item=item,
        value=label,
    )


def prioritize(run_id: str, priority: int) -> Wish:
    """Give a run another priority."""
    return Wish(
        what="priority",
        method="PUT",
        url=f"/api/v1/runs/{run_id}/priority",
        body={"priority": priority},
        argv=("priority", run_id, str(priority)),
        target=run_id,
        value=priority,
    )


def retry(run_id: str, *, from_node: str = "", new_definition: bool = False) -> Wish:
    """Submit an ended run again, from what failed or from a node."""
    how: dict[str, Any] = {"new_definition": new_definition}
    argv = ["retry", run_id, *(["--new-definition"] if new_definition else [])]
    if from_node:
        how["from_node"] = from_node
        argv += ["--from", from_node]
    return Wish(
        what="retry from node" if from_node else "retry",
        method="PUT",
        url=f"/api/pipeline/jobs/{run_id}/retry",
        body=how,
        argv=tuple(argv),
        target=run_id,
        node=from_node,
        value=new_definition,
    )


def replay(letter_id: str) -> Wish:
    """Do a dead letter's work again."""
    url, argv = f"/api/v1/dlq/{letter_id}/replay", ("dlq", "replay", letter_id)
    return Wish(what="replay", method="POST", url=url, argv=argv, target=letter_id)


def purge(letter_id: str) -> Wish:
    """Give a dead letter up."""
    url, argv = f"/api/v1/dlq/{letter_id}", ("dlq", "purge", letter_id, "--yes")
    return Wish(what="purge", method="DELETE", url=url, argv=argv, target=letter_id)


def reload() -> Wish:
    """Read the configuration again."""
    return Wish(what="reload", method="POST", url="/api/v1/reload", argv=("reload",))


def define(document: Mapping[str, Any]) -> Wish:
    """Define a pipeline."""
    return Wish(
        what="define",
        method="POST",
        url="/api/pipeline/workflows",
        body=document,
        target=document["name"],
    )


def execute(name: str) -> Wish:
    """Run a pipeline."""
    url = f"/api/pipeline/workflows/{name}/execute"
    return Wish(what="execute", method="POST", url=url, body={}, target=name)


def follow(job: str, seconds: float | None) -> Wish:
    """Begin a live job, for some seconds or until somebody ends it."""
    body: dict[str, Any] = {"job": job} | ({} if seconds is None else {"for": seconds})
    url = "/api/pipeline/jobs"
    return Wish(what="live", method="POST", url=url, body=body, target=job, value=seconds)


def add_schedule(pipeline: str, when: str) -> Wish:
    """Let a pipeline run by one more schedule."""
    return Wish(
        what="add schedule",
        method="POST",
        url="/api/v1/schedules",
        body={"pipeline": pipeline, "when": when},
        argv=("schedule", "add", pipeline, when),
        target=pipeline,
        value=when,
    )


def remove_schedule(schedule_id: str) -> Wish:
    """Delete a schedule."""
    url, argv = f"/api/v1/schedules/{schedule_id}", ("schedule", "remove", schedule_id)
    return Wish(what="remove schedule", method="DELETE", url=url, argv=argv, target=schedule_id)
