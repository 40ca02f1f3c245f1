"""Event entities of the appliances."""

from functools import partial
from typing import override

from homeassistant.components.event import EventEntity
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .appliances import Appliance, ApplianceEventType
from .coordinator import EnergySseCoordinator
from .data import EnergySseConfigEntry
from .entity import ApplianceEntity, async_add_new_entities

# The reader pushes its data.
PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnergySseConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add an event entity for each appliance."""
    coordinator = entry.runtime_data.coordinator
    async_add_new_entities(
        coordinator,
        async_add_entities,
        lambda: coordinator.data.appliances,
        partial(TransitionEvent, coordinator),
    )


class TransitionEvent(ApplianceEntity, EventEntity):
    """Event entity that fires when an appliance changes its state."""

    def __init__(self, coordinator: EnergySseCoordinator, appliance: Appliance) -> None:
        """Create the event entity of an appliance."""
        super().__init__(coordinator, appliance, "transition")
        self._attr_event_types = list(ApplianceEventType)

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        # Events from before the entity was added fire after its first state, because automations are
        # triggered by a change.
        if self.appliance.pending_events:
            self.hass.loop.call_soon(self._handle_coordinator_update)

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        if not self.appliance.pending_events:
            super()._handle_coordinator_update()
        while self.appliance.pending_events:
            event = self.appliance.pending_events.popleft()
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
