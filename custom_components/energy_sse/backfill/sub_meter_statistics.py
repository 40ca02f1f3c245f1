"""Keep the statistics of sub-meters in the unit that fits the kind their owner has chosen.

The numbers are the digits of the meter, whatever the unit: another choice changes the unit and no value.
Without this, Home Assistant would compile no more statistics, and ask its user to delete the old ones.
"""

from typing import Final

from homeassistant.components.recorder.statistics import async_update_statistics_metadata, get_metadata
from homeassistant.const import EVENT_RECORDER_5MIN_STATISTICS_GENERATED
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.util.unit_conversion import EnergyConverter, UnitlessRatioConverter, VolumeConverter

from ..const import DOMAIN
from ..coordinator import EnergySseConfigEntry
from ..descriptions import SUB_METERS
from .recorder import async_read

_UNIT_CLASSES: Final = {
    row.native_unit_of_measurement: converter.UNIT_CLASS
    for row in SUB_METERS.values()
    for converter in (EnergyConverter, UnitlessRatioConverter, VolumeConverter)
    if row.native_unit_of_measurement in converter.VALID_UNITS
}


@callback
def async_watch(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    """Correct the unit now and after every compilation. Needs a recorder.

    Once is not enough: the five minutes in which the choice changes begin with a state in the old unit, and
    the recorder compiles them in that.
    """
    faults = entry.runtime_data.faults

    async def follow_once() -> None:
        with faults.contained("looking at the units of sub-meters"):
            await _follow(hass, entry)

    @callback
    def follow(_event: Event | None = None) -> None:
        entry.async_create_background_task(hass, follow_once(), f"{DOMAIN} units of sub-meters")

    entry.async_on_unload(hass.bus.async_listen(EVENT_RECORDER_5MIN_STATISTICS_GENERATED, follow))
    follow()


async def _follow(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    coordinator = entry.runtime_data
    units = {
        entity_id: SUB_METERS[coordinator.sub_meters.kind(meter_id)].native_unit_of_measurement
        for meter_id in coordinator.registry.sub_meters()
        if (entity_id := coordinator.registry.sub_meter_sensor(meter_id)) is not None
    }
    if not units:
        return
    recorded = await async_read(hass, _read_units, set(units))
    for entity_id, recorded_unit in (recorded or {}).items():
        unit = units[entity_id]
        # Statistics in any other unit were converted, by the wish of their owner.
        if recorded_unit != unit and recorded_unit in _UNIT_CLASSES:
            async_update_statistics_metadata(
                hass, entity_id, new_unit_class=_UNIT_CLASSES[unit], new_unit_of_measurement=unit
            )


def _read_units(hass: HomeAssistant, statistic_ids: set[str]) -> dict[str, str | None]:
    return {
        statistic_id: metadata["unit_of_measurement"]
        for statistic_id, (_, metadata) in get_metadata(hass, statistic_ids=statistic_ids).items()
    }
