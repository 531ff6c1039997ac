"""`${item}` and `${item.key}` of an instance, over the run's parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from openbell.sdk.errors import FatalError


@dataclass(frozen=True, slots=True)
class ItemParams(Mapping[str, Any]):
    """The parameters of one instance; a key that its item lacks raises FatalError."""

    params: Mapping[str, Any]
    item: Any

    @override
    def __getitem__(self, name: str) -> Any:
        if name == "item":
            return self.item
        if not name.startswith("item."):
            return self.params[name]
        found = self.item
        for key in name.split(".")[1:]:
            found = _part(found, key, name)
        return found

    @override
    def __iter__(self) -> Iterator[str]:
        yield "item"
        yield from (name for name in self.params if name != "item")

    @override
    def __len__(self) -> int:
        return len(self.params) + ("item" not in self.params)


def _part(value: Any, key: str, name: str) -> Any:  # noqa: ANN401 - plain JSON
    if isinstance(value, Mapping) and key in value:
        return value[key]
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    raise FatalError(f"the item has no {key!r}, which ${{{name}}} asks for")
