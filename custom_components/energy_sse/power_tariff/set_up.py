"""Set-up of the power tariff of an entry."""

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
import voluptuous as vol

from ..const import CONF_POWER_TARIFF, CONF_WRITE_INTERVAL, LOGGER, TariffKey
from ..coordinator import EnergySseConfigEntry, EnergySseCoordinator
from .settings import supply_of, tariff_of
from .tracker import DemandTracker


async def async_set_up(
    hass: HomeAssistant, entry: EnergySseConfigEntry, coordinator: EnergySseCoordinator
) -> DemandTracker | None:
    """Set up the power tariff, if it is enabled. The coordinator is restored, and not connected yet."""
    settings = entry.options.get(CONF_POWER_TARIFF)
    try:
        tariff = tariff_of(settings)
    except vol.Invalid as error:
        LOGGER.warning("Ignoring an invalid power tariff: %s", error)
        return None
    if tariff is None:
        _remove_entities(hass, coordinator)
        return None
    tracker = DemandTracker(
        hass, coordinator, tariff, supply_of(settings), entry.options.get(CONF_WRITE_INTERVAL, 0)
    )
    await tracker.async_start(entry)
    return tracker


@callback
def _remove_entities(hass: HomeAssistant, coordinator: EnergySseCoordinator) -> None:
    for key in TariffKey:
        platform = Platform.BINARY_SENSOR if key is TariffKey.PEAK_EXPECTED else Platform.SENSOR
        if (entity_id := coordinator.devices.entity_id(platform, key)) is not None:
            er.async_get(hass).async_remove(entity_id)
