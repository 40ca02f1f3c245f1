"""Time under control: hours pass in the time that it takes to do what happens in them."""

import asyncio
import selectors
from typing import cast

# Seconds of real time. What is on its way through this machine's sockets and threads arrives within it; only
# then is the loop idle, and time may jump.
_MOMENT = 0.002

# Seconds of real time without news, after which all of it has arrived even on a machine that is busy.
_QUIET = 0.02


class TimeMachine:
    """Moves the clock of an event loop: timeouts, waits and timers, of readers and of Home Assistant alike.

    Time goes from one timer to the next, and never past one, so that everything happens in its order. The
    wall clock stays.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the loop's clock over; it runs as before until somebody lets time pass."""
        self._loop = loop
        # The test package's debug mode looks at the stack of every call, which takes half of the time.
        loop.set_debug(False)
        self._skipped = 0.0
        self._travellers = 0
        self._real_time = loop.time
        self._last_news = 0.0
        # An event loop has no other place to see that nothing is left to do.
        self._selector = cast("selectors.BaseSelector", loop._selector)  # type: ignore[attr-defined] # noqa: SLF001
        self._real_select = self._selector.select
        loop.time = self.now  # type: ignore[method-assign] # for this one loop, until it is closed
        self._selector.select = self._select  # type: ignore[method-assign] # as above

    def now(self) -> float:
        """Return the seconds of the loop's clock."""
        return self._real_time() + self._skipped

    async def let_pass(self, seconds: float) -> None:
        """Let time pass, and everything happen that happens in it."""
        arrival = self._loop.create_future()
        self._loop.call_later(seconds, arrival.set_result, None)
        self._travellers += 1
        try:
            await arrival
        finally:
            self._travellers -= 1
        # What begins at the moment of arrival gets its answer.
        self._last_news = self._real_time()
        while self._real_time() < self._last_news + _QUIET:  # noqa: ASYNC110 (silence is no event)
            await asyncio.sleep(_QUIET / 4)

    def _select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        began = self._real_time()
        to_skip = timeout if self._travellers and timeout else 0.0
        events = self._real_select(min(to_skip, _MOMENT) if to_skip > 0 else timeout)
        if events:
            self._last_news = self._real_time()
        elif to_skip > 0:
            self._skipped += max(to_skip - (self._real_time() - began), 0.0)
        return events
