"""Diagnostics of an entry: contents, and redaction of identities."""

import json
import re
from time import thread_time
from typing import Any

from homeassistant.config_entries import ConfigEntryDisabler, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.json import ExtendedJSONEncoder
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator, WebSocketGenerator

from custom_components.energy_sse.const import CONF_ENTERED_HOST, CONF_KIND, CONF_SUB_METERS, DOMAIN
from custom_components.energy_sse.diagnostics import async_get_config_entry_diagnostics
from custom_components.energy_sse.issues import Issue, Issues
from custom_components.energy_sse.reader import connection

from . import pseudonyms
from .conftest import Start
from .home_assistant import entry_for, set_up, settle, tick
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .wait import wait_until

pytestmark = pytest.mark.smoke


async def download(hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: Any) -> dict[str, Any]:
    assert await async_setup_component(hass, "diagnostics", {})
    diagnostics: dict[str, Any] = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    return diagnostics


def assert_absent(diagnostics: dict[str, Any], *secrets: str) -> None:
    """Assert that diagnostics contain no secret, in any notation."""
    text = json.dumps(diagnostics, ensure_ascii=False).lower()
    pseudonyms.assert_absent(text, *secrets)
    assert re.sub(r"[^0-9a-f]", "", text).count("ecc9ff5c7f1") == 0


async def test_diagnostics_of_a_whatwatt_contain_no_identity(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    protected_whatwatt: WhatwattSimulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    reader = protected_whatwatt
    reader.name = "Villa Kunterbunt"
    reader.sub_meters = {"20000741": 123.45}
    entry = await set_up(hass, reader)
    hass.config_entries.async_update_entry(
        entry, title="Villa Kunterbunt", options={CONF_SUB_METERS: {"20000741": "gas"}}
    )
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.streams)
    await tick(hass, reader)
    reader.end_streams()
    await wait_until(lambda: reader.stream_count == 3 and reader.streams)
    await tick(hass, reader)

    coordinator = entry.runtime_data.coordinator
    coordinator.readings.validator.rejected["lower"] = 2
    coordinator.data.sub_meters.validator.rejected["zero"] = 1
    diagnostics = await download(hass, hass_client, entry)
    system = reader.system()
    assert_absent(
        diagnostics,
        *("secret", "Villa", "Kunterbunt", "20000741", reader.host, entry.entry_id),
        *("127.0.0.1", "ec:c9:ff", "ecc9ff", "5c7f14"),
        *(str(system["wifi"][key]) for key in ("ssid", "bssid", "mac", "ip", "gateway")),
        *(str(system["meter"][key]) for key in ("id", "type")),
    )
    assert diagnostics["entry"]["options"] == {"counters": ["gas"]}
    assert diagnostics["reader"]["model"] == "whatwatt Go"
    assert diagnostics["reader"]["firmware"] == "2.8.2"
    assert diagnostics["reader"]["status"]["meter_status"] == "OK"
    stream = diagnostics["stream"]
    assert (stream["attempts"], stream["connects"]) == (2, 2)
    assert stream["failures"] == {"stream ended": 1}
    assert stream["events"] == {"live": 2}
    assert diagnostics["readings"]["are_fresh"]
    assert diagnostics["readings"]["values"]["active_energy_import"] == reader.live()["E_In"]
    assert diagnostics["readings"]["rejected"] == {"lower": 2}
    assert diagnostics["readings"]["rejected_of_sub_meters"] == {"zero": 1}
    keys = {(entity["platform"], entity["key"]): entity for entity in diagnostics["entities"]}
    (sub_meter,) = {key for _, key in keys if key.startswith("counter:")}
    assert keys["sensor", sub_meter]["state"] == "123.45"
    assert keys["sensor", "reactive_power_export"]["disabled_by"] == "integration"
    assert diagnostics["recent_events"][-1]["data"]["P_Out"] == reader.live()["P_Out"]
    (response,) = diagnostics["answers"]
    assert (response["path"], response["data"]["meter"]["status"]) == ("/api/v1/system", "OK")


