"""How a table's schema may change, as the contract of backends says (BACK-37 to BACK-40)."""

from __future__ import annotations

from openbell.sdk.errors import SchemaChangedError
from openbell.sdk.schemas import Column, TableSchema, TableSpec

_WIDER = {("int32", "int64"), ("float32", "float64"), ("int32", "float64")}


def evolved(old: TableSpec, new: TableSpec) -> TableSchema:
    """Return the schema that holds both, or raise SchemaChangedError with every difference."""
    differences: list[str] = []
    if old.keys != new.keys:
        differences.append(f"keys {', '.join(old.keys)} became {', '.join(new.keys)}")
    known = {column.name: column for column in old.schema.columns}
    coming = {column.name: column for column in new.schema.columns}
    differences += [f"column {name!r} is gone" for name in known if name not in coming]
    for column in new.schema.columns:
        differences += _column_differences(known.get(column.name), column)
    if differences:
        raise SchemaChangedError(f"dataset {old.dataset!r}: {'; '.join(differences)}")
    return new.schema


def _column_differences(old: Column | None, new: Column) -> list[str]:
    if old is None:
        return [] if new.nullable else [f"new column {new.name!r} is not nullable"]
    found = []
    if old.type != new.type and (old.type, new.type) not in _WIDER:
        found.append(f"column {new.name!r} was {old.type} and became {new.type}")
    if old.nullable and not new.nullable:
        found.append(f"column {new.name!r} was nullable and is no more")
    return found
