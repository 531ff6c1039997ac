"""How hard hypothesis tries; `HYPOTHESIS_PROFILE` chooses default, quick or long.

Nothing here depends on how fast or busy the machine is: no deadlines, no complaint about slowness.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = {"quick": 20, "default": 60, "long": 2000}


def is_long() -> bool:
    """Return whether everything is to be tried, however long it takes."""
    return os.environ.get("HYPOTHESIS_PROFILE") == "long"


def choose() -> None:
    """Register the profiles and load the chosen one."""
    for name, count in EXAMPLES.items():
        settings.register_profile(
            name,
            max_examples=count,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
