"""Sensors: what the meter measures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import UnitOfEnergy, UnitOfPower
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import EnergySseConfigEntry, EnergySseCoordinator
from .entity import EnergySseEntity
from .reader import Measurement as M

# The coordinator does the talking.
PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class MeasurementDescription(SensorEntityDescription):
    """How a measurement is shown. Its unit is the reader's."""

    key: M
    part: str | None = None
    """The phase or the tariff, for the name."""


def _power(key: M, name: str, phase: str | None = None) -> MeasurementDescription:
    return MeasurementDescription(
        key=key,
        translation_key=name,
        part=phase,
        device_class=SensorDeviceClass.POWER,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_unit_of_measurement=UnitOfPower.WATT,
        suggested_display_precision=0,
    )


def _energy(key: M, name: str, tariff: str | None = None) -> MeasurementDescription:
    return MeasurementDescription(
        key=key,
        translation_key=name,
        part=tariff,
        device_class=SensorDeviceClass.ENERGY,
        state_class=SensorStateClass.TOTAL_INCREASING,
        suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        suggested_display_precision=3,
    )


def _voltage(key: M, phase: str) -> MeasurementDescription:
    return MeasurementDescription(
        key=key,
        translation_key="voltage_phase",
        part=phase,
        device_class=SensorDeviceClass.VOLTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
    )


def _current(key: M, phase: str) -> MeasurementDescription:
    return MeasurementDescription(
        key=key,
        translation_key="current_phase",
        part=phase,
        device_class=SensorDeviceClass.CURRENT,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=2,
    )


# In the order in which they are added.
DESCRIPTIONS: Final[Mapping[M, MeasurementDescription]] = {
    description.key: description
    for description in (
        _power(M.ACTIVE_POWER_NET, "power_net"),
        _power(M.ACTIVE_POWER_IMPORT, "power_import"),
        _power(M.ACTIVE_POWER_EXPORT, "power_export"),
        _power(M.ACTIVE_POWER_IMPORT_L1, "power_import_phase", "L1"),
        _power(M.ACTIVE_POWER_IMPORT_L2, "power_import_phase", "L2"),
        _power(M.ACTIVE_POWER_IMPORT_L3, "power_import_phase", "L3"),
        _power(M.ACTIVE_POWER_EXPORT_L1, "power_export_phase", "L1"),
        _power(M.ACTIVE_POWER_EXPORT_L2, "power_export_phase", "L2"),
        _power(M.ACTIVE_POWER_EXPORT_L3, "power_export_phase", "L3"),
        _energy(M.ACTIVE_ENERGY_IMPORT, "energy_import"),
        _energy(M.ACTIVE_ENERGY_IMPORT_T1, "energy_import_tariff", "1"),
        _energy(M.ACTIVE_ENERGY_IMPORT_T2, "energy_import_tariff", "2"),
        _energy(M.ACTIVE_ENERGY_EXPORT, "energy_export"),
        _energy(M.ACTIVE_ENERGY_EXPORT_T1, "energy_export_tariff", "1"),
        _energy(M.ACTIVE_ENERGY_EXPORT_T2, "energy_export_tariff", "2"),
        _voltage(M.VOLTAGE_L1, "L1"),
        _voltage(M.VOLTAGE_L2, "L2"),
        _voltage(M.VOLTAGE_L3, "L3"),
        _current(M.CURRENT_L1, "L1"),
        _current(M.CURRENT_L2, "L2"),
        _current(M.CURRENT_L3, "L3"),
        MeasurementDescription(
            key=M.ACTIVE_TARIFF,
            translation_key="active_tariff",
            device_class=SensorDeviceClass.ENUM,
            options=["1", "2", "3", "4"],
        ),
    )
}


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnergySseConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a sensor for every measurement that the household has, now and later."""
    coordinator = entry.runtime_data

    @callback
    def add(measurements: Iterable[M]) -> None:
        wanted = set(measurements)
        async_add_entities(
            MeasurementSensor(coordinator, description)
            for measurement, description in DESCRIPTIONS.items()
            if measurement in wanted
        )

    entry.async_on_unload(coordinator.async_add_measurements_with(add))


class MeasurementSensor(EnergySseEntity, SensorEntity):
    """Shows one measurement."""

    entity_description: MeasurementDescription

    def __init__(self, coordinator: EnergySseCoordinator, description: MeasurementDescription) -> None:
        """Prepare the sensor of a measurement."""
        super().__init__(
            coordinator,
            context=description.key,
            unique_id=coordinator.registry.measurement_unique_id(description.key),
            device=coordinator.registry.reader_identifier(),
        )
        self.entity_description = description
        self._attr_native_unit_of_measurement = coordinator.reader.units[description.key] or None
        if description.part is not None:
            self._attr_translation_placeholders = {"part": description.part}

    @property
    @override
    def available(self) -> bool:
        return self.coordinator.has_fresh_readings and self.entity_description.key in self.coordinator.values

    @property
    @override
    def native_value(self) -> float | str | None:
        value = self.coordinator.values.get(self.entity_description.key)
        if value is not None and (options := self.entity_description.options) is not None:
            # Only the tariffs that the documentation knows; another one is unknown, not an error.
            return option if (option := str(value)) in options else None
        return value
