"""The newest of many fires that nobody was there for, without a look at all of them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

from openbell.schedule.fires import Fire
from openbell.sdk.values import to_us

COUNTED = 10_000
"""Fires that are passed over as a whole are counted up to here."""

_FIRST_SPAN_US = 3_600_000_000
_GROWTH = 4

FiresFrom = Callable[[int], Iterator[Fire]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest fires of a span, oldest first, and how many older ones there are at least."""

    fires: tuple[Fire, ...]
    older: int


def newest(fires_from: FiresFrom, after_us: int, until_us: int, *, most: int) -> Newest:
    """Return the newest `most` fires in `(after_us, until_us]`.

    Looks back from the end over spans that grow, so that a fine step costs what is kept and not
    what was missed.
    """
    span_us = _FIRST_SPAN_US
    while True:
        start_us = max(after_us, until_us - span_us)
        kept: deque[Fire] = deque(maxlen=most)
        count = 0
        for fire in _between(fires_from, start_us, until_us):
            kept.append(fire)
            count += 1
        if count >= most or start_us == after_us:
            break
        span_us *= _GROWTH
    older = count - len(kept)
    if start_us > after_us:
        before = _between(fires_from, after_us, start_us)
        older += sum(1 for _ in islice(before, max(0, COUNTED - older)))
    return Newest(fires=tuple(kept), older=older)


def _between(fires_from: FiresFrom, after_us: int, until_us: int) -> Iterator[Fire]:
    return takewhile(lambda fire: to_us(fire.at) <= until_us, fires_from(after_us + 1))
