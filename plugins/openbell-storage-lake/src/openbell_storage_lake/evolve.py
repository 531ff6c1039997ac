"""Making a table, and changing its columns in the ways that keep every row readable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from openbell.sdk.errors import FatalError, SchemaChangedError
from openbell.sdk.schemas import Column, TableSpec
from openbell_storage_lake.delta import DeltaLog, is_delta
from openbell_storage_lake.files import INTERNAL, L0, folder_lock, make_folder
from openbell_storage_lake.layout import TableLayout, dump_spec, period_kind
from openbell_storage_lake.table import LakeTable

_WIDER = {("int32", "int64"), ("float32", "float64")}


def ensure_table(spec: TableSpec, root: Path, open_table: Callable[[], LakeTable]) -> None:
    """Make the table of `spec` in folder `root`, or bring the one there up to `spec`."""
    layout = TableLayout(spec, period_kind(spec.bar_interval))
    _check_folder(root)
    make_folder(root / L0)
    with folder_lock(root / INTERNAL / "fold.lock", wait=True):
        if not is_delta(root):
            layout.check()
            DeltaLog(root).create(layout)
        table = open_table()
        if not table.manifest.is_made():
            layout.check()
            _check_empty(table)
            table.manifest.create(spec=dump_spec(spec), kind=layout.kind)
            return
        _evolve(table, spec)


def _check_folder(root: Path) -> None:
    if not root.exists() or is_delta(root):
        return
    if not root.is_dir():
        raise FatalError(f"{root} is a file, and the lake needs a folder there")
    foreign = sorted(p.name for p in root.iterdir() if p.name not in {INTERNAL, "_delta_log"})
    if foreign or (root / INTERNAL / "manifest.sqlite").exists():
        found = ", ".join(foreign[:3]) or f"{INTERNAL} without its _delta_log"
        raise FatalError(
            f"{root} is no Delta table (it holds {found}); "
            "point the storage's uri at another folder, or move these files away"
        )


def _check_empty(table: LakeTable) -> None:
    if table.log.files():
        raise FatalError(
            f"{table.root} is a Delta table without openbell's manifest ({INTERNAL}); restore that "
            "folder from a backup, or load the table's files into another dataset"
        )


def _evolve(table: LakeTable, spec: TableSpec) -> None:
    stored = table.layout.spec
    if stored == spec:
        return
    problems, widened = differences(stored, spec)
    if problems:
        raise SchemaChangedError(
            f"dataset {spec.dataset} cannot take this schema: {'; '.join(problems)}; "
            "write to another dataset, or declare the columns as they are"
        )
    if widened:
        table.widen(spec)
    else:
        with table.lock, table.manifest.writing() as transaction:
            transaction.set_spec(dump_spec(spec))
    table.publish()


def differences(stored: TableSpec, wanted: TableSpec) -> tuple[list[str], list[str]]:
    """Return (what cannot be done, in words; which columns get wider)."""
    problems, widened = [], []
    if stored.keys != wanted.keys:
        problems.append(f"keys were {', '.join(stored.keys)} and are {', '.join(wanted.keys)}")
    old = {column.name: column for column in stored.schema.columns}
    new = {column.name: column for column in wanted.schema.columns}
    problems += [f"column {name} is gone" for name in old if name not in new]
    for name, column in new.items():
        if name not in old:
            if not column.nullable:
                problems.append(f"new column {name} must be nullable")
            continue
        problem = _changed(old[name], column)
        if problem is not None:
            problems.append(problem)
        elif old[name].type != column.type:
            widened.append(name)
    return problems, widened


def _changed(old: Column, new: Column) -> str | None:
    if old.type != new.type and (old.type, new.type) not in _WIDER:
        return f"column {old.name} was {old.type} and is {new.type}"
    if old.nullable != new.nullable:
        words = {True: "nullable", False: "never null"}
        return f"column {old.name} was {words[old.nullable]} and is {words[new.nullable]}"
    return None
