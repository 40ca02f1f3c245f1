"""Counters of other meters, for gas, water or heat, that a whatwatt's meter passes on."""

import logging
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.energy_sse.const import (
    CONF_FILL_MISSED_HOURS,
    CONF_SUB_METERS,
    CONF_WRITE_INTERVAL,
    DOMAIN,
)

from .home_assistant import entity_id, set_up, state_of, tick
from .logs import logged_messages
from .simulators import WhatwattSimulator
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

READER = "ECC9FF5C7F14"


def unique_id(meter_id: str) -> str:
    return f"{READER}:counter:{meter_id}"


async def choose(hass: HomeAssistant, entry: MockConfigEntry, **kinds: str) -> None:
    """Choose in the options what sub-meters measure."""
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    fields = {CONF_WRITE_INTERVAL: "0", CONF_SUB_METERS: kinds}
    result = await hass.config_entries.options.async_configure(flow["flow_id"], fields)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()


async def test_sub_meter_is_a_device_below_the_reader_with_a_plain_number_until_somebody_knows_better(
    hass: HomeAssistant,
    device_registry: dr.DeviceRegistry,
    whatwatt: WhatwattSimulator,
    time_machine: TimeMachine,
) -> None:
    whatwatt.sub_meters = {"20000741": 123.45, "20000742": None}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    state = state_of(hass, "sensor", unique_id("20000741"))
    assert (state.state, state.name) == ("123.45", "Sub-meter 20000741")
    assert "state_class" not in state.attributes
    assert "unit_of_measurement" not in state.attributes
    assert "device_class" not in state.attributes
    assert entity_id(hass, "sensor", unique_id("20000742")) is None, "it has said nothing yet"
    hub = device_registry.async_get_device_by_identifier((DOMAIN, READER), entry.entry_id)
    device = device_registry.async_get_device_by_identifier((DOMAIN, unique_id("20000741")), entry.entry_id)
    assert hub is not None
    assert device is not None
    assert device.via_device_id == hub.id

    whatwatt.sub_meters["20000742"] = 7
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000742")).state == "7"
    whatwatt.sub_meters["20000741"] = None
    await tick(hass, whatwatt)
    # Everything is written again when readings come back.
    await time_machine.advance(120)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "unavailable"
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "123.45", "absent is not zero"
    whatwatt.sub_meters["20000741"] = 123.46
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "123.46"


@pytest.mark.parametrize("value", [123.45, None, 0], ids=["repeated", "absent", "wrong"])
async def test_sub_meter_that_says_nothing_new_is_not_written(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, value: float | None
) -> None:
    whatwatt.sub_meters = {"20000741": 123.45}
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    written_at = state_of(hass, "sensor", unique_id("20000741")).last_reported
    whatwatt.sub_meters = {"20000741": value}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).last_reported == written_at


@pytest.mark.parametrize(
    ("kind", "device_class", "unit"),
    [("gas", "gas", "m³"), ("water", "water", "m³"), ("heat", "energy", "kWh")],
)
async def test_sub_meter_becomes_what_its_owner_chooses(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, kind: str, device_class: str, unit: str
) -> None:
    whatwatt.sub_meters = {"20000741": 123.45}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    before = entity_id(hass, "sensor", unique_id("20000741"))
    await choose(hass, entry, **{"20000741": kind})
    await wait_until(lambda: whatwatt.streams)
    await tick(hass, whatwatt)
    state = state_of(hass, "sensor", unique_id("20000741"))
    name = f"{kind.capitalize()} meter 20000741"
    assert (state.entity_id, state.state, state.name) == (before, "123.45", name)
    attributes = state.attributes
    assert (attributes["device_class"], attributes["unit_of_measurement"]) == (device_class, unit)


async def test_sub_meter_of_before_a_restart_is_there_after_it_and_unavailable_until_it_speaks(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.sub_meters = {"20000741": 123.45}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: whatwatt.streams)
    whatwatt.sub_meters = {}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "unavailable"
    whatwatt.sub_meters = {"20000741": 123.5}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "123.5"


