"""hypercorn without HTTP/2.

Clients of the API speak HTTP/1.1; the HTTP/2 machine would be 5 MB of an idle daemon and a place
for attacks that nobody here needs. hypercorn asks for it with a plain import, so a stand-in that
refuses is put there first. Where the real one is loaded already nothing is done.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_PROTOCOL = "hypercorn.protocol.h2"
_LIBRARY = ("h2", "h2.events")
_REFUSAL = b"HTTP/1.1 505 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class NoHttp2:
    """Stands where hypercorn's `H2Protocol` would: answers 505 and hangs up."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - hypercorn's
        self._send = arguments[-1]

    async def initiate(self, *_: object) -> None:
        """Refuse the connection."""
        await self._send(RawData(data=_REFUSAL))
        await self._send(Closed())

    async def handle(self, event: object) -> None:
        """Ignore what the client sends after it was refused."""


@contextmanager
def _without_http2() -> Iterator[None]:
    """Put stand-ins where hypercorn looks; the library's own names are free again afterwards."""
    if _PROTOCOL in sys.modules:
        yield
        return
    stand_in = ModuleType(_PROTOCOL)
    stand_in.H2Protocol = NoHttp2  # type: ignore[attr-defined]
    sys.modules[_PROTOCOL] = stand_in
    borrowed = [name for name in _LIBRARY if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in borrowed})
    try:
        yield
    finally:
        for name in borrowed:
            del sys.modules[name]


with _without_http2():
    from hypercorn.app_wrappers import ASGIWrapper as ASGIWrapper  # noqa: PLC0414 - given on
    from hypercorn.asyncio.tcp_server import TCPServer as TCPServer  # noqa: PLC0414 - given on
    from hypercorn.asyncio.worker_context import (
        WorkerContext as WorkerContext,  # noqa: PLC0414 - given on
    )
    from hypercorn.config import Config as Config  # noqa: PLC0414 - given on
    from hypercorn.events import Closed, RawData
    from hypercorn.events import Event as Event  # noqa: PLC0414 - given on
    from hypercorn.events import Updated as Updated  # noqa: PLC0414 - given on
    from hypercorn.typing import ASGIFramework as ASGIFramework  # noqa: PLC0414 - given on
