"""Simulated time: hours of timers run in seconds."""

import asyncio
from collections.abc import Callable
import math
import selectors
from time import CLOCK_MONOTONIC, clock_gettime
from typing import Any, Final, cast

# Seconds of real time. Data that is on its way through a loopback socket arrives within it.
_MOMENT: Final = 0.002


def _real_time() -> float:
    """Return the time of a loop without control. time.monotonic() stands still where the wall clock does."""
    return clock_gettime(CLOCK_MONOTONIC)


class TimeMachine:
    """Control of the clock of an event loop: of timeouts, waits and timers of readers and of Home Assistant.

    Time moves from one timer to the next, and only when the loop is idle: no callback is ready, no socket
    has data, and no job of an executor is running. So everything happens in its order, even on a busy
    machine. The time that code takes to run does not count. While no test lets time pass, the clock follows
    real time whenever the loop is idle.

    The wall clock is left alone, unless `move_wall_clock` moves it.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, move_wall_clock: Callable[[float], object] | None = None
    ) -> None:
        """Take control of the loop's clock.

        `move_wall_clock` is called with the seconds by which the loop's clock has moved.
        """
        self._loop = loop
        # The test package's debug mode inspects the stack of every call, which takes half of the time.
        loop.set_debug(False)
        self._now = _real_time()
        self._move_wall_clock = move_wall_clock
        self._simulated_waits = 0
        self._jobs = 0
        self._waiting_for_idle: list[asyncio.Future[None]] = []
        # An event loop has no public way to notice that nothing is left to do.
        self._selector = cast("selectors.BaseSelector", loop._selector)  # type: ignore[attr-defined] # noqa: SLF001
        self._real_select = self._selector.select
        self._real_run_in_executor: Callable[..., asyncio.Future[Any]] = loop.run_in_executor
        loop.time = self.now  # type: ignore[method-assign] # for this one loop, until it is closed
        loop.run_in_executor = self._run_in_executor  # type: ignore[method-assign, assignment] # as above
        self._selector.select = self._select  # type: ignore[method-assign] # as above

    def now(self) -> float:
        """Return the seconds of the loop's clock."""
        return self._now

    async def advance(self, seconds: float) -> None:
        """Advance the clock timer by timer, then wait until the loop is idle."""
        arrival = self._loop.create_future()
        self._loop.call_later(seconds, arrival.set_result, None)
        self._simulated_waits += 1
        try:
            await arrival
        finally:
            self._simulated_waits -= 1
        await self.idle()

    async def idle(self) -> None:
        """Wait until the loop is idle: it has no work until the time advances."""
        future = self._loop.create_future()
        self._waiting_for_idle.append(future)
        await future

    def _run_in_executor(
        self, executor: Any, function: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self._real_run_in_executor(executor, function, *args)
        self._jobs += 1
        future.add_done_callback(self._end_job)
        return future

    def _end_job(self, _future: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    def _select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._real_select(timeout)
        if self._waiting_for_idle or (self._simulated_waits and timeout is not None):
            return self._select_without_waiting(timeout)
        began = _real_time()
        events = self._real_select(timeout)
        if timeout is not None and not self._jobs:
            self._move(min(_real_time() - began, timeout))
        return events

    def _select_without_waiting(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the events that are ready. If the loop is idle, end the waits for that, or move time."""
        if events := self._real_select(_MOMENT):
            return events
        if self._jobs:
            # The end of a job wakes the loop.
            return self._real_select(None)
        if self._waiting_for_idle:
            waiting, self._waiting_for_idle = self._waiting_for_idle, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)
        else:
            assert timeout is not None
            self._move(timeout)
        return []

    def _move(self, seconds: float) -> None:
        # In whole microseconds, because a wall clock has no others: Home Assistant sets a timer again that is
        # early by the wall clock.
        seconds = math.ceil(seconds * 1e6) / 1e6
        self._now += seconds
        if self._move_wall_clock is not None:
            self._move_wall_clock(seconds)
