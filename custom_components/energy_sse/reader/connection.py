"""Staying connected to a reader: one state machine, drawn in docs/architecture.md."""

import asyncio
from collections import deque
from contextlib import aclosing
from enum import StrEnum
import logging
import random
from typing import Final, NoReturn, Protocol

from . import clock
from .base import Reader
from .discover import explain, name_of
from .exceptions import (
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderLoginWeakenedError,
    ReaderMismatchError,
    ReaderProtocolError,
    ReaderStreamEndedError,
)
from .faults import Faults
from .messages import Message, ReaderInfo, Reading

_LOGGER = logging.getLogger(__name__)

# Seconds. The first reconnect is quick, for a drop is mostly a hiccup; the last ones are for a device that is
# switched off, and still find it within five minutes of its return.
_FIRST_WAIT: Final = 2.0
_LONGEST_WAIT: Final = 300.0

# The limit, however a device fails. The last attempt of a minute is kept for an announcement: a device that
# has moved should not have to wait because the others were used up at its old address.
_ATTEMPTS_PER_MINUTE: Final = 6
_ATTEMPTS_WITHOUT_NEWS: Final = 5

# Seconds of readings that earn a quick reconnect. Values stay fresh even if the stream drops right after, and
# three attempts a minute are no storm. A device that accepts and hangs up never earns it.
_PROVEN_AFTER: Final = 20.0

# Streams in a row that end within `_SHORT_STREAM` seconds. One is a hiccup and two are a restart; the third
# means that another client is taking the stream.
_SHORT_STREAMS: Final = 3
_SHORT_STREAM: Final = 60.0

# Seconds between two polls. More often could shut down a device that is powered by the meter; more rarely
# would let values go stale.
_SHORTEST_POLL: Final = 5.0
_LONGEST_POLL: Final = 30.0

# Seconds until the next attempt after an unexpected error, which has taken the planned wait with it.
_WAIT_AFTER_A_FAULT: Final = 60.0


class ConnectionState(StrEnum):
    """Where a connection is."""

    CONNECTING = "connecting"
    """An attempt is under way; the device has not said yet who it is."""

    STREAMING = "streaming"
    WAITING = "waiting"
    """For the next attempt."""

    CONTENDED = "contended"
    """Waiting too, because another client takes the stream; values are polled where the device lets us."""

    REFUSED = "refused"
    """The device refuses the login. The end, until the user has acted."""


class ConnectionListener(Protocol):
    """Who is told about a connection."""

    def message_arrived(self, message: Message) -> None:
        """Take what the reader says. After every connect it first says who it is."""

    def connection_lost(self, error: ReaderError) -> None:
        """Hear that a stream has ended or an attempt has failed."""

    def contention_changed(self, *, is_contended: bool) -> None:
        """Hear that another client takes the stream, or no longer does."""

    def reader_moved(self, host: str) -> None:
        """Hear that the reader has proved to be at another address."""


class Backoff:
    """Decides how long to wait before the next attempt.

    Exponential with full jitter, so that a house full of clients does not come back in step.
    """

    def __init__(self) -> None:
        """Start as if nothing had failed yet."""
        self._failures = 0
        self._attempts: deque[float] = deque(maxlen=_ATTEMPTS_PER_MINUTE)

    def attempt(self) -> None:
        """Note that an attempt begins."""
        self._attempts.append(clock.now())

    def succeeded(self) -> None:
        """Note that a connection has proved itself."""
        self._failures = 0

    def next_wait(self) -> float:
        """Return the seconds to wait after one more failure."""
        # The exponent is bounded because a float's is.
        ceiling = min(_FIRST_WAIT * 2.0 ** min(self._failures, 16), _LONGEST_WAIT)
        self._failures += 1
        jittered = random.uniform(0, ceiling)  # noqa: S311 (spreads clients, protects nothing)
        return max(jittered, self.shortest_wait(_ATTEMPTS_WITHOUT_NEWS))

    def shortest_wait(self, attempts_per_minute: int = _ATTEMPTS_PER_MINUTE) -> float:
        """Return the seconds that the limit of attempts a minute asks for, whatever the hurry."""
        if len(self._attempts) < attempts_per_minute:
            return 0.0
        return max(self._attempts[-attempts_per_minute] + 60.0 - clock.now(), 0.0)


