"""Entities and transitions of a replayed reader."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.reader import REDACTOR

from .home_assistant import set_up
from .simulators.replay import ReplayedReader
from .simulators.server import Server
from .time_machine import TimeMachine

# Values that depend on the current time.
MOMENTARY = ("clock_drift", "last_restart", ":last_run")
_MOMENTARY_ATTRIBUTES = ("device_time", "friendly_name", "icon", "options")

# Texts that the owner has entered, and the location.
_OWNERS_STATES = (":state", "price_area")
_OWNERS_ATTRIBUTES = ("state", "previous_state")


@dataclass
class ReplayResult:
    """Entities and transitions of a reader."""

    entities: dict[str, tuple[str, Mapping[str, Any]]]
    """State and attributes by the key in the unique id, without values that depend on the time."""

    transitions: list[tuple[str, str, str]]
    """Key, event type and state of each transition."""

    def anonymous(self) -> ReplayResult:
        """Return the result with the pseudonyms of a recording."""
        hidden = REDACTOR.pseudonym
        return ReplayResult(
            {
                _anonymous_key(key): (
                    hidden(state) if key.endswith(_OWNERS_STATES) and state != STATE_UNKNOWN else state,
                    {
                        name: hidden(value) if name in _OWNERS_ATTRIBUTES and value else value
                        for name, value in attributes.items()
                    },
                )
                for key, (state, attributes) in self.entities.items()
            },
            [(_anonymous_key(key), happened, hidden(state)) for key, happened, state in self.transitions],
        )


def _anonymous_key(key: str) -> str:
    if not key.startswith(":"):
        return key
    sub_id, _, rest = key.removeprefix(":").rpartition(":")
    if sub_id == "counter":
        return f":counter:{REDACTOR.pseudonym(rest)}"
    return f":{REDACTOR.pseudonym(sub_id)}:{rest}"


class Observer:
    """Observer of the entities of a reader."""

    def __init__(self, hass: HomeAssistant, reader: Server) -> None:
        self._hass = hass
        self._reader = reader
        self._transitions: list[tuple[str, str, str]] = []
        hass.bus.async_listen("state_changed", self._record)

    @callback
    def _record(self, event: Event[EventStateChangedData]) -> None:
        state, before = event.data["new_state"], event.data["old_state"]
        if state is None or state.domain != "event" or state.state in (STATE_UNKNOWN, STATE_UNAVAILABLE):
            return
        if before is None or before.state != state.state:
            attributes = state.attributes
            self._transitions.append(
                (self._key(state.entity_id), attributes["event_type"], attributes["state"])
            )

    def _key(self, entity_id: str) -> str:
        entity = er.async_get(self._hass).async_get(entity_id)
        assert entity is not None
        return entity.unique_id.removeprefix(self._reader.device_id)

    def seen(self, entry: MockConfigEntry) -> ReplayResult:
        """Return the entities of an entry, and the transitions so far."""
        entities: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for entity in er.async_entries_for_config_entry(er.async_get(self._hass), entry.entry_id):
            key, state = self._key(entity.entity_id), self._hass.states.get(entity.entity_id)
            assert state is not None, f"{key} is not enabled"
            attributes = {
                name: value for name, value in state.attributes.items() if name not in _MOMENTARY_ATTRIBUTES
            }
            is_moment = key.endswith(MOMENTARY) or (entity.domain == "event" and "state" in attributes)
            entities[key] = ("…" if is_moment else state.state, attributes)
        return ReplayResult(entities, self._transitions)


async def run_replay(
    hass: HomeAssistant, reader: ReplayedReader, time_machine: TimeMachine
) -> tuple[MockConfigEntry, ReplayResult]:
    """Replay a recording to its end."""
    observer = Observer(hass, reader)
    playing = hass.async_create_background_task(reader.send_events(), "replay")
    entry = await set_up(hass, reader)
    while not reader.has_ended.is_set():
        await time_machine.advance(1)
    await playing
    # By then, the last events have been processed.
    await time_machine.advance(1)
    await hass.async_block_till_done()
    return entry, observer.seen(entry)
