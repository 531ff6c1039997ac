"""Whose calendars the verbs look at: a daemon's, or those of a state directory."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from openbell.cli.errors import NOT_FOUND, NOT_MET, TRY_LATER, CliError

if TYPE_CHECKING:
    from openbell.cli.client import Client
    from openbell.model.pipelines import Deployment
    from openbell.supervisor.calendar_service import CalendarService

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Where:
    """Whose calendars: a daemon's, or those of a state directory and a configuration."""

    config: Path | None
    profile: str | None
    socket: Path | None
    state_dir: Path | None

    def ask(
        self,
        remote: Callable[[Client], _T],
        here: Callable[[CalendarService], Awaitable[_T]],
        *,
        is_writing: bool = False,
    ) -> _T:
        """Return the daemon's answer where one serves, else the state directory's.

        To look, a configuration that is named wins over the daemon that serves the directory.
        """
        from openbell.cli.client import Client
        from openbell.history.lock import serving
        from openbell.model.places import SOCKET_NAME, socket_to_call, state_dir

        directory = state_dir(os.environ, self.state_dir)
        path = socket_to_call(os.environ, directory, self.socket)
        if path != directory / SOCKET_NAME:
            return remote(Client(path))
        holder = serving(directory)
        if holder is not None and holder.socket and (is_writing or self.config is None):
            return remote(Client(Path(holder.socket)))
        return self._here(directory, here, is_writing=is_writing)

    def _here(
        self,
        directory: Path,
        here: Callable[[CalendarService], Awaitable[_T]],
        *,
        is_writing: bool,
    ) -> _T:
        import anyio

        from openbell.app.calendars import calendars_at
        from openbell.calendars.names import UnknownCalendarError
        from openbell.cli.configuration import bad_config
        from openbell.cli.running import unwrapped
        from openbell.history.errors import HistoryBusyError
        from openbell.history.lock import StateInUseError
        from openbell.model.calendars import UnknownOverlayError
        from openbell.model.control import ConflictError
        from openbell.sdk.errors import OpenbellError, SettingsError

        configured = self._configured()
        pipelines = configured.pipelines.values() if configured else ()

        async def whole() -> _T:
            async with calendars_at(
                directory,
                env=os.environ,
                rules=configured.calendars if configured else None,
                overlays=configured.overlays if configured else (),
                schedules=[(one.name, use) for one in pipelines for use in one.schedule],
                is_writing=is_writing,
            ) as service:
                return await here(service)

        try:
            with unwrapped():
                return anyio.run(whole)
        except UnknownCalendarError as error:
            message = f"calendar {error.name!r} is unknown"
            raise CliError(NOT_FOUND, message, hint=error.hint) from error
        except UnknownOverlayError as error:
            hint = "mdp calendar overlay list shows them"
            raise CliError(NOT_FOUND, str(error), hint=hint) from error
        except SettingsError as error:
            raise bad_config(error) from error
        except (StateInUseError, HistoryBusyError) as error:
            raise CliError(TRY_LATER, str(error)) from error
        except (ConflictError, OpenbellError) as error:
            raise CliError(NOT_MET, str(error)) from error

    def _configured(self) -> Deployment | None:
        """Return the configuration, if there is one."""
        from openbell.cli.configuration import load
        from openbell.model.places import config_file

        path = config_file(os.environ, self.config)
        if path is None:
            return None
        loaded, _ = load(path, self.profile, None)
        return loaded.deployment
