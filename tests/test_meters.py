"""Which entities each recorded meter has, and what they show."""

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from .conftest import Start
from .homes import entry_for
from .meters import METERS, recorded_reader
from .readers import House
from .waiting import until

# What depends on the moment of the test.
MOMENTARY = ("clock_drift", "last_restart")


def rows(hass: HomeAssistant, entry: MockConfigEntry, enabled: set[str]) -> list[str]:
    """Return one line per entity: what it is, whether it is enabled unasked, and what it shows."""
    lines = []
    for entity in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id):
        key = entity.unique_id.removeprefix(str(entry.unique_id)).lstrip("_:")
        state = hass.states.get(entity.entity_id)
        assert state is not None
        shown = "…" if key.endswith(MOMENTARY) else state.state
        attributes = state.attributes
        what = (entity.domain, key, state.name, entity.entity_category or "")
        classes = (attributes.get("device_class", ""), attributes.get("state_class", ""))
        value = f"{shown} {attributes.get('unit_of_measurement') or ''}".rstrip()
        usual = "enabled" if entity.unique_id in enabled else "disabled"
        lines.append(" | ".join((*what, *classes, usual, value)))
    return sorted(lines)


@pytest.mark.parametrize("meter", METERS)
async def test_recorded_meter_has_these_entities_and_no_others(
    hass: HomeAssistant, house: House, start: Start, snapshot: SnapshotAssertion, meter: str
) -> None:
    reader = recorded_reader(meter, house)
    await start(reader)
    entry = entry_for(reader)
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await until(lambda: entry.runtime_data.readings.values)
    await hass.async_block_till_done()

    registry = er.async_get(hass)
    entities = er.async_entries_for_config_entry(registry, entry.entry_id)
    enabled = {entity.unique_id for entity in entities if entity.disabled_by is None}
    for entity in entities:
        registry.async_update_entity(entity.entity_id, disabled_by=None)
    await hass.config_entries.async_reload(entry.entry_id)
    await until(lambda: entry.runtime_data.readings.values)
    await hass.async_block_till_done()
    assert rows(hass, entry, enabled) == snapshot
