"""Which units of a run will wait at the desk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from openbell.execution.chains import Unit
from openbell.supervisor.runs.context import RunContext
from openbell.supervisor.runs.worker_work import pool_of


def without_room(context: RunContext, units: Sequence[Unit]) -> Iterator[Unit]:
    """Yield the units that will wait for a worker or for a slot of their pool."""
    desk, taken = context.services.desk, Counter[str | None]()
    room = desk.room() if context.may_begin else 0
    for unit in units:
        pool = pool_of(unit)
        if taken.total() < room and (pool is None or taken[pool] < desk.room_in(pool)):
            taken[pool] += 1
        else:
            yield unit
