"""Find the daemon."""

from __future__ import annotations

import os
from pathlib import Path

from openbell.cli.client import TIMEOUT_S, Client
from openbell.model.places import socket_to_call, state_dir


def client(
    socket: Path | None = None, state: Path | None = None, *, timeout_s: float = TIMEOUT_S
) -> Client:
    """Return a client of the daemon that the options and the environment name."""
    directory = state_dir(os.environ, state)
    return Client(socket_to_call(os.environ, directory, socket), timeout_s=timeout_s)
