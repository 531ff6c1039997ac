"""Exit codes, and the one way a verb ends early."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any

OK = 0
FAILED = 1
USAGE = 2
NOT_MET = 3
NOT_FOUND = 4
UNREACHABLE = 69
TRY_LATER = 75
NO_PERMISSION = 77
BAD_CONFIG = 78
TIMED_OUT = 124
INTERRUPTED = 130
TERMINATED = 143

_BY_STATUS: Mapping[int, int] = {
    400: USAGE,
    401: NO_PERMISSION,
    403: NO_PERMISSION,
    404: NOT_FOUND,
    405: USAGE,
    409: NOT_MET,
    413: USAGE,
    422: USAGE,
    429: TRY_LATER,
    503: TRY_LATER,
}


class CliError(Exception):
    """Ends the command: a message and a hint for people, an exit code for scripts."""

    def __init__(
        self, code: int, message: str, *, hint: str = "", details: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.details = tuple(details)

    @property
    def text(self) -> str:
        """What to print, without a line end."""
        lines = [f"error: {self}", *(f"  {detail}" for detail in self.details)]
        if self.hint and self.hint not in str(self):
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


def of_system(error: OSError) -> CliError:
    """Return the error for what the system refused: no space, no permission, a broken disk."""
    place = f"{error.filename}: " if error.filename else ""
    return CliError(code_of(error), f"{place}{error.strerror or error}")


def code_of(error: BaseException | None) -> int:
    """Return the exit code for what stands behind an error: full disks empty, rights do not come."""
    match getattr(error, "errno", None):
        case errno.ENOSPC | errno.EDQUOT | errno.EMFILE | errno.ENFILE | errno.ENOMEM:
            return TRY_LATER
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return NO_PERMISSION
        case _:
            return FAILED


def of_fatal(error: Exception) -> CliError:
    """Return the error for what ended the engine; 78 where starting again cannot help."""
    needs_a_person = getattr(error, "needs_a_person", False)
    return CliError(BAD_CONFIG if needs_a_person else code_of(error.__cause__), str(error))


def of_problem(status: int, problem: Mapping[str, Any]) -> CliError:
    """Return the error for an answer of the API that is a problem."""
    code = _BY_STATUS.get(status, UNREACHABLE)
    if problem.get("type") == "urn:openbell:problem:invalid-settings":
        code = BAD_CONFIG
    entries = problem.get("errors") or ()
    if entries:
        if is_about_a_run([str(entry.get("key") or "") for entry in entries]):
            code = USAGE
        message = "the daemon refuses this"
        details = [_entry(entry) for entry in entries]
        return CliError(code, message, details=details)
    return CliError(
        code, str(problem.get("detail") or f"HTTP {status}"), hint=str(problem.get("hint") or "")
    )


def is_about_a_run(keys: Sequence[str]) -> bool:
    """Return whether problems at `keys` are the request's alone: the configuration is sound."""
    return bool(keys) and all(key.startswith("params.") for key in keys)


def _entry(entry: Mapping[str, Any]) -> str:
    place = ":".join(str(entry[part]) for part in ("file", "line", "column") if entry.get(part))
    head = ": ".join(part for part in (place, str(entry.get("key") or "")) if part)
    hint = f" ({entry['hint']})" if entry.get("hint") else ""
    return f"{head}: {entry['message']}{hint}" if head else f"{entry['message']}{hint}"
