"""Opening a file: plain or compressed, with limits, and errors that name the file."""

from __future__ import annotations

import fnmatch
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, Protocol, Self

import pyarrow as pa

from openbell.sdk.errors import MalformedError, NotFoundError, OpenbellError, TransientError
from openbell_provider_files.settings import FilesSettings
from openbell_provider_files.template import PathTemplate

Kind = Literal["csv", "tsv", "jsonl", "parquet", "arrow"]
_COMPRESSED = {".zip": "zip", ".gz": "gz", ".zst": "zst", ".zstd": "zst"}
_KINDS: dict[str, Kind] = {
    ".csv": "csv", ".txt": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".ipc": "arrow", ".feather": "arrow",
}  # fmt: skip
_SMALL_BYTES = 16 << 20
_PART_BYTES = 1 << 20
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    UnicodeError, pa.ArrowException, ValueError, OverflowError, MemoryError,
)  # fmt: skip


class ByteStream(Protocol):
    """Something to read bytes from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTask:
    """One file to read: `symbol` is the dataset's name for it (None: many in one file)."""

    path: Path
    relative: str
    symbol: str | None = None
    file_symbol: str = ""
    day: date | None = None


@dataclass(slots=True)
class OpenFile:
    """A file ready to be read: its format and either a stream or, uncompressed, a path."""

    source: str
    kind: Kind
    stream: Bounded
    is_plain: bool
    path: Path
    size_bytes: int


class Bounded:
    """A stream that, when packed, refuses to yield more than a limit or far more than its size."""

    def __init__(
        self, stream: ByteStream, source: str, settings: FilesSettings, *, size_bytes: int | None
    ) -> None:
        self._stream = stream
        self._source = source
        self._size_bytes = size_bytes
        self._limit_bytes = settings.max_uncompressed_bytes
        self._ratio = settings.max_compression_ratio
        self.read_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer only at the end; raises MalformedError beyond the limits."""
        parts: list[bytes] = []
        missing = size
        while missing and (part := self._stream.read(min(missing, _PART_BYTES))):
            parts.append(part)
            missing -= len(part)
            self.read_bytes += len(part)
            if self._size_bytes is not None:
                self.check(self.read_bytes)
        return b"".join(parts)

    def check(self, size_bytes: int) -> None:
        """Raise MalformedError if that many uncompressed bytes are too many."""
        if size_bytes > self._limit_bytes:
            raise MalformedError(
                f"{self._source}: more than {self._limit_bytes:,} bytes; "
                "raise max_uncompressed_bytes if that is right"
            )
        packed = self._size_bytes
        if packed is not None and size_bytes > max(_SMALL_BYTES, self._ratio * packed):
            raise MalformedError(
                f"{self._source}: {packed:,} bytes unpack to more than "
                f"{size_bytes:,}, which looks like a zip bomb; raise max_compression_ratio "
                "if the file is genuine"
            )

    def read_all(self) -> bytes:
        """Return everything that is left."""
        parts = []
        while part := self.read(_PART_BYTES):
            parts.append(part)
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells one state of a file from another."""

    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the fingerprint of the file as it is now."""
        info = path.stat()
        return cls(info.st_size, info.st_mtime_ns)

    def text(self) -> str:
        """Return it as one word."""
        return f"{self.size_bytes:x}-{self.modified_ns:x}"


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Translate what goes wrong while reading `source` into errors that name it."""
    try:
        yield
    except OpenbellError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{source}: no such file") from error
    except IsADirectoryError as error:
        raise NotFoundError(
            f"{source}: is a directory, not a file; extend `path:` to the files in it"
        ) from error
    except PermissionError as error:
        raise NotFoundError(
            f"{source}: permission denied; let the user that runs openbell read it"
        ) from error
    except OSError as error:
        if error.errno is None:  # Arrow's word for a file that breaks its format
            raise _malformed(source, error) from error
        raise TransientError(f"{source}: {error.strerror}") from error
    except _BROKEN as error:
        raise _malformed(source, error) from error
    except RuntimeError as error:  # zipfile's word for an encrypted member
        raise _malformed(source, error) from error


def _malformed(source: str, error: BaseException) -> MalformedError:
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    return MalformedError(
        f"{source}: cannot be read: {why[:300]}. Fetch or write the file again, "
        "or correct `format:` and `compression:`"
    )


@contextmanager
def opened(task: FileTask, settings: FilesSettings) -> Iterator[OpenFile]:
    """Open the file of `task`; raises NotFoundError or MalformedError naming it."""
    source = str(task.path)
    with ExitStack() as stack:
        with reading(source):
            file = _open(stack, task, settings)
        yield file


def _open(stack: ExitStack, task: FileTask, settings: FilesSettings) -> OpenFile:
    source = str(task.path)
    info = task.path.stat()
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(source)
    if not stat.S_ISREG(info.st_mode):
        raise MalformedError(f"{source}: is not a regular file")
    if info.st_size == 0:
        raise MalformedError(f"{source}: is empty (0 bytes); was it cut off while being written?")
    packing: str = settings.compression
    if packing == "auto":
        packing = _COMPRESSED.get(task.path.suffix.lower(), "none")
    content = _unpack(stack, task, settings, packing=packing)
    is_plain = packing == "none"
    stream = Bounded(
        content.stream, source, settings, size_bytes=None if is_plain else info.st_size
    )
    stream.check(content.declared_bytes)
    return OpenFile(
        source=f"{source}:{content.name}" if packing == "zip" else source,
        kind=_kind(content.name, settings, source),
        stream=stream,
        is_plain=is_plain,
        path=task.path,
        size_bytes=info.st_size,
    )


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of a file: its name, its bytes, and how many it claims to have."""

    name: str
    stream: ByteStream
    declared_bytes: int = 0


def _unpack(stack: ExitStack, task: FileTask, settings: FilesSettings, *, packing: str) -> _Content:
    file = stack.enter_context(task.path.open("rb"))
    if packing == "zip":
        archive = stack.enter_context(zipfile.ZipFile(file))
        member = _member(archive, task, settings)
        stream = stack.enter_context(archive.open(member))
        return _Content(member.filename, stream, member.file_size)
    if packing in {"gz", "zst"}:
        name = task.path.stem if task.path.suffix.lower() in _COMPRESSED else task.path.name
        arrow_name = {"gz": "gzip", "zst": "zstd"}[packing]
        packed = stack.enter_context(pa.PythonFile(file, mode="r"))
        return _Content(name, stack.enter_context(pa.CompressedInputStream(packed, arrow_name)))
    return _Content(task.path.name, file)


def _member(archive: zipfile.ZipFile, task: FileTask, settings: FilesSettings) -> zipfile.ZipInfo:
    members = [
        info
        for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]
    if settings.member is not None:
        wanted = PathTemplate(settings.member).render(task.file_symbol, task.day)
        members = [info for info in members if fnmatch.fnmatchcase(info.filename, wanted)]
    if len(members) != 1:
        names = ", ".join(info.filename for info in members[:5])
        raise MalformedError(
            f"{task.path}: {len(members)} files in the archive fit"
            f"{f' ({names})' if names else ''}, one is needed; say which with `member:`"
        )
    return members[0]


def _kind(name: str, settings: FilesSettings, source: str) -> Kind:
    if settings.format != "auto":
        return settings.format
    kind = _KINDS.get(Path(name).suffix.lower())
    if kind is None:
        raise MalformedError(
            f"{source}: the name {name!r} does not tell the format; set `format:` to csv, tsv, "
            "jsonl, parquet or arrow"
        )
    return kind
