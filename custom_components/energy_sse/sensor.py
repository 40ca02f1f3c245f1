"""Sensors of the reader, its sub-meters, its appliances and its power tariffs."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, override

from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorStateClass
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_call_later

from .appliances import Appliance
from .const import COST_KEYS, PowerTariffKey
from .coordinator import EnergySseCoordinator
from .data import EnergySseConfigEntry
from .descriptions import (
    APPLIANCE_STATE,
    APPLIANCES,
    MEASUREMENTS,
    POWER_TARIFF,
    PROPERTIES,
    SUB_METERS,
    ApplianceDescription,
    MeasurementDescription,
    PowerTariffDescription,
    PropertyDescription,
)
from .entity import ApplianceEntity, EnergySseEntity, PowerTariffEntity, ReaderEntity, async_add_new_entities
from .power_tariff.tracker import DemandTracker
from .reader import HEADROOMS, Measurement, Property

# The reader pushes its data.
PARALLEL_UPDATES = 0

# Seconds until a sensor gets its state class, after the user has chosen the kind of its sub-meter. The
# recorder compiles five minutes at a time, which can begin with a state from before the choice. That state
# has no unit, and the statistics would never get one.
_STATISTICS_DELAY: Final = 330


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnergySseConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the sensors of everything that the reader has, now and later."""
    coordinator = entry.runtime_data.coordinator
    data, devices = coordinator.data, coordinator.devices
    _remove_headrooms(coordinator)
    for subentry_id, tracker in entry.runtime_data.tariffs.items():
        missing = frozenset() if tracker.tariff.price else COST_KEYS
        for key in missing:
            devices.async_remove_sensor(devices.tariff_sensor_id(subentry_id, key))
        async_add_entities(
            [PowerTariffSensor(coordinator, tracker, key) for key in POWER_TARIFF if key not in missing],
            config_subentry_id=subentry_id,
        )
    add = partial(async_add_new_entities, coordinator, async_add_entities)
    add(
        lambda: [each for each in MEASUREMENTS if each in data.measurements],
        partial(MeasurementSensor, coordinator),
    )
    add(
        lambda: [each for each in PROPERTIES if each in data.properties], partial(PropertySensor, coordinator)
    )
    add(lambda: data.sub_meters.known, partial(SubMeterSensor, coordinator))
    for description in APPLIANCES:
        add(lambda: data.appliances, partial(ApplianceSensor, coordinator, description))
    add(
        lambda: [
            each for each in data.appliances if each.has_many_states or devices.has_state_sensor(each.id)
        ],
        partial(ApplianceSensor, coordinator, APPLIANCE_STATE),
    )


@callback
def _remove_headrooms(coordinator: EnergySseCoordinator) -> None:
    """Remove the headroom of phases that the supply in the options does not have."""
    devices = coordinator.devices
    for measurement in HEADROOMS.keys() - coordinator.readings.computed.headrooms:
        coordinator.data.measurements.discard(measurement)
        devices.async_remove_sensor(devices.entity_id(Platform.SENSOR, measurement))


class MeasurementSensor(ReaderEntity, SensorEntity):
    """Sensor of one measurement."""

    entity_description: MeasurementDescription

    def __init__(self, coordinator: EnergySseCoordinator, measurement: Measurement) -> None:
        """Create the sensor of a measurement."""
        super().__init__(coordinator, measurement, context=measurement)
        self.entity_description = description = MEASUREMENTS[measurement]
        self._measurement = measurement
        self._values = coordinator.data.values
        self._attr_native_unit_of_measurement = coordinator.reader.units[measurement] or None
        if description.part is not None:
            self._attr_translation_placeholders = {"part": description.part}

    @property
    @override
    def available(self) -> bool:
        return self.coordinator.availability.has_fresh_readings and self._measurement in self._values

    @property
    @override
    def native_value(self) -> float | str | None:
        value = self._values.get(self._measurement)
        if value is not None and (options := self.entity_description.options) is not None:
            # A tariff that is not documented is unknown.
            return option if (option := str(value)) in options else None
        return value


