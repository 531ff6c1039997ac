"""`op: python`: a function that takes what other nodes made and returns rows or a plain value."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from openbell.model.foreign import type_name
from openbell.operators.own_modules import own_modules
from openbell.operators.settings import PythonSettings
from openbell.sdk.errors import FatalError
from openbell.sdk.tasks import TaskContext, TaskInput, TaskResult

_NOT_IN_NAMES = re.compile(r"\W")
_CONTEXT = "context"


class PythonOperator:
    """Calls the function by keyword: inputs by node name, then `args`; `context` where it asks."""

    def __init__(self, settings: PythonSettings) -> None:
        self._settings = settings

    def run(self, context: TaskContext) -> TaskResult:
        """Return what the function returns."""
        folder = str(Path(context.folder).absolute()) if context.folder else ""
        function = _found(self._settings.function, folder)
        made = {argument(name): found for name, found in context.inputs.items()}
        given = self._arguments(function, made, context)
        returned = function(**given)
        rows_in = sum(found.row_count or 0 for name, found in made.items() if name in given)
        return _result(returned, self._settings.function, rows_in)

    def _arguments(
        self, function: Callable[..., Any], made: Mapping[str, TaskInput], context: TaskContext
    ) -> dict[str, Any]:
        """Return what the function is called with; raises FatalError when that does not fit it."""
        name = self._settings.function
        both = sorted(set(made) & set(self._settings.args))
        if both:
            raise FatalError(f"{both[0]!r} is an argument of {name} and a node that it reads")
        signature = inspect.signature(function)
        parameters = signature.parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        given = {
            node: self._input(found)
            for node, found in made.items()
            if takes_any or node in parameters
        }
        given |= self._settings.args
        if _CONTEXT in parameters and _CONTEXT not in given:
            given[_CONTEXT] = context
        try:
            signature.bind(**given)
        except TypeError as error:
            raise FatalError(
                f"{name}{signature} cannot be called with {', '.join(given) or 'nothing'}: {error}"
            ) from error
        return given

    def _input(self, found: TaskInput) -> Any:  # noqa: ANN401 - rows or a plain value
        if found.kind != "rows":
            return found.value()
        return found.table() if self._settings.inputs == "table" else found.open()


def argument(node: str) -> str:
    """Return the name of the parameter that a node's output comes under: `-` becomes `_`."""
    return _NOT_IN_NAMES.sub("_", node)


def _found(name: str, folder: str) -> Callable[..., Any]:
    """Return the function, as its file is now; raises FatalError when there is none."""
    module_name, _, attribute = name.partition(":")
    if folder and folder not in sys.path:
        sys.path.append(folder)
    own = own_modules(folder)
    own.forget_changed()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise FatalError(
            f"module {module_name!r} is not installed for openbell and not in {folder or '?'}"
        ) from error
    own.note()
    found = getattr(module, attribute, None)
    if not callable(found):
        said = "does not exist" if found is None else f"is a value of type {type(found).__name__}"
        raise FatalError(f"function {name} {said}")
    return found  # type: ignore[no-any-return]


def _result(returned: object, function: str, rows_in: int) -> TaskResult:
    if isinstance(returned, TaskResult):
        return returned
    is_rows = isinstance(returned, pa.Table | pa.RecordBatch | pa.RecordBatchReader | Iterator)
    if is_rows or _are_batches(returned):
        return TaskResult(rows=_rows(returned), rows_in=rows_in)
    if returned is None or isinstance(returned, bool | int | float | str | list | dict):
        return TaskResult(value=returned, rows_in=rows_in)
    hint = "; pa.Table.from_pandas makes a table of it" if _is_frame(returned) else ""
    raise FatalError(
        f"function {function} returned a value of type {type_name(returned)}; return a pyarrow Table, "
        f"RecordBatches, a RecordBatchReader, a plain value or a TaskResult{hint}"
    )


def _rows(returned: Any) -> Any:  # noqa: ANN401 - any form that rows have
    return [returned] if isinstance(returned, pa.RecordBatch) else returned


def _are_batches(returned: object) -> bool:
    is_list = isinstance(returned, list | tuple) and len(returned) > 0
    return is_list and all(isinstance(item, pa.RecordBatch) for item in returned)  # type: ignore[attr-defined]


def _is_frame(returned: object) -> bool:
    return type(returned).__name__ == "DataFrame"
