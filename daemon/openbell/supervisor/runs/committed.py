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
    """Return whether commits reach over the whole session, from its open to its close.

    Those of a run that is no live one count once its pipeline succeeded after them. A label that
    is no session of the dataset's calendar never has any rows: it is there.
    """
    found = await services.sessions.between(dataset.calendar, session, session)
    if not len(found):
        return True
    opens, closes = from_us(found.opens_us[0]), from_us(found.closes_us[-1])
    span = await services.history.committed_span(dataset.name, opens, closes)
    return span is not None and span[0] <= opens and span[1] >= closes
