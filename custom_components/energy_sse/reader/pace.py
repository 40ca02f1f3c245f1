"""The rate at which what a device sends is processed."""

import asyncio
import math

from . import clock


class Pace:
    """Slows down a stream that sends far more than a meter does.

    One reading can write dozens of states. Thousands of readings a second would stop Home Assistant and fill
    its database. A burst is not slowed down, because a reader repeats what it has stored.
    """

    def __init__(self, *, per_second: float, burst: int, turn: int = 1) -> None:
        """Start a stream. `turn` is the number of items after which other tasks run."""
        self._turn = turn
        self._items = 0
        self._interval = 1 / per_second
        self._burst = burst * self._interval
        self._due_at = -math.inf
        """Time at which the next item would be due without a burst."""

    async def wait(self) -> None:
        """Wait until the next item is due, and let other tasks run when it is their turn."""
        now = clock.now()
        seconds = self._due_at - self._burst - now
        self._items += 1
        if seconds > 0 or self._items % self._turn == 0:
            await asyncio.sleep(seconds)
        self._due_at = max(self._due_at, now) + self._interval