async def test_diagnostics_of_a_currentlyone_contain_no_identity(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    house: House,
    start: Start,
) -> None:
    reader = await start(CurrentlyOneSimulator(house, name="Casa Segreta"))
    entry = await set_up(hass, reader, **{CONF_ENTERED_HOST: "meter.example.org"})
    hass.config_entries.async_update_entry(entry, title="Casa Segreta")
    await reader.broadcast(b"event: log\r\ndata: Casa Segreta at 192.168.1.122\r\n\r\n")
    await reader.broadcast(b'event: state\r\ndata: {"name":"Casa Segre\r\n\r\n')
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    diagnostics = await download(hass, hass_client, entry)
    assert_absent(
        diagnostics,
        *("Segre", "Mocca", "meter.example.org", reader.host, "127.0.0.1", reader.device_id),
        *(bytes.fromhex(reader.device_id)[::-1].hex(), "58:cf:79:18:b4:b8", "192.168.1.122"),
        *("dLink2.4", "casamia", "SE2"),
    )
    assert diagnostics["reader"]["status"]["mode"] == "HAN"
    appliance = next(each for each in diagnostics["appliances"] if each["category"] == "coffee-makers")
    assert appliance == {"id": appliance["id"], "category": "coffee-makers", "is_on": True, "energy": 0}
    events = {event["type"]: event["data"] for event in diagnostics["recent_events"]}
    assert events["status"] == "online"
    assert events["log"] == "**REDACTED** (29 characters)"
    assert events["config"]["v"] == "2.8.9"
    assert (events["transition"]["bs"], events["transition"]["id"]) == ("ON", appliance["id"])
    (response,) = diagnostics["answers"]
    assert (response["path"], response["status"]) == ("/api/v1/device", 200)
    assert appliance["id"] in [device["id"] for device in response["data"]["devices"]]


