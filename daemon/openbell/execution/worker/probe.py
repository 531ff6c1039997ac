"""What control nodes ask a worker: is a URL there, and does a webhook take a message."""

from __future__ import annotations

from typing import Any

import httpx

from openbell.sdk.errors import FatalError, TransientError

_REFUSED = 400
_BUSY = frozenset({408, 425, 429})
_SERVER = 500


def probe_url(*, url: str, timeout_s: float) -> dict[str, Any]:
    """Return the `status` of `url` if it is below 400, and why it is not there (yet) if not."""
    try:
        with httpx.stream("GET", url, timeout=timeout_s, follow_redirects=True) as found:
            if found.status_code < _REFUSED:
                return {"status": found.status_code}
            return {"missing": f"it answered {found.status_code}"}
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise FatalError(str(error)) from error
    except httpx.HTTPError as error:
        return {"missing": f"{type(error).__name__}: {error}".removesuffix(": ")}


def post_json(*, url: str, body: dict[str, Any], timeout_s: float, traceparent: str) -> int:
    """Return the status of a webhook that took `body`; raises for one that did not."""
    try:
        headers = {"traceparent": traceparent}
        found = httpx.post(url, json=body, headers=headers, timeout=timeout_s)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise FatalError(str(error)) from error
    except httpx.HTTPError as error:
        raise TransientError(str(error) or type(error).__name__) from error
    status = found.status_code
    if status >= _SERVER or status in _BUSY:
        raise TransientError(f"it answered {status}")
    if status >= _REFUSED:
        raise FatalError(f"it answered {status}")
    return status
