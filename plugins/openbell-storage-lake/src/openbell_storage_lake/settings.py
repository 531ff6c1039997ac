"""Settings of the lake. Light: the control plane imports this module."""

from __future__ import annotations

from pydantic import Field, field_validator

from openbell.sdk.settings import PluginSettings


class WriteSettings(PluginSettings):
    """How rows arrive: the core cuts chunks of `batch_size` rows; `upsert_keys` identify a row."""

    batch_size: int = Field(default=1000, gt=0)
    upsert_keys: tuple[str, ...] = ()


class FoldSettings(PluginSettings):
    """When rows leave L0 and how the base's files look.

    A batch with at least `base_rows` new rows in each period goes to the base at once. `max_runs`
    is how many files of one period may hold the same symbol before they are merged into one.
    `slice_rows` bounds what a fold holds in memory, `file_rows` how long one base file gets,
    `group_rows` how long its row groups are.
    """

    base_rows: int = Field(default=32_768, gt=0)
    max_runs: int = Field(default=8, gt=0)
    slice_rows: int = Field(default=524_288, gt=0)
    file_rows: int = Field(default=8_388_608, gt=0)
    group_rows: int = Field(default=32_768, gt=0)


class KeepSettings(PluginSettings):
    """How long things stay that nobody needs any more: superseded files, receipts, strays.

    Superseded files are what `as_of` reads. A stray is a file that no commit names; it is removed
    once its writer is gone, or after `stray_hours` when the writer ran on another machine.
    """

    superseded_days: float = Field(default=7.0, ge=0)
    receipts_days: float = Field(default=90.0, gt=0)
    stray_hours: float = Field(default=24.0, gt=0)


class LakeSettings(PluginSettings):
    """Settings of `type: lake`: the folder, how rows arrive, when they are folded and forgotten."""

    uri: str
    write: WriteSettings = Field(default_factory=WriteSettings)
    fold: FoldSettings = Field(default_factory=FoldSettings)
    keep: KeepSettings = Field(default_factory=KeepSettings)
    compression_level: int = Field(default=1, ge=1, le=19)
    cache_mb: int = Field(default=256, gt=0)
    busy_timeout_s: float = Field(default=30.0, gt=0)

    @field_validator("uri")
    @classmethod
    def _local(cls, uri: str) -> str:
        path = uri.removeprefix("file://")
        if not path or "://" in path:
            raise ValueError(f"{uri!r} is not a local folder; write a path such as ./data/lake")
        return path
