"""Whether a session of a dataset is there, whoever brought it."""

from __future__ import annotations

from datetime import date

from openbell.model.pipelines import Dataset
from openbell.sdk.values import from_us
from openbell.supervisor.deadline import deadline
from openbell.supervisor.services import Services
from openbell.supervisor.signals import ANY_SUCCESS, Key, Signal

_LOOK_AGAIN_S = 60.0
"""A definition or the configuration may have changed, of which no signal tells."""


def committed_keys(dataset: str) -> tuple[Key, ...]:
    """Return what to listen to: commits, and runs that succeed, as that makes their commits count."""
    return (("dataset", dataset), ANY_SUCCESS)


async def reason_to_look(services: Services, signal: Signal) -> None:
    """Return once something was told that may matter, and now and then without."""
    async with deadline(services.clock, _LOOK_AGAIN_S):
        await signal.wait()


async def is_committed(services: Services, dataset: Dataset, session: date) -> bool:
    """Return whether a session of a dataset is there; see `History.is_committed`.

    A label that is no session of the dataset's calendar never has any rows: it is there.
    """
    found = await services.sessions.between(dataset.calendar, session, session)
    if not len(found):
        return True
    opens, closes = from_us(found.opens_us[0]), from_us(found.closes_us[-1])
    return await services.history.is_committed(dataset.name, opens, closes)
