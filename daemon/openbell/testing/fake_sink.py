"""A sink that remembers what it delivered."""

from __future__ import annotations

from collections.abc import Sequence

from openbell.sdk.values import Alert


class FakeSink:
    """Keeps alerts in `delivered`, each id once; `errors` are raised first, one a delivery."""

    def __init__(self, errors: Sequence[Exception] = ()) -> None:
        self._errors = list(errors)
        self.delivered: list[Alert] = []
        self.is_closed = False

    async def deliver(self, alert: Alert) -> None:
        """Remember `alert`, or raise the next scripted error."""
        if self._errors:
            raise self._errors.pop(0)
        if all(known.id != alert.id for known in self.delivered):
            self.delivered.append(alert)

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.is_closed = True
