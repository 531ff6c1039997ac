"""Frames between daemon and worker."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbell.execution.protocol import (
    Answer,
    Ask,
    Beat,
    CallTask,
    ChainTask,
    ChunkDone,
    DatasetTask,
    Done,
    Factory,
    Failed,
    Found,
    FrameError,
    FrameReader,
    FromWorker,
    Hello,
    Logged,
    NodeCall,
    NodeEnd,
    NodeTask,
    Progressed,
    RuleTask,
    Shutdown,
    StopTask,
    ToWorker,
    decode_from_worker,
    decode_to_worker,
    encode,
)
from openbell.model.runs import LogLine, Totals
from openbell.sdk.values import Finding, Interval, Receipt, SessionTable, Severity, from_us

pytestmark = pytest.mark.unit

SENT = [
    Hello(protocol_version=1, openbell_version="0", pid=1),
    Ask(ask_id=1, what="pace", provider="p" * 300, request_count=2),
    Hello(protocol_version=2, openbell_version="x", pid=2),
]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=400))
def test_frames_come_out_whole_however_the_stream_is_cut(cuts: list[int]) -> None:
    stream = b"".join(encode(message) for message in SENT)
    reader, at, bodies = FrameReader(), 0, []
    for cut in [*cuts, len(stream)]:
        bodies.extend(reader.feed(stream[at : at + cut]))
        at += cut
    bodies.extend(reader.feed(stream[at:]))
    assert [decode_from_worker(body) for body in bodies] == SENT


def test_a_frame_that_announces_too_much_is_refused() -> None:
    with pytest.raises(FrameError, match="announces"):
        FrameReader().feed(struct.pack(">I", 2**31))


def test_a_frame_that_is_too_large_is_not_sent() -> None:
    big = CallTask(attempt_id="a", function="f", arguments={"x": b"0" * (65 * 1024 * 1024)})
    with pytest.raises(FrameError, match="over the limit"):
        encode(big)


@given(st.binary(max_size=200))
def test_rubbish_is_refused_and_nothing_else(body: bytes) -> None:
    for decode in (decode_to_worker, decode_from_worker):
        try:
            decode(body)
        except FrameError:
            continue


def test_messages_go_one_way() -> None:
    stop = StopTask(is_interrupt=True, attempt_id="att_1")
    body = encode(stop)[4:]
    assert decode_to_worker(body) == stop
    with pytest.raises(FrameError):
        decode_from_worker(body)
    assert decode_to_worker(encode(Answer(ask_id=1, is_granted=True, now_us=5))[4:])


text = st.text(max_size=20)
counts = st.integers(0, 2**53)
seconds = st.floats(0, 1e9, allow_nan=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
instants = st.integers(0, 4 * 10**15).map(from_us)
factories = st.builds(
    Factory, name=text, factory=text, model=text, settings=st.dictionaries(text, plain, max_size=3)
)
nodes = st.builds(
    NodeTask,
    name=text,
    op=text,
    maker=factories,
    needs=st.dictionaries(text, st.lists(text, max_size=2).map(tuple), max_size=2),
    rules=st.lists(
        st.builds(RuleTask, name=text, maker=factories, scope=text, severity=text), max_size=1
    ).map(tuple),
)
totals = st.builds(Totals, rows_in=counts, rows_out=counts, verdict=st.none() | text)
findings = st.builds(
    Finding, rule=text, severity=st.sampled_from(Severity), message=text, metric=st.none() | seconds
)
receipts = st.builds(
    Receipt,
    key=text,
    dataset=text,
    interval=st.just(Interval(from_us(0), from_us(1))),
    row_count=counts,
    written_count=counts,
    unchanged_count=counts,
    size_bytes=counts,
    digest=text,
    version=counts,
    committed_at=instants,
)
chunks = st.builds(
    ChunkDone,
    next_chunk=counts,
    cursor=text,
    totals=st.dictionaries(text, totals, max_size=2),
    receipts=st.dictionaries(text, receipts, max_size=2),
    write_duration_s=seconds,
)
ends = st.dictionaries(
    text,
    st.builds(
        NodeEnd,
        outcome=text,
        was_reached=st.booleans(),
        totals=totals,
        findings=st.lists(findings, max_size=1).map(tuple),
    ),
    max_size=2,
)
references = st.dictionaries(text, st.dictionaries(text, plain, max_size=3), max_size=2)
identity = {"attempt_id": text, "run_id": text, "pipeline": text, "attempt": counts}
datasets = st.builds(
    DatasetTask,
    dataset=text,
    provider=text,
    schema=text,
    keys=st.just(("symbol", "ts")),
    symbols=st.just(("A",)),
    bar_interval=text,
    batch_rows=counts,
    start_us=counts,
    end_us=counts,
    sessions=st.builds(SessionTable, calendar=text, labels_day=st.just((1, 2)), digest=text),
)
to_worker: st.SearchStrategy[ToWorker] = st.one_of(
    st.builds(
        ChainTask,
        **identity,
        nodes=st.lists(nodes, max_size=2).map(tuple),
        dataset=datasets,
        providers=st.dictionaries(text, factories, max_size=1),
        backends=st.dictionaries(text, factories, max_size=1),
        cursor=st.none() | text,
        first_chunk=counts,
        live=st.booleans(),
        dry_run=st.booleans(),
        now_us=counts,
        quarantine_dir=text,
        spool_dir=text,
        reads=st.none() | st.dictionaries(text, plain, max_size=2),
        spool=st.dictionaries(text, text, max_size=1),
    ),
    st.builds(
        NodeCall,
        **identity,
        node=nodes,
        inputs=references,
        backends=st.dictionaries(text, factories, max_size=1),
        params=st.dictionaries(text, plain, max_size=2),
        environment=st.dictionaries(text, text, max_size=2),
        spool_path=text,
        spool_dir=text,
        dry_run=st.booleans(),
        now_us=counts,
        item=plain,
    ),
    st.builds(
        CallTask,
        attempt_id=text,
        function=text,
        arguments=st.dictionaries(text, plain, max_size=2),
    ),
    st.builds(Answer, ask_id=counts, is_granted=st.booleans(), now_us=counts),
    st.builds(StopTask, is_interrupt=st.booleans(), attempt_id=text),
    st.just(Shutdown()),
)
from_worker: st.SearchStrategy[FromWorker] = st.one_of(
    st.builds(Hello, protocol_version=counts, openbell_version=text, pid=counts),
    st.builds(Ask, ask_id=counts, what=text, retry_after_s=st.none() | seconds),
    st.builds(Progressed, node=text, rows=counts, batches=counts, total_rows=st.none() | counts),
    chunks,
    st.builds(
        Found,
        node=text,
        chunk=counts,
        verdict=text,
        findings=st.lists(findings, max_size=2).map(tuple),
    ),
    st.builds(
        Logged,
        node=text,
        lines=st.lists(
            st.builds(LogLine, at=instants, stream=text, level=text, text=text), max_size=2
        ).map(tuple),
    ),
    st.builds(Beat, cpu_s=seconds, memory_bytes=counts),
    st.builds(
        Done,
        ends=ends,
        outputs=references,
        held=st.lists(chunks, max_size=1).map(tuple),
        result=plain,
        io_read_bytes=counts,
    ),
    st.builds(
        Failed,
        node=text,
        kind=text,
        message=text,
        traceback=text,
        is_retryable=st.booleans(),
        ends=ends,
    ),
)


@given(to_worker)
def test_whatever_the_daemon_says_a_worker_understands(message: ToWorker) -> None:
    (body,) = FrameReader().feed(encode(message))
    assert decode_to_worker(body) == message
    with pytest.raises(FrameError):
        decode_from_worker(body)


@given(from_worker)
def test_whatever_a_worker_says_the_daemon_understands(message: FromWorker) -> None:
    (body,) = FrameReader().feed(encode(message))
    assert decode_from_worker(body) == message
    with pytest.raises(FrameError):
        decode_to_worker(body)
