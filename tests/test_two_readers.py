"""Two CurrentlyOnes whose appliances have the same ids and names."""

from dataclasses import dataclass

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.issues import Issue, Issues

from .conftest import Start
from .home_assistant import set_up, settle, state_of
from .simulators import CurrentlyOneSimulator, House
from .wait import wait_until


@dataclass
class Pair:
    """A reader in the house, and a reader in the garage."""

    house: CurrentlyOneSimulator
    garage: CurrentlyOneSimulator
    entries: dict[str, MockConfigEntry]

    async def settle(self, hass: HomeAssistant) -> None:
        for reader in (self.house, self.garage):
            await settle(hass, self.entries[reader.device_id], reader)


@pytest.fixture
async def pair(hass: HomeAssistant, house: House, start: Start) -> Pair:
    """Set both readers up."""
    one = CurrentlyOneSimulator(house, name="House")
    other = CurrentlyOneSimulator(House(seed=2, clock=house.clock), device_id="c8b41879cf58", name="Garage")
    entries = {}
    for reader in (one, other):
        await start(reader)
        entries[reader.device_id] = await set_up(hass, reader)
    return Pair(one, other, entries)


def shown(hass: HomeAssistant, reader: CurrentlyOneSimulator, key: str) -> str:
    platform = {"running": "binary_sensor", "transition": "event"}.get(key, "sensor")
    return state_of(hass, platform, f"{reader.device_id}:mocca_mast:{key}").state


async def test_appliances_of_two_readers_are_independent(hass: HomeAssistant, pair: Pair) -> None:
    await pair.house.switch("mocca_mast", "on")
    await pair.garage.switch("mocca_mast", "off")
    await pair.settle(hass)
    assert shown(hass, pair.house, "running") == "on"
    assert shown(hass, pair.garage, "running") == "off"
    in_the_garage = shown(hass, pair.garage, "transition")
    await pair.house.tick(60)
    await pair.house.switch("mocca_mast", "off")
    await pair.settle(hass)
    assert shown(hass, pair.garage, "transition") == in_the_garage
    assert float(shown(hass, pair.house, "energy")) > float(shown(hass, pair.garage, "energy")) == 0
    names = {
        state_of(hass, "event", f"{each.device_id}:mocca_mast:transition").entity_id
        for each in (pair.house, pair.garage)
    }
    assert len(names) == 2


async def test_reader_can_be_reloaded_and_removed_beside_another(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, pair: Pair
) -> None:
    await pair.settle(hass)
    for reader in (pair.house, pair.garage):
        await reader.switch("mocca_mast", "on")
    await pair.settle(hass)
    of_house, of_garage = (pair.entries[each.device_id] for each in (pair.house, pair.garage))
    await hass.config_entries.async_reload(of_house.entry_id)
    await wait_until(lambda: pair.house.streams)
    await pair.settle(hass)
    assert shown(hass, pair.house, "running") == shown(hass, pair.garage, "running") == "on"
    for entry in (of_house, of_garage):
        Issues(hass, entry).async_create(Issue.METER_KEY_REQUIRED)
    await hass.config_entries.async_remove(of_house.entry_id)
    await hass.async_block_till_done()
    assert list(ir.async_get(hass).issues) == [(DOMAIN, f"meter_key_required_{of_garage.entry_id}")]
    assert shown(hass, pair.garage, "running") == "on"
    assert not dr.async_entries_for_config_entry(device_registry, of_house.entry_id)
    await pair.garage.switch("mocca_mast", "off")
    await settle(hass, of_garage, pair.garage)
    assert shown(hass, pair.garage, "running") == "off"
