"""HTTP to one device: the login, the limits, and what a failure means."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
import os
import re
from typing import Any, Final

import aiohttp
from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from . import clock
from .auth import AuthScheme, DeviceAuth
from .exceptions import (
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderDisconnectedError,
    ReaderError,
    ReaderProtocolError,
    ReaderStreamEndedError,
)
from .pace import Pace
from .payload import parse_object
from .sse import EventStreamDecoder, ServerSentEvent
from .traffic import ConnectionStats, Stream, TrafficLog

# Seconds. A device on weak Wi-Fi needs a few for a connection; one that needs longer is as good as away.
_CONNECT_TIMEOUT: Final = 10
_RESPONSE_TIMEOUT: Final = 15

# Bytes. The largest known answer, the whatwatt's `/system`, has 2 KiB.
_MAX_RESPONSE_SIZE: Final = 64 * 1024

# Bytes that are decoded at a time, so that other tasks run in between.
_PIECE_SIZE: Final = 4096

# Events. The fastest meters send one a second. A CurrentlyOne repeats up to 200 after every connect.
_EVENTS_PER_SECOND: Final = 20.0
_MAX_EVENTS_AT_ONCE: Final = 500

# Statuses that say "not now". Every other failure says "not here".
_TEMPORARY_STATUSES: Final = frozenset({408, 425, 429, *range(500, 600)})

# Characters. A host name has 253 at most. A path may have been pasted with it.
_MAX_HOST_LENGTH: Final = 1000

_RETRY_AFTER: Final = re.compile(r"[0-9]{1,9}")


def parse_host(text: str) -> str:
    """Return `host` or `host:port` from what a person typed or pasted.

    Raises ValueError when it names no host that speaks plain HTTP.
    """
    text = text.strip()
    if len(text) > _MAX_HOST_LENGTH:
        raise ValueError("not the address of a device")
    url = URL(text if "://" in text else f"http://{text}")
    host = url.host_port_subcomponent
    if url.scheme != "http" or not host or any(character.isspace() for character in host):
        raise ValueError("not the address of a device")
    return host


class DeviceClient:
    """Asks one device for JSON and for event streams.

    Never follows a redirect.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        host: str,
        password: str | None = None,
        login: AuthScheme | None = None,
        *,
        can_have_password: bool = True,
    ) -> None:
        """Prepare for a device at `host` or `host:port`. Connects to nothing yet.

        `login` is how the device has let us in before, if that is known. A device that cannot have a password
        and asks for one is another device.
        """
        self.stats = ConnectionStats()
        self._traffic_log = TrafficLog(self.stats)
        self._session = session
        # Beside the stream a device is asked for one thing at a time: a small one has been seen to fall over.
        self._one_at_a_time = asyncio.Lock()
        self._password = password if can_have_password else None
        self._can_have_password = can_have_password
        self._login = DeviceAuth(self._password, login if can_have_password else None)
        self._start_at(host)

    def move_to(self, host: str, *, is_trusted: bool) -> None:
        """Ask at another `host` or `host:port` from now on.

        The password goes unencrypted to a trusted address only.
        """
        if host != self.host:
            self._start_at(host)
            self._login.start_at(is_trusted=is_trusted)

    def start_over(self) -> None:
        """Let the device ask for its login anew, which shows that it still wants one."""
        self._login.start_over()

    @property
    def login(self) -> AuthScheme | None:
        """How the device lets us in; None while that is not known."""
        return self._login.known

    def at(self, host: str) -> DeviceClient:
        """Return a client of the same device at another address, with its password."""
        can_have_password = self._can_have_password
        return DeviceClient(
            self._session, host, self._password, self.login, can_have_password=can_have_password
        )

    def without_credentials(self, *, can_have_password: bool) -> DeviceClient:
        """Return a client of any device at this address, without the password."""
        return DeviceClient(self._session, self.host, can_have_password=can_have_password)

    def _start_at(self, host: str) -> None:
        self.host = self._traffic_log.host = host
        self._origin = URL(f"http://{host}")

    async def get_json(self, path: str) -> dict[str, Any]:
        """Return the JSON object at a path. Raises a ReaderError."""
        with _translate_errors():
            async with (
                asyncio.timeout(_RESPONSE_TIMEOUT),
                self._one_at_a_time,
                self._open("GET", path, "application/json") as response,
            ):
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _MAX_RESPONSE_SIZE:
                        raise ReaderProtocolError("the answer is too large")
            await self._traffic_log.add_response(path, response.status, body.decode(errors="replace"))
        payload = parse_object(bytes(body))
        if payload is None:
            raise ReaderProtocolError("the answer is no JSON object")
        return payload

    async def post(self, path: str) -> None:
        """Ask for something to be done. Raises a ReaderError."""
        with _translate_errors():
            async with (
                asyncio.timeout(_RESPONSE_TIMEOUT),
                self._one_at_a_time,
                self._open("POST", path, "*/*"),
            ):
                pass

    async def events(
        self, path: str, *, patience: Callable[[], float]
    ) -> AsyncGenerator[ServerSentEvent | None]:
        """Yield the events of one stream until the device ends it. Raises a ReaderError.

        Yields None whenever there was no event for `patience()` seconds, for the reader to judge.
        """
        decoder = EventStreamDecoder()
        pace = Pace(per_second=_EVENTS_PER_SECOND, burst=_MAX_EVENTS_AT_ONCE)
        with _translate_errors():
            async with self._open_stream(path) as (response, stream):
                heard_at = clock.now()
                while True:
                    chunk = None
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(heard_at + patience()):
                            chunk = await response.content.read(_PIECE_SIZE)
                    if chunk == b"":
                        return
                    events = decoder.feed(chunk or b"")
                    if events or chunk is None or clock.now() > heard_at + patience():
                        # Bytes that make no event are silence too.
                        heard_at = clock.now()
                        if not events:
                            yield None
                    for event in events:
                        await pace.wait()
                        await self._traffic_log.add_event(stream, event, heard_at)
                        yield event
                    if events:
                        # The wait for them is not silence.
                        heard_at = clock.now()
                    if decoder.dropped_events:
                        self.stats.oversized_events += decoder.dropped_events
                        decoder.dropped_events = 0
                    # A piece that was in the buffer already has not let other tasks run.
                    await asyncio.sleep(0)

    @asynccontextmanager
    async def _open_stream(self, path: str) -> AsyncIterator[tuple[aiohttp.ClientResponse, Stream]]:
        async with self._open("GET", path, "text/event-stream") as response:
            if response.content_type != "text/event-stream":
                raise ReaderProtocolError("the answer is no event stream")
            with self._traffic_log.stream(path) as stream, _translate_errors(ReaderStreamEndedError):
                yield response, stream

    @asynccontextmanager
    async def _open(self, method: str, path: str, accept: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open an answer that says that all is well, logging in as it takes."""
        async with asyncio.timeout(_RESPONSE_TIMEOUT):
            response = await self._send(method, path, accept)
            if response.status == HTTPStatus.UNAUTHORIZED:
                response.release()
                if self._login.should_retry(response):
                    response = await self._send(method, path, accept)
        async with response:
            expected = HTTPStatus.OK if method == "GET" else HTTPStatus.NO_CONTENT
            if response.status != expected:
                await self._traffic_log.add_response(path, response.status, "")
            if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                if not self._can_have_password:
                    raise ReaderProtocolError("the device asks for a password that it cannot have")
                raise ReaderAuthenticationError("the device refuses the login")
            if response.status in _TEMPORARY_STATUSES:
                raise ReaderConnectionError(
                    f"the device answers with HTTP status {response.status}",
                    retry_after=_seconds_in(response.headers.get(hdrs.RETRY_AFTER, "")),
                )
            if response.status != expected:
                raise ReaderProtocolError(f"the device answers with HTTP status {response.status}")
            self._login.accepted(response)
            yield response

    async def _send(self, method: str, path: str, accept: str) -> aiohttp.ClientResponse:
        headers = {
            hdrs.ACCEPT: accept,
            # Compressing would make a device wait for more before it sends.
            hdrs.ACCEPT_ENCODING: "identity",
            # The whatwatt's documentation asks for it, though it is HTTP/1.1's default.
            hdrs.CONNECTION: "keep-alive",
            **self._login.header,
        }
        try:
            return await self._session.request(
                method,
                self._origin.with_path(path),
                headers=headers,
                middlewares=self._login.middlewares,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
            )
        except (aiohttp.ClientError, ValueError) as error:
            # What a challenge says that cannot be answered has no type of its own.
            if type(error) not in (aiohttp.ClientError, ValueError):
                raise
            raise ReaderProtocolError("the device asks for a login that makes no sense") from error


@contextmanager
def _translate_errors(hung_up: type[ReaderDisconnectedError] = ReaderDisconnectedError) -> Iterator[None]:
    """Turn whatever the network does into a ReaderError, a device that hangs up into `hung_up`."""
    try:
        yield
    except ReaderError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionResetError) as error:
        raise hung_up("the device hung up") from error
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        raise ReaderConnectionError(_reason(error)) from error


def _seconds_in(retry_after: str) -> float:
    """Return the seconds that a device asks to be left alone; 0 for a date, which no known device sends."""
    return float(retry_after) if _RETRY_AFTER.fullmatch(retry_after) else 0.0


def _reason(error: Exception) -> str:
    """Say what happened, without the addresses that the errors' own texts contain."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return type(error).__name__
