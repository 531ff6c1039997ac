"""Schedules and fires as the API and the command line write them. Pure."""

from __future__ import annotations

from typing import Any

from openbell.model.schedules import FireRecord, MissedRule, ScheduleStatus


def schedule_fields(status: ScheduleStatus) -> dict[str, Any]:
    """Return a schedule as it stands."""
    record = status.record
    use = record.use
    return {
        "id": record.schedule_id,
        "pipeline": record.pipeline,
        "when": use.expression,
        "state": status.state,
        "reason": status.reason,
        "next_at": status.next_at,
        "next_session": status.next_session,
        "last": None if status.last is None else fire_fields(status.last),
        "origin": record.origin,
        "key": record.key,
        "paused": record.paused,
        "dst": {"missing": use.dst_missing, "duplicate": use.dst_duplicate},
        "active": {"from": use.active_from, "until": use.active_until},
        "jitter_s": use.jitter_s,
        "on_missed": _missed(use.on_missed),
        "params": dict(use.params),
        "added_at": record.added_at,
        "added_by": record.added_by,
        "decided_until": record.decided_until,
        "removed_at": record.removed_at,
        "removed_by": record.removed_by,
    }


def fire_fields(fire: FireRecord) -> dict[str, Any]:
    """Return what became of a fire."""
    return {
        "pipeline": fire.pipeline,
        "schedule_id": fire.schedule_id,
        "fire": fire.identity,
        "session": fire.session,
        "event": fire.event,
        "index": fire.index,
        "due_at": fire.due_at,
        "decided_at": fire.decided_at,
        "outcome": fire.outcome,
        "reason": fire.reason,
        "run_id": fire.run_id,
    }


def _missed(rule: MissedRule) -> dict[str, Any]:
    return {
        "catch": None if rule.catching == "if_before" else rule.catching,
        "if_before": rule.if_before,
        "most": rule.most,
        "spread_s": rule.spread_s,
    }
