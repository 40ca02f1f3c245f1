"""Who is told about what, and how often."""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable
from datetime import datetime
from typing import Any, Final

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from .reader import ErrorGuard, clock

# Seconds. A telegram is earlier or later than usual by this, and its parts arrive within it.
_JITTER: Final = 0.5


class Throttle:
    """Calls a function at most once in an interval.

    A request during the interval is met at its end, with a timer. Unlike Home Assistant's `Debouncer`, it has
    no timer while the interval is over before each request, as with most meters.
    """

    def __init__(self, hass: HomeAssistant, interval: float, function: Callable[[], object]) -> None:
        """Start without an interval. Intervals are in seconds; 0 calls the function at each request."""
        self._hass = hass
        self._interval = interval
        self._function = function
        self._end = 0.0
        self._job = HassJob(self._handle_end, cancel_on_shutdown=True)
        self._cancel: CALLBACK_TYPE | None = None

    @callback
    def request(self) -> bool:
        """Call the function, at once or at the end of the interval. Return whether it was called at once."""
        now = clock.now()
        if is_over := now >= self._end - _JITTER:
            self.reset()
            self._end = now + self._interval
            self._function()
        elif self._cancel is None:
            # A telegram that is due has the time to arrive.
            self._cancel = async_call_later(self._hass, self._end + _JITTER - now, self._job)
        return is_over

    @callback
    def reset(self) -> None:
        """Drop a request, and end the interval."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        self._end = 0.0

    @callback
    def flush(self) -> None:
        """Meet a request now, and end the interval."""
        is_requested = self._cancel is not None
        self.reset()
        if is_requested:
            self._function()

    @callback
    def close(self) -> None:
        """Meet a request now, and each later one at once."""
        self._interval = 0.0
        self.flush()

    @callback
    def _handle_end(self, _now: datetime) -> None:
        self._cancel = None
        self._end += self._interval
        self._function()


class Listeners:
    """Functions that are called for news about a context, such as a measurement or an appliance."""

    def __init__(self, hass: HomeAssistant, interval: float, errors: ErrorGuard) -> None:
        """Start without any. What is collected is told every `interval` seconds at most."""
        self._listeners: defaultdict[Any, list[CALLBACK_TYPE]] = defaultdict(list)
        self._collected: dict[Hashable, None] = {}
        self._throttle = Throttle(hass, interval, self._tell_collected)
        self._told: dict[Hashable, None] = {}
        """Contexts of the last telegram, if its next part does not have to wait."""

        self._parts_until = 0.0
        self._errors = errors

    @callback
    def add(self, listener: CALLBACK_TYPE, context: Hashable) -> CALLBACK_TYPE:
        """Call a function for news about a context. Returns the function that ends it."""
        self._listeners[context].append(listener)
        return lambda: self._listeners[context].remove(listener)

    @callback
    def tell(self, contexts: Iterable[Hashable]) -> None:
        """Tell news at once."""
        for context in contexts:
            for listener in self._listeners.get(context, ()):
                # Not `contained`, which costs as much as many a listener.
                try:
                    listener()
                except Exception as fault:  # noqa: BLE001 (it is said)
                    # One entity's fault must not take the others with it, nor the stream.
                    self._errors.log_once("updating an entity", fault)

    @callback
    def tell_all(self) -> None:
        """Tell everybody at once, about everything."""
        self._throttle.reset()
        self._collected.clear()
        self.tell(list(self._listeners))

    @callback
    def collect(self, contexts: Collection[Hashable]) -> None:
        """Collect news, and tell them once the interval is over."""
        now = clock.now()
        if now < self._parts_until:
            # The telegram that began the interval has another part. Each context is written once.
            part = dict.fromkeys(context for context in contexts if context not in self._told)
            self._told |= part
            self.tell(part)
            contexts = [context for context in contexts if context not in part]
        if contexts:
            self._collected.update(dict.fromkeys(contexts))
            if self._throttle.request():
                self._parts_until = now + _JITTER

    @callback
    def end_hour(self, _now: datetime) -> None:
        """Tell what is collected: the recorder closes the hour with what is written by then."""
        self.flush()

    @callback
    def flush(self) -> None:
        """Notify listeners of what is collected, and of the next change at once."""
        self._throttle.flush()

    @callback
    def close(self) -> None:
        """Notify listeners of what is collected, and of each later change at once."""
        self._throttle.close()

    @callback
    def _tell_collected(self) -> None:
        self._told, self._collected = self._collected, {}
        self.tell(self._told)
