"""What a daemon does for itself now and then: prune history, back it up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from openbell.app.assembly import Running
from openbell.sdk.errors import RetryableError

_EVERY_S = 3600.0


async def keep_house(whole: Running, failed: Callable[[RetryableError], None]) -> None:
    """Prune history by age and count once an hour, and back it up once a day, until cancelled.

    `failed` hears why one of them could not be done this time; it is tried again an hour later.
    """
    while True:
        for task in (_prune, _back_up):
            try:
                await task(whole)
            except RetryableError as error:
                failed(error)
        await whole.clock.sleep(_EVERY_S)


async def _prune(whole: Running) -> None:
    options = whole.engine.deployment.daemon
    await whole.history.prune(
        before=whole.clock.now() - timedelta(days=options.history_keep_days),
        keep_runs=options.history_keep_runs,
    )


async def _back_up(whole: Running) -> None:
    await whole.history.backup_if_due(now=whole.clock.now())