async def test_sub_meter_is_as_old_as_the_readings(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    whatwatt.sub_meters = {"20000741": 123.45}
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await time_machine.advance(120)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "unavailable"
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "123.45"


async def test_options_offer_the_sub_meters_that_were_heard_of_and_forget_no_choice(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.sub_meters = {"20000741": 123.45, "20000742": 5}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await choose(hass, entry, **{"20000741": "gas", "20000742": "none"})
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    schema = flow["data_schema"]
    assert schema is not None
    defaults = schema({CONF_SUB_METERS: {}})
    assert defaults == {
        CONF_WRITE_INTERVAL: "0",
        CONF_FILL_MISSED_HOURS: True,
        CONF_SUB_METERS: {"20000741": "gas", "20000742": "none"},
    }
    await choose(hass, entry, **{"20000742": "water"})
    assert entry.options[CONF_SUB_METERS] == {"20000741": "gas", "20000742": "water"}


async def test_sub_meter_that_no_longer_speaks_can_be_deleted(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    device_registry: dr.DeviceRegistry,
    whatwatt: WhatwattSimulator,
) -> None:
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client()
    whatwatt.sub_meters = {"20000740": 5, "20000741": 123.45}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    device = device_registry.async_get_device_by_identifier((DOMAIN, unique_id("20000741")), entry.entry_id)
    assert device is not None
    error = (await client.remove_device(device.id))["error"]
    assert error["message"] == (
        "Sub-meter 20000741 cannot be deleted, because the reader still reports it: it would come back."
    )
    assert (error["translation_domain"], error["translation_key"]) == (DOMAIN, "device_is_there")
    # One that is mentioned without a number is still there.
    whatwatt.sub_meters = {"20000740": 5, "20000741": None}
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: whatwatt.streams)
    await tick(hass, whatwatt)
    assert not (await client.remove_device(device.id))["success"]
    whatwatt.sub_meters = {"20000740": 5}
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until(lambda: whatwatt.streams)
    assert (await client.remove_device(device.id))["success"]
    await hass.async_block_till_done()
    assert entity_id(hass, "sensor", unique_id("20000741")) is None
    whatwatt.sub_meters = {"20000741": 124}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "124"


async def test_sub_meters_without_end_fill_no_registry_however_often_the_reader_is_loaded_again(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, whatwatt: WhatwattSimulator
) -> None:
    def devices() -> list[dr.DeviceEntry]:
        return dr.async_entries_for_config_entry(device_registry, entry.entry_id)

    entry = await set_up(hass, whatwatt)
    for load in range(3):
        whatwatt.sub_meters = {f"{load}{n:03}": n for n in range(40)}
        await tick(hass, whatwatt)
        await wait_until(lambda: len(devices()) == 1 + 16)
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_until(lambda: whatwatt.streams)
    assert len(devices()) == 1 + 16
    whatwatt.sub_meters = {"0007": 8, "3000": 9}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("0007")).state == "8", "one that is known is heard"
    assert len(entry.runtime_data.coordinator.data.sub_meters.values) == 1
    # Garbage is different each time, and a sub-meter is not.
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("3000")).state == "9"


async def test_sub_meters_that_are_repeated_fill_no_registry(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    for load in range(3):
        whatwatt.sub_meters = {f"{load}{n:03}": n for n in range(40)}
        for _ in range(3):
            await tick(hass, whatwatt)
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_until(lambda: whatwatt.streams)
    devices = dr.async_entries_for_config_entry(device_registry, entry.entry_id)
    assert len(devices) == 1 + 64


@pytest.mark.parametrize("restarts", [False, True])
async def test_zero_between_two_values_of_a_sub_meter_is_never_shown(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, *, restarts: bool
) -> None:
    whatwatt.sub_meters = {"20000741": 1234.5}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    if restarts:
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_until(lambda: whatwatt.streams)
    whatwatt.sub_meters = {"20000741": 0}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == ("unavailable" if restarts else "1234.5")
    whatwatt.sub_meters = {"20000741": 1234.6}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "1234.6"
    assert entry.runtime_data.coordinator.data.sub_meters.validator.dropped == {"zero": 1}


async def test_sub_meter_rises_by_no_more_than_what_its_owner_says_that_it_counts_can(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.sub_meters = {"20000741": 1234.5, "20000742": 1234.5}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await choose(hass, entry, **{"20000741": "gas", "20000742": "none"})
    await wait_until(lambda: whatwatt.streams)
    await tick(hass, whatwatt)
    whatwatt.sub_meters = {"20000741": 12345.6, "20000742": 12345.6}
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "1234.5"
    assert state_of(hass, "sensor", unique_id("20000742")).state == "12345.6", "its unit is not known"


@pytest.mark.parametrize(
    ("hours_off", "shown"),
    [
        pytest.param(0.1, "unavailable", id="a moment"),
        pytest.param(10, "1434.5", id="ten hours, in which 250 m³ can flow"),
        pytest.param(None, "1434.5", id="an older version, which has not noted it"),
    ],
)
async def test_sub_meter_rises_over_a_restart_by_no_more_than_it_can_in_that_time(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    hass_storage: dict[str, Any],
    hours_off: float | None,
    shown: str,
) -> None:
    whatwatt.sub_meters = {"20000741": 1234.5}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await choose(hass, entry, **{"20000741": "gas"})
    await wait_until(lambda: whatwatt.streams)
    for _ in range(3):
        # Nothing is heard of it meanwhile.
        whatwatt.sub_meters = {}
        await hass.config_entries.async_reload(entry.entry_id)
        await wait_until(lambda: whatwatt.streams)
        await tick(hass, whatwatt)
    assert await hass.config_entries.async_unload(entry.entry_id)
    stored = hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]["sub_meters"]
    assert stored["registers"] == {"20000741": 1234.5}
    if hours_off is None:
        stored["received_at"] = {}
    else:
        stored["received_at"]["20000741"] -= hours_off * 3600
    whatwatt.sub_meters = {"20000741": 1434.5}
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: whatwatt.streams)
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == shown


async def test_exchanged_sub_meter_is_believed_and_its_number_told_to_nobody(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whatwatt.sub_meters = {"20000741": 1234.5}
    await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    caplog.clear()
    whatwatt.sub_meters = {"20000741": 0.2}
    for _ in range(130):
        await time_machine.advance(30)
        await whatwatt.tick(30)
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", unique_id("20000741")).state == "0.2"
    (warning,) = logged_messages(caplog, logging.WARNING)
    assert warning == "A meter was replaced: the register of a sub-meter has a new start value"
