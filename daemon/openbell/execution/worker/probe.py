"""What control nodes ask a worker: is a URL there, and does a webhook take a message."""

from __future__ import annotations

from typing import Any

import anyio
import httpx

from openbell.model.urls import place
from openbell.sdk.errors import FatalError, TransientError

_REFUSED = 400
_BUSY = frozenset({408, 425, 429})
_SERVER = 500


def probe_url(*, url: str, timeout_s: float) -> dict[str, Any]:
    """Return the `status` of `url` if it is below 400, and why it is not there (yet) if not."""
    try:
        status = _status("GET", url, timeout_s)
    except TransientError as error:
        return {"missing": str(error)}
    return {"status": status} if status < _REFUSED else {"missing": f"it answered {status}"}


def post_json(*, url: str, body: dict[str, Any], timeout_s: float, traceparent: str) -> int:
    """Return the status of a webhook that took `body`; raises for one that did not."""
    headers = {"traceparent": traceparent}
    status = _status("POST", url, timeout_s, json=body, headers=headers)
    if status >= _SERVER or status in _BUSY:
        raise TransientError(f"{place(url)} answered {status}")
    if status >= _REFUSED:
        raise FatalError(f"{place(url)} answered {status}")
    return status


def _status(method: str, url: str, timeout_s: float, **sent: Any) -> int:  # noqa: ANN401 - as httpx takes it
    """Return the status that a URL answers, within `timeout_s` however slowly it drips.

    Raises FatalError for what is no URL and TransientError for one that does not answer.
    """
    try:
        return anyio.run(_asked, method, url, timeout_s, sent)
    except TimeoutError as error:
        raise TransientError(f"{place(url)} did not answer within {timeout_s:g} s") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise FatalError(f"{place(url)} cannot be asked: {error}") from error
    except httpx.HTTPError as error:
        said = str(error) or type(error).__name__
        raise TransientError(f"{place(url)} could not be reached: {said}") from error


async def _asked(method: str, url: str, timeout_s: float, sent: dict[str, Any]) -> int:
    follow = method == "GET"
    with anyio.fail_after(timeout_s):
        async with (
            httpx.AsyncClient(timeout=None, follow_redirects=follow) as client,  # noqa: S113 - the whole exchange has a deadline
            client.stream(method, url, **sent) as found,
        ):
            return found.status_code
