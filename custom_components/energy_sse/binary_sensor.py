"""Binary sensors of the reader, its appliances and its power tariffs."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, override

from homeassistant.components.binary_sensor import BinarySensorDeviceClass, BinarySensorEntity
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.util import dt as dt_util

from .appliances import Appliance
from .const import PowerTariffKey
from .coordinator import CONNECTION, EnergySseCoordinator
from .data import EnergySseConfigEntry
from .entity import ApplianceEntity, PowerTariffEntity, ReaderEntity, async_add_new_entities
from .power_tariff.tracker import DemandTracker
from .reader import Property as P

# The reader pushes its data.
PARALLEL_UPDATES = 0

CLOUDS: Final = (
    P.CLOUD_WHATWATT,
    P.CLOUD_MYSTROM,
    P.CLOUD_SOLAR_MANAGER,
    P.CLOUD_MQTT,
    P.CLOUD_STROMKONTO,
)

# Sensors whose entity ids are attributes of *Peak expected*.
_RELATED_SENSORS: Final = (PowerTariffKey.EXPECTED_DEMAND, PowerTariffKey.DEMAND_LIMIT)

# Word in the category of an appliance → icon. The vendor does not publish a list of the categories.
_ICONS: Final[Mapping[str, str]] = {
    "coffee": "mdi:coffee-maker",
    "dishwasher": "mdi:dishwasher",
    "washing": "mdi:washing-machine",
    "washer": "mdi:washing-machine",
    "dryer": "mdi:tumble-dryer",
    "fridge": "mdi:fridge",
    "refrigerator": "mdi:fridge",
    "freezer": "mdi:snowflake",
    "cooler": "mdi:glass-wine",
    "oven": "mdi:stove",
    "stove": "mdi:stove",
    "microwave": "mdi:microwave",
    "kettle": "mdi:kettle",
    "heat-pump": "mdi:heat-pump",
    "water-heater": "mdi:water-boiler",
    "boiler": "mdi:water-boiler",
    "heater": "mdi:radiator",
    "sauna": "mdi:thermometer-high",
    "car": "mdi:ev-station",
    "charger": "mdi:ev-station",
    "pump": "mdi:pump",
    "vacuum": "mdi:vacuum",
    "tv": "mdi:television",
    "light": "mdi:lightbulb",
    "fan": "mdi:fan",
}


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnergySseConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the binary sensors of the reader, its appliances and its power tariffs."""
    coordinator = entry.runtime_data.coordinator
    data = coordinator.data
    async_add_entities([ConnectionBinarySensor(coordinator)])
    for subentry_id, tracker in entry.runtime_data.tariffs.items():
        async_add_entities([PeakExpectedBinarySensor(coordinator, tracker)], config_subentry_id=subentry_id)
    async_add_new_entities(
        coordinator,
        async_add_entities,
        lambda: [each for each in CLOUDS if each in data.properties],
        partial(CloudBinarySensor, coordinator),
    )
    async_add_new_entities(
        coordinator, async_add_entities, lambda: data.appliances, partial(RunningBinarySensor, coordinator)
    )


class ConnectionBinarySensor(ReaderEntity, BinarySensorEntity):
    """Connection state of the stream. It is always available."""

    _attr_device_class = BinarySensorDeviceClass.CONNECTIVITY
    _attr_entity_category = EntityCategory.DIAGNOSTIC
    _attr_translation_key = "connection"

    def __init__(self, coordinator: EnergySseCoordinator) -> None:
        """Create the binary sensor of the connection."""
        super().__init__(coordinator, "connection", context=CONNECTION)

    @property
    @override
    def available(self) -> bool:
        return True

    @property
    @override
    def is_on(self) -> bool:
        return self.coordinator.data.is_streaming

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        return {"readings": "fresh" if self.coordinator.availability.has_fresh_readings else "stale"}


class CloudBinarySensor(ReaderEntity, BinarySensorEntity):
    """Connection state of the reader and a cloud service that its owner has enabled."""

    _attr_device_class = BinarySensorDeviceClass.CONNECTIVITY
    _attr_entity_category = EntityCategory.DIAGNOSTIC
    _attr_entity_registry_enabled_default = False

    def __init__(self, coordinator: EnergySseCoordinator, cloud: P) -> None:
        """Create the binary sensor of a service."""
        super().__init__(coordinator, cloud, context=cloud)
        self._attr_translation_key = cloud
        self._cloud = cloud

    @property
    @override
    def available(self) -> bool:
        return super().available and self._cloud in self.coordinator.data.status

    @property
    @override
    def is_on(self) -> bool:
        return self.coordinator.data.status.get(self._cloud) is True


class PeakExpectedBinarySensor(PowerTariffEntity, BinarySensorEntity):
    """Binary sensor that is on if the current interval will raise the monthly peak at the present power."""

    _attr_translation_key = PowerTariffKey.PEAK_EXPECTED

    def __init__(self, coordinator: EnergySseCoordinator, tracker: DemandTracker) -> None:
        """Create the binary sensor of a power tariff."""
        super().__init__(coordinator, tracker, PowerTariffKey.PEAK_EXPECTED)

    @property
    @override
    def is_on(self) -> bool:
        return self.tracker.expects_peak

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        end, devices = self.tracker.interval_end, self.coordinator.devices
        return {
            "interval_end": None if end is None else dt_util.as_local(end).isoformat(),
            # A blueprint finds the sensors of this tariff here, so that the user selects only this entity.
            **{key: devices.tariff_sensor_id(self.tracker.subentry_id, key) for key in _RELATED_SENSORS},
        }


class RunningBinarySensor(ApplianceEntity, BinarySensorEntity):
    """Binary sensor that is on while an appliance is running, by its last report."""

    _attr_device_class = BinarySensorDeviceClass.RUNNING

    def __init__(self, coordinator: EnergySseCoordinator, appliance: Appliance) -> None:
        """Create the binary sensor of an appliance."""
        super().__init__(coordinator, appliance, "running")

    @property
    @override
    def is_on(self) -> bool | None:
        return self.appliance.is_on

    @property
    @override
    def icon(self) -> str | None:
        category = self.appliance.category or ""
        return next((icon for word, icon in _ICONS.items() if word in category), None)
