"""Decoder of event streams: the cases of web-platform-tests (`eventsource/format-*`), and limits."""

from itertools import pairwise

from hypothesis import given, strategies as st
import pytest

from custom_components.energy_sse.reader.sse import MAX_EVENT_SIZE, EventStreamDecoder, ServerSentEvent


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = EventStreamDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def message(data: str, event_type: str = "message", last_event_id: str = "") -> ServerSentEvent:
    return ServerSentEvent(event_type, data, last_event_id)


BOM = b"\xef\xbb\xbf"

# Stream → events that a client dispatches by the HTML standard.
FORMAT_CASES = {
    "bom": (BOM + b"data:1\n\n" + b"data:2\n\ndata:3\n\n", [message("1"), message("2"), message("3")]),
    "bom is dropped once": (BOM + BOM + b"data:1\n\ndata:2\n\n", [message("2")]),
    "bom in the middle is part of a field's name": (b"data:1\n\n" + BOM + b"data:2\n\n", [message("1")]),
    "comments": (
        b"data:1\r:" + b"\0" + b"\n:\r\ndata:2\n:" + b"x" * 2048 + b"\rdata:3\n:data:fail\r:"
        + b"x" * 2048 + b"\ndata:4\n\n",
        [message("1\n2\n3\n4")],
    ),
    "data before a final empty line": (b"data:test\r\ndata\ndata:test\r\n\r\n", [message("test\n\ntest")]),
    "data": (b"data:\n\ndata\ndata\n\ndata:test\n\n", [message(""), message("\n"), message("test")]),
    "event": (b"event:test\ndata:x\n\ndata:x\n\n", [message("x", "test"), message("x")]),
    "event empty": (b"event:\ndata:data\n\n", [message("data")]),
    "id": (
        b"id:1\ndata:a\n\ndata:b\n\nid\ndata:c\n\n",
        [message("a", last_event_id="1"), message("b", last_event_id="1"), message("c")],
    ),
    "id with null": (
        b"id:1\ndata:a\n\nid:\x00\ndata:b\n\nid:x\x00y\ndata:c\n\n",
        [message(data, last_event_id="1") for data in "abc"],
    ),
    "id without data is kept": (b"id:7\n\ndata:a\n\n", [message("a", last_event_id="7")]),
    "field parsing": (
        (
            b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n"
            b"data:3\rdata:\r\n data:32\ndata:4\n\n"
        ),
        [message("\0\n 2\n1\n3\n\n4")],
    ),
    "leading space": (b"data:\ttest\rdata: \ndata:test\n\n", [message("\ttest\n\ntest")]),
    "one leading space only": (b"data:  test\n\n", [message(" test")]),
    "newlines": (
        b"data:test\r\ndata\ndata:test\rdata\r\n\r\ndata:x\r\rdata:y\n\n",
        [message("test\n\ntest\n"), message("x"), message("y")],
    ),
    "null character": (b"data:\0\n\n\n\n", [message("\0")]),
    "retry is not an event": (b"retry:3000\n\ndata:x\n\n", [message("x")]),
    "unknown fields": (
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        [message("test\n\ntest")],
    ),
    "utf-8": ("data:ok…\n\n".encode(), [message("ok…")]),
    "bad bytes are replaced": (
        b"data:a\xff\xe2\x82\ndata:\xc3\nid:\xf0\ndata\n\n",
        [message("a��\n�\n", last_event_id="�")],
    ),
    "no data, no event": (
        b"event:lonely\n\n\nid:1\n\n: comment\n\ndata:x\n\n",
        [message("x", last_event_id="1")],
    ),
    "unfinished event is dropped": (b"data:test\n\ndata:lost\n", [message("test")]),
    "unfinished line is dropped": (
        b"data:test\n\ndata:lost\n\nevent:x\ndata:y",
        [message("test"), message("lost")],
    ),
    "value with colons": (b"data:a:b: c\n\n", [message("a:b: c")]),
    "whole stream in lone CRs": (
        b"event:a\rdata:1\r\revent:b\rdata:2\r\r",
        [message("1", "a"), message("2", "b")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "events"), FORMAT_CASES.values(), ids=FORMAT_CASES.keys())
@pytest.mark.parametrize("size", [None, 1, 2, 3, 5, 7])
def test_stream_is_decoded_by_the_standard_in_any_pieces(
    stream: bytes, events: list[ServerSentEvent], size: int | None
) -> None:
    step = size or len(stream)
    assert decode(*(stream[i : i + step] for i in range(0, len(stream), step))) == events


def test_line_end_can_be_split_into_two_chunks() -> None:
    assert decode(b"data:a\r", b"\n", b"data:b\r", b"", b"\n\r", b"\n") == [message("a\nb")]


def test_event_ends_with_a_carriage_return() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(b"data:a\r\r") == [message("a")]
    assert decoder.feed(b"\ndata:b\n\n") == [message("b")]


LINE = b"x" * (MAX_EVENT_SIZE - len(b"data:"))

# Stream without its last event → data of the accepted events, and number of the dropped events.
SIZE_CASES = {
    "largest line": (b"data:" + LINE + b"\n\n", [LINE.decode()], 0),
    "largest line after a BOM": (BOM + b"data:" + LINE + b"\n\n", [LINE.decode()], 0),
    **{
        f"larger {field.decode()} {prefix!r}": (
            prefix + field + b":" + LINE + b"long\ndata:more\n\n",
            [],
            1,
        )
        for field in (b"data", b"event", b"id")
        for prefix in (b"", BOM, b"id:7\n")
    },
    "too many lines": ((b"data:" + b"x" * 1000 + b"\n") * (MAX_EVENT_SIZE // 1000 + 1) + b"\n", [], 1),
    "too large after an equal type": (b"data:a\n\nevent: message\ndata: " + LINE + b"xx\n\n", ["a"], 1),
    "4 MB": (b"data:" + b"x" * 65536 * 64 + b"\n\n", [], 1),
    **{
        f"larger {line.decode()}": (b"data:a\n" + line + LINE * 2 + b"\ndata:b\n\n", ["a\nb"], 0)
        for line in (b":", b"unknown:", b"unknown")
    },
}


@pytest.mark.parametrize(("stream", "accepted", "dropped"), SIZE_CASES.values(), ids=SIZE_CASES.keys())
@pytest.mark.parametrize("size", [4096, 10**9])
def test_large_event_is_dropped_and_the_next_one_accepted(
    stream: bytes, accepted: list[str], dropped: int, size: int
) -> None:
    stream += b"data:next\n\n"
    decoder = EventStreamDecoder()
    data = []
    for start in range(0, len(stream), size):
        data += [event.data for event in decoder.feed(stream[start : start + size])]
        assert len(decoder._unfinished_line) <= MAX_EVENT_SIZE + 8  # noqa: SLF001 (limits the memory)
    assert data == [*accepted, "next"]
    assert decoder.dropped_events == dropped


STREAM_PIECES = st.sampled_from(
    [*rb"data|event|id|retry|:| |x|7".split(b"|"), b"\n", b"\r", b"\r\n", b"\0", BOM, b"\xe2\x82"]
)
STREAMS = st.one_of(st.binary(max_size=200), st.lists(STREAM_PIECES, max_size=60).map(b"".join))


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 300)))
def test_any_bytes_are_decoded_equally_in_any_pieces(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    whole, cut = EventStreamDecoder(), EventStreamDecoder()
    assert [e for chunk in chunks for e in cut.feed(chunk)] == whole.feed(stream)
    assert cut.dropped_events == whole.dropped_events


@given(garbage=STREAMS)
def test_valid_event_is_decoded_after_any_garbage(garbage: bytes) -> None:
    events = decode(garbage, b"\n\n", b"event:live\ndata:{}\n\n")
    assert events[-1][:2] == ("live", "{}")


# Events as a reader sends them, each in one piece, and similar ones.
SIMILAR_EVENTS = st.sampled_from(
    [
        b"event: live\ndata: {}\n\n",
        b"event: live\ndata: \xff\n\n",
        b"event: live\ndata:  {}\n\n",
        b"event: live\ndata: \n\n",
        b"event: live\ndata: {}\ndata: {}\n\n",
        b"event: live\ndata: {}\n\nevent: live\ndata: {}\n\n",
        b"event: live\ndata: {}\r\n\n",
        b"event: live\ndata: a\rid: 9\n\n",
        b"event: live\r\ndata: {}\r\n\r\n",
        b"event: live\r\ndata: a\n\r\n\r\n",
        b"event: live\r\ndata: {}\r\n",
        b"event: live\ndata: {}\n",
        b"event: live\ndata: ",
        b"event: other\ndata: {}\n\n",
        b"event: " + b"long" * 20 + b"\ndata: {}\n\n",
        b"event: message\ndata: {}\n\n",
        b"data: {}\n\n",
        b"id: 7\nretry: 5\ndata: {}\n\n",
        b"\r",
        b"\n",
        b": ping\n\n",
    ]
)


@given(pieces=st.lists(SIMILAR_EVENTS, max_size=12), cuts=st.lists(st.integers(0, 300)))
def test_similar_events_are_decoded_equally_in_any_pieces(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces) * 3
    expected = decode(*(stream[at : at + 1] for at in range(len(stream))))
    assert decode(stream) == expected
    assert decode(*pieces * 3) == expected
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert decode(*(stream[a:b] for a, b in pairwise(edges))) == expected


@pytest.mark.parametrize("size", [10, 5_000, 60_000])
def test_similar_event_can_be_split_into_two_chunks(size: int) -> None:
    event = b"event: message\ndata: " + b"x" * size + b"\n\n"
    for cut in (5, len(event) // 2, len(event) - 1):
        decoder = EventStreamDecoder()
        assert decoder.feed(b"data: {}\n\n") == [message("{}")]
        assert decoder.feed(event[:cut]) == []
        assert decoder.feed(event[cut:] + b"data: {}\n\n") == [message("x" * size), message("{}")]
