"""What all entities have in common."""

from collections.abc import Hashable
from typing import override

from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.update_coordinator import BaseCoordinatorEntity

from .appliances import Appliance
from .const import TariffKey
from .coordinator import EnergySseCoordinator
from .power_tariff.tracker import MONTHLY_KEYS, DemandTracker


class EnergySseEntity(BaseCoordinatorEntity[EnergySseCoordinator]):
    """An entity of a device that the coordinator has registered."""

    _attr_has_entity_name = True

    def __init__(
        self,
        coordinator: EnergySseCoordinator,
        *,
        context: Hashable,
        unique_id: str,
        identifier: tuple[str, str],
    ) -> None:
        """Prepare an entity that is called for news about the context."""
        super().__init__(coordinator, context)
        self._attr_unique_id = unique_id
        self._attr_device_info = DeviceInfo(identifiers={identifier})

    @override
    async def async_update(self) -> None:
        """Do nothing: there is nothing to ask for, the reader speaks by itself."""


class ReaderEntity(EnergySseEntity):
    """An entity of the reader itself."""

    def __init__(self, coordinator: EnergySseCoordinator, key: str, *, context: Hashable) -> None:
        """Prepare an entity that is called for news about the context."""
        super().__init__(
            coordinator,
            context=context,
            unique_id=coordinator.registry.unique_id(key),
            identifier=coordinator.registry.reader_identifier,
        )


class ApplianceEntity(EnergySseEntity):
    """An entity of an appliance. It knows what the reader knows, however long ago it has said so."""

    def __init__(self, coordinator: EnergySseCoordinator, appliance: Appliance, key: str) -> None:
        """Prepare one of the entities of an appliance."""
        identifier = coordinator.registry.appliance_identifier(appliance.id)
        super().__init__(
            coordinator, context=appliance, unique_id=f"{identifier[1]}:{key}", identifier=identifier
        )
        self._attr_translation_key = f"appliance_{key}"
        self.appliance = appliance

    @property
    @override
    def available(self) -> bool:
        return self.coordinator.availability.is_alive


class TariffEntity(ReaderEntity):
    """An entity of the power tariff. It shows the present, or what has been counted."""

    def __init__(self, coordinator: EnergySseCoordinator, tracker: DemandTracker, key: TariffKey) -> None:
        """Prepare one of the entities of the tariff."""
        super().__init__(coordinator, key, context=key)
        self.key = key
        self.tracker = tracker

    @property
    @override
    def available(self) -> bool:
        if self.key in MONTHLY_KEYS:
            return self.tracker.monthly_peaks is not None
        return self.coordinator.availability.has_fresh_readings