class ReaderConnection:
    """Keeps one stream of one reader up, and tells what it says and when it is lost."""

    def __init__(self, reader: Reader, expected_id: str, listener: ConnectionListener) -> None:
        """Prepare for the reader with this id. Connects to nothing yet."""
        self.state = ConnectionState.CONNECTING
        self._reader = reader
        self._health = reader.health
        self._expected_id = expected_id
        self._listener = listener
        self._backoff = Backoff()
        self._hurry = asyncio.Event()
        self._home = reader.host
        self._elsewhere: str | None = None
        """Where the reader was announced, other than where it was last found."""

        self._failed_at: str | None = None
        """Where the last attempt did not get as far as a reader that said who it is."""

        self._refusal: ReaderAuthenticationError | None = None
        """Of the known address, while the reader may be at the announced one."""

        self._short_streams = 0
        self._is_contended: bool | None = None
        """None until it has shown."""

        self._faults = Faults(_LOGGER)

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises ReaderAuthenticationError, after which only the user can help.
        """
        try:
            while True:
                with self._faults.contained("keeping the connection", but=(ReaderAuthenticationError,)):
                    await self._attempt_and_wait()
                    continue
                self.state = ConnectionState.WAITING
                await asyncio.sleep(_WAIT_AFTER_A_FAULT)
        except ReaderAuthenticationError as error:
            self.state = ConnectionState.REFUSED
            self._health.losses[str(error)] += 1
            raise

    def seen_at(self, host: str) -> None:
        """Use an announcement of the reader: end a wait early, and remember the address.

        A stream that runs goes on: a device with two interfaces announces two addresses in turn. Another
        address is tried when there is none, and kept once the reader has proved to be there.
        """
        self._elsewhere = None if host == self._home else host
        self._hurry.set()

    # ------------------------------------------------------------------------------------- an attempt

    async def _attempt_and_wait(self) -> None:
        wait = await self._attempt()
        if self._is_contended:
            await self._leave_the_stream_to_others()
        else:
            self.state = ConnectionState.WAITING
            await self._wait(wait)

    async def _attempt(self) -> float:
        """Connect, and tell what the reader says until the stream ends. Returns how long to wait then."""
        self.state = ConnectionState.CONNECTING
        self._hurry.clear()
        self._reader.move_to(self._next_address())
        self._backoff.attempt()
        self._health.attempts += 1
        began_at = clock.now()
        error = ReaderError("unexpected error")
        try:
            with self._faults.contained("reading the stream", but=(ReaderError,)):
                await self._connect_once()
        except ReaderError as reader_error:
            error = await self._explained(reader_error)
            if isinstance(error, ReaderAuthenticationError):
                error = self._refused(error)
        self._failed_at = None if self.state is ConnectionState.STREAMING else self._reader.host
        if self._refusal is not None and self._failed_at not in (None, self._home):
            raise self._refusal
        if self._failed_at == self._elsewhere and isinstance(error, ReaderMismatchError):
            self._elsewhere = None
        self._note_how_it_ended(error, lasted=clock.now() - began_at)
        self._health.losses[str(error)] += 1
        self._listener.connection_lost(error)
        wait = self._backoff.next_wait()
        if isinstance(error, ReaderConnectionError):
            wait = max(wait, min(error.retry_after, _LONGEST_WAIT))
        return wait

    async def _connect_once(self) -> NoReturn:
        introduced_at: float | None = None
        async with aclosing(self._reader.stream()) as messages:
            async for message in messages:
                if isinstance(message, ReaderInfo):
                    self._recognize(message)
                    introduced_at = clock.now()
                if introduced_at is None:
                    continue
                if isinstance(message, Reading):
                    lasted = clock.now() - introduced_at
                    if lasted >= _PROVEN_AFTER:
                        self._backoff.succeeded()
                    if lasted >= _SHORT_STREAM:
                        self._set_contended(is_contended=False)
                self._tell(message)
        raise ReaderStreamEndedError("the device ended the stream")

    def _tell(self, message: Message) -> None:
        """Pass a message on. One that its listener cannot cope with is lost, and the stream goes on."""
        # Who the device is has to be understood, or nothing of what follows can be.
        expected = (Exception,) if isinstance(message, ReaderInfo) else ()
        with self._faults.contained("taking in what the reader says", but=expected):
            self._listener.message_arrived(message)

    def _recognize(self, info: ReaderInfo) -> None:
        if info.id != self._expected_id:
            raise ReaderMismatchError(name_of(info))
        self.state = ConnectionState.STREAMING
        self._health.connects += 1
        self._refusal = None
        if self._reader.host != self._home:
            self._home, self._elsewhere = self._reader.host, None
            self._listener.reader_moved(self._home)

    def _refused(self, error: ReaderAuthenticationError) -> ReaderError:
        """Return what follows from a refused login. Raises it when only the user can help.

        Somebody else may have the address of a reader that was announced at another one. And who refuses the
        login there has not proved to be the reader, so that nothing follows from it.
        """
        if self._reader.host != self._home:
            self._elsewhere = None
            return ReaderConnectionError("the announced address refuses the login")
        if self._elsewhere is None:
            raise error
        self._refusal = error
        return ReaderConnectionError("the known address refuses the login")

    async def _explained(self, error: ReaderError) -> ReaderError:
        """Find out whether another reader answers, where that would explain what happened.

        It is asked without the password, which is an attempt like any other.
        """
        is_odd = isinstance(error, ReaderProtocolError | ReaderLoginWeakenedError)
        is_known = isinstance(error, ReaderMismatchError) or self.state is ConnectionState.STREAMING
        if is_known or not is_odd:
            return error
        if self._backoff.shortest_wait() > 0:
            # Before the user is asked about a login it has to be known whose it is.
            is_login = isinstance(error, ReaderLoginWeakenedError)
            return ReaderConnectionError("the device answers without its login") if is_login else error
        self._backoff.attempt()
        self._health.attempts += 1
        with self._faults.contained("asking who answers"):
            return await explain(error, self._reader, self._expected_id)
        return error

    def _next_address(self) -> str:
        """Return where the reader was last found, or in turn with it where it was announced since."""
        return self._elsewhere if self._elsewhere and self._failed_at == self._home else self._home

    # ----------------------------------------------------------------------------- waiting, contention

    async def _wait(self, seconds: float) -> None:
        """Wait, but not when something says that the device is there."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._backoff.shortest_wait())

    def _note_how_it_ended(self, error: ReaderError, *, lasted: float) -> None:
        """Tell another client from a device that fails."""
        if not self._reader.serves_one_stream:
            return
        is_taken = lasted < _SHORT_STREAM and isinstance(error, ReaderStreamEndedError)
        self._short_streams = self._short_streams + 1 if is_taken else 0
        if self._short_streams >= _SHORT_STREAMS:
            self._set_contended(is_contended=True)
        elif not is_taken:
            # Whatever it is now, it is something else.
            self._set_contended(is_contended=False)

    def _set_contended(self, *, is_contended: bool) -> None:
        if self._is_contended != is_contended:
            self._is_contended = is_contended
            self._listener.contention_changed(is_contended=is_contended)

    async def _leave_the_stream_to_others(self) -> None:
        """Keep away for as long as a wait may last, and ask for the values where that is allowed."""
        self.state = ConnectionState.CONTENDED
        until = clock.now() + _LONGEST_WAIT
        self._hurry.clear()
        while (remaining := until - clock.now()) > 0 and not self._hurry.is_set():
            await self._wait(min(await self._poll(), remaining))

    async def _poll(self) -> float:
        """Ask for the values once. Returns the seconds until the next time."""
        try:
            with self._faults.contained("asking for the values", but=(ReaderError,)):
                poll = await self._reader.poll()
                if poll is None:
                    return _LONGEST_WAIT
                for message in poll.messages:
                    self._tell(message)
                return min(max(poll.interval, _SHORTEST_POLL), _LONGEST_POLL)
        except ReaderAuthenticationError:
            raise
        except ReaderError as error:
            _LOGGER.debug("The values cannot be asked for: %s", error)
        return _LONGEST_POLL
