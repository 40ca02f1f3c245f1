"""Sensors: what the meter measures, what other meters count, what appliances use, and how the reader is."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, override

from homeassistant.components.sensor import (
    RestoreSensor,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .appliances import Appliance
from .const import TariffKey
from .coordinator import EnergySseConfigEntry, EnergySseCoordinator
from .descriptions import (
    APPLIANCE_ENERGY,
    APPLIANCE_POWER,
    APPLIANCE_STATE,
    MEASUREMENTS,
    PROPERTIES,
    SUB_METERS,
    TARIFF,
    MeasurementDescription,
    PropertyDescription,
)
from .entity import ApplianceEntity, EnergySseEntity, ReaderEntity, TariffEntity
from .power_tariff.tracker import DemandTracker
from .reader import Measurement, Property, is_number

# The coordinator does the talking.
PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnergySseConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a sensor for everything that there is, and for everything that turns up later."""
    coordinator = entry.runtime_data

    @callback
    def add_measurements(measurements: Iterable[Measurement]) -> None:
        wanted = set(measurements)
        rows = (row for key, row in MEASUREMENTS.items() if key in wanted)
        async_add_entities(MeasurementSensor(coordinator, row) for row in rows)

    @callback
    def add_properties(properties: Iterable[Property]) -> None:
        wanted = set(properties)
        rows = (row for key, row in PROPERTIES.items() if key in wanted)
        async_add_entities(PropertySensor(coordinator, row) for row in rows)

    @callback
    def add_sub_meters(meter_ids: Iterable[str]) -> None:
        async_add_entities(SubMeterSensor(coordinator, meter_id) for meter_id in meter_ids)

    @callback
    def add_appliances(appliances: Iterable[Appliance]) -> None:
        async_add_entities(
            ApplianceSensor(coordinator, appliance, row)
            for appliance in appliances
            for row in (APPLIANCE_POWER, APPLIANCE_ENERGY)
        )

    @callback
    def add_multi_state_appliances(appliances: Iterable[Appliance]) -> None:
        async_add_entities(
            ApplianceSensor(coordinator, appliance, APPLIANCE_STATE) for appliance in appliances
        )

    if (tracker := coordinator.tariff) is not None:
        async_add_entities(TariffSensor(coordinator, tracker, key) for key in TARIFF)
    for unsubscribe in (
        coordinator.found_measurements.subscribe(add_measurements),
        coordinator.found_properties.subscribe(add_properties),
        coordinator.sub_meters.found.subscribe(add_sub_meters),
        coordinator.found_appliances.subscribe(add_appliances),
        coordinator.found_multi_state_appliances.subscribe(add_multi_state_appliances),
    ):
        entry.async_on_unload(unsubscribe)


class MeasurementSensor(ReaderEntity, SensorEntity):
    """Shows one measurement."""

    entity_description: MeasurementDescription

    def __init__(self, coordinator: EnergySseCoordinator, description: MeasurementDescription) -> None:
        """Prepare the sensor of a measurement."""
        super().__init__(coordinator, description.key, context=description.key)
        self.entity_description = description
        self._attr_native_unit_of_measurement = coordinator.reader.units[description.key] or None
        if description.part is not None:
            self._attr_translation_placeholders = {"part": description.part}
        self._values = coordinator.readings.values

    @property
    @override
    def available(self) -> bool:
        return (
            self.coordinator.availability.has_fresh_readings and self.entity_description.key in self._values
        )

    @property
    @override
    def native_value(self) -> float | str | None:
        value = self._values.get(self.entity_description.key)
        if value is not None and (options := self.entity_description.options) is not None:
            # Only the tariffs that the documentation knows; another one is unknown, not an error.
            return option if (option := str(value)) in options else None
        return value


