"""Meter readers that push their data over Server-Sent Events."""

from typing import Final

from homeassistant.config_entries import (
    SIGNAL_CONFIG_ENTRY_CHANGED,
    ConfigEntry,
    ConfigEntryChange,
    ConfigEntryState,
    ConfigSubentryDataWithId,
)
from homeassistant.const import Platform
from homeassistant.core import HassJob, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.device_registry import DeviceEntry
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.translation import async_get_translations
from homeassistant.helpers.typing import ConfigType

from .const import CONF_FILL_MISSED_HOURS, DOMAIN, LOGGER, SUBENTRY_POWER_TARIFF
from .coordinator import EnergySseCoordinator
from .data import EnergySseConfigEntry, EnergySseData
from .devices import Devices
from .issues import Issues
from .migration import async_migrate_entry
from .options_flow import async_remove_invalid_options
from .power_tariff.tracker import async_setup_tariffs
from .pseudonyms import async_remove_key, async_restore_key
from .reader import EXCEPTION_FILTER
from .statistics import StatisticsCorrector
from .store import async_remove_file, storage_key

__all__ = ["async_migrate_entry"]

LOGGER.addFilter(EXCEPTION_FILTER)

CONFIG_SCHEMA: Final = cv.config_entry_only_config_schema(DOMAIN)
PLATFORMS: Final = (Platform.BINARY_SENSOR, Platform.BUTTON, Platform.EVENT, Platform.SENSOR)


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Delete issues of each entry that is unloaded, and reload an entry when its subentries change.

    Home Assistant does not call `async_unload_entry` for an entry that could not be set up. It does not allow
    an update listener for an entry that the other dialogs reload themselves.
    """

    @callback
    def handle_change(_change: ConfigEntryChange, entry: ConfigEntry) -> None:
        if entry.domain != DOMAIN:
            return
        if entry.state is ConfigEntryState.NOT_LOADED:
            Issues(hass, entry).async_delete_unloaded()
        elif entry.state is ConfigEntryState.LOADED and entry.runtime_data.subentries != _subentries(entry):
            hass.config_entries.async_schedule_reload(entry.entry_id)

    async_dispatcher_connect(hass, SIGNAL_CONFIG_ENTRY_CHANGED, handle_change)
    return True


def _subentries(entry: ConfigEntry) -> list[ConfigSubentryDataWithId]:
    return [subentry.as_dict() for subentry in entry.subentries.values()]


async def async_setup_entry(hass: HomeAssistant, entry: EnergySseConfigEntry) -> bool:
    """Set up a reader."""
    async_remove_invalid_options(hass, entry)
    await async_restore_key(hass)
    coordinator = EnergySseCoordinator(hass, entry)
    # Set before the first refresh, so that diagnostics show why a reader cannot be set up.
    entry.runtime_data = EnergySseData(coordinator, _subentries(entry))
    await coordinator.async_restore()
    entry.runtime_data.tariffs = await async_setup_tariffs(entry, coordinator)
    await coordinator.async_config_entry_first_refresh()
    for tracker in entry.runtime_data.tariffs.values():
        if tracker.days_off is not None:
            tracker.days_off.async_start(entry)
    for subentry in entry.get_subentries_of_type(SUBENTRY_POWER_TARIFF):
        coordinator.devices.async_update_tariff(subentry)
    # Shutdown jobs run before the stop event, at which Home Assistant stores the states to restore.
    entry.async_on_unload(hass.async_add_shutdown_job(HassJob(entry.runtime_data.async_flush)))
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    if "recorder" in hass.config.components:
        corrects_hours = entry.options.get(CONF_FILL_MISSED_HOURS, True)
        StatisticsCorrector(hass, coordinator, corrects_hours=corrects_hours).async_start()
    return True


async def async_unload_entry(hass: HomeAssistant, entry: EnergySseConfigEntry) -> bool:
    """Unload a reader. The connection ends with the background tasks of the entry."""
    entry.runtime_data.async_flush()
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    """Remove the issues and the stored data of an entry."""
    Issues(hass, entry).async_delete_all()
    await async_remove_file(hass, storage_key(entry.entry_id))
    await async_remove_key(hass, entry)


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: EnergySseConfigEntry, device: DeviceEntry
) -> bool:
    """Remove an appliance or a sub-meter that the reader does not report any more."""
    if Devices(hass, entry).sub_device_id(device) is None:
        return False
    # An entry that is not loaded does not receive reports.
    if hasattr(entry, "runtime_data") and not entry.runtime_data.coordinator.async_remove_device(device):
        name = device.name_by_user or device.name or ""
        # The frontend shows the message without a translation.
        texts = await async_get_translations(hass, hass.config.language, "exceptions", [DOMAIN])
        raise HomeAssistantError(
            texts[f"component.{DOMAIN}.exceptions.device_is_there.message"].format(name=name),
            translation_domain=DOMAIN,
            translation_key="device_is_there",
            translation_placeholders={"name": name},
        )
    return True
