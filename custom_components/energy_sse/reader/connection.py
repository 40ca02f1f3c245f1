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
from .exceptions import (
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderHungUpError,
    ReaderMismatchError,
)
from .messages import Message, ReaderInfo, Reading

_LOGGER = logging.getLogger(__name__)

# Seconds. The first reconnect is quick, for a drop is mostly a hiccup; the last ones are for a device that is
# switched off, and still find it within five minutes of its return.
_FIRST_WAIT: Final = 2.0
_LONGEST_WAIT: Final = 300.0

# In whatever way a device fails, it is never asked more often. The last attempt is kept for news of it: a
# device that moves is announced when bad luck may have used up all others.
_ATTEMPTS_PER_MINUTE: Final = 6
_ATTEMPTS_WITHOUT_NEWS: Final = 5

# Seconds. A stream that still brings readings then is worth a quick reconnect however often it drops: values
# stay fresh, and that often is no storm. A device that only takes the call does not get there.
_PROVEN_AFTER: Final = 20.0

# Streams in a row that end within so many seconds. One is a hiccup, two a restart; from the third on another
# client is taking the stream.
_SHORT_STREAMS: Final = 3
_SHORT_STREAM: Final = 60.0

# Seconds between two polls: not more often than this, for a device that lives on the meter's power shuts down
# when it is asked much, and often enough that the values stay fresh.
_SHORTEST_POLL: Final = 5.0
_LONGEST_POLL: Final = 30.0


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
        """Take what the reader says. After every connect it says first who it is."""

    def connection_lost(self, error: ReaderError) -> None:
        """Take notice that a stream ended, or that an attempt failed."""

    def contention_changed(self, *, is_contended: bool) -> None:
        """Take notice that another client takes the stream, or does so no more."""

    def reader_moved(self, host: str) -> None:
        """Take notice that the reader has proved to be at another address."""


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

        self._short_streams = 0
        self._is_contended: bool | None = None
        """None until it has shown."""

        self._known_faults: set[str] = set()

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises ReaderAuthenticationError, after which only the user can help.
        """
        try:
            while True:
                wait = await self._attempt()
                if self._is_contended:
                    await self._leave_the_stream_to_others()
                else:
                    self.state = ConnectionState.WAITING
                    await self._wait(wait)
        except ReaderAuthenticationError as error:
            self.state = ConnectionState.REFUSED
            self._health.losses[str(error)] += 1
            raise

    def seen_at(self, host: str) -> None:
        """Take notice of an announcement of the reader. Ends a wait early.

        A stream that runs goes on: a device with two interfaces announces two addresses in turn. Another
        address is tried when there is none, and kept once the reader has proved to be there.
        """
        self._elsewhere = None if host == self._home else host
        self._hurry.set()

    # ------------------------------------------------------------------------------------- an attempt

    async def _attempt(self) -> float:
        """Connect, and tell what the reader says until the stream ends. Returns how long to wait then."""
        self.state = ConnectionState.CONNECTING
        self._hurry.clear()
        self._reader.move_to(self._next_address())
        self._backoff.attempt()
        self._health.attempts += 1
        began_at, streams_before = clock.now(), self._health.streams
        try:
            await self._connect_once()
        except ReaderAuthenticationError:
            if self._reader.host == self._home:
                raise
            # Who refuses the login has not proved to be the reader, so that nothing follows from it.
            self._elsewhere = None
            error: ReaderError = ReaderConnectionError("the announced address refuses the login")
        except ReaderError as reader_error:
            error = reader_error
        except Exception as fault:
            # A fault of ours must not end the stream for good, nor fill the log.
            if repr(fault) not in self._known_faults:
                self._known_faults.add(repr(fault))
                _LOGGER.exception("Unexpected error while reading the stream")
            error = ReaderError("unexpected error")
        self._failed_at = None if self.state is ConnectionState.STREAMING else self._reader.host
        if self._failed_at == self._elsewhere and isinstance(error, ReaderMismatchError):
            self._elsewhere = None
        self._note_how_it_ended(
            error, lasted=clock.now() - began_at, had_stream=self._health.streams > streams_before
        )
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
                self._listener.message_arrived(message)
        raise ReaderHungUpError("the device ended the stream")

    def _recognize(self, info: ReaderInfo) -> None:
        if info.id != self._expected_id:
            raise ReaderMismatchError(info)
        self.state = ConnectionState.STREAMING
        self._health.connects += 1
        if self._reader.host != self._home:
            self._home, self._elsewhere = self._reader.host, None
            self._listener.reader_moved(self._home)

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

    def _note_how_it_ended(self, error: ReaderError, *, lasted: float, had_stream: bool) -> None:
        """Tell another client from a device that fails."""
        if not self._reader.serves_one_stream:
            return
        is_taken = had_stream and lasted < _SHORT_STREAM and isinstance(error, ReaderHungUpError)
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
            poll = await self._reader.poll()
        except ReaderAuthenticationError:
            raise
        except ReaderError as error:
            _LOGGER.debug("The values cannot be asked for: %s", error)
            return _LONGEST_POLL
        if poll is None:
            return _LONGEST_WAIT
        for message in poll.messages:
            self._listener.message_arrived(message)
        return min(max(poll.interval, _SHORTEST_POLL), _LONGEST_POLL)
