"""Decoding: bytes to events, and bytes to typed readings, against other parsers and against the floor."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache, partial
from time import process_time
from types import SimpleNamespace
from typing import override

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp_sse_client2.client import EventSource as AiohttpEventSource
import httpx
from httpx_sse import EventSource as HttpxEventSource
import orjson
import sseclient

from custom_components.energy_sse.reader.currentlyone import EventInterpreter
from custom_components.energy_sse.reader.sse import EventStreamDecoder
from custom_components.energy_sse.reader.whatwatt import parse_live

from . import streams
from .harness import measure, runner
from .measure import Effort, table, times

STREAMS = {
    "whatwatt": "an hour of a whatwatt Go",
    "currentlyone": "an hour of a CurrentlyOne",
    "samples": "the recorded samples",
}
CUTS: dict[str, Callable[[str], list[bytes]]] = {"chunks": streams.chunks, "whole": streams.whole}

type Parse = Callable[[list[bytes]], Iterable[str]]
"""Chunks in, the data of the events out."""


# -------------------------------------------------------------------------------------------- the parsers


def ours(chunks: list[bytes]) -> Iterable[str]:
    """Parse with this project's decoder."""
    feed = EventStreamDecoder().feed
    return (event.data for chunk in chunks for event in feed(chunk))


def with_httpx_sse(chunks: list[bytes]) -> Iterable[str]:
    """Parse with httpx-sse, on a response whose body is there already."""
    headers = {"Content-Type": "text/event-stream"}
    response = httpx.Response(200, headers=headers, content=iter(chunks))
    return (event.data for event in HttpxEventSource(response).iter_sse())


def with_sseclient(chunks: list[bytes]) -> Iterable[str]:
    """Parse with sseclient-py."""
    return (event.data for event in sseclient.SSEClient(chunks).events())


class _FromMemory(AiohttpEventSource):  # type: ignore[misc] # it has no types
    """aiohttp-sse-client2, connected to a body that is there already."""

    def __init__(self, content: StreamReader) -> None:
        super().__init__("http://127.0.0.1", session=SimpleNamespace(), reconnection_time=timedelta())
        self._content = content

    @override
    async def connect(self, retry: int = 0) -> None:
        # "No content" is how a server tells it not to come back.
        self._response = SimpleNamespace(content=self._content, status=204 if self._content.at_eof() else 200)


def with_aiohttp_sse_client2(chunks: list[bytes]) -> Iterable[str]:
    """Parse with aiohttp-sse-client2, which leaves no choice but to keep what it finds."""

    async def parse() -> list[str]:
        loop = asyncio.get_running_loop()
        # Without a limit that matters: there is no network to ask for a pause.
        content = StreamReader(BaseProtocol(loop), 2**30, loop=loop)
        for chunk in chunks:
            content.feed_data(chunk)
        content.feed_eof()
        source = _FromMemory(content)
        await source.connect()
        return [event.data async for event in source]

    return asyncio.run(parse())


PARSERS: dict[str, Parse] = {
    "ours": ours,
    "httpx-sse 0.4.3": with_httpx_sse,
    "aiohttp-sse-client2 0.3.0": with_aiohttp_sse_client2,
    "sseclient-py 1.9.0": with_sseclient,
}


# -------------------------------------------------------------------------------------- floor and readings


def find_lines(stream: str, cut: str) -> None:
    """Find the ends of the lines and do nothing with them: no parser can do less."""
    for chunk in CUTS[cut](stream):
        end = chunk.find(b"\n")
        while end >= 0:
            end = chunk.find(b"\n", end + 1)


def parse_all(parse: Parse, stream: str, cut: str) -> None:
    """Parse a stream and keep nothing of it."""
    exhaust(parse(CUTS[cut](stream)))


def load_all(stream: str) -> None:
    """Parse the JSON of every payload: no reading can be had for less."""
    exhaust(map(orjson.loads, payloads(stream)))


