"""What a fault report holds, and what it must never hold."""

import json
import re
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.energy_sse.const import CONF_COUNTERS
from custom_components.energy_sse.reader import connection

from .conftest import Start
from .homes import set_up, settle, tick
from .readers import CurrentlyOneSimulator, House, WhatwattSimulator
from .waiting import until


async def download(hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: Any) -> dict[str, Any]:
    assert await async_setup_component(hass, "diagnostics", {})
    diagnostics: dict[str, Any] = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    return diagnostics


def assert_absent(diagnostics: dict[str, Any], *secrets: str) -> None:
    """Search for every secret in every way of writing it."""
    text = json.dumps(diagnostics, ensure_ascii=False).lower()
    for secret in secrets:
        assert secret.lower() not in text, secret
    assert re.sub(r"[^0-9a-f]", "", text).count("ecc9ff5c7f1") == 0


async def test_report_on_a_whatwatt_tells_how_it_is_and_not_whose(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    protected_whatwatt: WhatwattSimulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_FIRST_WAIT", 0.01)
    reader = protected_whatwatt
    reader.name = "Villa Kunterbunt"
    reader.counters = {"20000741": 123.45}
    entry = await set_up(hass, reader)
    hass.config_entries.async_update_entry(
        entry, title="Villa Kunterbunt", options={CONF_COUNTERS: {"20000741": "gas"}}
    )
    await hass.config_entries.async_reload(entry.entry_id)
    await until(lambda: reader.streams)
    await tick(hass, reader)
    reader.end_streams()
    await until(lambda: reader.stream_count == 3 and reader.streams)
    await tick(hass, reader)

    diagnostics = await download(hass, hass_client, entry)
    system = reader.system()
    assert_absent(
        diagnostics,
        "secret",
        "Villa",
        "Kunterbunt",
        "20000741",
        reader.host,
        "127.0.0.1",
        str(entry.entry_id),
        *(str(system["wifi"][key]) for key in ("ssid", "bssid", "mac", "ip", "gateway")),
        *(str(system["meter"][key]) for key in ("id", "type")),
        "ec:c9:ff",
        "ecc9ff",
        "5c7f14",
    )
    assert diagnostics["entry"]["options"] == {"counters": ["gas"]}
    assert diagnostics["reader"]["model"] == "whatwatt Go"
    assert diagnostics["reader"]["firmware"] == "2.8.2"
    assert diagnostics["reader"]["status"]["meter_status"] == "OK"
    stream = diagnostics["stream"]
    assert (stream["attempts"], stream["connects"]) == (2, 2)
    assert stream["losses"] == {"the device ended the stream": 1}
    assert stream["events"] == {"live": 2}
    assert diagnostics["readings"]["are_fresh"]
    assert diagnostics["readings"]["values"]["active_energy_import"] == reader.live()["E_In"]
    keys = {(entity["platform"], entity["key"]): entity for entity in diagnostics["entities"]}
    assert keys["sensor", "counter 1"]["state"] == "123.45"
    assert keys["sensor", "reactive_power_export"]["disabled_by"] == "integration"
    assert diagnostics["recent_events"][-1]["data"]["P_Out"] == reader.live()["P_Out"]


async def test_report_on_a_currentlyone_tells_how_it_is_and_not_whose(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    house: House,
    start: Start,
) -> None:
    reader = CurrentlyOneSimulator(house, name="Casa Segreta")
    await start(reader)
    entry = await set_up(hass, reader)
    hass.config_entries.async_update_entry(entry, title="Casa Segreta")
    await reader.broadcast(b"event: log\r\ndata: Casa Segreta at 192.168.1.122\r\n\r\n")
    await reader.broadcast(b'event: state\r\ndata: {"name":"Casa Segre\r\n\r\n')
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    diagnostics = await download(hass, hass_client, entry)
    assert_absent(
        diagnostics,
        "Segre",
        "Mocca Master",
        reader.host,
        "127.0.0.1",
        reader.device_id,
        bytes.fromhex(reader.device_id)[::-1].hex(),
        "58:cf:79:18:b4:b8",
        "dLink2.4",
        "192.168.1.122",
        "casamia",
        "SE2",
    )
    assert diagnostics["reader"]["status"]["mode"] == "HAN"
    appliance = next(each for each in diagnostics["appliances"] if each["id"] == "mocca_mast")
    assert appliance == {"id": "mocca_mast", "category": "coffee-makers", "is_on": True, "energy": 0}
    events = {event["type"]: event["data"] for event in diagnostics["recent_events"]}
    assert events["status"] == "online"
    assert events["log"] == "**REDACTED** (29 characters)"
    assert events["config"]["v"] == "2.8.9"
    assert events["transition"]["bs"] == "ON"
