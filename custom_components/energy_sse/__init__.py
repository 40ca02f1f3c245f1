"""Meter readers that push over Server-Sent Events."""

from typing import Final

from homeassistant.config_entries import (
    SIGNAL_CONFIG_ENTRY_CHANGED,
    ConfigEntry,
    ConfigEntryChange,
    ConfigEntryState,
)
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.device_registry import DeviceEntry
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.translation import async_get_translations
from homeassistant.helpers.typing import ConfigType

from . import options
from .const import CONF_FILL_MISSED_HOURS, DOMAIN
from .coordinator import EnergySseConfigEntry, EnergySseCoordinator, registers_key
from .issues import Issue, Issues
from .memory import async_forget
from .power_tariff import set_up as power_tariff
from .pseudonyms import async_remove_key, async_restore_key
from .registry import Registry
from .statistics import StatisticsCorrector

CONFIG_SCHEMA: Final = cv.config_entry_only_config_schema(DOMAIN)
PLATFORMS: Final = (Platform.BINARY_SENSOR, Platform.BUTTON, Platform.EVENT, Platform.SENSOR)


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Close the issues of each entry that ends.

    Home Assistant does not call `async_unload_entry` for an entry that could not be set up.
    """

    @callback
    def close_issues(_change: ConfigEntryChange, entry: ConfigEntry) -> None:
        if entry.domain == DOMAIN and entry.state is ConfigEntryState.NOT_LOADED:
            Issues(hass, entry).close(*Issue)

    async_dispatcher_connect(hass, SIGNAL_CONFIG_ENTRY_CHANGED, close_issues)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: EnergySseConfigEntry) -> bool:
    """Connect to a reader and add its entities."""
    options.async_mend(hass, entry)
    await async_restore_key(hass)
    # Known from now on, for who wants to see why it cannot connect.
    coordinator = entry.runtime_data = EnergySseCoordinator(hass, entry)
    await coordinator.async_restore()
    await power_tariff.async_set_up(hass, entry, coordinator)
    await coordinator.async_start()
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    if "recorder" in hass.config.components:
        corrects_hours = entry.options.get(CONF_FILL_MISSED_HOURS, True)
        StatisticsCorrector(hass, entry, corrects_hours=corrects_hours).async_start()
    return True


async def async_unload_entry(hass: HomeAssistant, entry: EnergySseConfigEntry) -> bool:
    """Remove the entities; the connection ends with the entry's background tasks."""
    entry.runtime_data.async_close()
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    """Leave nothing behind."""
    Issues(hass, entry).forget()
    await async_forget(hass, entry.entry_id)
    await async_forget(hass, registers_key(entry.entry_id))
    await power_tariff.async_forget(hass, entry)
    await async_remove_key(hass, entry)


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: EnergySseConfigEntry, device: DeviceEntry
) -> bool:
    """Let the user delete an appliance or a sub-meter that is no longer there."""
    if Registry(hass, entry).sub_device_id(device) is None:
        return False
    # While nobody listens to the reader, nothing tells that the device is still there.
    if hasattr(entry, "runtime_data") and not entry.runtime_data.async_forget(device):
        name = device.name_by_user or device.name or ""
        # The page of the device shows the message as it is, which would be English.
        texts = await async_get_translations(hass, hass.config.language, "exceptions", [DOMAIN])
        raise HomeAssistantError(
            texts[f"component.{DOMAIN}.exceptions.device_is_there.message"].format(name=name),
            translation_domain=DOMAIN,
            translation_key="device_is_there",
            translation_placeholders={"name": name},
        )
    return True
