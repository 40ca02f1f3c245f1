"""The rate at which what a device sends is processed."""

import asyncio
import math

from . import clock


class Pace:
    """Slows down a stream that sends far more than a meter does.

    One reading can write dozens of states. Thousands of readings a second would stop Home Assistant and fill
    its database. A burst is not slowed down, because a reader repeats what it has stored.
    """

    def __init__(self, *, per_second: float, burst: int) -> None:
        """Start a stream."""
        self._interval = 1 / per_second
        self._burst = burst * self._interval
        self._due_at = -math.inf
        """Time at which the next item would be due without a burst."""

    async def wait(self) -> None:
        """Wait until the next item is due, and let other tasks run in any case."""
        now = clock.now()
        await asyncio.sleep(self._due_at - self._burst - now)
        self._due_at = max(self._due_at, now) + self._interval
