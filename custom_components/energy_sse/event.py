"""Events: the transitions of appliances."""

from collections.abc import Iterable
from typing import override

from homeassistant.components.event import EventEntity
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .appliances import Appliance, ApplianceEventType
from .coordinator import EnergySseConfigEntry, EnergySseCoordinator
from .entity import ApplianceEntity

# The coordinator does the talking.
PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnergySseConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add an event entity for every appliance that has been heard of, now and later."""
    coordinator = entry.runtime_data

    @callback
    def add(appliances: Iterable[Appliance]) -> None:
        async_add_entities(TransitionEvent(coordinator, appliance) for appliance in appliances)

    entry.async_on_unload(coordinator.found_appliances.subscribe(add))


class TransitionEvent(ApplianceEntity, EventEntity):
    """Fires when an appliance changes its state."""

    def __init__(self, coordinator: EnergySseCoordinator, appliance: Appliance) -> None:
        """Prepare the event entity of an appliance."""
        super().__init__(coordinator, appliance, "transition")
        self._attr_event_types = list(ApplianceEventType)

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        # What happened before there was an entity to tell it comes after the entity's first state: an
        # automation reacts to a change.
        if self.appliance.waiting:
            self.hass.loop.call_soon(self._handle_coordinator_update)

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        while self.appliance.waiting:
            event = self.appliance.waiting.popleft()
            transition = event.transition
            self._trigger_event(
                event.type,
                {
                    "state": transition.state,
                    "previous_state": transition.previous_state,
                    "power": transition.power,
                    "energy": transition.energy,
                    "category": transition.category,
                    "device_time": transition.time and transition.time.isoformat(),
                },
            )
            self.async_write_ha_state()
        self.async_write_ha_state()