class PropertySensor(ReaderEntity, SensorEntity):
    """Shows one thing that the reader says of itself."""

    entity_description: PropertyDescription

    def __init__(self, coordinator: EnergySseCoordinator, description: PropertyDescription) -> None:
        """Prepare the sensor of a property."""
        super().__init__(coordinator, description.key, context=description.key)
        self.entity_description = description

    @property
    def _said(self) -> str | float | datetime | None:
        return self.coordinator.status.get(self.entity_description.key)

    @property
    @override
    def available(self) -> bool:
        return self.coordinator.availability.is_alive and self._said is not None

    @property
    @override
    def native_value(self) -> str | float | datetime | None:
        wire_values = self.entity_description.wire_values
        return self._said if wire_values is None else wire_values.get(str(self._said))

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        # A word that is not known yet is no error; whoever knows what it means can read it.
        return {"reported": self._said} if self._said is not None and self.native_value is None else None


class SubMeterSensor(EnergySseEntity, SensorEntity):
    """Shows the register of a sub-meter, by that meter's name: there is nothing else to it."""

    _attr_name = None

    def __init__(self, coordinator: EnergySseCoordinator, meter_id: str) -> None:
        """Prepare the sensor of a sub-meter, as what its owner has chosen."""
        identifier = coordinator.registry.sub_meter_identifier(meter_id)
        super().__init__(coordinator, context=identifier, unique_id=identifier[1], identifier=identifier)
        self._meter_id = meter_id
        self.entity_description = SUB_METERS[coordinator.sub_meters.kind(meter_id)]
        if coordinator.registry.sub_meter_has_statistics(meter_id):
            self._attr_state_class = SensorStateClass.TOTAL_INCREASING

    @property
    @override
    def available(self) -> bool:
        return (
            self.coordinator.availability.has_fresh_readings and self._meter_id in self.coordinator.sub_meters
        )

    @property
    @override
    def native_value(self) -> float | None:
        return self.coordinator.sub_meters.value(self._meter_id)


class ApplianceSensor(ApplianceEntity, RestoreSensor):
    """Shows one thing about an appliance, as last reported; after a restart, as last known."""

    def __init__(
        self, coordinator: EnergySseCoordinator, appliance: Appliance, description: SensorEntityDescription
    ) -> None:
        """Prepare a sensor that shows the appliance's attribute of the description's key."""
        super().__init__(coordinator, appliance, description.key)
        self.entity_description = description

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        last, unit = await self.async_get_last_sensor_data(), self.native_unit_of_measurement
        # The id may have been that of another sensor.
        if last is None or self.native_value is not None or last.native_unit_of_measurement != unit:
            return
        if isinstance(last.native_value, str) if unit is None else is_number(last.native_value):
            setattr(self.appliance, self.entity_description.key, last.native_value)

    @property
    @override
    def native_value(self) -> str | float | None:
        value: str | float | None = getattr(self.appliance, self.entity_description.key)
        return value


class TariffSensor(TariffEntity, SensorEntity):
    """Shows one thing about the power tariff, and of what a month bills what it is made of."""

    def __init__(self, coordinator: EnergySseCoordinator, tracker: DemandTracker, key: TariffKey) -> None:
        """Prepare the sensor of one of the tariff's values."""
        super().__init__(coordinator, tracker, key)
        self.entity_description = TARIFF[key]

    @property
    @override
    def native_value(self) -> float | None:
        value = self.tracker.value(self.key)
        # Of a mean, more than a W is noise.
        return None if value is None else round(value)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        if self.key not in (TariffKey.PEAK_DEMAND, TariffKey.PREVIOUS_PEAK_DEMAND):
            return None
        peak = self.tracker.monthly_peak(self.key)
        return {
            "intervals": [
                {
                    "start": each.start.astimezone(peak.zone).isoformat(),
                    "power": round(each.demand / 1000, 3),
                }
                for each in peak.peaks
            ]
            if peak is not None
            else [],
            "missed": 0 if peak is None else peak.missed,
        }
