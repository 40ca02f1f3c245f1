"""What a fault report needs, and nothing that tells whose meter it is."""

from typing import Any, Final

from homeassistant.components.diagnostics import REDACTED, async_redact_data
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er

from .const import CONF_COUNTERS
from .coordinator import EnergySseConfigEntry, EnergySseCoordinator
from .reader import Property, parse_object

# Keys of the wires whose values tell who, where or what network: the device, the meter, its owner's names.
_IDENTITIES: Final = frozenset(
    {
        "M_ID",
        "area",
        "bssid",
        "dName",
        "gateway",
        "host",
        "ip",
        "localIP",
        "logical_name",
        "mac",
        "meter_id",
        "mqtt",
        "name",
        "password",
        "remoteUrl",
        "ssid",
    }
)


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: EnergySseConfigEntry
) -> dict[str, Any]:
    """Return how the reader and its stream are."""
    coordinator = entry.runtime_data
    health = coordinator.reader.health
    return {
        "entry": {
            "data": async_redact_data(entry.data, _IDENTITIES),
            "options": {**entry.options, CONF_COUNTERS: list(entry.options.get(CONF_COUNTERS, {}).values())},
        },
        "reader": {
            "model": coordinator.reader.model,
            "firmware": coordinator.firmware,
            "status": {
                key: REDACTED if key is Property.PRICE_AREA else value
                for key, value in coordinator.status.items()
            },
        },
        "stream": {
            "state": coordinator.connection_state,
            "is_connected": coordinator.is_connected,
            "attempts": health.attempts,
            "connects": health.connects,
            "losses": dict(health.losses),
            "events": dict(health.events),
            "oversized_events": health.oversized_events,
        },
        "readings": {
            "are_fresh": coordinator.has_fresh_readings,
            "interval": coordinator.readings.freshness.interval,
            "limit": coordinator.readings.freshness.limit,
            "values": dict(coordinator.readings.values),
            "dropped": dict(coordinator.readings.guard.dropped),
        },
        "appliances": [
            {
                "id": appliance.id,
                "category": appliance.category,
                "is_on": appliance.is_on,
                "energy": appliance.energy,
            }
            for appliance in coordinator.appliances
        ],
        "entities": _entities(hass, entry, coordinator),
        "recent_events": [
            {"type": event.type, "data": _without_identities(event.type, event.data)}
            for event in health.recent_events
        ],
    }


def _entities(
    hass: HomeAssistant, entry: EnergySseConfigEntry, coordinator: EnergySseCoordinator
) -> list[dict[str, Any]]:
    """Return the entities by what they are: their ids come from the owner's names."""
    counters = [coordinator.registry.counter(meter_id)[1] for meter_id in coordinator.found_counters]
    entities = []
    for entity in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id):
        key = entity.unique_id
        if key in counters:
            key = f"counter {counters.index(key) + 1}"
        state = hass.states.get(entity.entity_id)
        entities.append(
            {
                "platform": entity.domain,
                "key": key.removeprefix(str(entry.unique_id)).lstrip("_:"),
                "disabled_by": entity.disabled_by,
                "state": None if state is None else state.state,
            }
        )
    return sorted(entities, key=lambda entity: (entity["platform"], entity["key"]))


def _without_identities(event_type: str, data: str) -> str | dict[str, Any]:
    """Return what an event says, or how long it is where that cannot be told apart from who says it."""
    if event_type == "status":
        return data
    payload = None if event_type == "log" else parse_object(data)
    if payload is None:
        return f"{REDACTED} ({len(data)} characters)"
    # In `config` the id is the device's; elsewhere it is an appliance's.
    identities = _IDENTITIES | {"id"} if event_type == "config" else _IDENTITIES
    return async_redact_data(payload, identities)
