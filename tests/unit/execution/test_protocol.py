"""Frames between daemon and worker."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbell.execution.protocol import (
    Answer,
    Ask,
    CallTask,
    FrameError,
    FrameReader,
    Hello,
    StopTask,
    decode_from_worker,
    decode_to_worker,
    encode,
)

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
    body = encode(StopTask(is_interrupt=True))[4:]
    assert decode_to_worker(body) == StopTask(is_interrupt=True)
    with pytest.raises(FrameError):
        decode_from_worker(body)
    assert decode_to_worker(encode(Answer(ask_id=1, is_granted=True, now_us=5))[4:])
