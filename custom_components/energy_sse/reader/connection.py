"""Staying connected to a reader: one state machine, drawn in docs/architecture.md."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from enum import StrEnum
import logging
import math
import random
from typing import Final, NoReturn, Protocol

from . import clock
from .addresses import Addresses
from .auth import AuthScheme
from .base import Reader
from .client import RateLimiter
from .errors import ErrorGuard
from .exceptions import (
    ReaderAuthDowngradeError,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderMismatchError,
    ReaderProtocolError,
    ReaderStreamEndedError,
)
from .identify import diagnose_mismatch, get_full_name
from .models import Message, ReaderInfo, Reading

_LOGGER = logging.getLogger(__name__)

# Seconds. The first reconnect is quick, for a drop is mostly a hiccup; the last ones are for a device that is
# switched off, and still find it within five minutes of its return.
_MIN_WAIT: Final = 2.0
_MAX_WAIT: Final = 300.0

# The limit, however a device fails. The last attempt of a minute is kept for an announcement: a device that
# has moved should not have to wait because the others were used up at its old address.
_MAX_ATTEMPTS_PER_MINUTE: Final = 6
_SCHEDULED_ATTEMPTS_PER_MINUTE: Final = 5

# Seconds after which a stream with readings is proven: the next wait is short, and its end is not another
# client's doing. Values stay fresh even if the stream drops right after, and three attempts in a minute do
# not load the device. A device that accepts connections and closes them is never proven.
_PROVEN_AFTER: Final = 20.0

# Number of streams in a row that the device ends before they are proven. One can be a dropped connection, and
# two a restart. The third means that another client takes the stream.
_MAX_SHORT_STREAMS: Final = 3

# Seconds. A device identifies itself with its first events.
_IDENTIFY_TIMEOUT: Final = 15.0

# Number of rounds without a connection before the owner is asked to send the password unencrypted to an
# announced address. A reader that only restarts is back by then.
_ROUNDS_BEFORE_QUESTION: Final = 2

# Messages. One event can hold thousands of sub-meters or appliances.
_MESSAGES_PER_SECOND: Final = 50.0
_MAX_MESSAGES_AT_ONCE: Final = 1000

# Messages. More than one event of a real reader holds, so that other tasks do not see a part of it.
_MESSAGES_PER_TURN: Final = 8

# Seconds between two polls. More often could shut down a device that is powered by the meter; more rarely
# would let values go stale.
_MIN_POLL_INTERVAL: Final = 5.0
_MAX_POLL_INTERVAL: Final = 30.0

# Seconds until the next attempt after an unexpected error, which has taken the planned wait with it.
_ERROR_WAIT: Final = 60.0


class ConnectionState(StrEnum):
    """Where a connection is."""

    CONNECTING = "connecting"
    """An attempt is under way; the device has not said yet who it is."""

    STREAMING = "streaming"
    WAITING = "waiting"
    """For the next attempt."""

    CONTENDED = "contended"
    """Waiting too, because another client takes the stream; values are polled where the device lets us."""

    AUTH_FAILED = "auth_failed"
    """The device refuses the login. The end, until the user has acted."""


class ConnectionListener(Protocol):
    """Who is told about a connection."""

    def handle_message(self, message: Message) -> None:
        """Take what the reader says. After every connect it first says who it is."""

    def handle_disconnect(self, error: ReaderError) -> None:
        """Hear that a stream has ended or an attempt has failed."""

    def handle_contention(self, *, is_contended: bool) -> None:
        """Hear that another client takes the stream, or no longer does."""

    def handle_move(self, host: str) -> None:
        """Handle a reader that has identified itself at another address."""

    def handle_basic_request(self, host: str) -> None:
        """Handle a reader with HTTP Basic that was found at an announced address only.

        The password is not sent there until the owner agrees.
        """


class Backoff:
    """Decides how long to wait before the next attempt.

    Exponential with full jitter, so that a house full of clients does not come back in step.
    """

    def __init__(self) -> None:
        """Start as if nothing had failed yet."""
        self._failures = 0
        self._attempts: deque[float] = deque(maxlen=_MAX_ATTEMPTS_PER_MINUTE)

    def record_attempt(self) -> None:
        """Note that an attempt begins."""
        self._attempts.append(clock.now())

    def reset(self) -> None:
        """Note that a connection has proved itself."""
        self._failures = 0

    def next_wait(self) -> float:
        """Return the seconds to wait after one more failure."""
        # The exponent is bounded because a float's is.
        ceiling = min(_MIN_WAIT * 2.0 ** min(self._failures, 16), _MAX_WAIT)
        self._failures += 1
        jittered = random.uniform(0, ceiling)  # noqa: S311 (spreads clients, protects nothing)
        return max(jittered, self.min_wait(_SCHEDULED_ATTEMPTS_PER_MINUTE))

    def min_wait(self, attempts_per_minute: int = _MAX_ATTEMPTS_PER_MINUTE) -> float:
        """Return the seconds that the limit of attempts a minute asks for, whatever the hurry."""
        if len(self._attempts) < attempts_per_minute:
            return 0.0
        return max(self._attempts[-attempts_per_minute] + 60.0 - clock.now(), 0.0)


class ReaderConnection:
    """Keeps one stream of one reader up, and tells what it says and when it is lost."""

    def __init__(
        self,
        reader: Reader,
        expected_id: str,
        listener: ConnectionListener,
        *,
        entered_host: str | None = None,
    ) -> None:
        """Prepare for the reader with this id. Connects to nothing yet.

        `entered_host` is the address that the owner entered, if there is one. It is preferred to all others.
        """
        self.state = ConnectionState.CONNECTING
        self._reader = reader
        self._stats = reader.stats
        self._expected_id = expected_id
        self._listener = listener
        self._backoff = Backoff()
        self._retry_now = asyncio.Event()
        self._addresses = Addresses(reader.host, entered_host)
        self._current_error: ReaderError | None = None
        """Error of the current address, while other addresses are tried."""

        self._basic_host: str | None = None
        """Announced address that asks for the password by HTTP Basic."""

        self._rounds = 0
        """Number of times that all addresses have failed since the last connection."""

        self._identified_at = math.inf
        """Time at which the device of this stream has identified itself."""

        self._has_readings = False
        self._is_proven = False
        """True after readings of this stream have arrived for `_PROVEN_AFTER` seconds."""

        self._short_streams = 0
        self._is_contended: bool | None = None
        """None until it has shown."""

        self._errors = ErrorGuard(_LOGGER)

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises ReaderAuthenticationError, after which only the user can help.
        """
        try:
            while True:
                with self._errors.guard("keeping the connection", reraise=(ReaderAuthenticationError,)):
                    await self._attempt_and_wait()
                    continue
                self.state = ConnectionState.WAITING
                await asyncio.sleep(_ERROR_WAIT)
        except ReaderAuthenticationError as error:
            self.state = ConnectionState.AUTH_FAILED
            self._stats.failures[str(error)] += 1
            raise

    def handle_announcement(self, *hosts: str) -> None:
        """Use an announcement of the reader: end a wait early, and add the addresses.

        A running stream is not touched, because a device with two interfaces announces two addresses in turn.
        Other addresses are tried when there is no stream.
        """
        self._addresses.announce(hosts)
        self._retry_now.set()

    # ------------------------------------------------------------------------------------- an attempt

    async def _attempt_and_wait(self) -> None:
        wait = await self._attempt()
        if self._is_contended:
            await self._poll_while_contended()
        else:
            self.state = ConnectionState.WAITING
            await self._wait(wait)

    async def _attempt(self) -> float:
        """Connect, and pass messages on until the stream ends. Return the seconds to wait then."""
        self.state = ConnectionState.CONNECTING
        self._identified_at = math.inf
        self._has_readings = self._is_proven = False
        self._retry_now.clear()
        host = self._addresses.next()
        self._reader.move_to(host, is_trusted=self._addresses.is_trusted(host))
        self._backoff.record_attempt()
        self._stats.attempts += 1
        error = ReaderError("unexpected error")
        try:
            with self._errors.guard("reading the stream", reraise=(ReaderError,)):
                await self._connect_once()
        except ReaderError as reader_error:
            error = await self._diagnose(reader_error)
        self._update_contention(error)
        is_lost = self.state is ConnectionState.STREAMING
        if not is_lost or isinstance(error, ReaderAuthenticationError):
            error = self._handle_failed_address(host, error)
        elif not self._is_proven:
            # The device identifies itself there, but another address may have a stream that lasts.
            self._addresses.fail(host)
        self._stats.failures[str(error)] += 1
        if self._addresses.has_untried:
            if is_lost:
                self._listener.handle_disconnect(error)
                return self._backoff.next_wait()
            return self._backoff.min_wait(_SCHEDULED_ATTEMPTS_PER_MINUTE)
        self._listener.handle_disconnect(error)
        wait = self._backoff.next_wait()
        if isinstance(error, ReaderConnectionError):
            wait = max(wait, min(error.retry_after, _MAX_WAIT))
        return wait

    async def _connect_once(self) -> NoReturn:
        """Read one stream until it ends. Raises a ReaderError."""
        reason = "the device does not identify itself"
        try:
            async with asyncio.timeout(None) as deadline:
                await self._read_stream(deadline)
        except TimeoutError as error:
            if self.state is ConnectionState.STREAMING:
                reason = "the reader answers at the entered address again"
            raise ReaderConnectionError(reason) from error
        raise ReaderStreamEndedError("the device ended the stream")

    async def _read_stream(self, deadline: asyncio.Timeout) -> None:
        limiter = RateLimiter(
            per_second=_MESSAGES_PER_SECOND,
            burst=_MAX_MESSAGES_AT_ONCE,
            items_per_turn=_MESSAGES_PER_TURN,
        )
        async with self._watching_entered_address(deadline), aclosing(self._reader.stream()) as messages:
            async for message in messages:
                await limiter.wait()
                if isinstance(message, ReaderInfo):
                    self._verify_identity(message)
                    if self._identified_at == math.inf:
                        self._identified_at = clock.now()
                        deadline.reschedule(None)
                elif self._identified_at == math.inf:
                    if deadline.when() is None:
                        deadline.reschedule(clock.now() + _IDENTIFY_TIMEOUT)
                    continue
                elif isinstance(message, Reading):
                    self._has_readings = True
                    if clock.now() >= self._identified_at + _PROVEN_AFTER:
                        self._prove()
                self._dispatch(message)

    def _prove(self) -> None:
        """Note that readings have arrived for long enough."""
        self._is_proven = True
        self._backoff.reset()
        self._set_contended(is_contended=False)

    def _dispatch(self, message: Message) -> None:
        """Pass a message on. One that its listener cannot cope with is lost, and the stream goes on."""
        # Who the device is has to be understood, or nothing of what follows can be.
        expected = (Exception,) if isinstance(message, ReaderInfo) else ()
        with self._errors.guard("taking in what the reader says", reraise=expected):
            self._listener.handle_message(message)

    def _verify_identity(self, info: ReaderInfo) -> None:
        if info.id != self._expected_id:
            raise ReaderMismatchError(get_full_name(info))
        self.state = ConnectionState.STREAMING
        self._stats.connects += 1
        self._current_error = self._basic_host = None
        self._rounds = 0
        if self._addresses.succeed(self._reader.host):
            self._listener.handle_move(self._reader.host)

    def _handle_failed_address(self, host: str, error: ReaderError) -> ReaderError:
        """Return the error of an address; at the end of a round, the error of the current address.

        Raises ReaderAuthenticationError at the end of a round if the current address rejects the credentials.
        """
        self._addresses.fail(host)
        if host == self._addresses.current:
            self._current_error = error
        else:
            error = self._other_address_error(host, error)
        if self._addresses.has_untried:
            return error
        self._rounds += 1
        error, self._current_error = self._current_error or error, None
        if isinstance(error, ReaderAuthenticationError):
            raise error
        if self._basic_host is not None and self._rounds >= _ROUNDS_BEFORE_QUESTION:
            self._listener.handle_basic_request(self._basic_host)
        return error

    def _other_address_error(self, host: str, error: ReaderError) -> ReaderError:
        """Return the error of an address that is not the current one, and remove it if it was announced.

        A device that rejects the credentials there is not proven to be the reader, so the user is not asked.
        """
        is_basic = isinstance(error, ReaderAuthDowngradeError) and error.scheme is AuthScheme.BASIC
        if is_basic and self._reader.auth_scheme is AuthScheme.BASIC:
            self._basic_host = host
            return ReaderConnectionError("the announced address asks for HTTP Basic")
        if not isinstance(error, ReaderAuthenticationError | ReaderMismatchError):
            return error
        self._addresses.remove(host)
        return ReaderConnectionError("another device answers at another address")

    @asynccontextmanager
    async def _watching_entered_address(self, deadline: asyncio.Timeout) -> AsyncIterator[None]:
        """End the stream from another address when the reader answers at the entered address again.

        A proxy at that address would otherwise never get the stream of a reader that serves only one.
        """
        entered = self._addresses.entered
        if entered in (None, self._reader.host):
            yield
            return
        watch = asyncio.create_task(self._watch(entered, deadline))
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.wait([watch])

    async def _watch(self, host: str, deadline: asyncio.Timeout) -> None:
        is_back = False
        while not is_back:
            await asyncio.sleep(_MAX_WAIT)
            with self._errors.guard("checking the entered address"):
                is_back = await self._is_reader_at(host)
        self._addresses.prefer_entered()
        deadline.reschedule(clock.now())

    async def _is_reader_at(self, host: str) -> bool:
        self._backoff.record_attempt()
        self._stats.attempts += 1
        with suppress(ReaderError):
            info = await self._reader.with_host(host).identify()
            return info.id == self._expected_id
        return False

    async def _diagnose(self, error: ReaderError) -> ReaderError:
        """Find out whether another reader answers, where that would explain what happened.

        It is asked without the password, which is an attempt like any other.
        """
        is_odd = isinstance(error, ReaderProtocolError | ReaderAuthDowngradeError)
        is_known = isinstance(error, ReaderMismatchError) or self.state is ConnectionState.STREAMING
        if is_known or not is_odd:
            return error
        if self._backoff.min_wait() > 0:
            # Before the user is asked about a login it has to be known whose it is.
            is_login = isinstance(error, ReaderAuthDowngradeError)
            return ReaderConnectionError("the device answers without its login") if is_login else error
        self._backoff.record_attempt()
        self._stats.attempts += 1
        with self._errors.guard("asking who answers"):
            return await diagnose_mismatch(error, self._reader, self._expected_id)
        return error

    # ----------------------------------------------------------------------------- waiting, contention

    async def _wait(self, seconds: float) -> None:
        """Wait, but not when something says that the device is there."""
        try:
            async with asyncio.timeout(seconds):
                await self._retry_now.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._backoff.min_wait())

    def _update_contention(self, error: ReaderError) -> None:
        """Tell another client from a device that fails."""
        is_ended = isinstance(error, ReaderStreamEndedError)
        if is_ended and self._has_readings and clock.now() >= self._identified_at + _PROVEN_AFTER:
            # A meter that sends rarely: the stream lasted, whenever the last reading arrived.
            self._prove()
        if not self._reader.serves_one_stream:
            return
        is_taken = is_ended and not self._is_proven
        self._short_streams = self._short_streams + 1 if is_taken else 0
        if self._short_streams >= _MAX_SHORT_STREAMS:
            self._set_contended(is_contended=True)
        elif not is_taken:
            # Whatever it is now, it is something else.
            self._set_contended(is_contended=False)

    def _set_contended(self, *, is_contended: bool) -> None:
        if self._is_contended != is_contended:
            self._is_contended = is_contended
            self._listener.handle_contention(is_contended=is_contended)

    async def _poll_while_contended(self) -> None:
        """Keep away for as long as a wait may last, and ask for the values where that is allowed."""
        self.state = ConnectionState.CONTENDED
        until = clock.now() + _MAX_WAIT
        self._retry_now.clear()
        while (remaining := until - clock.now()) > 0 and not self._retry_now.is_set():
            await self._wait(min(await self._poll(), remaining))

    async def _poll(self) -> float:
        """Ask for the values once. Returns the seconds until the next time."""
        try:
            with self._errors.guard("asking for the values", reraise=(ReaderError,)):
                poll = await self._reader.poll()
                if poll is None:
                    return _MAX_WAIT
                for message in poll.messages:
                    self._dispatch(message)
                return min(max(poll.interval, _MIN_POLL_INTERVAL), _MAX_POLL_INTERVAL)
        except ReaderAuthenticationError:
            raise
        except ReaderError as error:
            _LOGGER.debug("The values cannot be asked for: %s", error)
        return _MAX_POLL_INTERVAL
