"""Counters of other meters, for gas, water or heat, that a whatwatt's meter passes on."""

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.energy_sse.const import CONF_COUNTERS, CONF_WRITE_INTERVAL, DOMAIN

from .homes import entity_id, set_up, state_of, tick
from .readers import WhatwattSimulator
from .time_machine import TimeMachine
from .waiting import until

READER = "ECC9FF5C7F14"


def unique_id(meter_id: str) -> str:
    return f"{READER}:counter:{meter_id}"


async def choose(hass: HomeAssistant, entry: MockConfigEntry, **kinds: str) -> None:
    """Choose in the options what counters count."""
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    fields = {CONF_WRITE_INTERVAL: "0", CONF_COUNTERS: kinds}
    result = await hass.config_entries.options.async_configure(flow["flow_id"], fields)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()


async def test_counter_is_a_device_below_the_reader_with_a_plain_number_until_somebody_knows_better(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.counters = {"20000741": 123.45, "20000742": None}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    state = state_of(hass, "sensor", unique_id("20000741"))
    assert (state.state, state.name) == ("123.45", "Counter 20000741")
    assert state.attributes["state_class"] == "total_increasing"
    assert "unit_of_measurement" not in state.attributes
    assert "device_class" not in state.attributes
    assert entity_id(hass, "sensor", unique_id("20000742")) is None, "it has said nothing yet"
    hub = device_registry.async_get_device_by_identifier((DOMAIN, READER), entry.entry_id)
    device = device_registry.async_get_device_by_identifier((DOMAIN, unique_id("20000741")), entry.entry_id)
    assert hub is not None
    assert device is not None
    assert device.via_device_id == hub.id

    whatwatt.counters["20000742"] = 7
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000742")).state == "7"
    whatwatt.counters["20000741"] = None
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "123.45", "absent is not zero"
    whatwatt.counters["20000741"] = 123.46
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "123.46"


@pytest.mark.parametrize(
    ("kind", "device_class", "unit"),
    [("gas", "gas", "m³"), ("water", "water", "m³"), ("heat", "energy", "kWh")],
)
async def test_counter_becomes_what_its_owner_chooses(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, kind: str, device_class: str, unit: str
) -> None:
    whatwatt.counters = {"20000741": 123.45}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    before = entity_id(hass, "sensor", unique_id("20000741"))
    await choose(hass, entry, **{"20000741": kind})
    await until(lambda: whatwatt.streams)
    await tick(hass, whatwatt)
    state = state_of(hass, "sensor", unique_id("20000741"))
    name = f"{kind.capitalize()} meter 20000741"
    assert (state.entity_id, state.state, state.name) == (before, "123.45", name)
    attributes = state.attributes
    assert (attributes["device_class"], attributes["unit_of_measurement"]) == (device_class, unit)


async def test_counter_of_before_a_restart_is_there_after_it_and_unavailable_until_it_speaks(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.counters = {"20000741": 123.45}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await hass.config_entries.async_reload(entry.entry_id)
    await until(lambda: whatwatt.streams)
    whatwatt.counters = {}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "unavailable"
    whatwatt.counters = {"20000741": 123.5}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "123.5"


async def test_counter_is_as_old_as_the_readings(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    whatwatt.counters = {"20000741": 123.45}
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await time_machine.let_pass(120)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "unavailable"
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "123.45"


async def test_options_offer_the_counters_that_were_heard_of_and_forget_no_choice(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.counters = {"20000741": 123.45, "20000742": 5}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await choose(hass, entry, **{"20000741": "gas", "20000742": "none"})
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    schema = flow["data_schema"]
    assert schema is not None
    defaults = schema({CONF_COUNTERS: {}})
    assert defaults == {CONF_WRITE_INTERVAL: "0", CONF_COUNTERS: {"20000741": "gas", "20000742": "none"}}
    await choose(hass, entry, **{"20000742": "water"})
    assert entry.options[CONF_COUNTERS] == {"20000741": "gas", "20000742": "water"}


async def test_counter_that_no_longer_speaks_can_be_deleted(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    device_registry: dr.DeviceRegistry,
    whatwatt: WhatwattSimulator,
) -> None:
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client()
    whatwatt.counters = {"20000740": 5, "20000741": 123.45}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    device = device_registry.async_get_device_by_identifier((DOMAIN, unique_id("20000741")), entry.entry_id)
    assert device is not None
    assert not (await client.remove_device(device.id))["success"]
    whatwatt.counters = {"20000740": 5}
    await hass.config_entries.async_reload(entry.entry_id)
    await until(lambda: whatwatt.streams)
    assert (await client.remove_device(device.id))["success"]
    await hass.async_block_till_done()
    assert entity_id(hass, "sensor", unique_id("20000741")) is None
    whatwatt.counters = {"20000741": 124}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "124"
