"""Storage of the key of the pseudonyms in the traffic log and in the diagnostics.

With the key, a pseudonym could be compared with possible identities. It is stored privately and never logged.
"""

from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store

from .const import DOMAIN, LOGGER
from .reader import REDACTOR
from .store import async_remove_file

_KEY: Final = f"{DOMAIN}.pseudonyms"
_VERSION: Final = 1


async def async_restore_key(hass: HomeAssistant) -> None:
    """Restore the key, so that pseudonyms stay the same after a restart.

    A new key is stored if there is no valid one.
    """
    store = Store[dict[str, Any]](hass, _VERSION, _KEY, private=True)
    try:
        if (data := await store.async_load()) is not None:
            REDACTOR.set_key(bytes.fromhex(data["key"]))
            return
    except Exception:  # noqa: BLE001 (damaged storage can raise any error, whose text can contain the key)
        LOGGER.warning("Replacing the key of the pseudonyms because it cannot be read")
    await store.async_save({"key": REDACTOR.key.hex()})


async def async_remove_key(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Delete the key when the last reader is removed."""
    entries = hass.config_entries.async_entries(DOMAIN, include_ignore=False)
    if all(other is entry for other in entries):
        await async_remove_file(hass, _KEY)
