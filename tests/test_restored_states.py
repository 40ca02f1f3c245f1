"""States from before a restart that another entity has stored: its id can be given to an appliance's."""

from typing import Any

from homeassistant.const import MAJOR_VERSION, MINOR_VERSION
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import mock_restore_cache_with_extra_data

from .home_assistant import set_up, settle, state_of
from .readers import CurrentlyOneSimulator

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.skipif(
        (MAJOR_VERSION, MINOR_VERSION) >= (2026, 11),
        reason="Home Assistant 2026.11 finds stored states by registry id, not by entity id.",
    ),
]

FORMER = "former_entity"


def stored_by_sensor(value: object, unit: str | None) -> dict[str, object]:
    return {"native_value": value, "native_unit_of_measurement": unit}


@pytest.mark.parametrize(
    ("platform", "key", "stored", "shown"),
    [
        ("binary_sensor", "running", {"auto_off_time": None}, "unknown"),
        ("binary_sensor", "running", {"is_on": "yes"}, "unknown"),
        ("binary_sensor", "running", {"is_on": True}, "on"),
        ("sensor", "power", stored_by_sensor("washing", None), "unknown"),
        ("sensor", "power", {"native_value": True, "native_unit_of_measurement": "W"}, "unknown"),
        ("sensor", "power", stored_by_sensor(1.45, "kW"), "unknown"),
        ("sensor", "power", {}, "unknown"),
        ("sensor", "power", stored_by_sensor(1450.0, "W"), "1450.0"),
    ],
    ids=str,
)
async def test_only_an_own_state_is_restored(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    entity_registry: er.EntityRegistry,
    *,
    platform: str,
    key: str,
    stored: dict[str, Any],
    shown: str,
) -> None:
    unique_id = f"{currentlyone.device_id}:dishwasher:{key}"
    currentlyone.has_inventory = False
    entry = await set_up(hass, currentlyone)
    await currentlyone.switch("dishwasher", "washing")
    await settle(hass, entry, currentlyone)
    state = state_of(hass, platform, unique_id)
    assert state.state != "unknown"
    await hass.config_entries.async_unload(entry.entry_id)
    entity_registry.async_update_entity(state.entity_id, new_entity_id=f"{platform}.{FORMER}")
    mock_restore_cache_with_extra_data(hass, [(State(f"{platform}.{FORMER}", "on"), stored)])
    currentlyone.forget()
    await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass, entry, currentlyone)
    assert state_of(hass, platform, unique_id).state == shown
