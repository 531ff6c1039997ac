"""Which column of a file holds which field of a bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openbell.sdk.errors import SchemaChangedError
from openbell_provider_files.settings import NULLABLE, ColumnRef

Layout = Mapping[str, tuple[int, ...]]
"""Field -> column indexes from 0; several for a mean. Optional fields that are absent are left out."""

_OPTIONAL = (*NULLABLE, "time")


def resolve(
    columns: Mapping[str, ColumnRef],
    *,
    names: Sequence[str] | None,
    width: int,
    source: str,
) -> Layout:
    """Return where each mapped field is in a file with header `names` and `width` columns.

    A header name is looked up as written, then without regard to case and outer blanks;
    `A|B` tries both, and `?` at the end allows volume, vwap, trade_count and time to be absent.
    Raises SchemaChangedError naming what the file has instead.
    """
    found: dict[str, tuple[int, ...]] = {}
    missing: list[str] = []
    for field, ref in columns.items():
        indexes = []
        for one in ref if isinstance(ref, tuple) else (ref,):
            index = _find(one, names, width)
            if index is not None:
                indexes.append(index)
            elif not _may_be_absent(field, one):
                missing.append(f"{field} ({_describe(one)})")
        if indexes:
            found[field] = tuple(indexes)
    if missing:
        has = ", ".join(names) if names is not None else f"{width} columns and no header"
        raise SchemaChangedError(
            f"{source}: no column for {', '.join(missing)}; the file has {has[:500]}. "
            "Correct `columns:` (or header, delimiter, skip_lines)"
        )
    return found


def _may_be_absent(field: str, ref: int | str) -> bool:
    return field in _OPTIONAL and isinstance(ref, str) and ref.endswith("?")


def _describe(ref: int | str) -> str:
    return f"position {ref}" if isinstance(ref, int) else repr(ref)


def _find(ref: int | str, names: Sequence[str] | None, width: int) -> int | None:
    if isinstance(ref, int):
        return ref - 1 if ref <= width else None
    if names is None:
        return None
    folded = [name.strip().casefold() for name in names]
    choices = [ref, *(choice for choice in ref.removesuffix("?").split("|") if choice)]
    for choice in choices:
        if choice in names:
            return names.index(choice)
        if choice.strip().casefold() in folded:
            return folded.index(choice.strip().casefold())
    return None
