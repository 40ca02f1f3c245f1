"""Baseline of the benchmarks: a `DataUpdateCoordinator` whose entities all write on every push.

The reader, its connection, the descriptions and the registry entries are those of the integration.
"""

from datetime import timedelta
import logging
from typing import override

from homeassistant.components.sensor import DOMAIN as SENSOR, SensorEntity
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import EntityPlatform
from homeassistant.helpers.update_coordinator import CoordinatorEntity, DataUpdateCoordinator

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.data import EnergySseConfigEntry
from custom_components.energy_sse.descriptions import MEASUREMENTS, MeasurementDescription
from custom_components.energy_sse.reader import (
    Measurement,
    Message,
    ReaderConnection,
    ReaderError,
    Reading,
)

_LOGGER = logging.getLogger(__name__)


class BaselineCoordinator(DataUpdateCoordinator[dict[Measurement, float]]):
    """Coordinator that keeps the last reading."""

    def __init__(self, hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
        """Start without a reading."""
        super().__init__(hass, _LOGGER, config_entry=entry, name="baseline")
        self.data = {}

    @callback
    def handle_message(self, message: Message) -> None:
        """Update the data from a reading."""
        if isinstance(message, Reading):
            self.async_set_updated_data({**self.data, **message.values})

    def handle_disconnect(self, error: ReaderError) -> None:
        """Ignore the end of the stream."""

    def handle_contention(self, *, is_contended: bool) -> None:
        """Ignore the end of the stream."""

    def handle_move(self, host: str) -> None:
        """Ignore the end of the stream."""

    def handle_basic_auth_request(self, host: str) -> None:
        """Ignore the end of the stream."""


class BaselineSensor(CoordinatorEntity[BaselineCoordinator], SensorEntity):
    """Sensor of a measurement."""

    _attr_has_entity_name = True
    entity_description: MeasurementDescription

    def __init__(
        self,
        coordinator: BaselineCoordinator,
        reader_id: str,
        unit: str | None,
        description: MeasurementDescription,
    ) -> None:
        """Create the sensor of a measurement."""
        super().__init__(coordinator)
        self.entity_description = description
        self._attr_unique_id = f"{reader_id}_{description.key}"
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, reader_id)})
        self._attr_native_unit_of_measurement = unit
        if description.part is not None:
            self._attr_translation_placeholders = {"part": description.part}

    @property
    @override
    def available(self) -> bool:
        return super().available and self.entity_description.key in self.coordinator.data

    @property
    @override
    def native_value(self) -> float | str | None:
        value = self.coordinator.data.get(self.entity_description.key)
        if value is not None and self.entity_description.options is not None:
            return str(value)
        return value


async def replace_by_baseline(hass: HomeAssistant, entry: EnergySseConfigEntry) -> ReaderConnection:
    """Replace the sensors of an entry by baseline sensors. Return their connection, which the caller runs."""
    reader, measurements = (
        entry.runtime_data.coordinator.reader,
        list(entry.runtime_data.coordinator.data.measurements),
    )
    reader_id = entry.unique_id
    assert reader_id is not None
    await hass.config_entries.async_unload(entry.entry_id)
    coordinator = BaselineCoordinator(hass, entry)
    platform = EntityPlatform(
        hass=hass,
        logger=_LOGGER,
        domain=SENSOR,
        platform_name=DOMAIN,
        platform=None,
        scan_interval=timedelta(minutes=1),
        entity_namespace=None,
    )
    platform.config_entry = entry
    await platform.platform_data.async_load_translations()
    await platform.async_add_entities(
        [
            BaselineSensor(coordinator, reader_id, reader.units[each] or None, MEASUREMENTS[each])
            for each in measurements
        ]
    )
    return ReaderConnection(reader, reader_id, coordinator)
