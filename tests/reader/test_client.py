"""HTTP client: authentication of a whatwatt, errors, limits."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import aiohttp
from aiohttp import web
import pytest

from custom_components.energy_sse.reader import (
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderProtocolError,
    client,
    parse_host,
)
from custom_components.energy_sse.reader.client import DeviceClient
from custom_components.energy_sse.reader.sse import ServerSentEvent
from tests.conftest import Start
from tests.simulators import House, WhatwattSimulator
from tests.simulators.digest import DigestAuth
from tests.simulators.whatwatt import Firmware
from tests.time_machine import TimeMachine

SYSTEM = "/api/v1/system"

type Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncGenerator[Serve]:
    """Return a function that serves one handler at every path."""
    runners = []

    async def serve_handler(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"127.0.0.1:{runner.addresses[0][1]}"

    yield serve_handler
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.168.1.50", "192.168.1.50"),
        (" whatwatt-ABCDEF.local ", "whatwatt-abcdef.local"),
        ("currentlyone_b8b41879cf58.local", "currentlyone_b8b41879cf58.local"),
        ("192.168.1.50:8080", "192.168.1.50:8080"),
        ("192.168.1.50:80", "192.168.1.50"),
        ("http://192.168.1.50/", "192.168.1.50"),
        ("http://192.168.1.50:8080/events?x=1", "192.168.1.50:8080"),
        ("http://:secret@192.168.1.50/", "192.168.1.50"),
        ("[fe80::1]:8080", "[fe80::1]:8080"),
        ("fd00::2", "[fd00::2]"),
        (" FD00:0:0::2 ", "[fd00::2]"),
    ],
)
def test_entered_host_is_parsed(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "https://192.168.1.50", "192.168.1.50:port", "my reader", "http://", "ftp://x", ":80"),
        *("http://[", "127.0.0.1:99999", "javascript:alert(1)", "\u202e", "x" * 100_000),
    ],
    ids=lambda text: text[:20],
)
def test_invalid_host_is_rejected(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (users do not see the text)
        parse_host(text)


@pytest.mark.parametrize("firmware", Firmware)
async def test_password_is_sent_by_the_scheme_of_the_firmware(
    session: aiohttp.ClientSession, house: House, start: Start, firmware: Firmware
) -> None:
    reader = WhatwattSimulator(house, password="grüezi", firmware=firmware)
    await start(reader)
    http = DeviceClient(session, reader.host, "grüezi")
    assert (await http.get_json(SYSTEM))["device"]["id"] == reader.device_id
    assert len(reader.requests) == 2
    http.move_to(reader.host, is_trusted=True)
    await http.get_json(SYSTEM)
    assert len(reader.requests) == 3


@pytest.mark.parametrize("challenge", [{}, {"WWW-Authenticate": "Bearer"}])
async def test_password_is_not_sent_for_an_unknown_scheme(
    session: aiohttp.ClientSession, serve: Serve, challenge: dict[str, str]
) -> None:
    logins = []

    async def handler(request: web.Request) -> web.Response:
        logins.append(request.headers.get("Authorization"))
        return web.Response(status=401, headers=challenge)

    http = DeviceClient(session, await serve(handler), "secret")
    with pytest.raises(ReaderAuthenticationError):
        await http.get_json("/")
    assert logins == [None]


@pytest.mark.parametrize("firmware", Firmware)
@pytest.mark.parametrize("password", [None, "", "wrong"])
async def test_wrong_password_causes_at_most_four_requests(
    session: aiohttp.ClientSession, house: House, start: Start, firmware: Firmware, password: str | None
) -> None:
    reader = WhatwattSimulator(house, password="secret", firmware=firmware)
    await start(reader)
    with pytest.raises(ReaderAuthenticationError) as raised:
        await DeviceClient(session, reader.host, password).get_json(SYSTEM)
    assert len(reader.requests) <= 4
    assert "secret" not in str(raised.value)
    assert reader.host not in str(raised.value)


async def test_request_is_repeated_when_its_nonce_is_stale(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house, password="secret")
    await start(reader)

    class ExpiringAuth(DigestAuth):
        requests = 0

        def check(self, authorization: str | None, method: str, target: str) -> str | None:
            self.requests += 1
            if self.requests == 2:
                self.delete_nonces()
            return super().check(authorization, method, target)

    reader.auth = ExpiringAuth("secret")
    await DeviceClient(session, reader.host, "secret").get_json(SYSTEM)
    assert len(reader.requests) == 3


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, ReaderProtocolError),
        (302, ReaderProtocolError),
        (404, ReaderProtocolError),
        (410, ReaderProtocolError),
        (401, ReaderAuthenticationError),
        (403, ReaderAuthenticationError),
        (408, ReaderConnectionError),
        (429, ReaderConnectionError),
        (500, ReaderConnectionError),
        (503, ReaderConnectionError),
    ],
)
async def test_error_depends_on_the_status(
    session: aiohttp.ClientSession, serve: Serve, status: int, error: type[Exception]
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    http = DeviceClient(session, await serve(handler), "secret")
    with pytest.raises(error):
        await http.get_json("/")
    with pytest.raises(error):
        await anext(http.events("/", idle_timeout=lambda: 5.0))


@pytest.mark.parametrize("text", ["<html>", "[]", '"text"', "", "{" * 70_000, '{"a":"' + "x" * 70_000 + '"}'])
async def test_response_is_rejected_unless_it_is_a_small_object(
    session: aiohttp.ClientSession, serve: Serve, text: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=text)

    with pytest.raises(ReaderProtocolError):
        await DeviceClient(session, await serve(handler)).get_json("/")


async def test_stream_with_another_content_type_is_rejected(
    session: aiohttp.ClientSession, serve: Serve
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="data: x\n\n", content_type="text/html")

    with pytest.raises(ReaderProtocolError):
        await anext(DeviceClient(session, await serve(handler)).events("/", idle_timeout=lambda: 5.0))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "unknown"])
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
async def test_content_encoding_is_rejected_before_the_body_is_read(
    session: aiohttp.ClientSession, serve: Serve, encoding: str, content_type: str
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type, "Content-Encoding": encoding})
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    http = DeviceClient(session, await serve(handler))
    is_stream = content_type == "text/event-stream"
    request = anext(http.events("/", idle_timeout=lambda: 5.0)) if is_stream else http.get_json("/")
    with pytest.raises(ReaderProtocolError, match="content encoding"):
        await request


async def test_content_encoding_identity_is_accepted(session: aiohttp.ClientSession, serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"a": 1}, headers={"Content-Encoding": "Identity"})

    assert await DeviceClient(session, await serve(handler)).get_json("/") == {"a": 1}


async def receive(
    http: DeviceClient, time_machine: TimeMachine, seconds: float
) -> list[ServerSentEvent | None]:
    """Return the events of a stream with an idle timeout of 8 seconds, in simulated time."""
    received = []

    async def receive_all() -> None:
        async for event in http.events("/", idle_timeout=lambda: 8.0):
            received.append(event)  # noqa: PERF401 (the stream does not end)

    task = asyncio.create_task(receive_all())
    await time_machine.advance(seconds)
    task.cancel()
    await asyncio.wait([task])
    return received


@pytest.mark.parametrize(("events", "seconds", "idle"), [(0, 30, 3), (1, 30, 3), (700, 14, 0), (700, 20, 1)])
async def test_stream_is_idle_after_each_timeout_without_an_event(
    session: aiohttp.ClientSession,
    serve: Serve,
    time_machine: TimeMachine,
    *,
    events: int,
    seconds: float,
    idle: int,
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: x\n\n" * events)
        await asyncio.Event().wait()
        return response

    received = await receive(DeviceClient(session, await serve(handler)), time_machine, seconds)
    assert len(received) == events + idle
    assert received[events:] == [None] * idle


async def test_idle_stream_continues(session: aiohttp.ClientSession, serve: Serve) -> None:
    go_on = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: x\n\ndata: y")
        await go_on.wait()
        await response.write(b"z\n\n")
        return response

    events = DeviceClient(session, await serve(handler)).events("/", idle_timeout=lambda: 0.02)
    first = await anext(events)
    assert first is not None
    assert first.data == "x"
    assert await anext(events) is None
    assert await anext(events) is None
    go_on.set()
    while (event := await anext(events)) is None:
        pass
    assert event.data == "yz"
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_events_are_counted_and_the_last_ones_stored(
    session: aiohttp.ClientSession, serve: Serve
) -> None:
    async def handler(request: web.Request) -> web.Response:
        body = b"event:a\ndata:1\n\n" * 100 + b"data:" + b"x" * 300_000 + b"\n\nevent:b\ndata:2\n\n"
        return web.Response(body=body, content_type="text/event-stream")

    http = DeviceClient(session, await serve(handler))
    async for _ in http.events("/", idle_timeout=lambda: 5.0):
        pass
    assert http.stats.events == {"a": 100, "b": 1}
    assert http.stats.oversized_events == 1
    recent = http.stats.recent_events
    assert len(recent) == recent.maxlen
    assert recent[-1][1].type == "b"


async def test_requests_are_made_one_after_the_other(session: aiohttp.ClientSession, serve: Serve) -> None:
    at_once = []
    running = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal running
        running += 1
        at_once.append(running)
        await asyncio.sleep(0.01)
        running -= 1
        return web.Response(status=204) if request.method == "POST" else web.json_response({})

    http = DeviceClient(session, await serve(handler))
    await asyncio.gather(http.post("/"), *(http.get_json("/") for _ in range(3)), http.post("/"))
    assert at_once == [1] * 5


async def test_requests_have_the_headers_of_the_devices(session: aiohttp.ClientSession, serve: Serve) -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({})

    await DeviceClient(session, await serve(handler), "secret").get_json("/")
    (request,) = seen
    assert request.headers["Connection"] == "keep-alive"
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Origin" not in request.headers
    assert "Authorization" not in request.headers


async def test_request_without_a_response_ends_with_an_error(
    session: aiohttp.ClientSession, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(client, "_RESPONSE_TIMEOUT", 0.05)
    http = DeviceClient(session, await serve(handler))
    with pytest.raises(ReaderConnectionError, match="no response"):
        await http.get_json("/")
    with pytest.raises(ReaderConnectionError, match="no response"):
        await anext(http.events("/", idle_timeout=lambda: 5.0))


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1:1", "connection refused"),
        ("no-such-host.invalid", "host unknown"),
        ("a..b", "host unknown"),
    ],
)
async def test_error_text_contains_no_address(session: aiohttp.ClientSession, host: str, reason: str) -> None:
    with pytest.raises(ReaderConnectionError) as raised:
        await DeviceClient(session, host, "secret").get_json("/")
    assert str(raised.value) == reason


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"\x00\xffSSH-2.0-dropbear\r\n" * 100],
    ids=["incomplete", "not HTTP"],
)
async def test_invalid_response_is_a_connection_error(session: aiohttp.ClientSession, data: bytes) -> None:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(send, "127.0.0.1", 0)
    async with server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ReaderConnectionError):
            await DeviceClient(session, host).get_json("/")
