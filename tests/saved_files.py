"""Files that Home Assistant would write now."""

from collections.abc import Callable

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er, issue_registry as ir
from homeassistant.helpers.json import json_bytes
from homeassistant.helpers.restore_state import async_get as restore_states

# All integrations share these files. A value that cannot be saved prevents saving the whole file.
_FILES: dict[str, Callable[[HomeAssistant], object]] = {
    "core.config_entries": lambda hass: hass.config_entries._data_to_save(),  # noqa: SLF001
    "core.device_registry": lambda hass: dr.async_get(hass)._data_to_save(),  # noqa: SLF001
    "core.entity_registry": lambda hass: er.async_get(hass)._data_to_save(),  # noqa: SLF001
    "repairs.issue_registry": lambda hass: ir.async_get(hass)._data_to_save(),  # noqa: SLF001
    "core.restore_state": lambda hass: [
        stored.as_dict() for stored in restore_states(hass).async_get_stored_states()
    ],
}


def files_of(hass: HomeAssistant, *entries: ConfigEntry) -> dict[str, str]:
    """Return the texts of the files of Home Assistant and of the integration.

    Raises TypeError for values that cannot be saved.
    """
    files = {name: collect(hass) for name, collect in _FILES.items()}
    files |= {entry.entry_id: entry.runtime_data.coordinator.store._collect() for entry in entries}  # noqa: SLF001
    return {name: json_bytes(content).decode() for name, content in files.items()}
