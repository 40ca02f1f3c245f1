"""Stored data of a config entry: one file with a section for each part of the integration.

The version of the file differs from the version of the entry (`migration.py`).
"""

from collections.abc import Callable
import math
from typing import Any, Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store

from .const import DOMAIN, LOGGER
from .reader import clock

# Version of the file, not of the entry. `migration.py` converts version 1. A higher version needs a migration
# function here; without it, stored data is ignored.
STORAGE_VERSION: Final = 2

# Seconds. As often as Home Assistant writes states into its database.
_MIN_SAVE_INTERVAL: Final = 5


def storage_key(entry_id: str) -> str:
    """Return the key of the file of a config entry."""
    return f"{DOMAIN}.{entry_id}"


async def async_remove_file(hass: HomeAssistant, key: str) -> None:
    """Remove a file. An error is logged, so that the entry can be removed anyway."""
    try:
        await Store[dict[str, Any]](hass, STORAGE_VERSION, key, private=True).async_remove()
    except OSError as error:
        LOGGER.warning("The file %s cannot be deleted: %s", key, error.strerror)


class EnergySseStore:
    """Data of one reader that survives a restart.

    `Store.async_delay_save` postpones a scheduled save: with a reading every five seconds and a delay of five
    minutes, it would never save. This class never postpones a scheduled save.
    """

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Start without data."""
        self._store = Store[dict[str, Any]](hass, STORAGE_VERSION, storage_key(entry_id), private=True)
        self._sections: dict[str, Callable[[], Any]] = {}
        self._data: dict[str, Any] = {}
        """Sections that were loaded or saved last."""

        self._is_changed = False
        self._due_at = math.inf
        self._saved_at = -math.inf

    async def async_load(self) -> None:
        """Load the file. A damaged file is logged and ignored, because new readings matter more."""
        try:
            self._data = dict(await self._store.async_load() or {})
        except Exception:
            LOGGER.exception("Unexpected error while loading stored data; the integration starts without it")

    @callback
    def async_add_section(
        self, name: str, collect: Callable[[], Any], restore: Callable[[Any], object]
    ) -> None:
        """Add a section, and restore it from the file.

        `collect` returns JSON serializable data to save. `restore` is called with the last saved data. Errors
        of both are logged. After an error of `collect`, the last data is kept.
        """
        self._sections[name] = collect
        if name in self._data:
            try:
                restore(self._data[name])
            except Exception:
                LOGGER.exception("Unexpected error while restoring stored data")

    @callback
    def async_save_within(self, seconds: float) -> None:
        """Save within a number of seconds, and not more often than every five seconds."""
        self._is_changed = True
        now = clock.now()
        due_at = max(now + seconds, self._saved_at + _MIN_SAVE_INTERVAL)
        if due_at < self._due_at:
            self._due_at = due_at
            self._store.async_delay_save(self._collect, due_at - now)

    async def async_close(self) -> None:
        """Save for the last time, if something has changed since the start."""
        if self._is_changed:
            await self._store.async_save(self._collect())

    @callback
    def _collect(self) -> dict[str, Any]:
        self._due_at = math.inf
        self._saved_at = clock.now()
        # The section of a deleted power tariff is not saved again.
        self._data = {name: data for name, data in self._data.items() if name in self._sections}
        for name, collect in self._sections.items():
            try:
                self._data[name] = collect()
            except Exception:
                # Home Assistant would log the text of the error, and not finish an unload.
                LOGGER.exception("Unexpected error while collecting data to store; the last data is kept")
        return self._data
