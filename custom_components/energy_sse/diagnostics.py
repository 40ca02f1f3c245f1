"""Diagnostics of a reader, without identities."""

from collections.abc import Mapping
from datetime import datetime, timedelta
import re
from typing import Any, Final

from homeassistant.components.diagnostics import REDACTED, async_redact_data
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util

from .const import CONF_AUTH_SCHEME, CONF_KIND, CONF_SUB_METERS, SUB_METER_PREFIX
from .coordinator import EnergySseCoordinator
from .data import EnergySseConfigEntry, EnergySseData
from .power_tariff.settings import CONF_DAYS_OFF
from .reader import REDACTOR, Property, ReceivedEvent, ReceivedResponse, clock

# Data of an entry that contain no identity. The address, the password and unknown data are redacted.
_ENTRY_DATA: Final = frozenset({CONF_KIND, CONF_AUTH_SCHEME})

# Ends of the unique ids of entities with private states: the user names the states of an appliance, and the
# price area contains the location.
_PRIVATE_SUFFIXES: Final = (":state", f"_{Property.PRICE_AREA}")

_NUMBER: Final = re.compile(r"-?[0-9.]+(?:e[+-]?[0-9]+)?")


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: EnergySseConfigEntry
) -> dict[str, Any]:
    """Return the diagnostics of an entry. The connection statistics begin at the last setup."""
    # The traffic is redacted first, because it shows which words are identities.
    runtime_data: EnergySseData | None = getattr(entry, "runtime_data", None)
    reader_data = {} if runtime_data is None else await _async_reader_data(hass, runtime_data.coordinator)
    tariffs = () if runtime_data is None else runtime_data.tariffs.values()
    return {
        "entry": _entry_data(entry),
        "power_tariffs": [tracker.diagnostics for tracker in tariffs],
        "entities": _entities(hass, entry),
        **reader_data,
    }


def _entry_data(entry: EnergySseConfigEntry) -> dict[str, Any]:
    sub_meters = entry.options.get(CONF_SUB_METERS, {})
    return {
        "state": entry.state.value,
        "data": async_redact_data(entry.data, entry.data.keys() - _ENTRY_DATA),
        "options": {
            **entry.options,
            # The keys are ids of meters.
            CONF_SUB_METERS: list(sub_meters.values()) if isinstance(sub_meters, Mapping) else REDACTED,
        },
        # Titles are left out and the entity id is redacted, because the user can have chosen them.
        "subentries": [
            async_redact_data(subentry.data, {CONF_DAYS_OFF}) for subentry in entry.subentries.values()
        ],
    }


async def _async_reader_data(hass: HomeAssistant, coordinator: EnergySseCoordinator) -> dict[str, Any]:
    stats = coordinator.reader.stats
    events = list(stats.recent_events)
    if stats.identity_event is not None and stats.identity_event not in events:
        events.insert(0, stats.identity_event)
    clock_start = dt_util.utcnow() - timedelta(seconds=clock.now())
    # Redacting all of the traffic in the event loop could block it for too long.
    traffic = await hass.async_add_executor_job(_traffic, dict(stats.responses), events, clock_start)
    return {
        "reader": _reader(coordinator),
        "stream": _connection(coordinator),
        "readings": _readings(coordinator),
        "appliances": _appliances(coordinator),
        **traffic,
    }


def _reader(coordinator: EnergySseCoordinator) -> dict[str, Any]:
    return {
        "model": coordinator.reader.model,
        "firmware": _redact_text(coordinator.data.firmware),
        "status": {
            key: REDACTED if key is Property.PRICE_AREA else _redact_text(value)
            for key, value in coordinator.data.status.items()
        },
    }


def _connection(coordinator: EnergySseCoordinator) -> dict[str, Any]:
    stats = coordinator.reader.stats
    return {
        "state": coordinator.connection_state,
        "is_online": coordinator.availability.is_online,
        "attempts": stats.attempts,
        "connects": stats.connects,
        "failures": dict(stats.failures),
        "events": {REDACTOR.event_type(each): count for each, count in stats.events.items()},
        "oversized_events": stats.oversized_events,
    }


