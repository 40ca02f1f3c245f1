"""Discovery of each kind of reader, up to its entities."""

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
import pytest

from custom_components.energy_sse.const import DOMAIN

from .conftest import Start
from .dialogs import discover, outcome, submit
from .home_assistant import announcement, state_of, tick
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .wait import wait_until


async def test_whatwatt_with_a_password_is_discovered(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, house: House, start: Start
) -> None:
    reader = await start(WhatwattSimulator(house, password="secret"))
    flow = await discover(hass, announcement(reader))
    assert outcome(flow) == "form password"
    result = await submit(hass, flow, password="secret")
    assert outcome(result) == "create_entry"
    assert result["title"] == "whatwatt Go 5C7F14"
    await hass.async_block_till_done()
    await wait_until(lambda: reader.streams)
    await tick(hass, reader)

    live = reader.live()
    power = state_of(hass, "sensor", "ECC9FF5C7F14_active_power_net")
    assert float(power.state) == pytest.approx((live["P_In"] - live["P_Out"]) * 1000)
    assert power.attributes["unit_of_measurement"] == "W"
    energy = state_of(hass, "sensor", "ECC9FF5C7F14_active_energy_import_t2")
    assert float(energy.state) == live["E_In_T2"]
    assert energy.attributes["unit_of_measurement"] == "kWh"
    assert energy.attributes["friendly_name"] == "whatwatt Go 5C7F14 Energy import tariff 2"

    entry = result["result"]
    device = device_registry.async_get_device_by_identifier((DOMAIN, "ECC9FF5C7F14"), entry.entry_id)
    assert device is not None
    assert (device.manufacturer, device.model) == ("whatwatt AG", "whatwatt Go")
    assert (device.hw_version, device.sw_version) == ("WW_Go_1.3", "2.8.2")
    assert device.configuration_url == f"http://{reader.host}"
    assert (dr.CONNECTION_NETWORK_MAC, "ec:c9:ff:5c:7f:14") in device.connections
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_currentlyone_with_an_appliance_is_discovered(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, house: House, start: Start
) -> None:
    reader = await start(CurrentlyOneSimulator(house, name="Casa Mia"))
    flow = await discover(hass, announcement(reader))
    assert outcome(flow) == "form discovery_confirm"
    assert hass.config_entries.async_entries(DOMAIN) == [], "the user has to confirm it"
    result = await submit(hass, flow)
    assert outcome(result) == "create_entry"
    assert result["title"] == "Casa Mia"
    await hass.async_block_till_done()
    await wait_until(lambda: reader.streams)
    await tick(hass, reader)

    energy = state_of(hass, "sensor", "b8b41879cf58_active_energy_import")
    assert float(energy.state) == int(sum(house.active_import.values())) / 1000
    assert energy.attributes["unit_of_measurement"] == "kWh"

    await reader.switch("mocca_mast", "on")
    unique_id = "b8b41879cf58:mocca_mast:transition"
    await wait_until(lambda: hass.states.async_all("event"))
    await wait_until(lambda: state_of(hass, "event", unique_id).attributes["event_type"] == "turned_on")

    entry = result["result"]
    appliance = device_registry.async_get_device_by_identifier(
        (DOMAIN, "b8b41879cf58:mocca_mast"), entry.entry_id
    )
    hub = device_registry.async_get_device_by_identifier((DOMAIN, "b8b41879cf58"), entry.entry_id)
    assert appliance is not None
    assert hub is not None
    assert (appliance.name, appliance.via_device_id) == ("Mocca Master", hub.id)
    assert (dr.CONNECTION_NETWORK_MAC, "58:cf:79:18:b4:b8") in hub.connections
    assert await hass.config_entries.async_unload(entry.entry_id)
