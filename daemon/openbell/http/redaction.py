"""A deployment as clients may see it: settings without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from openbell.model.pipelines import Deployment

HIDDEN = "***"
_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|api_?key|private_?key|access_?key|authorization",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)@")


def redacted(value: object, secrets: Sequence[str] = ()) -> object:
    """Return `value` with everything hidden that a key or the list of secrets marks as secret."""
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if _is_secret(str(key), item) else redacted(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redacted(item, secrets) for item in value]
    if isinstance(value, str):
        for secret in secrets:
            if secret:
                value = value.replace(secret, HIDDEN)
        return _USER_INFO.sub(rf"\1:{HIDDEN}@", value)
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return str(value)


def _is_secret(key: str, value: object) -> bool:
    return _SECRET_KEY.search(key) is not None and value not in {None, ""}


def view(deployment: Deployment) -> dict[str, Any]:
    """Return the configuration in force as plain JSON values without secrets."""
    document = {
        "source": deployment.source,
        "profile": deployment.profile,
        "digest": deployment.digest,
        "providers": {
            use.name: {
                "type": use.type,
                "enabled": use.enabled,
                "settings": use.settings,
                "pacing": {
                    "requests_per_minute": use.pacing.requests_per_minute,
                    "burst": use.pacing.burst,
                    "cooldown_s": use.pacing.cooldown_s,
                },
            }
            for use in deployment.providers.values()
        },
        "storage": {
            use.name: {
                "type": use.type,
                "settings": use.settings,
                "batch_rows": use.batch_rows,
                "upsert_keys": use.upsert_keys,
            }
            for use in deployment.storage.values()
        },
        "datasets": list(deployment.datasets),
        "pipelines": list(deployment.pipelines),
        "refused": deployment.refused,
        "features": {
            "write_enabled": deployment.features.write_enabled,
            "export_enabled": deployment.features.export_enabled,
        },
    }
    return {str(key): redacted(item, deployment.secrets) for key, item in document.items()}
