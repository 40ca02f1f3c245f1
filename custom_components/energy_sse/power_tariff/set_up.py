"""The power tariff of an entry: there when its option is on, and gone when it is off."""

from functools import partial
import logging
from typing import Final

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util.hass_dict import HassKey
import voluptuous as vol

from ..const import CONF_POWER_TARIFF, CONF_WRITE_INTERVAL, DOMAIN, TariffKey
from ..coordinator import EnergySseConfigEntry, EnergySseCoordinator
from ..memory import async_forget as async_forget_memory
from .settings import supply_of, tariff_of
from .tracker import DemandTracker, memory_id

_LOGGER = logging.getLogger(__name__)

_TRACKERS: Final[HassKey[dict[str, DemandTracker]]] = HassKey(f"{DOMAIN}_power_tariffs")


async def async_set_up(
    hass: HomeAssistant, entry: EnergySseConfigEntry, coordinator: EnergySseCoordinator
) -> None:
    """Follow the import for the tariff that is chosen. The coordinator is restored, and not connected yet."""
    settings = entry.options.get(CONF_POWER_TARIFF)
    try:
        tariff = tariff_of(settings)
    except vol.Invalid as error:
        # Of a newer version, or made by a hand. Its entities wait for one that is understood.
        _LOGGER.warning("The power tariff is not followed, it cannot be understood: %s", error)
        return
    if tariff is None:
        _remove_entities(hass, coordinator)
    else:
        trackers = hass.data.setdefault(_TRACKERS, {})
        trackers[entry.entry_id] = tracker = DemandTracker(
            hass, coordinator, tariff, supply_of(settings), entry.options.get(CONF_WRITE_INTERVAL, 0)
        )
        entry.async_on_unload(partial(trackers.__delitem__, entry.entry_id))
        await tracker.async_start(entry)


@callback
def tracker_of(hass: HomeAssistant, entry: EnergySseConfigEntry) -> DemandTracker | None:
    """Return the power tariff of an entry that is set up, if it has one."""
    return hass.data.get(_TRACKERS, {}).get(entry.entry_id)


async def async_forget(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    """Delete what is remembered for an entry."""
    await async_forget_memory(hass, memory_id(entry))


@callback
def _remove_entities(hass: HomeAssistant, coordinator: EnergySseCoordinator) -> None:
    for key in TariffKey:
        platform = Platform.BINARY_SENSOR if key is TariffKey.PEAK_EXPECTED else Platform.SENSOR
        if (entity_id := coordinator.registry.entity_id(platform, key)) is not None:
            er.async_get(hass).async_remove(entity_id)
