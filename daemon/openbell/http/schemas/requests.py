"""Bodies that clients send. Unknown keys are refused; values become `openbell.model` at once."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from openbell.config.schedule_schema import ScheduleSection
from openbell.model.calendars import Overlay, OverlayKind
from openbell.model.control import Submission
from openbell.model.retries import Retry

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|min|h|d)?")
_UNIT_S = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(value: object) -> object:
    """Return the seconds that `90`, `45s`, `10m`, `1h` or `1d` writes."""
    if not isinstance(value, str):
        return value
    match = _SPAN.fullmatch(value.strip())
    if match is None:
        raise ValueError("write a number of seconds, or one with a unit: 45s, 10m, 1h, 1d")
    return float(match[1]) * _UNIT_S[match[2]]


Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Priority = Annotated[int, Field(ge=0, le=9, strict=True)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False)]


def plain_json(body: Any) -> Any:  # noqa: ANN401 - whatever the client sent
    """Return `body`; ValueError for what Python reads as JSON and JSON has not: NaN, half a pair."""
    try:
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair, which is no character") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        raise ValueError("NaN and Infinity are no numbers in JSON") from None
    return body


class Body(BaseModel):
    """Base of every body: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    _plain = model_validator(mode="before")(plain_json)


class RunOptions(Body):
    """How one run differs from its definition. `from` and `to` are session labels, both included."""

    params: dict[str, Any] = Field(default_factory=dict, description="values for `${param}`")
    session: date | None = Field(default=None, description="run this one session")
    start: date | None = Field(default=None, alias="from", description="first session")
    end: date | None = Field(default=None, alias="to", description="last session")
    dry_run: bool = Field(default=False, description="do everything but the commit")
    priority: Priority | None = Field(default=None, description="over the pipeline's")
    stop_after_s: Seconds | None = Field(
        default=None, alias="for", description="end a live run after this long, such as `10m`"
    )

    @model_validator(mode="after")
    def _in_order(self) -> RunOptions:
        if self.session and (self.start or self.end):
            raise ValueError("give either `session` or `from` and `to`, not both")
        if self.start and self.end and self.end < self.start:
            raise ValueError(f"`to` ({self.end}) is before `from` ({self.start})")
        return self

    def submission(
        self, pipeline: str, *, origin: str, idempotency_key: str | None, traceparent: str | None
    ) -> Submission:
        """Return what the engine is asked for."""
        return Submission(
            pipeline=pipeline,
            params=self.params,
            session=self.session,
            start=self.start,
            end=self.end,
            stop_after_s=self.stop_after_s,
            dry_run=self.dry_run,
            priority=self.priority,
            origin=origin,
            idempotency_key=idempotency_key,
            traceparent=traceparent,
        )


class JobRequest(RunOptions):
    """A request for one run of a job or a pipeline."""

    job: Name | None = Field(default=None, description="the job's name")
    pipeline: Name | None = Field(default=None, description="the pipeline's name")

    @model_validator(mode="after")
    def _one_name(self) -> JobRequest:
        if (self.job is None) == (self.pipeline is None):
            raise ValueError("give one of `job` and `pipeline`")
        return self

    @property
    def target(self) -> str:
        """The pipeline's name; a job is the pipeline of its name."""
        return self.job or self.pipeline or ""


class OverlayRequest(Body):
    """A correction of one day of a calendar; hours are local to the exchange."""

    session: date = Field(alias="date", description="the session's label")
    kind: OverlayKind
    open: Clock | None = Field(default=None, description="for `late_open` and `extra_session`")
    close: Clock | None = Field(default=None, description="for `early_close` and `extra_session`")
    reason: str = Field(min_length=1, max_length=500, description="why, for the record")
    dry_run: bool = Field(default=False, description="say what would change, and change nothing")

    def overlay(self, calendar: str) -> Overlay:
        """Return what the calendar is asked for."""
        return Overlay(
            calendar=calendar,
            session=self.session,
            closed=self.kind == "closed",
            open_time=self.open,
            close_time=self.close,
            reason=self.reason,
        )


class ScheduleRequest(ScheduleSection):
    """A schedule for a pipeline; the keys are those of `schedule:` in the configuration."""

    _plain = model_validator(mode="before")(plain_json)

    pipeline: Name = Field(description="the pipeline's or job's name")


class RetryRequest(Body):
    """What of an ended run is done again: what did not succeed, unless something is said here."""

    from_failed: bool = Field(
        default=True, description="keep what succeeded; false does everything again"
    )
    from_node: Name | None = Field(
        default=None, description="do this node again as well, and what follows from it"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="over those that it had")
    new_definition: bool = Field(
        default=False, description="by the definition in force, not by the one that it had"
    )
    priority: Priority | None = Field(default=None, description="over that which it had")

    def retry(self) -> Retry:
        """Return what the engine is asked for."""
        return Retry(
            from_node=self.from_node,
            is_whole=not self.from_failed,
            params=self.params,
            new_definition=self.new_definition,
            priority=self.priority,
        )


class PriorityRequest(Body):
    """How urgent a run is."""

    priority: Priority = Field(description="0 to 9, the most urgent")


class MarkRequest(Body):
    """How a node is to end."""

    state: Literal["success", "failed"]
    reason: str = Field(min_length=1, max_length=500, description="why, for the record")
    outcome: Name = Field(default="success", description="what edges see of a success")


class AnswerRequest(Body):
    """What a person answers."""

    label: Name = Field(description="one of the question's labels")
    comment: str = Field(default="", max_length=2000, description="for the record")
    item: int = Field(default=-1, ge=-1, le=2**31, description="of a node with `for_each`: which")


class StopRequest(Body):
    """How the daemon ends: `drain` lets work in hand end, `fast` interrupts it."""

    how: Literal["drain", "fast"] = "drain"


class WorkflowRequest(BaseModel):
    """A pipeline's definition, as under `pipelines:` of the configuration, with its `name`.

    It has `nodes`, or a `template` that makes them. What else it may hold is the configuration's to
    say: the daemon checks it there.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    _plain = model_validator(mode="before")(plain_json)

    name: Name
    nodes: dict[str, dict[str, Any]] | None = Field(
        default=None, description="nodes by name", min_length=1
    )
    template: str | None = Field(default=None, description="a template, by name")

    def document(self) -> dict[str, Any]:
        """Return what was sent, as the configuration would write it."""
        return self.model_dump(mode="json", exclude_unset=True)
