"""The sensors in the Energy dashboard, with a real recorder."""

from datetime import datetime
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
    do_adhoc_statistics,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.energy_sse.const import CONF_SUB_METERS
from custom_components.energy_sse.reader import Measurement as M
from demo.setting_up import grid_source

from .conftest import Start
from .home_assistant import entity_id, set_up, settle, tick
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator

pytestmark = pytest.mark.smoke


async def compile_statistics(hass: HomeAssistant, since: datetime) -> None:
    """Compile the short-term statistics, as the recorder does every five minutes."""
    await async_wait_recording_done(hass)
    for time in {since, utcnow()}:
        start = time.replace(minute=time.minute // 5 * 5, second=0, microsecond=0)
        do_adhoc_statistics(hass, start=start)
    await async_wait_recording_done(hass)


def grid(hass: HomeAssistant, reader_id: str, *measurements: M) -> dict[str, Any]:
    sensors = [entity_id(hass, "sensor", f"{reader_id}_{measurement}") for measurement in measurements]
    return grid_source(*(sensor for sensor in sensors if sensor is not None))


async def save_and_validate(hass_ws_client: WebSocketGenerator, **preferences: Any) -> Any:
    """Save the settings of the Energy dashboard, and return its problems with them."""
    client = await hass_ws_client()
    await client.send_json_auto_id({"type": "energy/save_prefs", **preferences})
    response = await client.receive_json()
    assert response["success"], response
    await client.send_json_auto_id({"type": "energy/validate"})
    return (await client.receive_json())["result"]


async def test_both_readers_fit_the_energy_dashboard(
    recorder_mock: None,
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    house: House,
    start: Start,
) -> None:
    began = utcnow()
    assert await async_setup_component(hass, "energy", {})
    whatwatt, currentlyone = WhatwattSimulator(house), CurrentlyOneSimulator(House(clock=house.clock))
    for reader in (whatwatt, currentlyone):
        await start(reader)
        await set_up(hass, reader)
        await tick(hass, reader)
    sources = [
        grid(
            hass,
            whatwatt.device_id,
            M.ACTIVE_ENERGY_IMPORT_T1,
            M.ACTIVE_ENERGY_EXPORT_T1,
            M.ACTIVE_POWER_NET,
        ),
        grid(hass, whatwatt.device_id, M.ACTIVE_ENERGY_IMPORT_T2, M.ACTIVE_ENERGY_EXPORT_T2),
        grid(
            hass,
            currentlyone.device_id,
            M.ACTIVE_ENERGY_IMPORT,
            M.ACTIVE_ENERGY_EXPORT,
            M.ACTIVE_POWER_NET,
        ),
    ]
    await compile_statistics(hass, began)
    result = await save_and_validate(hass_ws_client, energy_sources=sources)
    assert result == {
        "energy_sources": [[], [], []],
        "device_consumption": [],
        "device_consumption_water": [],
    }


async def test_appliance_and_gas_meter_fit_the_energy_dashboard(
    recorder_mock: None,
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
) -> None:
    began = utcnow()
    assert await async_setup_component(hass, "energy", {})
    whatwatt.sub_meters = {"20000741": 123.45}
    entry = await set_up(hass, whatwatt, options={CONF_SUB_METERS: {"20000741": "gas"}})
    await tick(hass, whatwatt)
    entry = await set_up(hass, currentlyone)
    await currentlyone.switch("mocca_mast", "on")
    await settle(hass, entry, currentlyone)
    appliance = {
        "stat_consumption": entity_id(hass, "sensor", "b8b41879cf58:mocca_mast:energy"),
        "stat_rate": entity_id(hass, "sensor", "b8b41879cf58:mocca_mast:power"),
    }
    gas = {
        "type": "gas",
        "stat_energy_from": entity_id(hass, "sensor", "ECC9FF5C7F14:counter:20000741"),
        "stat_cost": None,
        "entity_energy_price": None,
        "number_energy_price": None,
    }
    assert None not in appliance.values()
    assert gas["stat_energy_from"] is not None
    await compile_statistics(hass, began)
    result = await save_and_validate(hass_ws_client, energy_sources=[gas], device_consumption=[appliance])
    assert result == {"energy_sources": [[]], "device_consumption": [[]], "device_consumption_water": []}
