"""When a live job looks for its next bar, and what it asks for. Pure."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime

from openbell.sdk.values import BarWidth, SessionTable, from_us, to_us

_US = 1_000_000


def session_start_us(sessions: SessionTable, now_us: int) -> int | None:
    """Return the open of the newest session that has begun by `now_us`, or None."""
    position = bisect_right(sessions.opens_us, now_us) - 1
    return sessions.opens_us[position] if position >= 0 else None


def next_poll(now: datetime, bar: BarWidth, sessions: SessionTable) -> datetime:
    """Return the first instant after `now` at which a bar is newly complete.

    Bars start at the session's open and every width after it, and are complete a width later (or
    at the close). Without sessions, bars start at multiples of the width since 1970. A daily bar is
    complete at its session's close.
    """
    now_us = to_us(now)
    width_us = bar.width_s * _US
    if not len(sessions):
        return from_us((now_us // width_us + 1) * width_us)
    for position in range(max(0, bisect_right(sessions.opens_us, now_us) - 1), len(sessions)):
        opened, closed = sessions.opens_us[position], sessions.closes_us[position]
        if now_us >= closed:
            continue
        if bar.is_daily:
            return from_us(closed)
        bars_done = max(0, (now_us - opened) // width_us)
        return from_us(min(closed, opened + (bars_done + 1) * width_us))
    return from_us((now_us // width_us + 1) * width_us)


def first_watermark_us(now: datetime, bar: BarWidth, sessions: SessionTable) -> int:
    """Return where a live job that never ran begins: the newest session's open, or now.

    For daily bars that is the newest session's label at 00:00 UTC.
    """
    now_us = to_us(now)
    opened = session_start_us(sessions, now_us)
    if opened is None:
        width_us = bar.width_s * _US
        return now_us // width_us * width_us
    if bar.is_daily:
        return sessions.labels_day[sessions.opens_us.index(opened)] * 86_400 * _US
    return opened


def newest_bar_us(now: datetime, bar: BarWidth, sessions: SessionTable) -> int:
    """Return the start of the newest bar that may be incomplete at `now`; all before are complete.

    Bars are counted from the newest session's open, so that a change to summer time or a bar width
    that does not divide a day shifts nothing. A daily bar is complete at its session's close.
    """
    now_us, width_us = to_us(now), bar.width_s * _US
    position = bisect_right(sessions.opens_us, now_us) - 1
    if bar.is_daily and position >= 0:
        is_open = now_us < sessions.closes_us[position]
        return (sessions.labels_day[position] + (0 if is_open else 1)) * 86_400 * _US
    anchor_us = sessions.opens_us[position] if position >= 0 else 0
    return anchor_us + (now_us - anchor_us) // width_us * width_us