class PropertySensor(ReaderEntity, SensorEntity):
    """Sensor of one property of the reader."""

    entity_description: PropertyDescription

    def __init__(self, coordinator: EnergySseCoordinator, key: Property) -> None:
        """Create the sensor of a property."""
        super().__init__(coordinator, key, context=key)
        self.entity_description = PROPERTIES[key]

    @property
    def _reported(self) -> str | float | datetime | None:
        return self.coordinator.data.status.get(self.entity_description.key)

    @property
    @override
    def available(self) -> bool:
        return super().available and self._reported is not None

    @property
    @override
    def native_value(self) -> str | float | datetime | None:
        reported, protocol_values = self._reported, self.entity_description.protocol_values
        return reported if protocol_values is None else protocol_values.get(str(reported))

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        # An undocumented value of the firmware is unknown; the attribute shows it.
        reported = self._reported
        return {"reported": reported} if reported is not None and self.native_value is None else None


class SubMeterSensor(EnergySseEntity, SensorEntity):
    """Sensor of the register of a sub-meter."""

    _attr_name = None

    def __init__(self, coordinator: EnergySseCoordinator, meter_id: str) -> None:
        """Create the sensor of a sub-meter, by the kind that the user has chosen."""
        identifier = coordinator.devices.sub_meter_identifier(meter_id)
        super().__init__(coordinator, context=identifier, unique_id=identifier[1], identifier=identifier)
        self._meter_id = meter_id
        self.entity_description = description = SUB_METERS[coordinator.data.sub_meters.kind(meter_id)]
        has_statistics = coordinator.devices.sub_meter_has_statistics(
            meter_id, description.native_unit_of_measurement
        )
        if has_statistics is not None:
            self._attr_state_class = SensorStateClass.TOTAL_INCREASING if has_statistics else None

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        if self.state_class is None and self.entity_description.state_class is not None:
            self.async_on_remove(async_call_later(self.hass, _STATISTICS_DELAY, self._start_statistics))

    @callback
    def _start_statistics(self, _now: datetime) -> None:
        self._attr_state_class = self.entity_description.state_class
        self.async_write_ha_state()

    @property
    @override
    def available(self) -> bool:
        return (
            self.coordinator.availability.has_fresh_readings
            and self._meter_id in self.coordinator.data.sub_meters.values
            and self._meter_id not in self.coordinator.data.sub_meters.outdated
        )

    @property
    @override
    def native_value(self) -> float | None:
        return self.coordinator.data.sub_meters.values.get(self._meter_id)


class ApplianceSensor(ApplianceEntity, SensorEntity):
    """Sensor of one value of an appliance."""

    entity_description: ApplianceDescription

    def __init__(
        self, coordinator: EnergySseCoordinator, description: ApplianceDescription, appliance: Appliance
    ) -> None:
        """Create the sensor of a value of an appliance."""
        super().__init__(coordinator, appliance, description.key)
        self.entity_description = description

    @property
    @override
    def native_value(self) -> float | str | datetime | None:
        return self.entity_description.value_fn(self.appliance)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        return self.entity_description.attributes_fn(self.appliance)


class PowerTariffSensor(PowerTariffEntity, SensorEntity):
    """Sensor of one value of a power tariff."""

    entity_description: PowerTariffDescription

    def __init__(
        self, coordinator: EnergySseCoordinator, tracker: DemandTracker, key: PowerTariffKey
    ) -> None:
        """Create the sensor of one of the tariff's values."""
        super().__init__(coordinator, tracker, key)
        self.entity_description = description = POWER_TARIFF[key]
        if description.device_class is SensorDeviceClass.MONETARY:
            self._attr_native_unit_of_measurement = coordinator.hass.config.currency

    @property
    @override
    def native_value(self) -> float | datetime | None:
        if (month_fn := self.entity_description.month_fn) is not None:
            peak = self.tracker.monthly_peak(self.key)
            return None if peak is None else month_fn(peak)
        value = self.tracker.value(self.key)
        return None if value is None else round(value)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        if self.key not in (PowerTariffKey.PEAK_DEMAND, PowerTariffKey.PREVIOUS_PEAK_DEMAND):
            return None
        peak = self.tracker.monthly_peak(self.key)
        if peak is None:
            return {"intervals": [], "missed": 0}
        return {
            "intervals": [
                {
                    "start": each.start.astimezone(peak.zone).isoformat(),
                    "power": round(each.demand / 1000, 3),
                }
                for each in peak.peaks
            ],
            # Number of missed intervals. For the previous month, only this attribute has it.
            "missed": peak.missed,
        }
