"""States that are written while a test runs."""

from datetime import datetime
from typing import Any, NamedTuple

from homeassistant.const import EVENT_STATE_CHANGED, EVENT_STATE_REPORTED
from homeassistant.core import Event, HomeAssistant, callback


class Write(NamedTuple):
    """A state that was written, changed or not."""

    entity_id: str
    state: str
    unit: str | None
    time: datetime


def watch_states(hass: HomeAssistant, *entity_ids: str) -> list[Write]:
    """Return a list that gets each later write of these entities, or of all entities."""
    writes: list[Write] = []

    @callback
    def record(event: Event[Any]) -> None:
        if (state := event.data["new_state"]) is not None:
            unit = state.attributes.get("unit_of_measurement")
            writes.append(Write(state.entity_id, state.state, unit, state.last_reported))

    # Reports of unchanged states are sent only to listeners with a filter.
    is_wanted = callback(lambda data: not entity_ids or data["entity_id"] in entity_ids)
    for event_type in (EVENT_STATE_CHANGED, EVENT_STATE_REPORTED):
        hass.bus.async_listen(event_type, record, is_wanted)
    return writes
