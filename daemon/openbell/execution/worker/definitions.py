"""Call one function that returns pipelines; a process of its own, for a configuration being read.

Arguments: the function, the configuration's folder, a descriptor for the answer (JSON with
`pipelines`, or `error` and `hint`), and the largest answer in bytes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from openbell.sdk.pipelines import Pipeline

_LONGEST_WORDS = 300


def main(arguments: Sequence[str]) -> int:
    """Write the answer to the descriptor that the arguments name."""
    function, folder, descriptor, largest_bytes = arguments
    sys.path.append(folder)
    line = int(descriptor)

    def failed(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        del kind
        _write(line, {"error": f"raised {_words(error)}", "hint": _where(trace)})
        os._exit(1)

    sys.excepthook = failed
    found = answer(function)
    if not _write(line, found, largest_bytes=int(largest_bytes)):
        _write(line, {"error": f"returns more than {int(largest_bytes):,} bytes"})
    return 0


def answer(function: str) -> dict[str, Any]:
    """Return the documents of what `function` returns, or what is wrong with it."""
    module_name, _, name = function.partition(":")
    found = getattr(importlib.import_module(module_name), name, None)
    if not callable(found):
        said = "does not exist" if found is None else f"is no function but {_kind(found)}"
        return {"error": said}
    return documents(found())


def _write(line: int, found: Mapping[str, Any], *, largest_bytes: int | None = None) -> bool:
    """Write the answer whole, unless it is larger than `largest_bytes`; return whether it was."""
    text = json.dumps(found).encode()
    if largest_bytes is not None and len(text) > largest_bytes:
        return False
    with open(line, "wb", closefd=False) as file:
        file.write(text)
    return True


def documents(returned: object) -> dict[str, Any]:
    """Return what a function returned as documents by name, or what is wrong with it."""
    if isinstance(returned, Pipeline):
        returned = [returned]
    if not isinstance(returned, (list, tuple)):
        return {
            "error": f"returns {_kind(returned)}, not a list of pipelines",
            "hint": "return [openbell.sdk.Pipeline(...), ...]",
        }
    pipelines: dict[str, Any] = {}
    for pipeline in returned:
        if not isinstance(pipeline, Pipeline):
            hint = "make them with openbell.sdk.Pipeline"
            return {"error": f"returns a list with {_kind(pipeline)} in it", "hint": hint}
        if pipeline.name in pipelines:
            return {"error": f"returns two pipelines called {pipeline.name!r}"}
        try:
            pipelines[pipeline.name] = pipeline.document()
        except (TypeError, ValueError) as error:
            return {"error": f"returns pipeline {pipeline.name!r}, of which {error}"}
    return {"pipelines": pipelines}


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _words(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text.splitlines()[0][:_LONGEST_WORDS]


def _where(trace: TracebackType | None) -> str:
    """Return the line that failed last, when it is one of a file."""
    frames = [
        frame
        for frame in traceback.extract_tb(trace)
        if frame.filename not in {__file__, importlib.__file__}
        and not frame.filename.startswith("<")
    ]
    return f"in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)
