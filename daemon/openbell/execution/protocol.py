"""What daemon and worker say to each other: msgpack frames over a socket pair.

A frame is a length (4 bytes, big-endian) and one of the structs below. The worker speaks first
with `Hello`; a daemon of another `PROTOCOL_VERSION` closes the line.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from openbell.model.runs import LogLine, Totals
from openbell.sdk.values import Finding, Receipt, SessionTable

PROTOCOL_VERSION = 2
MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class Factory(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker makes a plugin's object: import strings of class and settings, and values."""

    name: str
    factory: str
    model: str
    settings: dict[str, Any]


class RuleTask(msgspec.Struct, frozen=True, kw_only=True):
    """A gate's rule."""

    name: str
    maker: Factory
    scope: str
    severity: str


class NodeTask(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a chain; `needs` maps names in the same chain to the outcomes that pass on."""

    name: str
    op: str
    maker: Factory
    needs: dict[str, tuple[str, ...]]
    rules: tuple[RuleTask, ...] = ()


class DatasetTask(msgspec.Struct, frozen=True, kw_only=True):
    """The dataset of a chain and what part of it this attempt covers."""

    dataset: str
    provider: str
    schema: str
    keys: tuple[str, ...]
    symbols: tuple[str, ...]
    bar_interval: str
    batch_rows: int
    start_us: int
    end_us: int
    sessions: SessionTable


class ChainTask(msgspec.Struct, frozen=True, kw_only=True, tag="chain"):
    """One attempt of a chain: the source first, every node after the nodes it needs.

    `secrets` are what the worker leaves out of what it keeps on disk beside the market data.

    A chain whose first node is no source streams `reads`, the reference to what the node
    `reads_node` made. `spool` says by node where the rows that it passes on are kept for other
    units; `spool_before` the same of the run whose checkpoint this one goes on from.
    """

    attempt_id: str
    run_id: str
    pipeline: str
    attempt: int
    nodes: tuple[NodeTask, ...]
    dataset: DatasetTask
    providers: dict[str, Factory]
    backends: dict[str, Factory]
    cursor: str | None
    first_chunk: int
    live: bool
    dry_run: bool
    now_us: int
    quarantine_dir: str
    spool_dir: str
    traceparent: str = ""
    secrets: tuple[str, ...] = ()
    reads_node: str = ""
    reads: dict[str, Any] | None = None
    spool: dict[str, str] = {}
    spool_before: dict[str, str] = {}


class NodeCall(msgspec.Struct, frozen=True, kw_only=True, tag="node"):
    """One attempt of a node of role `task`, or of one instance of it.

    `inputs` are references by node, as history keeps them; `backends` those that they and the
    node's settings name. Rows that the node makes are put at `spool_path`. `folder` is the
    configuration's: functions are looked for there too. `item_number` is -1 without `for_each`.
    """

    attempt_id: str
    run_id: str
    pipeline: str
    attempt: int
    node: NodeTask
    inputs: dict[str, dict[str, Any]]
    backends: dict[str, Factory]
    params: dict[str, Any]
    environment: dict[str, str]
    spool_path: str
    spool_dir: str
    dry_run: bool
    now_us: int
    item: Any = None
    item_number: int = -1
    folder: str = ""
    memory_bytes: int = 1024 * 1024 * 1024
    traceparent: str = ""
    secrets: tuple[str, ...] = ()


class CallTask(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """A plain function, called by keyword in a worker; it answers with plain values."""

    attempt_id: str
    function: str
    arguments: dict[str, Any]


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """The reply to a worker's `Ask`."""

    ask_id: int
    is_granted: bool
    now_us: int


class StopTask(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """Please end task `attempt_id` after the chunk in hand; nothing, when another is in hand.

    `is_interrupt`: the run will go on later.
    """

    is_interrupt: bool
    attempt_id: str


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown"):
    """Please exit; no task is in hand."""


Task = ChainTask | NodeCall | CallTask
ToWorker = ChainTask | NodeCall | CallTask | Answer | StopTask | Shutdown


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The worker is up."""

    protocol_version: int
    openbell_version: str
    pid: int


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """The worker waits for the daemon: `what` is pace, wait or retry."""

    ask_id: int
    what: str
    provider: str = ""
    request_count: int = 0
    instant_us: int = 0
    failures: int = 0
    error_kind: str = ""
    retry_after_s: float | None = None


class Progressed(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """Rows passed the source since the attempt began."""

    node: str
    rows: int
    batches: int
    total_rows: int | None
    request_count: int = 0


class ChunkDone(msgspec.Struct, frozen=True, kw_only=True, tag="chunk"):
    """A chunk passed every node and is durable. Totals are of this attempt so far."""

    next_chunk: int
    cursor: str
    totals: dict[str, Totals]
    receipts: dict[str, Receipt]
    write_duration_s: float


class Found(msgspec.Struct, frozen=True, kw_only=True, tag="found"):
    """A gate found something in a chunk."""

    node: str
    chunk: int
    verdict: str
    findings: tuple[Finding, ...]


class Logged(msgspec.Struct, frozen=True, kw_only=True, tag="log"):
    """The node's code wrote lines."""

    node: str
    lines: tuple[LogLine, ...]


class NodeEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How one node of a chain ended. `was_reached`: at least one chunk came to it."""

    outcome: str
    was_reached: bool
    totals: Totals
    findings: tuple[Finding, ...] = ()


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """The task ended well; `is_interrupted` when it was stopped and will go on later.

    `outputs` are references by node to what the nodes made, durable now.
    `held` are chunks that a gate kept until the end of the input, in order; they are durable now.
    `is_worn`: something of the task still works in the process, which should not be used again.
    `memory_bytes` is what the process holds after it, `peak_memory_bytes` the most it held meanwhile.
    Bytes read and written are the disk's share of this attempt, its child processes included.
    """

    ends: dict[str, NodeEnd] = {}
    is_interrupted: bool = False
    outputs: dict[str, dict[str, Any]] = {}
    held: tuple[ChunkDone, ...] = ()
    result: Any = None
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    memory_bytes: int = 0
    io_read_bytes: int = 0
    io_written_bytes: int = 0
    is_worn: bool = False


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The task failed in `node`, for a reason of `kind` (see `openbell.sdk.errors`)."""

    node: str
    kind: str
    message: str
    traceback: str
    is_retryable: bool
    retry_after_s: float | None = None
    ends: dict[str, NodeEnd] = {}
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    memory_bytes: int = 0
    io_read_bytes: int = 0
    io_written_bytes: int = 0
    is_worn: bool = False


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag="beat"):
    """The worker is alive and at work; what the attempt cost so far."""

    cpu_s: float
    memory_bytes: int
    io_read_bytes: int = 0
    io_written_bytes: int = 0


FromWorker = Hello | Ask | Progressed | ChunkDone | Found | Logged | Beat | Done | Failed


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a plugin put into a message
    """Return a numpy scalar, as rules and providers make them, as the plain value it stands for."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} cannot be sent between processes")
    return item()


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


class FrameError(Exception):
    """The other side sent what is no frame of this protocol."""


def encode(message: ToWorker | FromWorker) -> bytes:
    """Return `message` as one frame; raises FrameError when it is too large or holds objects."""
    try:
        body = _encoder.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FrameError(f"a message cannot be sent: {error}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into frames. Feed it what arrives; take what is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Sequence[bytes]:
        """Return the bodies of all frames that are whole now; raises FrameError."""
        self._buffer += received
        bodies = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"a frame announces {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return bodies


def decode_to_worker(body: bytes) -> ToWorker:
    """Return what the daemon said; raises FrameError."""
    try:
        return _to_worker.decode(body)
    except msgspec.MsgspecError as error:
        raise FrameError(str(error)) from error


def decode_from_worker(body: bytes) -> FromWorker:
    """Return what a worker said; raises FrameError."""
    try:
        return _from_worker.decode(body)
    except msgspec.MsgspecError as error:
        raise FrameError(str(error)) from error
