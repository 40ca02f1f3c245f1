"""What all entities have in common."""

from collections.abc import Hashable
from typing import override

from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.update_coordinator import BaseCoordinatorEntity

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
