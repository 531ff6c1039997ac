"""Whether a session of a dataset is there, whoever brought it."""

from __future__ import annotations

from datetime import date

from openbell.model.pipelines import Dataset
from openbell.sdk.values import from_us
from openbell.supervisor.services import Services
from openbell.supervisor.signals import ANY_RUN, Key


def committed_keys(dataset: str) -> tuple[Key, ...]:
    """Return what to listen to: commits, and runs that end, as that makes their commits count."""
    return (("dataset", dataset), ANY_RUN)


async def is_committed(services: Services, dataset: Dataset, session: date) -> bool:
    """Return whether a session of a dataset is there; see `History.is_committed`.

    A label that is no session of the dataset's calendar never has any rows: it is there.
    """
    found = await services.sessions.between(dataset.calendar, session, session)
    if not len(found):
        return True
    opens, closes = from_us(found.opens_us[0]), from_us(found.closes_us[-1])
    return await services.history.is_committed(dataset.name, opens, closes)
