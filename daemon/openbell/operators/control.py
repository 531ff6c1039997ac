"""Operators that the daemon answers itself: their settings, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, model_validator

from openbell.operators.settings import WEB, Word
from openbell.schedule.durations import DURATION, SECOND_US, duration_us
from openbell.sdk.hooks import OperatorSpec
from openbell.sdk.settings import PluginSettings

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LONGEST_S = 366 * 86_400.0


def seconds(value: object) -> float:
    """Return the seconds that `value` means: a number, or text such as `90s`, `45m`, `1h30m`."""
    text = str(value)
    number = text[:-1] if text[-1:] in _UNITS_S else text
    try:
        found = float(number) * _UNITS_S.get(text[-1:], 1.0)
    except ValueError:
        is_span = DURATION.fullmatch(text) is not None
        found = duration_us(text) / SECOND_US if is_span else -1.0
    if isinstance(value, bool) or not 0 <= found <= _LONGEST_S:
        raise ValueError(f"must be a time such as 0, 30s, 45m or 1h30m, not {value!r}")
    return found


def _is_label(value: str) -> str:
    if not value or len(value) > 64 or not value.isprintable():
        raise ValueError(f"{value!r} is no label: give 1 to 64 characters that can be seen")
    return value


Seconds = Annotated[float, BeforeValidator(seconds)]
Label = Annotated[Word, AfterValidator(_is_label)]


class NoopSettings(PluginSettings):
    """`op: noop`."""

    outcome: Label = Field(
        default="success", description="the label its edges see; failed fails it, skipped skips it"
    )
    seconds: Seconds = Field(default=0.0, description="how long it takes")
    value: Any = Field(default=None, description="a plain value for the nodes after it")


class WaitSettings(PluginSettings):
    """`op: wait`; exactly one of file, dataset, url, until and seconds."""

    file: str | None = Field(
        default=None,
        description="a path, relative to the configuration; it counts once it stands still",
    )
    dataset: str | None = Field(default=None, description="the run's session of it is committed")
    url: str | None = Field(default=None, description="it answers with a status below 400")
    until: AwareDatetime | None = Field(default=None, description="an instant, with its zone")
    seconds: Seconds | None = Field(default=None, description="since the node began")
    poll: Annotated[Seconds, Field(ge=0.1)] = Field(
        default=30.0, description="how often a file or URL is looked at"
    )
    deadline: Seconds | None = Field(
        default=None, description="fails after that long; unset: never"
    )

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        things = (self.file, self.dataset, self.url, self.until, self.seconds)
        if sum(thing is not None for thing in things) != 1:
            raise ValueError("give exactly one of file, dataset, url, until and seconds")
        if self.url is not None and not self.url.startswith(WEB):
            raise ValueError("url begins with http:// or https://")
        return self


class BranchSettings(PluginSettings):
    """`op: branch`."""

    value: Any = Field(default=None, description="what is compared, such as ${universe}")
    of: str | None = Field(
        default=None, description="a node it needs: its value is compared, or else its outcome"
    )
    cases: Mapping[Label, Any] = Field(
        default={},
        description="labels with what the value must be: a value, or text such as '>= 3'",
    )
    otherwise: Label = Field(default="otherwise", description="the label when no case fits")

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if ("value" in self.model_fields_set) is (self.of is not None):
            raise ValueError("say what is compared: give value or of, one of them")
        return self


class ApproveSettings(PluginSettings):
    """`op: approve`."""

    question: Word = Field(default="go on?", description="what a person is asked")
    labels: tuple[Label, ...] = Field(
        default=("approved", "rejected"), min_length=1, description="the answers there are"
    )
    deadline: Seconds | None = Field(default=None, description="how long it waits; unset: for ever")
    on_deadline: Label | None = Field(
        default=None, description="the answer after the deadline; unset: the node fails"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = self.on_deadline
        if given is not None and given not in self.labels and "${" not in f"{given}{self.labels}":
            known = ", ".join(self.labels)
            raise ValueError(f"on_deadline is one of labels ({known}), not {given!r}")
        if given is not None and self.deadline is None:
            raise ValueError("on_deadline needs a deadline")
        return self


class NotifySettings(PluginSettings):
    """`op: notify`."""

    message: Word = Field(description="what is told; in the node's log in any case")
    level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="of the log line"
    )
    webhook: str | None = Field(default=None, description="a URL that gets it as JSON by POST")
    timeout_seconds: Seconds = Field(default=10.0, description="how long the webhook may take")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.webhook is not None and not self.webhook.startswith(WEB):
            raise ValueError("webhook begins with http:// or https://")
        return self


class PipelineSettings(PluginSettings):
    """`op: pipeline`."""

    pipeline: str = Field(description="the pipeline to run; its end is the node's")
    params: Mapping[str, Any] = Field(default={}, description="parameters of its run")
    session: str | None = Field(
        default=None, pattern=r"^\d{4}-\d{2}-\d{2}$", description="unset: that of this run"
    )


def _spec(
    name: str,
    model: type[PluginSettings],
    summary: str,
    *,
    outcomes: tuple[str, ...] = (),
    any_outcome: bool = False,
) -> OperatorSpec:
    return OperatorSpec(
        name=name,
        settings_model=model,
        factory=f"openbell.operators.control:{model.__name__}",
        role="control",
        outcomes=outcomes,
        any_outcome=any_outcome,
        summary=summary,
    )


CONTROL = (
    _spec("noop", NoopSettings, "take some time and end as told", any_outcome=True),
    _spec("wait", WaitSettings, "wait for a file, a dataset's session, a URL or an instant"),
    _spec("branch", BranchSettings, "choose a way by a value", any_outcome=True),
    _spec("approve", ApproveSettings, "wait for a person's answer", any_outcome=True),
    _spec("notify", NotifySettings, "write to the log and tell a webhook"),
    _spec("pipeline", PipelineSettings, "run another pipeline and end as it does"),
)
"""The control operators; `openbell.supervisor.answers` answers each of them."""
