"""Meter readers that push over Server-Sent Events."""

from typing import Final

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.device_registry import DeviceEntry

from . import sum_restart
from .const import CONF_FILL_MISSED_HOURS
from .coordinator import EnergySseConfigEntry, EnergySseCoordinator
from .issues import Issue, Issues
from .memory import async_forget
from .statistics import MissedHours

PLATFORMS: Final = (Platform.BINARY_SENSOR, Platform.BUTTON, Platform.EVENT, Platform.SENSOR)


async def async_setup_entry(hass: HomeAssistant, entry: EnergySseConfigEntry) -> bool:
    """Connect to a reader and add its entities."""
    coordinator = EnergySseCoordinator(hass, entry)
    has_recorder = "recorder" in hass.config.components
    fills = coordinator.reader.remembers_hours and entry.options.get(CONF_FILL_MISSED_HOURS, True)
    if has_recorder and fills:
        MissedHours(hass, entry, coordinator).async_start()
    await coordinator.async_start()
    entry.runtime_data = coordinator
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    if has_recorder:
        sum_restart.async_watch(hass, entry)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: EnergySseConfigEntry) -> bool:
    """Remove the entities; the connection ends with the entry's background tasks."""
    Issues(hass, entry).close(*Issue)
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    """Leave nothing behind."""
    Issues(hass, entry).close(*Issue)
    sum_restart.async_forget(hass, entry)
    await async_forget(hass, entry.entry_id)


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: EnergySseConfigEntry, device: DeviceEntry
) -> bool:
    """Let the user delete an appliance or a counter that is no longer there."""
    return entry.runtime_data.async_forget(device)
