"""The lake: a Delta table in two levels, every bar exactly once."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.sdk.hooks import BackendSpec, hookimpl
from openbell_storage_lake.settings import LakeSettings

OPENBELL_API = "1.0"


@hookimpl
def openbell_register_backends() -> Sequence[BackendSpec]:
    """Register `type: lake`."""
    return [
        BackendSpec(
            name="lake",
            settings_model=LakeSettings,
            factory="openbell_storage_lake.backend:LakeBackend",
            summary="Delta table of Parquet files on local disk, in two levels",
        )
    ]
