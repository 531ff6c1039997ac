"""Errors as RFC 9457 problem details, each with a stable type."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from typing_extensions import override

from openbell.calendars.names import UnknownCalendarError
from openbell.history.errors import HistoryClosedError, HistoryRefusedError
from openbell.http.answers import JsonAnswer
from openbell.model.calendars import UnknownOverlayError
from openbell.model.control import (
    ConflictError,
    NotAcceptedError,
    UnknownPipelineError,
    UnknownRunError,
)
from openbell.model.letters import UnknownLetterError
from openbell.model.schedules import UnknownScheduleError
from openbell.sdk.errors import OpenbellError, Problem, RetryableError, SettingsError
from openbell.supervisor.explain.explainer import UnknownNodeError

PREFIX = "urn:openbell:problem:"
_LATER_S = 5.0

TYPES: Mapping[str, str] = {
    "not-found": "no such route",
    "method-not-allowed": "the route does not have this method",
    "invalid-request": "the request is not of the documented form; `errors` says where",
    "invalid-settings": "the configuration or the definition is wrong; `errors` says where",
    "body-too-large": "the request body is larger than the daemon takes",
    "unknown-pipeline": "no pipeline or job has this name; `known` lists those there are",
    "unknown-run": "history has no run or job with this id",
    "unknown-calendar": "no calendar has this name",
    "unknown-overlay": "the calendar has no correction made by hand with this id",
    "unknown-schedule": "no schedule in force has this id",
    "unknown-node": "the run has no node of this name",
    "unknown-letter": "there is no dead letter with this id",
    "unknown-dataset": "no dataset has this name; `known` lists those there are",
    "not-accepted": "the daemon cannot take this now: it drains, or the pipeline is refused or parked",
    "conflict": "the request does not fit the state of what it names",
    "idempotency-conflict": "this Idempotency-Key was used with another request",
    "unauthorized": "a bearer token is needed",
    "forbidden": "this user may not use the socket",
    "unavailable": "the daemon starts or stops, or its disk takes nothing now; try again",
    "internal": "the daemon failed; its log says why",
}

_UNKNOWN: Mapping[type[Exception], str] = {
    UnknownRunError: "unknown-run",
    UnknownOverlayError: "unknown-overlay",
    UnknownScheduleError: "unknown-schedule",
    UnknownLetterError: "unknown-letter",
    UnknownNodeError: "unknown-node",
}


class ProblemAnswer(JsonAnswer):
    """A problem+json answer."""

    media_type = "application/problem+json"

    @classmethod
    def of(
        cls,
        status: int,
        name: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> ProblemAnswer:
        """Return the problem `name` of TYPES with this status and sentence."""
        if name not in TYPES:
            raise KeyError(name)
        content = {
            "type": PREFIX + name,
            "title": TYPES[name],
            "status": status,
            "detail": detail,
            **more,
        }
        return cls(content, status_code=status, headers=dict(headers or {}))


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, name: str, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.more = more

    @property
    def answer(self) -> ProblemAnswer:
        """The answer to send."""
        return ProblemAnswer.of(self.status, self.name, str(self), headers=None, **self.more)

    @override
    def __repr__(self) -> str:
        return f"ProblemError({self.status}, {self.name!r})"


def of_domain(error: Exception) -> ProblemAnswer | None:
    """Return the answer to an error that the engine raises on purpose, or None for any other."""
    match error:
        case ProblemError():
            answer = error.answer
        case UnknownPipelineError():
            answer = _of_unknown(error)
        case _ if type(error) in _UNKNOWN:
            answer = ProblemAnswer.of(404, _UNKNOWN[type(error)], str(error))
        case UnknownCalendarError():
            answer = ProblemAnswer.of(404, "unknown-calendar", str(error), hint=error.hint)
        case NotAcceptedError():
            later = {"retry-after": "5"}
            answer = ProblemAnswer.of(503, "not-accepted", str(error), headers=later)
        case SettingsError():
            answer = ProblemAnswer.of(
                422, "invalid-settings", str(error), errors=settings_errors(error.problems)
            )
        case ConflictError():
            answer = ProblemAnswer.of(409, "conflict", str(error))
        case RetryableError() | HistoryClosedError() | HistoryRefusedError():
            answer = _of_unavailable(error)
        case OpenbellError():
            answer = ProblemAnswer.of(409, "conflict", str(error), kind=error.kind)
        case _:
            return None
    return answer


def _of_unavailable(error: OpenbellError) -> ProblemAnswer:
    """Return the answer while the disk or a neighbour does not play along: nothing was done."""
    wait_s = getattr(error, "retry_after_s", None) or _LATER_S
    later = {"retry-after": str(math.ceil(wait_s))}
    return ProblemAnswer.of(503, "unavailable", str(error), headers=later, kind=error.kind)


def _of_unknown(error: UnknownPipelineError) -> ProblemAnswer:
    near = difflib.get_close_matches(error.name, error.known, n=1)
    return ProblemAnswer.of(
        404,
        "unknown-pipeline",
        str(error),
        known=sorted(error.known),
        hint=f"did you mean {near[0]!r}?" if near else "",
    )


def settings_errors(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return what is wrong, one entry a problem."""
    return [
        {
            "key": problem.key,
            "message": problem.message,
            "hint": problem.hint,
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
        }
        for problem in problems
    ]


def of_validation(errors: Sequence[Mapping[str, Any]], known: Iterable[str]) -> ProblemAnswer:
    """Return the answer to a request that is not of its documented form.

    What the client sent is not repeated: it may hold secrets.
    """
    names = sorted(known)
    entries = [_entry(error, names) for error in errors]
    detail = "; ".join(f"{entry['key'] or 'body'}: {entry['message']}" for entry in entries[:5])
    status = 400 if any(error.get("type") == "json_invalid" for error in errors) else 422
    return ProblemAnswer.of(status, "invalid-request", detail, errors=entries)


def _entry(error: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    place = [str(part) for part in error.get("loc", ())]
    key = ".".join(place[1:]) if len(place) > 1 else ""
    message = str(error.get("msg", "")).removeprefix("Value error, ")
    hint = ""
    if error.get("type") == "extra_forbidden":
        message = f"the key {key!r} is unknown"
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return {"in": place[0] if place else "", "key": key, "message": message, "hint": hint}


def of_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> ProblemAnswer:
    """Return the answer for an HTTP error of the framework."""
    name = {
        404: "not-found",
        405: "method-not-allowed",
        413: "body-too-large",
        401: "unauthorized",
        403: "forbidden",
        503: "unavailable",
    }.get(status, "invalid-request" if status < 500 else "internal")
    if not detail or detail == HTTPStatus(status).phrase:
        detail = TYPES[name]
    return ProblemAnswer.of(status, name, detail, headers=headers)
