"""HTTP client of one device: requests, event streams, limits, and the translation of errors."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
import errno
from http import HTTPStatus
from ipaddress import IPv6Address
import math
import os
import re
from typing import Any, Final

import aiohttp
from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from . import clock
from .auth import DeviceAuth
from .models import (
    AuthScheme,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderProtocolError,
    ReaderStreamEndedError,
    Reason,
)
from .payload import parse_object
from .sse import EventStreamDecoder, ServerSentEvent
from .traffic import ConnectionStats, Stream, TrafficLog

# Seconds. A device on weak Wi-Fi takes a few. A device that takes longer is treated as offline.
_CONNECT_TIMEOUT: Final = 10
_RESPONSE_TIMEOUT: Final = 15

# Bytes. The largest known response, the whatwatt's `/system`, has 2 KiB.
_MAX_RESPONSE_SIZE: Final = 64 * 1024

# Bytes of a stream that are decoded in one step of the event loop.
_PIECE_SIZE: Final = 4096

# Events. The fastest meters send one a second. A CurrentlyOne replays up to 200 after every connect.
_EVENTS_PER_SECOND: Final = 20.0
_MAX_EVENTS_AT_ONCE: Final = 500

# Items of a stream after which other tasks run. One event of a real reader contains fewer messages, so that
# other tasks do not run before all of them are processed.
_ITEMS_PER_TURN: Final = 8

# Statuses of a device that may accept the same request later. With any other status, it is not a reader.
_TEMPORARY_STATUSES: Final = frozenset({408, 425, 429, *range(500, 600)})

# Characters. A host name has at most 253. The text may also contain a path.
_MAX_HOST_LENGTH: Final = 1000

# Errors of a connection that are common, and that the user can act on.
_REASONS: Final[Mapping[int, Reason]] = {
    errno.ECONNREFUSED: Reason.CONNECTION_REFUSED,
    errno.EHOSTUNREACH: Reason.HOST_UNREACHABLE,
    errno.ENETUNREACH: Reason.HOST_UNREACHABLE,
    errno.ETIMEDOUT: Reason.NO_RESPONSE,
}

_RETRY_AFTER: Final = re.compile(r"[0-9]{1,9}")


def parse_host(text: str) -> str:
    """Return `host` or `host:port` from a typed or pasted address.

    Raises ValueError if it is not the address of an HTTP server without encryption.
    """
    text = text.strip()
    if len(text) > _MAX_HOST_LENGTH:
        raise ValueError("not the address of a device")
    with suppress(ValueError):
        text = f"[{IPv6Address(text)}]"
    url = URL(text if "://" in text else f"http://{text}")
    host = url.host_port_subcomponent
    if url.scheme != "http" or not host or any(character.isspace() for character in host):
        raise ValueError("not the address of a device")
    return host


class RateLimiter:
    """Rate limiter for a stream that sends far more than a meter.

    One reading can write dozens of states. Thousands of readings a second would block Home Assistant and fill
    its database. A burst is not delayed, because a reader replays its stored messages.
    """

    def __init__(self, *, per_second: float, burst: int) -> None:
        """Initialize for a new stream."""
        self._interval = 1 / per_second
        self._burst = burst * self._interval
        self._items = 0
        self._due_at = -math.inf
        """Time at which the next item would be due if no burst were allowed."""

    async def wait(self) -> None:
        """Wait until the next item is due. Other tasks run after a few items."""
        now = clock.now()
        seconds = self._due_at - self._burst - now
        self._items += 1
        if seconds > 0 or self._items % _ITEMS_PER_TURN == 0:
            await asyncio.sleep(seconds)
        self._due_at = max(self._due_at, now) + self._interval


class DeviceClient:
    """HTTP client of one device. It does not follow redirects."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        host: str,
        password: str | None = None,
        auth_scheme: AuthScheme | None = None,
        *,
        can_have_password: bool = True,
    ) -> None:
        """Initialize for a device at `host` or `host:port`, without connecting.

        `auth_scheme` is the scheme that the device has used before, None if it is not known. A device that
        cannot have a password and asks for one is another device.
        """
        self.host = host
        self.stats = ConnectionStats()
        self._traffic_log = TrafficLog(self.stats, host)
        self.session = session
        # A whatwatt can fail if it receives several requests at once. An open stream does not matter.
        self._request_lock = asyncio.Lock()
        self._can_have_password = can_have_password
        self._auth = (
            DeviceAuth(password, auth_scheme) if can_have_password else DeviceAuth(None, AuthScheme.NONE)
        )

    def move_to(self, host: str, *, is_trusted: bool) -> None:
        """Send the next requests to another `host` or `host:port`.

        The password is sent unencrypted to a trusted address only.
        """
        if host != self.host:
            self.host = self._traffic_log.host = host
            self._auth.move(is_trusted=is_trusted)

    def reset_auth(self) -> None:
        """Send no credentials until the device sends a challenge."""
        self._auth.reset()

    @property
    def auth_scheme(self) -> AuthScheme | None:
        """Authentication scheme of the device; None while it is not known."""
        return self._auth.scheme

    def with_host(self, host: str) -> DeviceClient:
        """Return a client of the same device at another trusted address."""
        return DeviceClient(
            self.session,
            host,
            self._auth.password,
            self._auth.scheme,
            can_have_password=self._can_have_password,
        )

    async def get_json(self, path: str) -> dict[str, Any]:
        """Return the JSON object at a path. Raises a ReaderError."""
        with _translate_errors():
            async with (
                asyncio.timeout(_RESPONSE_TIMEOUT),
                self._request_lock,
                self._open("GET", path, "application/json") as response,
            ):
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _MAX_RESPONSE_SIZE:
                        raise ReaderProtocolError(Reason.INVALID_RESPONSE, "too large")
            await self._traffic_log.add_response(path, response.status, body.decode(errors="replace"))
        payload = parse_object(bytes(body))
        if payload is None:
            raise ReaderProtocolError(Reason.INVALID_RESPONSE, "not a JSON object")
        return payload

    async def post(self, path: str) -> None:
        """Send a request without a body. Raises a ReaderError."""
        with _translate_errors():
            async with (
                asyncio.timeout(_RESPONSE_TIMEOUT),
                self._request_lock,
                self._open("POST", path, "*/*"),
            ):
                pass

    async def events(
        self, path: str, *, idle_timeout: Callable[[], float]
    ) -> AsyncGenerator[ServerSentEvent | None]:
        """Yield the events of one stream until the device ends it. Raises a ReaderError.

        Yields None after every `idle_timeout()` seconds without an event.
        """
        decoder = EventStreamDecoder()
        limiter = RateLimiter(per_second=_EVENTS_PER_SECOND, burst=_MAX_EVENTS_AT_ONCE)
        with _translate_errors():
            async with self._open_stream(path) as (response, stream):
                received_at = clock.now()
                while (piece := await _read_piece(response, received_at + idle_timeout())) != b"":
                    now = clock.now()
                    events = decoder.feed(piece or b"")
                    if not events and (piece is None or now > received_at + idle_timeout()):
                        # Bytes that complete no event do not extend the timeout.
                        received_at = now
                        yield None
                    for event in events:
                        await limiter.wait()
                        await self._traffic_log.add_event(stream, event, now)
                        yield event
                        if len(events) > 1:
                            # Other tasks run between the events of a burst.
                            await asyncio.sleep(0)
                    if events:
                        # The delay by the rate limit does not count as idle time.
                        received_at = clock.now()
                    self.stats.oversized_events += decoder.dropped_events
                    decoder.dropped_events = 0
                    if piece is not None and len(piece) == _PIECE_SIZE:
                        # More bytes can be in the buffer, and reading those does not suspend this task.
                        await asyncio.sleep(0)

    @asynccontextmanager
    async def _open_stream(self, path: str) -> AsyncIterator[tuple[aiohttp.ClientResponse, Stream]]:
        async with self._open("GET", path, "text/event-stream") as response:
            if response.content_type != "text/event-stream":
                raise ReaderProtocolError(Reason.INVALID_RESPONSE, "not an event stream")
            with self._traffic_log.stream(path) as stream, _translate_errors(ReaderStreamEndedError):
                yield response, stream

    @asynccontextmanager
    async def _open(self, method: str, path: str, accept: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, with credentials if the device asks for them, and yield a successful response."""
        async with asyncio.timeout(_RESPONSE_TIMEOUT):
            response = await self.session.request(
                method,
                URL(f"http://{self.host}").with_path(path),
                headers={
                    hdrs.ACCEPT: accept,
                    # A device that compresses collects data before it sends. Content encodings are rejected.
                    hdrs.ACCEPT_ENCODING: "identity",
                    # Required by the whatwatt's documentation, although it is HTTP/1.1's default.
                    hdrs.CONNECTION: "keep-alive",
                },
                middlewares=(self._auth,),
                allow_redirects=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
            )
        async with response:
            expected = HTTPStatus.OK if method == "GET" else HTTPStatus.NO_CONTENT
            if response.status != expected:
                await self._traffic_log.add_response(path, response.status, "")
                raise self._status_error(response)
            if response.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
                # Decompressing a response can take seconds of processor time (RFC 9110, section 8.4).
                raise ReaderProtocolError(Reason.INVALID_RESPONSE, "content encoding")
            self._auth.on_success(response)
            yield response

    def _status_error(self, response: aiohttp.ClientResponse) -> ReaderError:
        """Return the error for a response with an unexpected status (RFC 9110, section 15)."""
        status = response.status
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            if not self._can_have_password:
                return ReaderProtocolError(Reason.NOT_A_READER, "it requires a password")
            return ReaderAuthenticationError(Reason.CREDENTIALS_REJECTED)
        if status in _TEMPORARY_STATUSES:
            # RFC 9110, section 10.2.3. A date is ignored.
            seconds = _RETRY_AFTER.fullmatch(response.headers.get(hdrs.RETRY_AFTER, ""))
            retry_after = float(seconds[0]) if seconds else 0.0
            return ReaderConnectionError(Reason.HTTP_STATUS, str(status), retry_after=retry_after)
        return ReaderProtocolError(Reason.HTTP_STATUS, str(status))


async def _read_piece(response: aiohttp.ClientResponse, deadline: float) -> bytes | None:
    """Return the next bytes of a stream; empty at its end, and None if no bytes arrive until the deadline."""
    try:
        async with asyncio.timeout_at(deadline):
            return await response.content.read(_PIECE_SIZE)
    except TimeoutError:
        return None


@contextmanager
def _translate_errors(
    disconnected: type[ReaderConnectionError] = ReaderConnectionError,
) -> Iterator[None]:
    """Raise network errors as a ReaderError, and a connection that the device closes as `disconnected`."""
    try:
        yield
    except ReaderError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionResetError) as error:
        raise disconnected(Reason.CONNECTION_CLOSED) from error
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        raise ReaderConnectionError(*_reason(error)) from error


def _reason(error: Exception) -> tuple[Reason, str]:
    """Return the reason and the detail of an error, without its own text, which can contain addresses."""
    if isinstance(error, TimeoutError):
        return Reason.NO_RESPONSE, ""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Reason.HOST_UNKNOWN, ""
    if not isinstance(error, OSError) or not error.errno:
        return Reason.CONNECTION_FAILED, type(error).__name__
    if error.errno in _REASONS:
        return _REASONS[error.errno], ""
    return Reason.CONNECTION_FAILED, os.strerror(error.errno).lower()
