"""Binary sensors: whether an appliance runs, and what the reader is connected to."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, override

from homeassistant.components.binary_sensor import BinarySensorDeviceClass, BinarySensorEntity
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import RestoredExtraData, RestoreEntity
from homeassistant.util import dt as dt_util

from .appliances import Appliance
from .const import TariffKey
from .coordinator import CONNECTION, EnergySseConfigEntry, EnergySseCoordinator
from .entity import ApplianceEntity, ReaderEntity, TariffEntity
from .power_tariff.tracker import DemandTracker
from .reader import Property as P

# The coordinator does the talking.
PARALLEL_UPDATES = 0

CLOUDS: Final = (
    P.CLOUD_WHATWATT,
    P.CLOUD_MYSTROM,
    P.CLOUD_SOLAR_MANAGER,
    P.CLOUD_MQTT,
    P.CLOUD_STROMKONTO,
)

# The vendor publishes no list of categories: these are guesses at the singular of what households have, found
# anywhere in the category.
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
    """Add the reader's binary sensors, and one for every appliance, now and later."""
    coordinator = entry.runtime_data
    async_add_entities([ConnectionBinarySensor(coordinator)])
    if coordinator.tariff is not None:
        async_add_entities([PeakExpectedBinarySensor(coordinator, coordinator.tariff)])

    @callback
    def add_clouds(properties: Iterable[P]) -> None:
        async_add_entities(CloudBinarySensor(coordinator, each) for each in properties if each in CLOUDS)

    @callback
    def add_appliances(appliances: Iterable[Appliance]) -> None:
        async_add_entities(RunningBinarySensor(coordinator, appliance) for appliance in appliances)

    entry.async_on_unload(coordinator.found_properties.subscribe(add_clouds))
    entry.async_on_unload(coordinator.found_appliances.subscribe(add_appliances))


class ConnectionBinarySensor(ReaderEntity, BinarySensorEntity):
    """Is on while there is a stream, and tells in an attribute whether readings arrive.

    Stays available while everything else is not.
    """

    _attr_device_class = BinarySensorDeviceClass.CONNECTIVITY
    _attr_entity_category = EntityCategory.DIAGNOSTIC
    _attr_translation_key = "connection"

    def __init__(self, coordinator: EnergySseCoordinator) -> None:
        """Prepare the binary sensor of the connection."""
        super().__init__(coordinator, "connection", context=CONNECTION)

    @property
    @override
    def is_on(self) -> bool:
        return self.coordinator.is_streaming

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        return {"readings": "fresh" if self.coordinator.availability.has_fresh_readings else "stale"}


class CloudBinarySensor(ReaderEntity, BinarySensorEntity):
    """Tells whether the reader has reached a service that its owner has switched on."""

    _attr_device_class = BinarySensorDeviceClass.CONNECTIVITY
    _attr_entity_category = EntityCategory.DIAGNOSTIC
    _attr_entity_registry_enabled_default = False

    def __init__(self, coordinator: EnergySseCoordinator, cloud: P) -> None:
        """Prepare the binary sensor of a service."""
        super().__init__(coordinator, cloud, context=cloud)
        self._attr_translation_key = cloud
        self._cloud = cloud

    @property
    @override
    def available(self) -> bool:
        return self.coordinator.availability.is_alive and self._cloud in self.coordinator.status

    @property
    @override
    def is_on(self) -> bool:
        return self.coordinator.status.get(self._cloud) is True


class PeakExpectedBinarySensor(TariffEntity, BinarySensorEntity):
    """Tells whether the running interval will raise what the month bills if the present power stays."""

    _attr_translation_key = TariffKey.PEAK_EXPECTED

    def __init__(self, coordinator: EnergySseCoordinator, tracker: DemandTracker) -> None:
        """Prepare the binary sensor of a power tariff."""
        super().__init__(coordinator, tracker, TariffKey.PEAK_EXPECTED)

    @property
    @override
    def is_on(self) -> bool:
        return self.tracker.expects_peak

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        end = self.tracker.interval_end
        return {"interval_end": None if end is None else dt_util.as_local(end).isoformat()}


class RunningBinarySensor(ApplianceEntity, BinarySensorEntity, RestoreEntity):
    """Tells whether an appliance runs, as last reported; after a restart, as last known."""

    _attr_device_class = BinarySensorDeviceClass.RUNNING

    def __init__(self, coordinator: EnergySseCoordinator, appliance: Appliance) -> None:
        """Prepare the binary sensor of an appliance."""
        super().__init__(coordinator, appliance, "running")

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        last = await self.async_get_last_extra_data()
        # The id may have been that of another entity, which has stored something else.
        is_on = None if last is None else last.as_dict().get("is_on")
        if self.appliance.is_on is None and isinstance(is_on, bool):
            self.appliance.is_on = is_on

    @property
    @override
    def extra_restore_state_data(self) -> RestoredExtraData:
        # Beside the state, which may be "unavailable" when Home Assistant stops.
        return RestoredExtraData({"is_on": self.is_on})

    @property
    @override
    def is_on(self) -> bool | None:
        return self.appliance.is_on

    @property
    @override
    def icon(self) -> str | None:
        category = self.appliance.category or ""
        return next((icon for word, icon in _ICONS.items() if word in category), None)
