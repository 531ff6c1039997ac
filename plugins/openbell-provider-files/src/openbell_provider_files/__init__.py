"""Files of bars: CSV, TSV, JSON lines, Parquet, Arrow IPC, plain or compressed."""

from __future__ import annotations

from openbell.sdk.hooks import ProviderSpec, hookimpl
from openbell_provider_files.settings import FilesSettings

OPENBELL_API = "1.0"


@hookimpl
def openbell_register_providers() -> list[ProviderSpec]:
    """Return the provider type `files`."""
    return [
        ProviderSpec(
            name="files",
            settings_model=FilesSettings,
            factory="openbell_provider_files.provider:FilesProvider",
            summary="bars from CSV, TSV, JSON lines, Parquet or Arrow files, plain, zip, gz or zst",
        )
    ]
