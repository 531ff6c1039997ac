"""`Idempotency-Key`: the same request again gets the same answer, another one a refusal."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from starlette.requests import Request
from starlette.responses import Response

from openbell.http.problems import ProblemError


@dataclass(slots=True)
class _Kept:
    digest: str
    done: anyio.Event = field(default_factory=anyio.Event)
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class AnswerKeeper:
    """Keeps the last answers by key. A request that comes while its twin is at work waits for it.

    Only answers below 500 are kept. Jobs are kept durably as well: the engine returns the first
    run of a key for ever; this keeper forgets the oldest of more than `capacity` keys.
    """

    def __init__(self, capacity: int = 1000) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def once(
        self, request: Request, key: str | None, make: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Return the answer of `make`, called once for all requests with this key."""
        if key is None:
            return await make()
        digest = await _digest(request)
        while (twin := self._kept.get(key)) is not None:
            if twin.digest != digest:
                raise conflict(key)
            await twin.done.wait()
            if twin.status:
                return _replay(twin)
        return await self._first(key, digest, make)

    async def _first(
        self, key: str, digest: str, make: Callable[[], Awaitable[Response]]
    ) -> Response:
        mine = self._kept[key] = _Kept(digest)
        try:
            answer = await make()
            if answer.status_code < 500:
                mine.status = answer.status_code
                mine.headers = list(answer.raw_headers)
                mine.body = bytes(answer.body)
        finally:
            if not mine.status:
                del self._kept[key]
            mine.done.set()
        self._forget()
        return answer

    def _forget(self) -> None:
        while len(self._kept) > self._capacity:
            oldest = next(iter(self._kept))
            if not self._kept[oldest].done.is_set():
                return
            del self._kept[oldest]


def conflict(key: str) -> ProblemError:
    """Return the refusal of a key that came with another request before."""
    return ProblemError(
        422,
        "idempotency-conflict",
        f"Idempotency-Key {key!r} was used with another request; take a new key",
    )


async def _digest(request: Request) -> str:
    body = await request.body()
    head = f"{request.method} {request.url.path}\n".encode()
    return hashlib.sha256(head + body).hexdigest()


def _replay(kept: _Kept) -> Response:
    answer = Response(kept.body, status_code=kept.status)
    answer.raw_headers = [*kept.headers, (b"idempotency-replayed", b"true")]
    return answer
