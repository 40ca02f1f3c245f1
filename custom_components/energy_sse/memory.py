"""What has to be known again after a restart, and is in no registry and no state."""

from collections.abc import Callable, Mapping
from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store

from .const import DOMAIN

_VERSION = 1


def _store(hass: HomeAssistant, entry_id: str) -> Store[dict[str, Any]]:
    return Store(hass, _VERSION, f"{DOMAIN}.{entry_id}", private=True)


async def async_forget(hass: HomeAssistant, entry_id: str) -> None:
    """Delete what is remembered for a config entry."""
    await _store(hass, entry_id).async_remove()


class Memory:
    """A small file for one config entry. Home Assistant writes it when it stops, and from time to time."""

    def __init__(self, hass: HomeAssistant, entry_id: str, collect: Callable[[], Mapping[str, Any]]) -> None:
        """Prepare to store what `collect` returns, which JSON has to be able to hold."""
        self._store = _store(hass, entry_id)
        self._collect = collect
        self._is_waiting = False

    async def async_load(self) -> Mapping[str, Any] | None:
        """Return what was stored last, if anything ever was."""
        return await self._store.async_load()

    @callback
    def save_within(self, seconds: float) -> None:
        """Store before long, together with what else there is to store until then."""
        if not self._is_waiting:
            self._is_waiting = True
            self._store.async_delay_save(self._data, seconds)

    @callback
    def save_now(self) -> None:
        """Store at once."""
        self._store.async_delay_save(self._data, 0)

    async def async_close(self) -> None:
        """Store for the last time."""
        await self._store.async_save(self._data())

    @callback
    def _data(self) -> dict[str, Any]:
        self._is_waiting = False
        return dict(self._collect())
