"""Home Assistant's registries: what people do in them by hand, and what a device can make of them."""

import json
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import DOMAIN

from .home_assistant import entity_id, set_up, settle, state_of, tick
from .saved_files import files_of
from .simulators import CurrentlyOneSimulator, WhatwattSimulator
from .simulators.server import Simulator
from .wait import wait_until

pytestmark = pytest.mark.smoke


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def turn_on(reader: CurrentlyOneSimulator, appliance_id: str, name: str, **more: Any) -> None:
    """Let the reader say of an appliance that it has been turned on."""
    transition = {"id": appliance_id, "bs": "ON", "W": 5, "Wh": 10, "dName": name, "sName": "on", **more}
    transition |= {"from": "off", "sec": int(reader.house.clock.timestamp())}
    await reader.broadcast(f"event: transition\r\ndata: {json.dumps(transition)}\r\n\r\n".encode())


async def reload(hass: HomeAssistant, entry: MockConfigEntry, reader: Simulator) -> None:
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: reader.streams)


def device_of(hass: HomeAssistant, entry: MockConfigEntry, identifier: str) -> dr.DeviceEntry:
    device = dr.async_get(hass).async_get_device_by_identifier((DOMAIN, identifier), entry.entry_id)
    assert device is not None
    return device


async def test_appliances_go_on_without_the_device_of_their_reader(
    hass: HomeAssistant,
    device_registry: dr.DeviceRegistry,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = await set_up(hass, currentlyone)
    await currentlyone.switch("mocca_mast", "on")
    await settle(hass, entry, currentlyone)
    entities = hass.states.async_entity_ids_count()
    device_registry.async_remove_device(device_of(hass, entry, currentlyone.device_id).id)
    await currentlyone.switch("mocca_mast", "off")
    await turn_on(currentlyone, "kettle", "Kettle")
    await settle(hass, entry, currentlyone)
    await hass.async_block_till_done()
    assert state_of(hass, "binary_sensor", f"{currentlyone.device_id}:mocca_mast:running").state == "off"
    assert state_of(hass, "binary_sensor", f"{currentlyone.device_id}:kettle:running").state == "on"
    await reload(hass, entry, currentlyone)
    await tick(hass, currentlyone)
    assert hass.states.async_entity_ids_count() >= entities
    assert errors(caplog) == []


async def test_sub_meters_go_on_without_the_device_of_their_reader(
    hass: HomeAssistant,
    device_registry: dr.DeviceRegistry,
    whatwatt: WhatwattSimulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whatwatt.sub_meters = {"20000741": 1234.5}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    device_registry.async_remove_device(device_of(hass, entry, whatwatt.device_id).id)
    whatwatt.sub_meters = {"20000741": 1234.6, "20000742": 5}
    await tick(hass, whatwatt)
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", f"{whatwatt.device_id}:counter:20000741").state == "1234.6"
    assert state_of(hass, "sensor", f"{whatwatt.device_id}:counter:20000742").state == "5"
    assert errors(caplog) == []


async def test_deleted_appliance_and_entities_that_are_renamed_disabled_and_removed_disturb_no_other(
    hass: HomeAssistant,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
    *,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def unique_id(key: str) -> str:
        return f"{currentlyone.device_id}{key}"

    def known(platform: str, key: str) -> str:
        found = entity_id(hass, platform, unique_id(key))
        assert found is not None
        return found

    entry = await set_up(hass, currentlyone)
    await currentlyone.switch("mocca_mast", "on")
    await settle(hass, entry, currentlyone)
    entity_registry.async_update_entity(known("sensor", "_active_energy_import"), new_entity_id="sensor.mine")
    entity_registry.async_update_entity(
        known("event", ":mocca_mast:transition"), disabled_by=er.RegistryEntryDisabler.USER
    )
    entity_registry.async_remove(known("sensor", "_voltage_l2"))
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
    assert errors(caplog) == []


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
async def test_appliances_may_be_called_anything_and_two_of_them_the_same(
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
    # Different beyond the part of an id that is kept, too.
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
            ("event", "transition"),
            ("sensor", "power"),
            ("sensor", "energy"),
        )
    }
    if name != "counter:1":
        # What would be taken for a sub-meter after a restart is none of the reader's appliances.
        assert keys() - before == expected
    files = files_of(hass, entry)
    await reload(hass, entry, currentlyone)
    await tick(hass, currentlyone)
    after = keys()
    assert after - before == (set() if name == "counter:1" else expected)
    assert errors(caplog) == []
    assert len(files["core.device_registry"]) < 10_000


async def test_addresses_that_a_reader_makes_up_do_not_pile_up(
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
