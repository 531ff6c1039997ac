"""Settings of the built-in operators; light, because the control plane imports them."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from openbell.sdk.settings import PluginSettings

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


WEB = ("http://", "https://", "${")
"""How a URL may begin: a parameter may hold one."""


def written(value: object) -> object:
    """Return a number, true or false as text, as JSON writes it; anything else as it is."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


Word = Annotated[str, BeforeValidator(written, json_schema_input_type=str | float | bool)]
"""Text for programs, people and the wire: a number, also that of a parameter, is written out."""


class IngestSettings(PluginSettings):
    """`op: ingest`."""

    dataset: str = Field(description="the dataset to fetch")
    lookback_bars: int = Field(
        default=1, ge=0, le=10_000, description="live: how many bars back each poll asks again"
    )


class WriteSettings(PluginSettings):
    """`op: write`."""

    to: str = Field(default="primary", description="the storage to write to")
    dataset: str | None = Field(default=None, description="the table; the source's by default")


class QuarantineSettings(PluginSettings):
    """`op: quarantine`."""


class SqlSettings(PluginSettings):
    """`op: sql`."""

    query: str = Field(
        min_length=1, description="one SELECT over the nodes that this one needs, by their names"
    )
    memory_mb: int | None = Field(
        default=None, ge=64, description="memory before it spills to disk; a half of the worker's"
    )
    threads: int = Field(default=1, ge=1, le=64, description="threads that work on the query")


def _function(text: str) -> str:
    if not _FUNCTION.fullmatch(text) and "${" not in text:
        raise ValueError(f"{text!r} is no function; write package.module:function")
    return text


class PythonSettings(PluginSettings):
    """`op: python`."""

    function: Annotated[str, AfterValidator(_function)] = Field(
        description="package.module:function, installed or beside the configuration"
    )
    args: dict[str, Any] = Field(
        default_factory=dict, description="what it is called with, by name"
    )
    inputs: Literal["table", "reader"] = Field(
        default="table", description="whether rows come as tables or as readers, read once"
    )


def _way(value: object) -> str:
    return "[list]" if isinstance(value, list | tuple) else "[text]"


class CommandSettings(PluginSettings):
    """`op: command`."""

    command: Annotated[
        Annotated[list[Word], Tag("[list]")] | Annotated[str, Tag("[text]")], Discriminator(_way)
    ] = Field(description="program and arguments; text only with shell: true")
    shell: bool = Field(default=False, description="whether /bin/sh reads the command")
    env: dict[str, Word] = Field(default_factory=dict, description="more environment")
    cwd: str | None = Field(default=None, description="where it runs; else an empty folder")
    success_codes: list[int] = Field(default=[0], description="exit codes that are success")
    outcomes: dict[int, str] = Field(
        default_factory=dict, description="exit codes that are success with an outcome"
    )
    grace_seconds: float = Field(
        default=5.0, ge=0.0, le=300.0, description="from SIGTERM to SIGKILL when it is stopped"
    )
    value: Literal["none", "last_line"] = Field(
        default="none", description="last_line: the last line of stdout is a JSON value"
    )
    in_dry_run: Literal["skip", "run"] = Field(
        default="skip", description="what a dry run does with it"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if isinstance(self.command, str) and not self.shell:
            raise ValueError(
                "command is a list: [program, argument, ...]; or say shell: true to let /bin/sh read it"
            )
        if isinstance(self.command, list) and self.shell:
            raise ValueError("with shell: true command is one text")
        if not self.command or not self.command[0].strip():
            raise ValueError("command is empty")
        return self


class SecretSource(PluginSettings):
    """Where a worker finds a secret: its environment, or the service's credentials (systemd)."""

    env: str | None = Field(default=None, description="an environment variable of the daemon")
    credential: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", description="a credential's name"
    )
    prefix: str = Field(default="", description="what stands before it, such as 'Bearer '")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.env is None) == (self.credential is None):
            raise ValueError("name env or credential, one of them")
        return self


class HttpSettings(PluginSettings):
    """`op: http`."""

    url: str = Field(min_length=1, description="http:// or https://")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, Word] = Field(default_factory=dict, description="headers, no secrets")
    secret_headers: dict[str, SecretSource] = Field(
        default_factory=dict, description="headers whose values no definition may hold"
    )
    query: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="what stands behind the ? of the URL"
    )
    json_body: Any = Field(default=None, alias="json", description="the body, as JSON")
    body: Word | None = Field(default=None, description="the body, as text")
    expect: list[int] = Field(
        default_factory=list, description="statuses that are success; by default 200 to 299"
    )
    outcomes: dict[int, str] = Field(
        default_factory=dict, description="statuses that are success with an outcome"
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0.0, le=3600.0, description="for the whole exchange"
    )
    result: Literal["none", "json", "text", "rows"] = Field(
        default="none", description="what becomes of the answer; rows: a JSON list of objects"
    )
    max_mb: int = Field(default=64, ge=1, le=4096, description="the longest answer that is read")
    in_dry_run: Literal["skip", "run"] | None = Field(
        default=None, description="what a dry run does with it; by default GET and HEAD run"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.url.startswith(WEB):
            raise ValueError("url begins with http:// or https://")
        if self.json_body is not None and self.body is not None:
            raise ValueError("give json or body, not both")
        return self
