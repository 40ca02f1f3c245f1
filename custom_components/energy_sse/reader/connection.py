"""Connection to a reader: a state machine, which docs/architecture.md shows."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
import logging
import math
import random
from typing import Final, Protocol

from . import clock
from .addresses import Addresses
from .base import Reader, diagnose_mismatch, get_full_name
from .client import RateLimiter
from .models import (
    AuthScheme,
    Message,
    ReaderAuthDowngradeError,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderInfo,
    ReaderMismatchError,
    ReaderProtocolError,
    ReaderStreamEndedError,
    Reading,
    Reason,
)
from .redaction import EXCEPTION_FILTER

LOGGER: Final = logging.getLogger(__package__)
LOGGER.addFilter(EXCEPTION_FILTER)

# Seconds. The first wait is short, because most dropped connections can be opened again. The longest wait is
# for a device that is switched off, which is found within five minutes after it is switched on.
_MIN_WAIT: Final = 2.0
_MAX_WAIT: Final = 300.0

# Limit for all kinds of failures. The last attempt of a minute is reserved for an announcement. So
# failed attempts at the old address do not delay the first attempt at the new address.
_MAX_ATTEMPTS_PER_MINUTE: Final = 6
_SCHEDULED_ATTEMPTS_PER_MINUTE: Final = 5

# Seconds after which a stream with readings is proven: the next wait is short, and the end of the stream is
# not attributed to another client. Values stay available even if the stream drops soon after this time. Three
# attempts per minute are no burden for the device. A device that closes each connection is never proven.
_PROVEN_AFTER: Final = 20.0

# Number of consecutive streams that the device ends before they are proven. One can be a dropped connection,
# and two a restart. After the third one, another client is assumed to take the stream.
_MAX_SHORT_STREAMS: Final = 3

# Seconds. A device identifies itself with its first events.
_IDENTIFY_TIMEOUT: Final = 15.0

# Number of rounds without a connection before the owner is asked to send the password unencrypted to an
# announced address. A reader that restarts is online again by then.
_ROUNDS_BEFORE_BASIC_AUTH_REQUEST: Final = 2

# Messages. One event can contain thousands of sub-meters or appliances.
_MESSAGES_PER_SECOND: Final = 50.0
_MAX_MESSAGES_AT_ONCE: Final = 1000

# Seconds between two polls. Shorter intervals could shut down a device that is powered by the meter. With
# longer ones, values would expire.
_MIN_POLL_INTERVAL: Final = 5.0
_MAX_POLL_INTERVAL: Final = 30.0

# Seconds until the next attempt after an unexpected error.
_WAIT_AFTER_ERROR: Final = 60.0


class ConnectionState(StrEnum):
    """State of a connection."""

    CONNECTING = "connecting"
    """An attempt is running. The device has not identified itself."""

    STREAMING = "streaming"
    WAITING = "waiting"
    """The next attempt is scheduled."""

    CONTENDED = "contended"
    """The next attempt is scheduled, because another client takes the stream. Values are polled meanwhile."""

    AUTH_FAILED = "auth_failed"
    """The device rejects the credentials. There are no more attempts until the user acts."""


class ConnectionListener(Protocol):
    """Listener of a connection."""

    def handle_message(self, message: Message) -> None:
        """Process a message. The first message of each stream is a ReaderInfo."""

    def handle_disconnect(self, error: ReaderError) -> None:
        """Handle the end of a stream, or attempts that have failed at all addresses."""

    def handle_contention(self, *, is_contended: bool) -> None:
        """Handle the start or the end of a contention with another client."""

    def handle_move(self, host: str) -> None:
        """Handle a reader that has identified itself at another address."""

    def handle_basic_auth_request(self, host: str) -> None:
        """Handle a reader with HTTP Basic that was found at an announced address only.

        The password is not sent there until the owner agrees.
        """


class Backoff:
    """Wait before the next attempt.

    It grows exponentially with full jitter, so that several clients do not connect at the same time.
    """

    def __init__(self) -> None:
        """Start without failures."""
        self._failures = 0
        self._attempts: deque[float] = deque(maxlen=_MAX_ATTEMPTS_PER_MINUTE)

    def record_attempt(self) -> None:
        """Count an attempt that begins."""
        self._attempts.append(clock.now())

    def reset(self) -> None:
        """Reset the number of failures after a stream was proven."""
        self._failures = 0

    def next_wait(self) -> float:
        """Return the seconds to wait after one more failure."""
        # The exponent is bounded to avoid an overflow of the float.
        ceiling = min(_MIN_WAIT * 2.0 ** min(self._failures, 16), _MAX_WAIT)
        self._failures += 1
        jittered = random.uniform(0, ceiling)  # noqa: S311 (spreads clients, protects nothing)
        return max(jittered, self.min_wait(_SCHEDULED_ATTEMPTS_PER_MINUTE))

    def min_wait(self, attempts_per_minute: int = _MAX_ATTEMPTS_PER_MINUTE) -> float:
        """Return the seconds to wait because of the limit of attempts per minute."""
        if len(self._attempts) < attempts_per_minute:
            return 0.0
        return max(self._attempts[-attempts_per_minute] + 60.0 - clock.now(), 0.0)


@dataclass(slots=True)
class _Search:
    """Search for the reader at its addresses, since the last connection."""

    rounds: int = 0
    """Number of times that all addresses have failed."""

    current_error: ReaderError | None = None
    """Error of the current address in this round."""

    basic_host: str | None = None
    """Announced address that asks for HTTP Basic."""


@dataclass(slots=True)
class _StreamProgress:
    """Progress of one stream towards being proven."""

    proven_from: float = math.inf
    """Time from which a stream with readings is proven; infinite until the device has identified itself."""

    has_readings: bool = False
    is_proven: bool = False


class ReaderConnection:
    """Connection to one reader, whose stream is opened again after each failure."""

    def __init__(
        self,
        reader: Reader,
        expected_id: str,
        listener: ConnectionListener,
        *,
        entered_host: str | None = None,
    ) -> None:
        """Initialize for the reader with an id, without connecting.

        `entered_host` is the address that the owner entered, or None. It is preferred to all other addresses.
        """
        self.state = ConnectionState.CONNECTING
        self._reader = reader
        self._expected_id = expected_id
        self._listener = listener
        self._backoff = Backoff()
        self._retry_now = asyncio.Event()
        self._addresses = Addresses(reader.host, entered_host)
        self._search = _Search()
        self._stream = _StreamProgress()
        self._short_streams = 0
        """Number of consecutive streams that the device has ended before they were proven."""

    async def run(self) -> None:
        """Keep the connection until the task is cancelled.

        Raises ReaderAuthenticationError if the device rejects the credentials, which only the user can solve.
        """
        while True:
            try:
                wait = await self._attempt()
                if self._is_contended:
                    await self._poll_while_contended()
                else:
                    self.state = ConnectionState.WAITING
                    await self._wait(wait)
            except ReaderAuthenticationError as error:
                self.state = ConnectionState.AUTH_FAILED
                self._reader.stats.failures[str(error)] += 1
                raise
            except Exception:
                LOGGER.exception("Unexpected error while keeping the connection")
                self.state = ConnectionState.WAITING
                await asyncio.sleep(_WAIT_AFTER_ERROR)

    def handle_announcement(self, *hosts: str) -> None:
        """Add the addresses of an announcement of the reader, and end a wait early.

        A running stream is kept, because a device with two interfaces announces two addresses in turn. Other
        addresses are tried when there is no stream.
        """
        self._addresses.announce(hosts)
        self._retry_now.set()

    # ------------------------------------------------------------------------------------- an attempt

    async def _attempt(self) -> float:
        """Connect, and dispatch messages until the stream ends. Return the seconds until the next attempt.

        Raises ReaderAuthenticationError.
        """
        self.state = ConnectionState.CONNECTING
        self._stream = _StreamProgress()
        self._retry_now.clear()
        host = self._addresses.next()
        self._reader.move_to(host, is_trusted=self._addresses.is_trusted(host))
        self._record_attempt()
        error = await self._read_until_error()
        self._update_contention(error)
        if self._is_contended:
            error = ReaderStreamEndedError(Reason.STREAM_CONTENDED)
        is_lost = self.state is ConnectionState.STREAMING
        if not is_lost or isinstance(error, ReaderAuthenticationError):
            error = self._handle_failed_address(host, error)
        elif not self._stream.is_proven:
            # The device identifies itself at this address, but its stream at another address may be more
            # stable.
            self._addresses.fail(host)
        self._reader.stats.failures[str(error)] += 1
        if self._addresses.has_untried and not is_lost:
            return self._backoff.min_wait(_SCHEDULED_ATTEMPTS_PER_MINUTE)
        self._listener.handle_disconnect(error)
        wait = self._backoff.next_wait()
        if isinstance(error, ReaderConnectionError):
            wait = max(wait, min(error.retry_after, _MAX_WAIT))
        return wait

    def _record_attempt(self) -> None:
        self._backoff.record_attempt()
        self._reader.stats.attempts += 1

    async def _read_until_error(self) -> ReaderError:
        """Read one stream until it ends. Return the reason."""
        try:
            await self._read_stream()
        except ReaderError as error:
            return await self._diagnose(error)
        except Exception:
            LOGGER.exception("Unexpected error while reading the stream")
            return ReaderError(Reason.UNEXPECTED_ERROR)
        return ReaderStreamEndedError(Reason.STREAM_ENDED)

    async def _read_stream(self) -> None:
        """Process the messages of one stream. Raises a ReaderError."""
        limiter = RateLimiter(per_second=_MESSAGES_PER_SECOND, burst=_MAX_MESSAGES_AT_ONCE)
        try:
            async with (
                asyncio.timeout(None) as deadline,
                self._watch_entered_address(deadline),
                aclosing(self._reader.stream()) as messages,
            ):
                async for message in messages:
                    await limiter.wait()
                    self._process_message(message, deadline)
        except TimeoutError as error:
            if self.state is ConnectionState.STREAMING:
                detail = "the reader responds at the entered address again"
                raise ReaderConnectionError(Reason.STREAM_ENDED, detail) from error
            raise ReaderConnectionError(Reason.NOT_IDENTIFIED) from error

    def _process_message(self, message: Message, deadline: asyncio.Timeout) -> None:
        """Dispatch a message of a device that has identified itself. Raises ReaderMismatchError."""
        is_identified = self.state is ConnectionState.STREAMING
        if isinstance(message, ReaderInfo):
            self._verify_identity(message)
            if not is_identified:
                deadline.reschedule(None)
        elif not is_identified:
            if deadline.when() is None:
                deadline.reschedule(clock.now() + _IDENTIFY_TIMEOUT)
            return
        elif isinstance(message, Reading):
            self._stream.has_readings = True
        self._update_proven()
        self._dispatch(message)

    def _verify_identity(self, info: ReaderInfo) -> None:
        if info.id != self._expected_id:
            raise ReaderMismatchError(get_full_name(info))
        if self.state is ConnectionState.STREAMING:
            return
        self.state = ConnectionState.STREAMING
        self._reader.stats.connects += 1
        self._search = _Search()
        self._stream.proven_from = clock.now() + _PROVEN_AFTER
        if self._addresses.succeed(self._reader.host):
            self._listener.handle_move(self._reader.host)

    def _dispatch(self, message: Message) -> None:
        """Pass a message to the listener. If the listener raises an error, only this message is lost."""
        try:
            self._listener.handle_message(message)
        except Exception:
            if isinstance(message, ReaderInfo):
                # The messages that follow cannot be processed without the identity.
                raise
            LOGGER.exception("Unexpected error while processing a message")

    def _handle_failed_address(self, host: str, error: ReaderError) -> ReaderError:
        """Return the error of an address; at the end of a round, the error of the current address.

        Raises ReaderAuthenticationError at the end of a round if the current address rejects the credentials.
        """
        search = self._search
        self._addresses.fail(host)
        if host == self._addresses.current:
            search.current_error = error
        else:
            error = self._other_address_error(host, error)
        if self._addresses.has_untried:
            return error
        search.rounds += 1
        error, search.current_error = search.current_error or error, None
        if isinstance(error, ReaderAuthenticationError):
            raise error
        if search.basic_host is not None and search.rounds >= _ROUNDS_BEFORE_BASIC_AUTH_REQUEST:
            self._listener.handle_basic_auth_request(search.basic_host)
        return error

    def _other_address_error(self, host: str, error: ReaderError) -> ReaderError:
        """Return the error of an address that is not the current one. Remove the address of another device.

        A device that rejects the credentials there may not be the reader, so the user is not asked.
        """
        is_basic = isinstance(error, ReaderAuthDowngradeError) and error.scheme is AuthScheme.BASIC
        if is_basic and self._reader.auth_scheme is AuthScheme.BASIC:
            self._search.basic_host = host
            return ReaderConnectionError(Reason.WEAKER_AUTHENTICATION, "at an announced address")
        if not isinstance(error, ReaderAuthenticationError | ReaderMismatchError):
            return error
        self._addresses.remove(host)
        return ReaderConnectionError(Reason.ANOTHER_DEVICE, "at another address")

    async def _diagnose(self, error: ReaderError) -> ReaderError:
        """Return a more precise error if another reader responds at the address, or the same error.

        The device is asked without the password. This counts as an attempt.
        """
        is_unexpected = isinstance(error, ReaderProtocolError | ReaderAuthDowngradeError)
        is_known = isinstance(error, ReaderMismatchError) or self.state is ConnectionState.STREAMING
        if is_known or not is_unexpected:
            return error
        if self._backoff.min_wait(_SCHEDULED_ATTEMPTS_PER_MINUTE) > 0:
            if isinstance(error, ReaderAuthDowngradeError):
                # The user must not be asked for credentials before the device is identified.
                return ReaderConnectionError(Reason.WEAKER_AUTHENTICATION)
            return error
        self._record_attempt()
        try:
            return await diagnose_mismatch(error, self._reader, self._expected_id)
        except Exception:
            LOGGER.exception("Unexpected error while identifying the device")
            return error

    # ---------------------------------------------------------------------------- the entered address

    @asynccontextmanager
    async def _watch_entered_address(self, deadline: asyncio.Timeout) -> AsyncIterator[None]:
        """End the stream from another address when the reader responds at the entered address again.

        A proxy at that address would otherwise never get the stream of a reader that serves only one.
        """
        entered = self._addresses.entered
        if entered in (None, self._reader.host):
            yield
            return
        watch = asyncio.create_task(self._wait_for_entered_address(entered, deadline))
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.wait([watch])

    async def _wait_for_entered_address(self, host: str, deadline: asyncio.Timeout) -> None:
        is_back = False
        while not is_back:
            await asyncio.sleep(_MAX_WAIT)
            is_back = await self._is_reader_at(host)
        self._addresses.prefer_entered()
        deadline.reschedule(clock.now())

    async def _is_reader_at(self, host: str) -> bool:
        self._record_attempt()
        try:
            info = await self._reader.with_host(host).identify()
        except ReaderError:
            return False
        except Exception:
            LOGGER.exception("Unexpected error while checking the entered address")
            return False
        return info.id == self._expected_id

    # ----------------------------------------------------------------------------- waiting, contention

    async def _wait(self, seconds: float) -> None:
        """Wait for a number of seconds, or until an announcement."""
        try:
            async with asyncio.timeout(seconds):
                await self._retry_now.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._backoff.min_wait())

    def _update_proven(self) -> None:
        """Mark the stream as proven if it has lasted for long enough, and readings have arrived.

        A stream that lasts ends a contention, also while the meter sends no data.
        """
        stream = self._stream
        if stream.is_proven or clock.now() < stream.proven_from:
            return
        self._set_short_streams(0)
        if stream.has_readings:
            stream.is_proven = True
            self._backoff.reset()

    def _update_contention(self, error: ReaderError) -> None:
        """Count a stream that the device has ended early. Any other failure ends a contention."""
        is_ended = isinstance(error, ReaderStreamEndedError)
        if is_ended:
            # The last reading of a meter that sends rarely can have arrived before the stream was proven.
            self._update_proven()
        if self._reader.serves_one_stream:
            is_short = is_ended and clock.now() < self._stream.proven_from
            self._set_short_streams(self._short_streams + 1 if is_short else 0)

    @property
    def _is_contended(self) -> bool:
        return self._short_streams >= _MAX_SHORT_STREAMS

    def _set_short_streams(self, number: int) -> None:
        was_contended = self._is_contended
        self._short_streams = number
        if self._is_contended != was_contended:
            self._listener.handle_contention(is_contended=self._is_contended)

    async def _poll_while_contended(self) -> None:
        """Poll the values until the next attempt."""
        self.state = ConnectionState.CONTENDED
        until = clock.now() + _MAX_WAIT
        self._retry_now.clear()
        while (remaining := until - clock.now()) > 0 and not self._retry_now.is_set():
            await self._wait(min(await self._poll(), remaining))

    async def _poll(self) -> float:
        """Request the values once. Return the seconds until the next poll.

        Raises ReaderAuthenticationError.
        """
        try:
            poll = await self._reader.poll()
        except ReaderAuthenticationError:
            raise
        except ReaderError as error:
            LOGGER.debug("The values cannot be polled: %s", error)
            return _MAX_POLL_INTERVAL
        except Exception:
            LOGGER.exception("Unexpected error while polling the values")
            return _MAX_POLL_INTERVAL
        if poll is None:
            return _MAX_WAIT
        self._dispatch(poll.message)
        return min(max(poll.interval, _MIN_POLL_INTERVAL), _MAX_POLL_INTERVAL)
