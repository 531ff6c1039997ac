"""What a state directory tells without a daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import anyio
import msgspec

from openbell.app.calendars import HISTORY_NAME
from openbell.history.connections import Readers
from openbell.history.readers import Answers
from openbell.model.history import History
from openbell.sdk.clock import SystemClock
from openbell.supervisor.explain.explainer import Explainer


async def explained(
    state_dir: Path, what: str, node: str | None, *, is_run: bool
) -> dict[str, Any]:
    """Return why a run, a node of it or a pipeline stands where it stands, as plain JSON.

    Raises FileNotFoundError when the directory holds no history.
    """
    database = state_dir / HISTORY_NAME
    if not await anyio.Path(database).exists():
        raise FileNotFoundError(f"{state_dir} holds no history")
    readers = Readers(database, count=1)
    async with readers.opened():
        explainer = Explainer(cast("History", Answers(readers)), SystemClock())
        if not is_run:
            found = await explainer.pipeline(what)
        elif node is not None:
            found = await explainer.node(what, node)
        else:
            found = await explainer.run(what)
        return cast("dict[str, Any]", msgspec.to_builtins(found))
