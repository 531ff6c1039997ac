"""The one place where a plugin's code may fail in any way it likes."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from openbell.plugin_host.rules import Refusal

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a plugin's code did not give what was asked: one line, and the traceback's text."""

    reason: str
    traceback: str


def guarded(action: Callable[[], T]) -> T | Failure:
    """Return what `action` returns, or what went wrong. A plugin that exits is a failure too."""
    try:
        return action()
    except Refusal as refusal:
        return Failure(reason=str(refusal), traceback=_text(refusal))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - plugin load: one of the five places
        kind = type(error).__name__
        reason = f"{kind}: {error}" if str(error) else kind
        return Failure(reason=reason.splitlines()[0], traceback=_text(error))


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
