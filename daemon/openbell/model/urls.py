"""URLs as messages show them."""

from __future__ import annotations

from urllib.parse import urlsplit


def place(url: str) -> str:
    """Return a URL without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the URL"
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{port}{parts.path}"
