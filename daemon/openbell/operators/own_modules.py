"""Modules beside the configuration, which a worker imports and their owner goes on to edit."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import sysconfig
import time

_State = tuple[int, int]
"""When a file was last written, in nanoseconds, and its size."""

_STAMP_LAG_NS = 20_000_000
"""How far behind the clock the kernel's stamps of files may be."""


_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")


class OwnModules:
    """The modules of one folder that this process imported, and their files as they were then.

    What is installed is nobody's own, also where the environment lies in the folder: a library that
    is imported twice in a process is not the same, and some refuse it.

    It is asked before each of a thousand short tasks a second: all modules of the process are looked
    at only when there are others than last time.
    """

    def __init__(self, folder: str) -> None:
        self._inside = _as_folder(folder) if folder else ""
        self._installed = tuple(
            root for root in _roots() if root.startswith(self._inside) and root != self._inside
        )
        self._files: dict[str, tuple[str, _State | None]] = {}
        self._looked_at: tuple[int, str] = (0, "")
        self._importing_ns = 0

    def forget_changed(self) -> None:
        """Forget all of them when the file of one is not what was imported."""
        self.note()
        if any(state is None or state != _state(file) for file, state in self._files.values()):
            for name in self._files:
                sys.modules.pop(name, None)
            self._files.clear()
            self._looked_at = (0, "")
            importlib.invalidate_caches()
        self._importing_ns = time.time_ns()

    def note(self) -> None:
        """Remember the files of modules that were imported since last time."""
        newest = (len(sys.modules), next(reversed(sys.modules)))
        if not self._inside or newest == self._looked_at:
            return
        self._looked_at = newest
        found = {
            name: str(module.__file__)
            for name, module in list(sys.modules.items())
            if self._is_own(name, getattr(module, "__file__", None) or "")
        }
        self._files = {
            name: self._files.get(name) or (file, self._imported(file))
            for name, file in found.items()
        }

    def _is_own(self, name: str, file: str) -> bool:
        if not file.startswith(self._inside) or name.partition(".")[0] in {"openbell", "__main__"}:
            return False
        is_installed = any(part in file for part in _INSTALLED)
        return not is_installed and not file.startswith(self._installed)

    def _imported(self, file: str) -> _State | None:
        """Return the state of a file that was imported; None when it may have changed meanwhile."""
        state = _state(file)
        is_old = state is not None and state[0] < self._importing_ns - _STAMP_LAG_NS
        return state if is_old else None


@functools.cache
def own_modules(folder: str) -> OwnModules:
    """Return what this process knows of the modules in `folder`."""
    return OwnModules(folder)


def _as_folder(path: str) -> str:
    return os.path.join(path, "")  # noqa: PTH118 - paths stay text


def _roots() -> set[str]:
    """Return the folders that Python and its environment are installed in."""
    libraries = sysconfig.get_paths()
    found = (sys.prefix, sys.base_prefix, *(libraries[name] for name in _LIBRARIES))
    return {_as_folder(path) for path in found}


def _state(file: str) -> _State | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - paths stay text
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
