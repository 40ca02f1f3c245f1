"""Simulated time: hours pass in the time that it takes to do what happens in them."""

import asyncio
from collections.abc import Callable
import math
import selectors
from typing import Any, Final, cast

from freezegun import api as freezegun_api

# Seconds of real time. Data that is on its way through a loopback socket arrives within it.
_MOMENT: Final = 0.002


class TimeMachine:
    """Moves the clock of an event loop: timeouts, waits and timers, of readers and of Home Assistant alike.

    Time moves from one timer to the next, and only when the loop is idle: no callback is ready, no socket has
    data, and no job of an executor is running. So everything happens in its order, however busy the machine is.
    The time that code takes to run does not count. While no test lets time pass, the clock follows real time
    whenever the loop is idle.

    The wall clock stands still unless `move_wall_clock` moves it, too.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, move_wall_clock: Callable[[float], None] | None = None
    ) -> None:
        """Take control of the loop's clock.

        `move_wall_clock` is called with the seconds by which the loop's clock has moved.
        """
        self._loop = loop
        # The test package's debug mode inspects the stack of every call, which takes half of the time.
        loop.set_debug(False)
        # Not time.monotonic(), which stands still in a test that stops the wall clock.
        self._now = freezegun_api.real_monotonic()
        self._move_wall_clock = move_wall_clock
        self._travellers = 0
        self._jobs = 0
        self._waiting_for_idle: list[asyncio.Future[None]] = []
        # An event loop has no public way to notice that nothing is left to do.
        self._selector = cast("selectors.BaseSelector", loop._selector)  # type: ignore[attr-defined] # noqa: SLF001
        self._real_select = self._selector.select
        self._real_run_in_executor: Callable[..., asyncio.Future[Any]] = loop.run_in_executor
        loop.time = self.now  # type: ignore[method-assign] # for this one loop, until it is closed
        loop.run_in_executor = self._run_in_executor  # type: ignore[method-assign] # as above
        self._selector.select = self._select  # type: ignore[method-assign] # as above

    def now(self) -> float:
        """Return the seconds of the loop's clock."""
        return self._now

    async def let_pass(self, seconds: float) -> None:
        """Let time pass, and everything that happens in it come to an end."""
        arrival = self._loop.create_future()
        self._loop.call_later(seconds, arrival.set_result, None)
        self._travellers += 1
        try:
            await arrival
        finally:
            self._travellers -= 1
        await self.idle()

    async def idle(self) -> None:
        """Wait until nothing is left to do before time passes."""
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
        if self._waiting_for_idle or (self._travellers and timeout is not None):
            return self._select_without_waiting(timeout)
        began = freezegun_api.real_monotonic()
        events = self._real_select(timeout)
        if timeout is not None:
            self._move(min(freezegun_api.real_monotonic() - began, timeout))
        return events

    def _select_without_waiting(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready. If nothing is, and nothing is about to be, end the waits for it or move time."""
        if events := self._real_select(_MOMENT):
            return events
        if self._jobs:
            # The loop is woken up when the job has ended.
            return self._real_select(_MOMENT)
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
        # Whole microseconds, as wall clocks have them: otherwise a timer that compares itself with the wall clock
        # could be early forever.
        seconds = math.ceil(seconds * 1e6) / 1e6
        self._now += seconds
        if self._move_wall_clock is not None:
            self._move_wall_clock(seconds)
