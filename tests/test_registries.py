"""Changes of the user in the registries, and names and addresses that a device sends."""

import json
import logging
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import DOMAIN

from .home_assistant import entity_id, reload, set_up, settle, state_of, tick
from .logs import logged_messages
from .saved_files import files_of
from .simulators import CurrentlyOneSimulator, WhatwattSimulator

pytestmark = pytest.mark.smoke


async def turn_on(reader: CurrentlyOneSimulator, appliance_id: str, name: str, **more: Any) -> None:
    """Report that an appliance was turned on."""
    transition = {"id": appliance_id, "bs": "ON", "W": 5, "Wh": 10, "dName": name, "sName": "on", **more}
    transition |= {"from": "off", "sec": int(reader.house.clock.timestamp())}
    await reader.broadcast(f"event: transition\r\ndata: {json.dumps(transition)}\r\n\r\n".encode())


def device_of(hass: HomeAssistant, entry: MockConfigEntry, identifier: str) -> dr.DeviceEntry:
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, identifier), entry.entry_id)
    assert device is not None
    return device


async def test_values_are_shown_without_the_device_of_the_reader(
    hass: HomeAssistant,
    device_registry: dr.DeviceRegistry,
    currentlyone: CurrentlyOneSimulator,
    whatwatt: WhatwattSimulator,
    *,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whatwatt.sub_meters = {"20000741": 1234.5}
    entries = [await set_up(hass, whatwatt), await set_up(hass, currentlyone)]
    await tick(hass, whatwatt)
    await currentlyone.switch("mocca_mast", "on")
    await settle(hass, entries[1], currentlyone)
    for entry in entries:
        device_registry.async_remove_device(device_of(hass, entry, str(entry.unique_id)).id)
    whatwatt.sub_meters = {"20000741": 1234.6, "20000742": 5}
    await tick(hass, whatwatt)
    await tick(hass, whatwatt)
    await currentlyone.switch("mocca_mast", "off")
    await turn_on(currentlyone, "kettle", "Kettle")
    await settle(hass, entries[1], currentlyone)
    for meter_id, value in whatwatt.sub_meters.items():
        assert state_of(hass, "sensor", f"{whatwatt.device_id}:counter:{meter_id}").state == str(value)
    for appliance, state in (("mocca_mast", "off"), ("kettle", "on")):
        running = state_of(hass, "binary_sensor", f"{currentlyone.device_id}:{appliance}:running")
        assert running.state == state
    await reload(hass, entries[1], currentlyone)
    await tick(hass, currentlyone)
    assert state_of(hass, "sensor", f"{currentlyone.device_id}_voltage_l1").state != "unavailable"
    assert logged_messages(caplog, logging.WARNING) == []


async def test_changes_of_the_user_affect_no_other_entity(
    hass: HomeAssistant,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
    *,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def unique_id(key: str) -> str:
        return f"{currentlyone.device_id}{key}"

    def registered(platform: str, key: str) -> str:
        found = entity_id(hass, platform, unique_id(key))
        assert found is not None
        return found

    entry = await set_up(hass, currentlyone)
    await currentlyone.switch("mocca_mast", "on")
    await settle(hass, entry, currentlyone)
    energy, event = (
        registered("sensor", "_active_energy_import"),
        registered("event", ":mocca_mast:transition"),
    )
    entity_registry.async_update_entity(energy, new_entity_id="sensor.mine")
    entity_registry.async_update_entity(event, disabled_by=er.RegistryEntryDisabler.USER)
    entity_registry.async_remove(registered("sensor", "_voltage_l2"))
    device_registry.async_remove_device(device_of(hass, entry, unique_id(":dishwasher")).id)
    await hass.async_block_till_done()
    await currentlyone.switch("dishwasher", "washing")
    await currentlyone.switch("mocca_mast", "off")
    await settle(hass, entry, currentlyone)
    await tick(hass, currentlyone)
    mine = hass.states.get("sensor.mine")
    assert mine is not None
    assert float(mine.state) > 0
    assert state_of(hass, "binary_sensor", unique_id(":mocca_mast:running")).state == "off"
    await reload(hass, entry, currentlyone)
    await tick(hass, currentlyone)
    assert state_of(hass, "sensor", unique_id("_voltage_l2")).state != "unavailable"
    assert state_of(hass, "binary_sensor", unique_id(":dishwasher:running")).state == "on"
    assert logged_messages(caplog, logging.WARNING) == []


@pytest.mark.parametrize(
    "name",
    [
        "active_energy_import",
        "counter",
        "counter:1",
        "a:b:state",
        ":",
        "unavailable",
        "Meter",
        "n" * 255,
        "\u6f22" * 255,
        "\N{FACE WITH TEARS OF JOY}",
    ],
)
async def test_appliances_can_have_any_name(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    currentlyone: CurrentlyOneSimulator,
    *,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    def keys() -> set[str]:
        entries = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
        return {f"{each.domain} {each.unique_id}" for each in entries if hass.states.get(each.entity_id)}

    currentlyone.has_inventory = False
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    before = keys()
    # The second id differs in the part that is stored.
    ids = (name, f"{name} 2"[-255:])
    for each in ids:
        await turn_on(currentlyone, each, name)
    await settle(hass, entry, currentlyone)
    await hass.async_block_till_done()
    expected = {
        f"{platform} {currentlyone.device_id}:{each}:{key}"
        for each in ids
        for platform, key in (
            ("binary_sensor", "running"),
            ("sensor", "last_run"),
            ("event", "transition"),
            ("sensor", "power"),
            ("sensor", "energy"),
        )
    }
    # After a restart, this id would be that of a sub-meter.
    added = set() if name == "counter:1" else expected
    assert keys() - before == added
    files = files_of(hass, entry)
    await reload(hass, entry, currentlyone)
    await tick(hass, currentlyone)
    assert keys() - before == added
    assert logged_messages(caplog, logging.WARNING) == []
    assert len(files["core.device_registry"]) < 10_000


async def test_device_has_only_its_current_mac_addresses(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up(hass, whatwatt)
    system = whatwatt.system
    for n in range(5):
        monkeypatch.setattr(
            whatwatt, "system", lambda n=n: system() | {"ethernet": {"mac": f"ECC9FF5C7F{n:02}"}}
        )
        await reload(hass, entry, whatwatt)
    connections = {address for _, address in device_of(hass, entry, whatwatt.device_id).connections}
    assert connections == {"ec:c9:ff:5c:7f:14", "ec:c9:ff:5c:7f:04"}
