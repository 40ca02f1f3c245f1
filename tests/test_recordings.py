"""Entities of each recording in `tests/recordings/`."""

from collections import Counter
import logging
from pathlib import Path
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import async_get_platforms
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader.payload import parse_object
from custom_components.energy_sse.reader.redaction import Redactor

from .conftest import Start
from .replay_result import MOMENTARY, run_replay
from .simulators.recordings import read
from .simulators.replay import ReplayedReader
from .time_machine import TimeMachine

FOLDER = Path(__file__).parent / "recordings"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".log", ".json"))

# The default, before the fixture replaces it.
_ENABLED_BY_DEFAULT: Any = Entity.__dict__["entity_registry_enabled_default"]

pytestmark = [pytest.mark.usefixtures("every_entity_enabled"), pytest.mark.smoke]


def rows(hass: HomeAssistant, entry: MockConfigEntry) -> list[str]:
    """Return a line for each entity: its type, whether it is enabled by default, and its state."""
    entities = {
        entity.unique_id: entity
        for platform in async_get_platforms(hass, DOMAIN)
        for entity in platform.entities.values()
    }
    lines = []
    for registered in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id):
        key = registered.unique_id.removeprefix(str(entry.unique_id)).lstrip("_:")
        state, entity = hass.states.get(registered.entity_id), entities[registered.unique_id]
        assert state is not None
        attributes = state.attributes
        is_momentary = key.endswith(MOMENTARY) or "event_type" in attributes
        shown = (
            attributes.get("event_type") or "…" if is_momentary and state.state != "unknown" else state.state
        )
        what = (registered.domain, key, state.name, registered.entity_category or "")
        classes = (attributes.get("device_class", ""), attributes.get("state_class", ""))
        value = f"{shown} {attributes.get('unit_of_measurement') or ''}".rstrip()
        usual = "enabled" if _ENABLED_BY_DEFAULT.__get__(entity, type(entity)) else "disabled"
        lines.append(" | ".join((*what, *classes, usual, value)))
    return sorted(lines)


@pytest.mark.parametrize("name", FILES)
async def test_recording_has_these_entities(
    *,
    hass: HomeAssistant,
    start: Start,
    time_machine: TimeMachine,
    snapshot: SnapshotAssertion,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    for recording in read(FOLDER / name):
        reader = await start(ReplayedReader(recording))
        entry, seen = await run_replay(hass, reader, time_machine)
        assert [*rows(hass, entry), *(" ".join(each) for each in seen.transitions)] == snapshot
        events = entry.runtime_data.coordinator.reader.stats.events
        assert events == Counter(event.type for event in recording.events)
        assert await hass.config_entries.async_unload(entry.entry_id)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("name", FILES)
def test_recording_contains_no_identity(name: str) -> None:
    for recording in read(FOLDER / name):
        responses = [
            ("", response.body) for responses in recording.responses.values() for response in responses
        ]
        for event_type, data in [*responses, *((event.type, event.data) for event in recording.events)]:
            # A redacted text is replayed as x of the same length.
            if set(data) != {"x"}:
                assert Redactor().event(event_type, data) in (parse_object(data), data)