def _readings(coordinator: EnergySseCoordinator) -> dict[str, Any]:
    readings = coordinator.readings
    return {
        "are_fresh": coordinator.availability.has_fresh_readings,
        "interval": readings.freshness.interval,
        "limit": readings.freshness.limit,
        "values": dict(readings.values),
        "rejected": dict(readings.validator.rejected),
        "rejected_of_sub_meters": dict(coordinator.data.sub_meters.validator.rejected),
    }


def _appliances(coordinator: EnergySseCoordinator) -> list[dict[str, Any]]:
    return [
        {
            "id": REDACTOR.pseudonym(appliance.id),
            "category": _redact_text(appliance.category, "cat"),
            "is_on": appliance.is_on,
            "energy": appliance.energy,
        }
        for appliance in coordinator.data.appliances
    ]


def _traffic(
    responses: Mapping[str, ReceivedResponse], events: list[ReceivedEvent], clock_start: datetime
) -> dict[str, Any]:
    """Return the last responses and events, from which `python -m tests.simulators replay` makes a reader.

    `clock_start` is the time at which `clock.now()` was zero.
    """
    for _at, event in events:
        # An earlier event can contain a word that only a later event identifies as an identity.
        REDACTOR.event(event.type, event.data)
    return {
        # A word of the format of recordings, for a response.
        "answers": [
            {
                "time": clock_start + timedelta(seconds=response.at),
                "path": path,
                "status": response.status,
                "data": REDACTOR.data(response.body),
            }
            for path, response in responses.items()
        ],
        "recent_events": [
            {
                "time": clock_start + timedelta(seconds=at),
                "type": REDACTOR.event_type(event.type),
                "data": REDACTOR.event(event.type, event.data),
            }
            for at, event in events
        ],
    }


def _entities(hass: HomeAssistant, entry: EnergySseConfigEntry) -> list[dict[str, Any]]:
    """Return the entities by key, because entity ids contain names that the user has chosen."""
    entities = [
        {
            "platform": entity.domain,
            "key": _key(entity.unique_id, str(entry.unique_id)),
            "disabled_by": entity.disabled_by,
            "state": _state(entity.unique_id, hass.states.get(entity.entity_id)),
        }
        for entity in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    ]
    return sorted(entities, key=lambda entity: (entity["platform"], entity["key"]))


def _key(unique_id: str, reader_id: str) -> str:
    """Return the key of an entity, with pseudonyms of appliances and sub-meters."""
    if not unique_id.startswith(reader_id):
        return REDACTOR.pseudonym(unique_id)
    rest = unique_id.removeprefix(reader_id)
    if not rest.startswith(":"):
        return rest.removeprefix("_")
    rest = rest.removeprefix(":")
    if rest.startswith(SUB_METER_PREFIX):
        return SUB_METER_PREFIX + REDACTOR.pseudonym(rest.removeprefix(SUB_METER_PREFIX))
    sub_id, _, key = rest.rpartition(":")
    return f"{REDACTOR.pseudonym(sub_id)}:{key}"


def _state(unique_id: str, state: State | None) -> str | None:
    if state is None or state.state in (STATE_UNAVAILABLE, STATE_UNKNOWN):
        return None if state is None else state.state
    return (
        REDACTOR.pseudonym(state.state)
        if unique_id.endswith(_PRIVATE_SUFFIXES)
        else _redact_text(state.state)
    )


def _redact_text[T](value: T, key: str = "status") -> T | str:
    """Return a value without identities. Only numbers, times and words of the firmware are kept as texts.

    `key` is a key of the payloads with such words.
    """
    return REDACTOR.text(key, value) if isinstance(value, str) and not _NUMBER.fullmatch(value) else value
