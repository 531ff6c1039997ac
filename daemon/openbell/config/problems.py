"""Everything wrong with a configuration, gathered so that it is told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn

from pydantic import BaseModel, ValidationError

from openbell.config.invalid import MASK, faults, nearest
from openbell.config.tree import Mark, Path, Tree, key_path
from openbell.sdk.errors import Problem, SettingsError


class Problems:
    """Collects problems against a tree of places; no message shows any of `secrets`."""

    def __init__(self, root: Tree) -> None:
        self._root = root
        self._found: list[Problem] = []
        self.secrets: set[str] = set()
        self._stand_ins: dict[Path, Path] = {}

    def __len__(self) -> int:
        return len(self._found)

    def moved_to(self, root: Tree) -> Problems:
        """Return these problems, further ones to be placed in `root`."""
        moved = Problems(root)
        moved.extend(self._found)
        moved.secrets = self.secrets
        moved._stand_ins = self._stand_ins
        return moved

    def add(self, path: Path, message: str, hint: str = "", *, at_key: bool = False) -> None:
        """Note that what stands at `path` is wrong; `at_key` points at the key, not the value."""
        key = key_path(self._named(path))
        self.add_at(self._root.mark_at(path, of_key=at_key), key, message, hint)

    def stands_for(self, path: Path, argument: Path) -> None:
        """Tell of problems at `path` under the key `argument`, whose value stands there."""
        self._stand_ins[path] = argument

    def _named(self, path: Path) -> Path:
        if not self._stand_ins:
            return path
        for length in range(len(path), 2, -1):
            found = self._stand_ins.get(path[:length])
            if found is not None:
                return (*found, *path[length:])
        return path

    def add_at(self, mark: Mark, key: str, message: str, hint: str = "") -> None:
        """Note a problem at a place that is known already."""
        self._found.append(
            Problem(
                message=self._masked(message),
                key=key,
                file=mark.file or mark.via,
                line=mark.line,
                column=mark.column,
                hint=hint,
            )
        )

    def _masked(self, message: str) -> str:
        for secret in self.secrets:
            message = message.replace(secret, MASK)
        return message

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note problems that were found elsewhere."""
        self._found.extend(problems)

    def add_unknown(self, path: Path, kind: str, name: str, known: Iterable[str]) -> None:
        """Note that `name`, written at `path`, names no `kind` there is."""
        self.add(path, f"{kind} {name!r} does not exist", nearest(name, known))

    def add_invalid(
        self,
        path: Path,
        model: type[BaseModel],
        error: ValidationError,
        also: Iterable[str] = (),
        *,
        unless: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        """Note what pydantic found wrong with the value at `path`, in words for people.

        `also` are keys that may stand at `path` beside the model's. What is wrong with the value at
        a place for which `unless` is true is not noted; keys that lack or are unknown are always.
        """
        for fault in faults(model, error, also):
            if not fault.is_about_keys and unless(fault.at):
                continue
            self.add((*path, *fault.at), fault.message, fault.hint, at_key=fault.is_key)

    def sorted(self) -> tuple[Problem, ...]:
        """Return what was found, each once, in the order of the file."""
        return tuple(
            sorted(dict.fromkeys(self._found), key=lambda p: (p.file, p.line, p.column, p.key))
        )

    def raise_if_any(self) -> None:
        """Raise SettingsError if anything was found."""
        if self._found:
            self._raise()

    def _raise(self) -> NoReturn:
        raise SettingsError(self.sorted())
