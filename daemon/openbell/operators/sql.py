"""`op: sql`: one query over what other nodes made, by DuckDB, spilling to disk where it must."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from openbell.operators.settings import SqlSettings
from openbell.sdk.errors import DataError, FatalError, OpenbellError
from openbell.sdk.tasks import TaskContext, TaskInput, TaskResult

_BATCH_ROWS = 65_536
_LOOK_S = 0.2
_MIB = 1024 * 1024
_OF_THE_DATA = (
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.TypeMismatchException,
    duckdb.ConstraintException,
)


class QueryMemoryError(FatalError):
    """The query cannot be answered with the memory and the disk that it may have."""

    kind = "memory"


class SqlOperator:
    """Runs the query in a database of its own that can see the inputs and nothing else."""

    def __init__(self, settings: SqlSettings) -> None:
        self._settings = settings

    def run(self, context: TaskContext) -> TaskResult:
        """Return the query's rows, made as they are asked for."""
        connection = duckdb.connect(":memory:", config=self._config(context))
        over = threading.Event()
        try:
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            rows_in = _register(connection, context)
            _interrupt_when_asked(connection, context, over)
            with _told(context):
                reader = self._reader(connection, context)
        except BaseException:
            over.set()
            connection.close()
            raise
        rows = _batches(reader, connection, context, over)
        return TaskResult(
            rows=pa.RecordBatchReader.from_batches(reader.schema, rows), rows_in=rows_in
        )

    def _reader(
        self, connection: duckdb.DuckDBPyConnection, context: TaskContext
    ) -> pa.RecordBatchReader:
        statements = connection.extract_statements(self._settings.query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise FatalError("the query must be one SELECT: it reads its inputs and makes rows")
        (statement,) = statements
        missing = sorted(statement.named_parameters - set(context.params))
        if missing:
            raise FatalError(f"the query uses ${missing[0]}, which is no parameter of the run")
        params = {name: context.params[name] for name in statement.named_parameters} or None
        try:
            return connection.sql(statement, params=params).to_arrow_reader(_BATCH_ROWS)
        except (duckdb.BinderException, duckdb.CatalogException):
            connection.execute(statement, params)  # fails alike, and says in which line
            raise

    def _config(self, context: TaskContext) -> dict[str, str]:
        memory_mb = self._settings.memory_mb or max(64, context.memory_bytes // 2 // _MIB)
        return {
            "memory_limit": f"{memory_mb}MiB",
            "threads": str(self._settings.threads),
            "temp_directory": context.scratch("sql-spill"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }


def _register(connection: duckdb.DuckDBPyConnection, context: TaskContext) -> int:
    """Let the query see what other nodes made, by their names; return how many rows that is."""
    rows_in = 0
    for name, made in context.inputs.items():
        if _has_rows(made):
            table = made.table()
            rows_in += table.num_rows
            connection.register(name, table)
    return rows_in


def _interrupt_when_asked(
    connection: duckdb.DuckDBPyConnection, context: TaskContext, over: threading.Event
) -> None:
    """Let the query be interrupted when the task is asked to end, until it is `over`."""

    def watch() -> None:
        while not over.wait(_LOOK_S):
            if context.is_stopping():
                connection.interrupt()

    threading.Thread(target=watch, name="interrupt a query", daemon=True).start()


def _batches(
    reader: pa.RecordBatchReader,
    connection: duckdb.DuckDBPyConnection,
    context: TaskContext,
    over: threading.Event,
) -> Iterator[pa.RecordBatch]:
    try:
        with _told(context):
            yield from reader
    finally:
        over.set()
        connection.close()


@contextmanager
def _told(context: TaskContext) -> Iterator[None]:
    """Tell DuckDB's errors as ours: what is wrong, and where in the query."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise QueryMemoryError(
            f"the query needs more memory or disk than it may have ({_first(error)}); "
            "raise memory_mb of the node"
        ) from error
    except duckdb.PermissionException as error:
        raise FatalError(
            f"the query reaches for what is not its own: {error}; it can read the nodes that this "
            f"one needs: {', '.join(context.inputs) or 'none'}"
        ) from error
    except _OF_THE_DATA as error:
        raise DataError(f"the query fails on this data: {error}") from error
    except duckdb.InterruptException as error:
        raise _InterruptedError("the query was interrupted") from error
    except duckdb.ParserException as error:
        words = ", ".join(f'"{name}"' for name in context.inputs if _is_reserved(name))
        hint = f"\nwords of SQL stand in quotes where they name a node: {words}" if words else ""
        raise FatalError(f"{error}{hint}") from error
    except duckdb.CatalogException as error:
        raise FatalError(f"{error}\n{_tables(context)}") from error
    except duckdb.Error as error:
        raise FatalError(f"{error}") from error


def _tables(context: TaskContext) -> str:
    """Return what the query can read, and what it cannot."""
    rows = [name for name, made in context.inputs.items() if _has_rows(made)]
    others = ", ".join(name for name in context.inputs if name not in rows)
    told = f"the nodes whose rows it can read: {', '.join(rows) or 'none'}"
    return f"{told}; {others}, which it needs, made no rows" if others else told


def _has_rows(made: TaskInput) -> bool:
    return made.kind == "rows" or made.row_count is not None


def _is_reserved(name: str) -> bool:
    """Return whether SQL takes `name` for a word of its own, such as fetch."""
    kinds = {token_type for _, token_type in duckdb.tokenize(name)}
    return duckdb.token_type.keyword in kinds


class _InterruptedError(OpenbellError):
    """The task was asked to end while its query ran."""

    kind = "cancelled"


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
