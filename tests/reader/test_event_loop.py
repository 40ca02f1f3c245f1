"""Time for which one step of the reader layer holds the event loop."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
import gc
from http import HTTPStatus
import json
from selectors import SelectorKey
from time import thread_time
from typing import Final
from unittest.mock import Mock

import aiohttp
import pytest

from custom_components.energy_sse.reader import ConnectionStats, ReaderConnection, make_reader
from custom_components.energy_sse.reader.connection import ConnectionListener
from tests.simulators import CurrentlyOneSimulator, House, Simulator, WhatwattSimulator
from tests.time_machine import TimeMachine

# Seconds of processor time.
_MAX_STEP: Final = 0.05

# Bytes. The size of the largest accepted response or event.
_MAX_SIZE: Final = 64 * 1024

_HEAD: Final = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\n{}\r\n\r\n"


class LongestStep:
    """Longest processor time between two polls of the sockets by the event loop, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the steps of the running event loop, without garbage collection."""
        # An event loop has no public way to notice the begin and the end of a step.
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined] # noqa: SLF001
        select = selector.select
        began: float | None = None

        def measuring_select(timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
            nonlocal began
            if began is not None:
                self.seconds = max(self.seconds, thread_time() - began)
            events: list[tuple[SelectorKey, int]] = select(timeout)
            began = thread_time()
            return events

        gc.collect()
        gc.disable()
        selector.select = measuring_select
        try:
            yield
        finally:
            selector.select = select
            gc.enable()


@asynccontextmanager
async def device(responses: Mapping[str, bytes]) -> AsyncGenerator[str]:
    """Serve a raw response for each path, and keep the connections open."""
    writers = []

    async def serve(client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError):
            while request := await client.readline():
                await client.readuntil(b"\r\n\r\n")
                writer.write(responses[request.split()[1].decode()])

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for writer in writers:
        writer.transport.abort()
    server.close()


def response(body: bytes) -> bytes:
    """Return a response with a JSON body."""
    return _HEAD.format("application/json", f"Content-Length: {len(body)}").encode() + body


def stream(body: bytes, head: str = "X-Test: 1") -> bytes:
    """Return the beginning of a stream."""
    return _HEAD.format("text/event-stream", head).encode() + body


def event(name: str, data: str) -> bytes:
    """Return an event."""
    return f"event: {name}\ndata: {data}\n\n".encode()


def readings(house: House) -> bytes:
    """Return 5,000 readings of all measurements, each with another power."""
    payload = WhatwattSimulator(house).live()
    return b"".join(event("live", json.dumps(payload | {"P_In": number / 1000})) for number in range(5000))


def fill(part: str) -> str:
    """Return a list that is as large as an event can be."""
    return f"[{','.join([part] * ((_MAX_SIZE - 200) // (len(part) + 1)))}]"


def chunks(body: bytes) -> bytes:
    """Return a body in chunks of one byte."""
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body)


WHATWATT_STREAMS: Final = {
    "numbers": event("live", f'{{"a":{fill("1")}}}'),
    "keys": event("live", f"{{{','.join(f'"{number}":1' for number in range(7000))}}}"),
    "sub-meters": event("live", f'{{"Vol":{fill('{"M_ID":"1","Cum":1}')}}}'),
    "brackets": event("live", f'{{"a":{"[" * (_MAX_SIZE - 100)}'),
    "broken JSON": event("live", f'{{"a":nan,"b":{"[" * 16_000}'),
    "many data fields": b"data:\n" * (_MAX_SIZE // 6 - 1) + b"\n",
    "100,000 events": b"data:\n\n" * 100_000,
    "100,000 line ends": b"\n" * 100_000,
}
CURRENTLYONE_STREAMS: Final = {
    "detections": event("state", f'{{"sec":1,"detected":{fill('{"id":1,"to":1,"Wh":1}')}}}'),
    "transitions": event("transition", '{"id":1,"sName":"on"}') * 2000,
    "broken config": event("config", f'{{"id":nan,{'"id":"1",' * 6000}'),
}


async def longest_step(
    session: aiohttp.ClientSession,
    time_machine: TimeMachine,
    simulator: Simulator,
    responses: Mapping[str, bytes],
) -> tuple[float, ConnectionStats]:
    """Stream from a device for 10 simulated seconds. Return the longest step, and the received messages."""
    longest = LongestStep()
    async with device(responses) as host:
        reader = make_reader(simulator.kind, session, host)
        connection = ReaderConnection(reader, simulator.device_id, Mock(spec=ConnectionListener))
        with longest.measured():
            task = asyncio.create_task(connection.run())
            await time_machine.advance(10)
        task.cancel()
        await asyncio.wait([task])
    return longest.seconds, reader.stats


@pytest.mark.parametrize("name", [*WHATWATT_STREAMS, "readings", "one byte per chunk"])
async def test_whatwatt_stream_holds_loop_for_at_most_50_ms(
    session: aiohttp.ClientSession, time_machine: TimeMachine, house: House, name: str
) -> None:
    if name == "readings":
        body = stream(readings(house))
    elif name == "one byte per chunk":
        body = stream(chunks(readings(house)[:100_000]), "Transfer-Encoding: chunked")
    else:
        body = stream(WHATWATT_STREAMS[name])
    simulator = WhatwattSimulator(house)
    system = response(json.dumps(simulator.system()).encode())
    responses = {"/api/v1/system": system, "/api/v1/live": body}
    seconds, stats = await longest_step(session, time_machine, simulator, responses)
    assert seconds < _MAX_STEP
    assert stats.connects == 1
    assert bool(stats.events) == ("line" not in name)


@pytest.mark.parametrize("name", CURRENTLYONE_STREAMS)
async def test_currentlyone_stream_holds_loop_for_at_most_50_ms(
    session: aiohttp.ClientSession, time_machine: TimeMachine, house: House, name: str
) -> None:
    simulator = CurrentlyOneSimulator(house)
    body = stream(event("config", simulator.config()) + CURRENTLYONE_STREAMS[name])
    inventory = response(f'{{"devices":[{{"id":1,"states":{fill('{"name":"a"}')}}}]}}'.encode())
    responses = {"/events": body, "/api/v1/device": inventory}
    seconds, stats = await longest_step(session, time_machine, simulator, responses)
    assert seconds < _MAX_STEP
    assert stats.connects == 1
    assert stats.responses["/api/v1/device"].status == 200
    assert stats.events.total() > 1


@pytest.mark.parametrize(
    "body",
    [b"[" * _MAX_SIZE, b'{"device":' * 6000, b'{"a":nan,"b":' + b"[" * 16_000],
    ids=["brackets", "nested objects", "broken JSON"],
)
async def test_response_holds_loop_for_at_most_50_ms(
    session: aiohttp.ClientSession, time_machine: TimeMachine, house: House, body: bytes
) -> None:
    responses = {"/api/v1/system": response(body), "/events": b""}
    seconds, stats = await longest_step(session, time_machine, WhatwattSimulator(house), responses)
    assert seconds < _MAX_STEP
    assert stats.responses["/api/v1/system"].status == HTTPStatus.OK
