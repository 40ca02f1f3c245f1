"""What all entities have in common."""

from collections.abc import Hashable
from typing import override

from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.update_coordinator import BaseCoordinatorEntity

from .appliances import Appliance
from .coordinator import EnergySseCoordinator


class EnergySseEntity(BaseCoordinatorEntity[EnergySseCoordinator]):
    """An entity of a device that the coordinator has registered."""

    _attr_has_entity_name = True

    def __init__(
        self,
        coordinator: EnergySseCoordinator,
        *,
        context: Hashable,
        unique_id: str,
        device: tuple[str, str],
    ) -> None:
        """Prepare an entity that is called for news about the context."""
        super().__init__(coordinator, context)
        self._attr_unique_id = unique_id
        self._attr_device_info = DeviceInfo(identifiers={device})

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
            device=coordinator.registry.reader,
        )


class ApplianceEntity(EnergySseEntity):
    """An entity of an appliance. It knows what the reader knows, however long ago it has said so."""

    def __init__(self, coordinator: EnergySseCoordinator, appliance: Appliance, key: str) -> None:
        """Prepare one of the entities of an appliance."""
        device = coordinator.registry.appliance(appliance.id)
        super().__init__(coordinator, context=appliance, unique_id=f"{device[1]}:{key}", device=device)
        self._attr_translation_key = f"appliance_{key}"
        self.appliance = appliance

    @property
    @override
    def available(self) -> bool:
        return self.coordinator.is_connected