def to_readings(stream: str) -> None:
    """Do all that is done between the network and Home Assistant's side."""

    async def decode() -> None:
        feed, chunks = EventStreamDecoder().feed, streams.chunks(stream)
        if stream == "whatwatt":
            exhaust(m for chunk in chunks for event in feed(chunk) for m in parse_live(event.data))
        else:
            parse = EventInterpreter().parse
            exhaust(m for chunk in chunks for event in feed(chunk) for m in parse(event))

    asyncio.run(decode())


def exhaust(items: Iterable[object]) -> None:
    """Take all there is and keep nothing, as whoever reads a stream."""
    deque(items, maxlen=0)


@cache
def payloads(stream: str) -> list[str]:
    """Return what the events of a stream carry."""
    return list(ours(streams.whole(stream)))


def main() -> None:
    """Measure, as pyperf asks for it: CPU seconds per event."""
    pyperf = runner(f"{__package__}.decoding")

    def bench(name: str, stream: str, work: Callable[[], object]) -> None:
        def run(loops: int) -> float:
            work()
            began = process_time()
            for _ in range(loops):
                work()
            return process_time() - began

        # Not asked of the stream where it is known: every worker process comes by here.
        count = len(payloads(stream)) if stream == "samples" else streams.HOUR
        pyperf.bench_time_func(name, run, inner_loops=count)

    for stream in STREAMS:
        for cut in CUTS:
            bench(f"{stream} {cut} lines", stream, partial(find_lines, stream, cut))
            for name, parse in PARSERS.items():
                bench(f"{stream} {cut} {name}", stream, partial(parse_all, parse, stream, cut))
        if stream != "samples":
            bench(f"{stream} orjson", stream, partial(load_all, stream))
            bench(f"{stream} readings", stream, partial(to_readings, stream))


# ---------------------------------------------------------------------------------------------- the report


def agreement(parse: Parse, stream: str, chunks: list[bytes]) -> str:
    """Say how far a parser understands a stream."""
    expected, found = payloads(stream), list(parse(chunks))
    if found == expected:
        return "all"
    return f"{sum(a == b for a, b in zip(found, expected, strict=False)):,} of {len(expected):,}"


def report(effort: Effort) -> str:
    """Measure and tell."""
    seconds = measure(f"{__package__}.decoding", effort, loops=10)
    sections = []
    rows = []
    for stream in ("whatwatt", "currentlyone"):
        floor, readings = seconds[f"{stream} orjson"], seconds[f"{stream} readings"]
        rows.append(
            (
                STREAMS[stream],
                times(readings.median / floor.median),
                readings.text(1e6),
                floor.text(1e6),
            )
        )
    sections.append(
        "Bytes to typed `Reading`, against `orjson.loads` of the same payloads (µs of CPU per event):\n\n"
        + table(("stream", "ratio", "bytes to `Reading`", "`orjson.loads`"), rows)
    )
    for cut, cut_into in CUTS.items():
        lines = []
        for stream, title in STREAMS.items():
            size = len(streams.whole(stream)[0]) / len(payloads(stream))
            own = seconds[f"{stream} {cut} ours"]
            for name, parse in PARSERS.items():
                result = seconds[f"{stream} {cut} {name}"]
                lines.append(
                    (
                        title if parse is ours else "",
                        name,
                        times(result.median / own.median, 1),
                        result.text(1e6),
                        f"{1 / result.median:,.0f}",
                        f"{size / result.median / 1e6:,.0f}",
                        agreement(parse, stream, cut_into(stream)),
                    )
                )
            floor = seconds[f"{stream} {cut} lines"]
            lines.append(
                (
                    "",
                    "floor: only finding the lines",
                    times(floor.median / own.median),
                    floor.text(1e6),
                    "",
                    "",
                    "",
                )
            )
        how = "in chunks as a network delivers them" if cut == "chunks" else "in one piece"
        sections.append(
            f"Bytes to events, {how}:\n\n"
            + table(("stream", "parser", "time", "µs per event", "events/s", "MB/s", "understands"), lines)
        )
    return "\n".join(sections)


if __name__ == "__main__":
    main()
