"""The built-in operators (data plane), registered like anybody's."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.operators.control import CONTROL
from openbell.operators.settings import IngestSettings, QuarantineSettings, WriteSettings
from openbell.operators.tasks import TASKS
from openbell.sdk.hooks import OperatorSpec, hookimpl

OPENBELL_API = "1.0"


@hookimpl
def openbell_register_operators() -> Sequence[OperatorSpec]:
    """Register the operators of data, and those that the daemon answers itself."""
    return (
        OperatorSpec(
            name="ingest",
            settings_model=IngestSettings,
            factory="openbell.operators.ingest:IngestOperator",
            role="source",
            summary="fetch a dataset's bars from its provider",
        ),
        OperatorSpec(
            name="write",
            settings_model=WriteSettings,
            factory="openbell.operators.write:WriteOperator",
            role="sink",
            summary="commit rows to a backend, exactly once",
        ),
        OperatorSpec(
            name="quarantine",
            settings_model=QuarantineSettings,
            factory="openbell.operators.quarantine:QuarantineOperator",
            role="sink",
            summary="hold refused rows back, with the reason of each",
        ),
        *TASKS,
        *CONTROL,
    )
