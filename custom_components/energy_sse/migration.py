"""Migration of config entries, and of their stored data.

Version 1 stored three files for each entry, and some values of appliances in the restored states of Home
Assistant. Version 2 stores one file. A downgrade is not supported.
"""

from collections.abc import Mapping
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, restore_state
from homeassistant.helpers.storage import Store

from .const import LOGGER
from .store import STORAGE_VERSION, async_remove_file, storage_key

_REGISTERS: Final = ".registers"
_POWER_TARIFF: Final = ".power_tariff"


async def async_migrate_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
    """Migrate an entry to version 2. Return False for an entry of a later version."""
    if entry.version > STORAGE_VERSION:
        return False
    if entry.version == 1:
        await _async_migrate_files(hass, entry)
        hass.config_entries.async_update_entry(entry, version=2)
    return True


async def _async_migrate_files(hass: HomeAssistant, entry: ConfigEntry) -> None:
    key = storage_key(entry.entry_id)
    readings = await _async_load(hass, key)
    sections: dict[str, Any] = {}
    if readings:
        sections = {
            "meter": {
                "registers": readings["registers"],
                "received_at": readings.get("heard_at", {}),
            },
            "sub_meters": {
                "registers": readings.get("counters", {}),
                "received_at": readings.get("counters_heard_at", {}),
            },
            "appliances": await _async_appliances(hass, entry, readings["appliances"]),
        }
    if registers := await _async_load(hass, key + _REGISTERS):
        sections["registers"] = registers
    if power_tariff := await _async_load(hass, key + _POWER_TARIFF):
        sections["power_tariff"] = power_tariff
    store = Store[dict[str, Any]](hass, STORAGE_VERSION, key, private=True)
    if sections:
        await store.async_save(sections)
    else:
        await async_remove_file(hass, key)
    for suffix in (_REGISTERS, _POWER_TARIFF):
        await async_remove_file(hass, key + suffix)


async def _async_load(hass: HomeAssistant, key: str) -> Mapping[str, Any]:
    """Load a file of version 1. A damaged file is ignored."""
    try:
        data = await Store[dict[str, Any]](hass, 1, key, private=True).async_load()
    except Exception:
        LOGGER.exception("Unexpected error while migrating stored data; a damaged file is ignored")
        return {}
    return data if isinstance(data, Mapping) else {}


async def _async_appliances(
    hass: HomeAssistant, entry: ConfigEntry, stored: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the stored appliances with the values that their entities restored."""
    states = await Store[list[dict[str, Any]]](
        hass, restore_state.STORAGE_VERSION, restore_state.STORAGE_KEY
    ).async_load()
    extra_data = {each["state"]["entity_id"]: each.get("extra_data") or {} for each in states or ()}
    appliances = {appliance_id: dict(data) for appliance_id, data in stored.items()}
    prefix = f"{entry.unique_id}:"
    for entity in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id):
        appliance_id, _, key = entity.unique_id.removeprefix(prefix).rpartition(":")
        restored = extra_data.get(entity.entity_id, {})
        new: dict[str, Any] = {"changed_at": None, "changes": []}
        if entity.domain == Platform.BINARY_SENSOR and key == "running":
            appliances.setdefault(appliance_id, new)["is_on"] = restored.get("is_on")
        elif entity.domain == Platform.SENSOR and key == "power" and appliance_id:
            appliances.setdefault(appliance_id, new)["power"] = restored.get("native_value")
    return appliances
