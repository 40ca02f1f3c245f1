"""Remember over a restart what no registry and no state holds.

Home Assistant's `Store` alone will not do. Each of its delayed saves puts off the one before: with a reading
every five seconds and a delay of five minutes it would never save, and a power cut would cost everything
since the start. `Memory` leaves a save that is due alone; it collects what there is when its time comes.
"""

from collections.abc import Callable, Mapping
import logging
import math
from typing import Any, Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from .const import DOMAIN
from .reader import RegisterValidator, clock, is_number, log_unexpected_error

_LOGGER = logging.getLogger(__name__)

_VERSION = 1

# Seconds. As often as Home Assistant writes states into its database.
_PAUSE: Final = 5


def _store(hass: HomeAssistant, entry_id: str) -> Store[dict[str, Any]]:
    return Store(hass, _VERSION, f"{DOMAIN}.{entry_id}", private=True)


async def async_forget(hass: HomeAssistant, entry_id: str) -> None:
    """Delete what is saved for a config entry."""
    store = _store(hass, entry_id)
    try:
        await store.async_remove()
    except OSError as error:
        # The other files of the entry can be deleted.
        _LOGGER.warning("The file %s cannot be deleted: %s", store.key, error.strerror)


class Memory:
    """A small file for one config entry."""

    def __init__(self, hass: HomeAssistant, entry_id: str, collect: Callable[[], Mapping[str, Any]]) -> None:
        """Prepare to save what `collect` returns, which has to fit into JSON."""
        self._store = _store(hass, entry_id)
        self._collect = collect
        self._has_changed = False
        self._due_at = math.inf
        self._saved_at = -math.inf
        self._stored: dict[str, Any] = {}
        """Data that was loaded or saved last."""

    async def async_recall(self, recall: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `recall` with what was saved last, if anything was.

        What was damaged, or saved by a version from the future, is forgotten: readings matter more.
        """
        try:
            if (memory := await self._store.async_load()) is not None:
                self._stored = memory
                recall(memory)
        except Exception as fault:  # noqa: BLE001 (it is said)
            log_unexpected_error(_LOGGER, "reading what was remembered, which begins anew", fault)

    @callback
    def save_within(self, seconds: float) -> None:
        """Save in so many seconds at the latest; also when Home Assistant stops before that.

        0 is for what must not be forgotten: the next second may bring a power cut. An appliance that flickers
        must not wear a memory card out, though.
        """
        self._has_changed = True
        now = clock.now()
        due_at = max(now + seconds, self._saved_at + _PAUSE)
        if due_at < self._due_at:
            self._due_at = due_at
            self._store.async_delay_save(self._data, due_at - now)

    async def async_close(self) -> None:
        """Save for the last time, unless nothing has changed since the start."""
        if self._has_changed:
            await self._store.async_save(self._data())

    @callback
    def _data(self) -> dict[str, Any]:
        self._due_at = math.inf
        self._saved_at = clock.now()
        try:
            self._stored = dict(self._collect())
        except Exception as fault:  # noqa: BLE001 (it is logged)
            # Home Assistant would log the text of the error, and not finish an unload.
            log_unexpected_error(_LOGGER, "collecting data to store; the stored data is kept", fault)
        return self._stored


class RegisterMemory[K: str]:
    """Knows when the registers of a guard were heard, by the wall clock, which goes on over a restart.

    Of what was not heard since the last restart, it stays what it was, however often nothing is heard.
    """

    def __init__(self, guard: RegisterValidator[K]) -> None:
        """Start without knowing anything from before."""
        self._guard = guard
        self._recalled_at: dict[K, float] = {}

    def heard_at(self, now: float) -> dict[K, float]:
        """Return when each register was heard, in seconds since 1970. `now` is by the clock of the guard."""
        started_at = _started_at(now)
        return self._recalled_at | {key: started_at + time for key, time in self._guard.last_received.items()}

    def recall(self, register: K, value: object, heard_at: object, now: float) -> None:
        """Let the guard know what was believed before a restart. Nobody has to know when it was heard."""
        time = None
        if is_number(heard_at):
            self._recalled_at[register] = heard_at
            time = heard_at - _started_at(now)
        self._guard.restore(register, value, time)


def _started_at(now: float) -> float:
    """Return when a clock was at zero that says `now`."""
    return dt_util.utcnow().timestamp() - now
