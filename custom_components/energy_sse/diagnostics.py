"""What a fault report needs, and nothing that tells whose meter it is."""

from collections.abc import Mapping
from datetime import datetime, timedelta
import re
from typing import Any, Final

from homeassistant.components.diagnostics import REDACTED, async_redact_data
from homeassistant.const import CONF_HOST, CONF_PASSWORD, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JSON_DECODE_EXCEPTIONS, json_loads

from .const import CONF_ENTERED_HOST, CONF_SUB_METERS
from .coordinator import EnergySseCoordinator
from .data import EnergySseConfigEntry
from .power_tariff.tracker import DemandTracker
from .reader import REDACTOR, ConnectionStats, Property, clock

# What of the entry tells where the reader is, and how to log in.
_IDENTITIES: Final = frozenset({CONF_ENTERED_HOST, CONF_HOST, CONF_PASSWORD})

# What of the entities' states its owner has written, or tells where they live.
_OWNERS_STATES: Final = (":state", f"_{Property.PRICE_AREA}")

_NUMBER: Final = re.compile(r"-?[0-9.]+(?:e[+-]?[0-9]+)?")

# Levels of an event. The readers have three; what has hundreds no JSON can be written of.
_DEEPEST: Final = 20


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: EnergySseConfigEntry
) -> dict[str, Any]:
    """Return how the reader and its stream are, as far as they have been tried since the last start."""
    sub_meters = entry.options.get(CONF_SUB_METERS, {})
    return {
        "entry": {
            "state": entry.state.value,
            "data": async_redact_data(entry.data, _IDENTITIES),
            "options": {
                **entry.options,
                # By the numbers of meters, unless something has damaged them.
                CONF_SUB_METERS: list(sub_meters.values()) if isinstance(sub_meters, Mapping) else REDACTED,
            },
        },
        "power_tariff": None if (tracker := _tariff(entry)) is None else tracker.report,
        "entities": _entities(hass, entry),
        **(_heard(entry.runtime_data.coordinator) if hasattr(entry, "runtime_data") else {}),
    }


def _tariff(entry: EnergySseConfigEntry) -> DemandTracker | None:
    return entry.runtime_data.tariff if hasattr(entry, "runtime_data") else None


def _heard(coordinator: EnergySseCoordinator) -> dict[str, Any]:
    """Return what was heard of the reader, or why it was not."""
    stats = coordinator.reader.stats
    return {
        "reader": {
            "model": coordinator.reader.model,
            "firmware": _word(coordinator.data.firmware),
            "status": {
                key: REDACTED if key is Property.PRICE_AREA else _word(value)
                for key, value in coordinator.data.status.items()
            },
        },
        "stream": {
            "state": coordinator.connection_state,
            "is_connected": coordinator.availability.is_online,
            "attempts": stats.attempts,
            "connects": stats.connects,
            "losses": dict(stats.failures),
            "events": {REDACTOR.event_type(each): count for each, count in stats.events.items()},
            "oversized_events": stats.oversized_events,
        },
        "readings": {
            "are_fresh": coordinator.availability.has_fresh_readings,
            "interval": coordinator.readings.freshness.interval,
            "limit": coordinator.readings.freshness.limit,
            "values": dict(coordinator.data.values),
            "dropped": dict(coordinator.readings.validator.dropped),
            "dropped_of_sub_meters": dict(coordinator.data.sub_meters.validator.dropped),
        },
        "appliances": [
            {
                "id": REDACTOR.pseudonym(appliance.id),
                "category": _word(appliance.category, "cat"),
                "is_on": appliance.is_on,
                "energy": appliance.energy,
            }
            for appliance in coordinator.data.appliances
        ],
        **_said(stats),
    }


def _said(stats: ConnectionStats) -> dict[str, Any]:
    """Return the last answers and events. `python -m tests.simulators replay` makes a reader of them."""

    def time_of(at: float) -> datetime:
        return dt_util.utcnow() - timedelta(seconds=clock.now() - at)

    events = list(stats.recent_events)
    if stats.identity_event is not None and stats.identity_event not in events:
        events.insert(0, stats.identity_event)
    return {
        "answers": [
            {
                "time": time_of(answer.at),
                "path": path,
                "status": answer.status,
                "data": _readable(REDACTOR.json(answer.body)),
            }
            for path, answer in stats.responses.items()
        ],
        "recent_events": [
            {
                "time": time_of(at),
                "type": REDACTOR.event_type(event.type),
                "data": _readable(REDACTOR.event(event.type, event.data)),
            }
            for at, event in events
        ],
    }


def _entities(hass: HomeAssistant, entry: EnergySseConfigEntry) -> list[dict[str, Any]]:
    """Return the entities by what they are: their ids come from the owner's names."""
    entities = [
        {
            "platform": entity.domain,
            "key": _key_of(entity.unique_id.removeprefix(str(entry.unique_id))),
            "disabled_by": entity.disabled_by,
            "state": _state_of(entity.unique_id, hass.states.get(entity.entity_id)),
        }
        for entity in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    ]
    return sorted(entities, key=lambda entity: (entity["platform"], entity["key"]))


def _key_of(rest: str) -> str:
    """Return what an entity is, without saying whose, from its unique id after the reader's."""
    if not rest.startswith(":"):
        return rest.removeprefix("_")
    sub_id, _, key = rest.removeprefix(":").rpartition(":")
    if sub_id == "counter":
        return f"counter:{REDACTOR.pseudonym(key)}"
    return f"{REDACTOR.pseudonym(sub_id)}:{key}"


def _state_of(unique_id: str, state: State | None) -> str | None:
    if state is None:
        return None
    is_owners = unique_id.endswith(_OWNERS_STATES) and state.state not in (STATE_UNAVAILABLE, STATE_UNKNOWN)
    return REDACTOR.pseudonym(state.state) if is_owners else _word(state.state)


def _word[T](value: T, key: str = "status") -> T | str:
    """Return a value as it is, but a text only where it can be a word of the firmware."""
    return REDACTOR.text(key, value) if isinstance(value, str) and not _NUMBER.fullmatch(value) else value


def _readable(text: str) -> str | dict[str, Any]:
    """Return the object that the text holds, and the text itself where it holds none."""
    try:
        payload = json_loads(text)
    except JSON_DECODE_EXCEPTIONS:
        return text
    return text if not isinstance(payload, dict) or _is_deeper(payload, _DEEPEST) else payload


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (levels == 0 or any(_is_deeper(each, levels - 1) for each in inner))
