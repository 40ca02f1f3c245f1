"""Staying connected to a reader."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
import logging
import random
import time
from typing import Final

from .base import Reader
from .exceptions import ReaderAuthenticationError, ReaderConnectionError, ReaderError, ReaderProtocolError
from .messages import Message, ReaderInfo, Reading

_LOGGER = logging.getLogger(__name__)

# Seconds. The first reconnect is quick, for a drop is mostly a hiccup; the last ones are for a device that is
# switched off, and still find it within five minutes of its return.
_FIRST_WAIT: Final = 2.0
_LONGEST_WAIT: Final = 300.0

# In whatever way a device fails, it is never asked more often.
_ATTEMPTS_PER_MINUTE: Final = 6

# Seconds of readings that prove a connection. Anything shorter may be a device that only takes the call, or
# another client that fights for the stream.
_STEADY_AFTER: Final = 60.0


class Backoff:
    """Decides how long to wait before the next attempt.

    Exponential with full jitter, so that a house full of clients does not come back in step.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start as if nothing had failed yet."""
        self._clock = clock
        self._failures = 0
        self._attempts: deque[float] = deque(maxlen=_ATTEMPTS_PER_MINUTE)

    def attempt(self) -> None:
        """Note that an attempt begins."""
        self._attempts.append(self._clock())

    def succeeded(self) -> None:
        """Note that a connection has proved itself."""
        self._failures = 0

    def next_wait(self) -> float:
        """Return the seconds to wait after one more failure."""
        # The exponent is bounded because a float's is.
        ceiling = min(_FIRST_WAIT * 2.0 ** min(self._failures, 16), _LONGEST_WAIT)
        self._failures += 1
        jittered = random.uniform(0, ceiling)  # noqa: S311 (spreads clients, protects nothing)
        return max(jittered, self.shortest_wait())

    def shortest_wait(self) -> float:
        """Return the seconds that the limit of attempts a minute asks for, whatever the hurry."""
        if len(self._attempts) < _ATTEMPTS_PER_MINUTE:
            return 0.0
        return max(self._attempts[0] + 60.0 - self._clock(), 0.0)


class ReaderConnection:
    """Keeps one stream of one reader up, and tells what it says and when it is lost."""

    def __init__(
        self,
        reader: Reader,
        expected_id: str,
        *,
        on_message: Callable[[Message], None],
        on_lost: Callable[[ReaderError], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare. `on_message` is called with a ReaderInfo first after every connect."""
        self._reader = reader
        self._health = reader.health
        self._expected_id = expected_id
        self._on_message = on_message
        self._on_lost = on_lost
        self._clock = clock
        self._backoff = Backoff(clock)
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises ReaderAuthenticationError, after which only the user can help.
        """
        while True:
            self._backoff.attempt()
            self._health.attempts += 1
            try:
                await self._connect_once()
            except ReaderAuthenticationError as error:
                self._health.losses[str(error)] += 1
                raise
            except ReaderError as error:
                self._lose(error)
            except Exception:
                # A fault of ours must not end the stream for good.
                _LOGGER.exception("Unexpected error while reading the stream")
                self._lose(ReaderError("unexpected error"))
            await self._wait()

    def hurry(self) -> None:
        """End a wait early, because something says that the device is there."""
        self._hurry.set()

    def _lose(self, error: ReaderError) -> None:
        self._health.losses[str(error)] += 1
        self._on_lost(error)

    async def _connect_once(self) -> None:
        introduced = False
        steady_at: float | None = None
        async with aclosing(self._reader.stream()) as messages:
            async for message in messages:
                if isinstance(message, ReaderInfo):
                    if message.id != self._expected_id:
                        raise ReaderProtocolError("another device answers at this address")
                    introduced = True
                    self._health.connects += 1
                if not introduced:
                    continue
                if isinstance(message, Reading):
                    if steady_at is None:
                        steady_at = self._clock() + _STEADY_AFTER
                    elif self._clock() >= steady_at:
                        self._backoff.succeeded()
                self._on_message(message)
        raise ReaderConnectionError("the device ended the stream")

    async def _wait(self) -> None:
        self._hurry.clear()
        try:
            async with asyncio.timeout(self._backoff.next_wait()):
                await self._hurry.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._backoff.shortest_wait())
