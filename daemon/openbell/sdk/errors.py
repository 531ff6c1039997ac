"""Errors, sorted by what the caller should do about them.

Retry it (`RetryableError`), go on without it (`SkippableError`), look at the data
(`DataError`), stop (`FatalError`), mend the configuration (`SettingsError`), or mend
the plugin (`PluginError`). A provider translates its library's errors at its own edge
into the classes at the end of this file, with `raise ... from`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from typing_extensions import override

from openbell.sdk.values import Finding


class OpenbellError(Exception):
    """Root of every error that openbell raises on purpose.

    `kind` is the stable word that history, retry policies (`on:`) and the API use.
    """

    kind: ClassVar[str] = "error"


class RetryableError(OpenbellError):
    """The same call may succeed later; `retry_after_s` seconds from now if that is known."""

    kind: ClassVar[str] = "transient"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SkippableError(OpenbellError):
    """This piece cannot be had, and the rest of the work can go on without it."""

    kind: ClassVar[str] = "skippable"


class DataError(OpenbellError):
    """The data is wrong; `findings` say where and how."""

    kind: ClassVar[str] = "data"

    def __init__(self, message: str, *, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class FatalError(OpenbellError):
    """Trying again cannot help; a person has to act."""

    kind: ClassVar[str] = "fatal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in a configuration: where it is, what it is, and a way out.

    `line` and `column` count from 1 and are 0 where the value did not come from a file.
    """

    message: str
    key: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""

    @override
    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        head = f"{place}: " if place else ""
        key = f"{self.key}: " if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{head}{key}{self.message}{hint}"


class SettingsError(OpenbellError):
    """The configuration cannot be used; `problems` lists everything wrong with it at once."""

    kind: ClassVar[str] = "settings"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class PluginError(OpenbellError):
    """A plugin broke its contract; `plugin` names the distribution or the entry point."""

    kind: ClassVar[str] = "plugin"

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(f"plugin {plugin}: {message}")
        self.plugin = plugin


class RateLimitedError(RetryableError):
    """The vendor refused a request because they came too fast (HTTP 429 and its kin)."""

    kind: ClassVar[str] = "rate_limited"


class QuotaExhaustedError(RetryableError):
    """A vendor quota is used up; `reset_at` (aware UTC) says when a new window begins."""

    kind: ClassVar[str] = "quota_exhausted"

    def __init__(
        self, message: str, *, reset_at: datetime | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.reset_at = reset_at


class TransientError(RetryableError):
    """The vendor or the line failed in a way that passes: time-outs, resets, HTTP 5xx."""


class AuthError(FatalError):
    """The vendor does not know these credentials."""

    kind: ClassVar[str] = "auth"


class EntitlementError(FatalError):
    """The vendor knows who we are and does not sell us this data."""

    kind: ClassVar[str] = "entitlement"


class NotFoundError(FatalError):
    """The vendor, table or file does not have this symbol, dataset or path."""

    kind: ClassVar[str] = "not_found"


class MalformedError(DataError):
    """The answer cannot be read at all: truncated, not of its format, a corrupt archive."""

    kind: ClassVar[str] = "malformed"


class SchemaChangedError(DataError):
    """The answer can be read and has other columns or types than the dataset declares."""

    kind: ClassVar[str] = "schema_changed"
