"""What a backend does for itself, called in a worker of its own: no live write waits for it."""

from __future__ import annotations

from typing import Any

import msgspec

from openbell.execution.protocol import Factory
from openbell.execution.worker.context import make


def maintain(backend: dict[str, Any], dataset: str) -> int:
    """Let the backend that the factory `backend` makes tidy `dataset`; return rows rewritten."""
    opened = make(msgspec.convert(backend, Factory))
    try:
        return int(opened.maintain(dataset))
    finally:
        opened.close()
