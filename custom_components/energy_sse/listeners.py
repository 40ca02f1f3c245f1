"""Who is told about what, and how often."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from datetime import datetime
from typing import Any, Final

from homeassistant.core import CALLBACK_TYPE, callback

from .reader import Faults, clock

# Seconds. A meter that speaks as often as is written is a bit early at times, and is written all the same.
_WRITE_EARLY: Final = 0.5


class Listeners:
    """Functions that are called for news about a context, such as a measurement or an appliance."""

    def __init__(self, interval: float, faults: Faults) -> None:
        """Start without any. What is collected is told every `interval` seconds at most."""
        self._interval = interval
        self._listeners: defaultdict[Any, list[CALLBACK_TYPE]] = defaultdict(list)
        self._collected: dict[Hashable, None] = {}
        self._tell_at = 0.0
        self._faults = faults

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
                    self._faults.say("updating an entity", fault)

    @callback
    def tell_all(self) -> None:
        """Tell everybody at once, about everything."""
        self._collected.clear()
        self.tell(list(self._listeners))

    @callback
    def collect(self, contexts: Iterable[Hashable]) -> None:
        """Collect news, and tell them once the interval is over."""
        self._collected.update(dict.fromkeys(contexts))
        if clock.now() >= self._tell_at:
            self._tell_collected()

    @callback
    def end_hour(self, _now: datetime) -> None:
        """Tell what is collected: the recorder closes the hour with what is written by then."""
        self._tell_collected()
        # The first news of the new hour is told at once.
        self._tell_at = 0.0

    @callback
    def _tell_collected(self) -> None:
        collected, self._collected = self._collected, {}
        self._tell_at = clock.now() + self._interval - _WRITE_EARLY
        self.tell(collected)
