"""Where a daemon keeps its state and listens: one rule for the daemon and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

SOCKET_NAME = "openbell.sock"
SYSTEM_SOCKET = Path("/run/openbell") / SOCKET_NAME
MAX_SOCKET_PATH_BYTES = 107
"""What fits into `sun_path` of `struct sockaddr_un` beside its closing zero (unix(7))."""


def state_dir(env: Mapping[str, str], given: str | Path | None = None) -> Path:
    """Return the state directory: `given`, `OPENBELL_STATE_DIR`, systemd's, or the user's own."""
    if given:
        return Path(given)
    if named := env.get("OPENBELL_STATE_DIR"):
        return Path(named)
    if of_unit := env.get("STATE_DIRECTORY"):
        return Path(of_unit.split(":", maxsplit=1)[0])
    home = env.get("XDG_STATE_HOME") or str(Path(env.get("HOME", "~")) / ".local" / "state")
    return Path(home) / "openbell"


def socket_to_serve(env: Mapping[str, str], state: Path, given: str | Path | None = None) -> Path:
    """Return where a daemon with this state directory listens.

    `given`, `OPENBELL_SOCKET`, systemd's runtime directory, or a file in the state directory.
    """
    named = _named(env, given)
    return named or state / SOCKET_NAME


def socket_to_call(
    env: Mapping[str, str],
    state: Path,
    given: str | Path | None = None,
    *,
    exists: Callable[[Path], bool] = Path.exists,
) -> Path:
    """Return where a client looks for its daemon; the path need not exist.

    A socket that is named wins. Then the first that is there: the system's daemon, the user's,
    the one of the state directory.
    """
    if named := _named(env, given):
        return named
    candidates = [SYSTEM_SOCKET]
    if runtime := env.get("XDG_RUNTIME_DIR"):
        candidates.append(Path(runtime) / "openbell" / SOCKET_NAME)
    for candidate in candidates:
        if exists(candidate):
            return candidate
    return state / SOCKET_NAME


def _named(env: Mapping[str, str], given: str | Path | None) -> Path | None:
    if given:
        return Path(given)
    if named := env.get("OPENBELL_SOCKET"):
        return Path(named)
    if of_unit := env.get("RUNTIME_DIRECTORY"):
        return Path(of_unit.split(":", maxsplit=1)[0]) / SOCKET_NAME
    return None


def config_file(
    env: Mapping[str, str],
    given: str | Path | None = None,
    *,
    exists: Callable[[Path], bool] = Path.exists,
) -> Path | None:
    """Return the configuration file: `given`, `OPENBELL_CONFIG`, `./openbell.yaml`, the system's.

    None when nothing is named and none of them is there.
    """
    if named := given or env.get("OPENBELL_CONFIG"):
        return Path(named)
    candidates = [Path("openbell.yaml")]
    if of_unit := env.get("CONFIGURATION_DIRECTORY"):
        candidates.append(Path(of_unit.split(":", maxsplit=1)[0]) / "openbell.yaml")
    candidates.append(Path("/etc/openbell/openbell.yaml"))
    return next((candidate for candidate in candidates if exists(candidate)), None)