async def test_issues_in_diagnostics_contain_no_name(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    hass.config_entries.async_update_entry(entry, title="Villa Kunterbunt")
    placeholders = {"found": "Casa Segreta", "difference": "1 h", "sensor": "sensor.casa_segreta"}
    for issue in Issue:
        Issues(hass, entry).async_create(issue, placeholders)
    await download(hass, hass_client, entry)
    client = await hass_client()
    response = await client.get(f"/api/diagnostics/config_entry/{entry.entry_id}")
    text = await response.text()
    assert len(json.loads(text)["issues"]) == len(Issue)
    pseudonyms.assert_absent(text, "Kunterbunt", "Segreta")


async def test_diagnostics_of_large_events_do_not_block(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    """Recent events of 64 KB, of 8,000 values, and of nested lists that took 7 seconds."""
    entry = await set_up(hass, whatwatt)
    recent_events = entry.runtime_data.coordinator.reader.stats.recent_events
    assert recent_events.maxlen is not None
    contents = (
        f'{{"a":[{",".join(["1"] * 32_000)}]}}',
        f'{{"a":[{",".join(["1"] * 8_000)}]}}',
        f'{{"a":{"[" * 4_000}{"1," * 4_000}1',
        f'{{"a":{"[" * 900}{"1," * 7_000}1{"]" * 900}}}',
    )
    for content in contents:
        for _ in range(recent_events.maxlen):
            await whatwatt.broadcast(f"event: new\ndata: {content}\n\n".encode())
        await tick(hass, whatwatt)
        assert len(recent_events) == recent_events.maxlen
        began = thread_time()
        diagnostics = await async_get_config_entry_diagnostics(hass, entry)
        # As Home Assistant writes the file.
        json.dumps(diagnostics, indent=2, cls=ExtendedJSONEncoder)
        assert thread_time() - began < 0.05


async def test_diagnostics_have_the_reason_of_a_wrong_password(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt, password="wrong")
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    diagnostics = await download(hass, hass_client, entry)
    assert diagnostics["entry"]["state"] == "setup_error"
    assert diagnostics["stream"]["failures"] == {"credentials rejected": 1}
    assert_absent(diagnostics, "wrong")


async def bring_to(
    hass: HomeAssistant, entry: MockConfigEntry, state: ConfigEntryState, reader: CurrentlyOneSimulator
) -> None:
    """Bring a loaded entry into a state in which its reader is not connected."""
    match state:
        case ConfigEntryState.SETUP_RETRY:
            await reader.stop()
            await hass.config_entries.async_reload(entry.entry_id)
        case ConfigEntryState.NOT_LOADED:
            await hass.config_entries.async_set_disabled_by(entry.entry_id, ConfigEntryDisabler.USER)
        case ConfigEntryState.FAILED_UNLOAD:
            entry.mock_state(hass, state)
        case _:
            await hass.config_entries.async_unload(entry.entry_id)
            if state is ConfigEntryState.MIGRATION_ERROR:
                hass.config_entries.async_update_entry(entry, version=99)
            else:
                hass.config_entries.async_update_entry(entry, data=entry.data | {CONF_KIND: "of the future"})
            await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is state


@pytest.mark.errors
@pytest.mark.parametrize(
    "state",
    [
        ConfigEntryState.SETUP_RETRY,
        ConfigEntryState.NOT_LOADED,
        ConfigEntryState.SETUP_ERROR,
        ConfigEntryState.MIGRATION_ERROR,
        ConfigEntryState.FAILED_UNLOAD,
    ],
)
async def test_entry_has_diagnostics_and_devices_in_every_state(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    hass_ws_client: WebSocketGenerator,
    *,
    device_registry: dr.DeviceRegistry,
    currentlyone: CurrentlyOneSimulator,
    state: ConfigEntryState,
) -> None:
    for component in ("config", "diagnostics"):
        assert await async_setup_component(hass, component, {})
    client = await hass_ws_client()
    entry = await set_up(hass, currentlyone)
    await settle(hass, entry, currentlyone)
    await bring_to(hass, entry, state, currentlyone)
    diagnostics = await download(hass, hass_client, entry)
    assert diagnostics["entry"]["state"] == state.value
    assert len(diagnostics["entities"]) > 20
    if state is ConfigEntryState.SETUP_RETRY:
        assert diagnostics["stream"]["failures"] == {"connection refused": 1}
    assert_absent(diagnostics, currentlyone.device_id, "127.0.0.1", "Mocca")
    reader = currentlyone.device_id
    # The appliance of a loaded entry can still be in use.
    is_known = state is not ConfigEntryState.FAILED_UNLOAD
    for identifier, is_deleted in ((reader, False), (f"{reader}:mocca_mast", is_known)):
        device = device_registry.async_get_device_by_identifier((DOMAIN, identifier), entry.entry_id)
        assert device is not None
        assert (await client.remove_device(device.id))["success"] is is_deleted


async def test_unknown_status_is_redacted_and_a_number_is_kept(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.sub_meters = {"20000741": 12_345_678.9}
    whatwatt.meter_status = "asleep at 192.168.1.77"
    entry = await set_up(hass, whatwatt)
    diagnostics = await download(hass, hass_client, entry)
    assert_absent(diagnostics, "asleep", "192.168.1.77")
    assert diagnostics["reader"]["status"]["meter_status"].startswith("anon-")
    whatwatt.meter_status = "OK"
    await tick(hass, whatwatt)
    await wait_until(lambda: entry.runtime_data.coordinator.data.sub_meters.values)
    diagnostics = await download(hass, hass_client, entry)
    assert "12345678.9" in {entity["state"] for entity in diagnostics["entities"]}


async def test_id_of_a_sub_meter_with_a_colon_is_redacted(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.sub_meters = {"house:20000741": 5.0}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await wait_until(lambda: entry.runtime_data.coordinator.data.sub_meters.values)
    diagnostics = await download(hass, hass_client, entry)
    assert_absent(diagnostics, "house:", "20000741")
    assert "5.0" in {entity["state"] for entity in diagnostics["entities"]}
