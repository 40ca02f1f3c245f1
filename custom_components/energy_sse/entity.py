"""Base classes of the entities."""

from collections.abc import Callable, Hashable, Iterable
from typing import override

from homeassistant.core import callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .appliances import Appliance
from .const import PowerTariffKey
from .coordinator import NEW_ENTITIES, EnergySseCoordinator
from .power_tariff.tracker import MONTHLY_KEYS, DemandTracker


@callback
def async_add_new_entities[T: Hashable](
    coordinator: EnergySseCoordinator,
    async_add_entities: AddConfigEntryEntitiesCallback,
    get_items: Callable[[], Iterable[T]],
    create: Callable[[T], Entity],
) -> None:
    """Add an entity for each present item of a reader, and for each item that is reported later.

    `get_items` returns the present items. A removed item gets a new entity when the reader reports it again.
    """
    known: set[T] = set()

    @callback
    def add_new_entities() -> None:
        items = dict.fromkeys(get_items())
        new = [each for each in items if each not in known]
        known.intersection_update(items)
        known.update(new)
        if new:
            async_add_entities(create(each) for each in new)

    add_new_entities()
    coordinator.config_entry.async_on_unload(coordinator.async_add_listener(add_new_entities, NEW_ENTITIES))


class EnergySseEntity(CoordinatorEntity[EnergySseCoordinator]):
    """Entity of a device that the coordinator has registered."""

    _attr_has_entity_name = True

    def __init__(
        self,
        coordinator: EnergySseCoordinator,
        *,
        context: Hashable,
        unique_id: str,
        identifier: tuple[str, str],
    ) -> None:
        """Create an entity that is updated when its context changes."""
        super().__init__(coordinator, context)
        self._attr_unique_id = unique_id
        self._attr_device_info = DeviceInfo(identifiers={identifier})


class ReaderEntity(EnergySseEntity):
    """Entity of the reader itself."""

    def __init__(self, coordinator: EnergySseCoordinator, key: str, *, context: Hashable) -> None:
        """Create an entity that is updated when its context changes."""
        super().__init__(
            coordinator,
            context=context,
            unique_id=coordinator.devices.unique_id(key),
            identifier=coordinator.devices.reader_identifier,
        )


class ApplianceEntity(EnergySseEntity):
    """Entity of an appliance. It shows the last report, regardless of its age."""

    def __init__(self, coordinator: EnergySseCoordinator, appliance: Appliance, key: str) -> None:
        """Create one of the entities of an appliance."""
        identifier = coordinator.devices.appliance_identifier(appliance.id)
        super().__init__(
            coordinator, context=appliance, unique_id=f"{identifier[1]}:{key}", identifier=identifier
        )
        self._attr_translation_key = f"appliance_{key}"
        self.appliance = appliance


class PowerTariffEntity(EnergySseEntity):
    """Entity of a power tariff."""

    def __init__(
        self, coordinator: EnergySseCoordinator, tracker: DemandTracker, key: PowerTariffKey
    ) -> None:
        """Create one of the entities of the tariff."""
        devices, subentry_id = coordinator.devices, tracker.subentry_id
        super().__init__(
            coordinator,
            context=tracker.context(key),
            unique_id=devices.tariff_unique_id(subentry_id, key),
            identifier=devices.tariff_identifier(subentry_id),
        )
        self.key = key
        self.tracker = tracker

    @property
    @override
    def available(self) -> bool:
        if self.key in MONTHLY_KEYS:
            return self.tracker.monthly_peaks is not None
        return self.coordinator.availability.has_fresh_readings
