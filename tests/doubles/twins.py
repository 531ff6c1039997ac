"""A history in memory and one on disk that are told and asked the same."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis.stateful import RuleBasedStateMachine
from typing_extensions import override

from doubles import story
from openbell.history.store import HistoryStore
from openbell.model import events as ev
from openbell.model.history import History, RecordRefusedError
from openbell.model.runs import IllegalStepError
from openbell.testing import MemoryHistory


class TwinMachine(RuleBasedStateMachine):
    """Tells both the same; each step is taken by both or refused by both."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        store = HistoryStore(Path(folder) / "history.sqlite")
        self._stack.enter_context(self._portal.wrap_async_context_manager(store))
        self._twins: tuple[History, History] = (MemoryHistory(), store)
        self.tell(story.defined(), story.defined(pipeline="other"))

    @override
    def teardown(self) -> None:
        self._stack.close()

    def ask(self, question: Callable[[History], Awaitable[Any]]) -> None:
        in_memory, on_disk = [self._portal.call(question, twin) for twin in self._twins]
        assert in_memory == on_disk

    def tell(self, *events: ev.Event) -> None:
        async def told(twin: History) -> object:
            try:
                return await twin.record(*events)
            except (RecordRefusedError, IllegalStepError) as error:
                return type(error), str(error).partition(" (")[0]

        self.ask(told)
