"""Sub-meters of a whatwatt: gas, water or heat."""

from datetime import UTC, datetime, timedelta
import logging
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.energy_sse.const import CONF_SUB_METERS, DOMAIN
from custom_components.energy_sse.reader import SubMeterReading
from custom_components.energy_sse.sub_meters import SubMeters

from .dialogs import change_options, open_options
from .home_assistant import entity_id, reload, set_up, state_of, tick
from .logs import logged_messages
from .simulators import WhatwattSimulator
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

READER = "ECC9FF5C7F14"


def unique_id(meter_id: str) -> str:
    return f"{READER}:counter:{meter_id}"


def shown(hass: HomeAssistant, meter_id: str) -> str:
    return state_of(hass, "sensor", unique_id(meter_id)).state


async def send(hass: HomeAssistant, reader: WhatwattSimulator, values: dict[str, float | None]) -> None:
    """Send a reading with registers of sub-meters."""
    reader.sub_meters = values
    await tick(hass, reader)


def devices(hass: HomeAssistant, entry: MockConfigEntry) -> list[dr.DeviceEntry]:
    return dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)


async def choose(
    hass: HomeAssistant, entry: MockConfigEntry, reader: WhatwattSimulator, **kinds: str
) -> None:
    """Choose the kinds of sub-meters in the options."""
    result = await change_options(hass, entry, "sub_meters", **kinds)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    await wait_until(lambda: reader.streams)


async def test_sub_meter_is_a_device_with_a_plain_number(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 123.45, "20000742": None})
    state = state_of(hass, "sensor", unique_id("20000741"))
    assert (state.state, state.name) == ("123.45", "Sub-meter 20000741")
    assert not {"state_class", "unit_of_measurement", "device_class"} & state.attributes.keys()
    assert entity_id(hass, "sensor", unique_id("20000742")) is None, "no value was received"
    hub = device_registry.async_get_device_by_identifier((DOMAIN, READER), entry.entry_id)
    device = device_registry.async_get_device_by_identifier((DOMAIN, unique_id("20000741")), entry.entry_id)
    assert hub is not None
    assert device is not None
    assert device.via_device_id == hub.id
    await send(hass, whatwatt, {"20000742": 7})
    assert shown(hass, "20000742") == "7"


async def test_sub_meter_is_unavailable_while_readings_are_missing(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 123.45})
    await time_machine.advance(120)
    assert shown(hass, "20000741") == "unavailable"
    # A reading without the sub-meter is not a zero.
    await send(hass, whatwatt, {"20000741": None})
    assert shown(hass, "20000741") == "123.45"
    await send(hass, whatwatt, {"20000741": 123.46})
    assert shown(hass, "20000741") == "123.46"


async def test_sub_meter_that_has_stopped_is_unavailable(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    whatwatt.interval = 300
    entry = await set_up(hass, whatwatt)
    gas = "20000741"

    async def run(hours: int, *, stopped: bool) -> None:
        for _ in range(12 * hours):
            await time_machine.advance(300)
            if not stopped:
                whatwatt.sub_meters_read_at = whatwatt.house.clock.replace(minute=0)
            await tick(hass, whatwatt, 300)

    whatwatt.sub_meters_read_at = whatwatt.house.clock.replace(minute=0)
    await send(hass, whatwatt, {gas: 123.45})
    await run(9, stopped=False)
    assert shown(hass, gas) == "123.45", "the register is read once an hour"
    await run(2, stopped=True)
    assert shown(hass, gas) == "unavailable"
    # After a restart, the time of the register shows that it is old.
    clock = whatwatt.house.clock
    whatwatt.sub_meters_read_at = clock - timedelta(days=2)
    await reload(hass, entry, whatwatt)
    await tick(hass, whatwatt)
    assert shown(hass, gas) == "unavailable"
    whatwatt.sub_meters_read_at = clock
    await tick(hass, whatwatt)
    assert shown(hass, gas) == "123.45"


def test_first_shorter_time_between_daily_registers_is_ignored() -> None:
    sub_meters, now = SubMeters([], {}), 0.0
    read_at = datetime(2026, 11, 10, 6, tzinfo=UTC)
    for hours in (0, 1, *[24] * 10):
        for _ in range(hours):
            now += 3600
            assert sub_meters.update_outdated(now) == set()
        read_at += timedelta(hours=hours)
        sub_meters.update(SubMeterReading(meter_id="1", value=now / 3600, time=read_at), now)
    assert sub_meters.update_outdated(now + 36 * 3600) == {"1"}


async def test_sub_meter_without_a_time_expires_when_it_is_missing(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    await set_up(hass, whatwatt)
    for value in (*[5] * 8, 6):
        await whatwatt.broadcast(whatwatt.encode(f'{{"Vol":[{{"M_ID":"1","Cum":{value}}}]}}'))
        await tick(hass, whatwatt)
        await time_machine.advance(10)
    assert shown(hass, "1") == "6"
    for _ in range(6):
        await tick(hass, whatwatt)
        await time_machine.advance(10)
    assert shown(hass, "1") == "unavailable"


@pytest.mark.parametrize("value", [123.45, None, 0], ids=["repeated", "absent", "wrong"])
async def test_sub_meter_without_a_change_is_not_written(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, value: float | None
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 123.45})
    written_at = state_of(hass, "sensor", unique_id("20000741")).last_reported
    await send(hass, whatwatt, {"20000741": value})
    assert state_of(hass, "sensor", unique_id("20000741")).last_reported == written_at


@pytest.mark.parametrize(
    ("kind", "device_class", "unit"),
    [("gas", "gas", "m³"), ("water", "water", "m³"), ("heat", "energy", "kWh")],
)
async def test_sub_meter_has_the_chosen_kind(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, kind: str, device_class: str, unit: str
) -> None:
    entry = await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 123.45})
    before = entity_id(hass, "sensor", unique_id("20000741"))
    await choose(hass, entry, whatwatt, **{"20000741": kind})
    await tick(hass, whatwatt)
    state = state_of(hass, "sensor", unique_id("20000741"))
    name = f"{kind.capitalize()} meter 20000741"
    assert (state.entity_id, state.state, state.name) == (before, "123.45", name)
    attributes = state.attributes
    assert (attributes["device_class"], attributes["unit_of_measurement"]) == (device_class, unit)


@pytest.mark.parametrize(
    ("language", "models"),
    [("en", ("Sub-meter", "Gas meter")), ("fr", ("Autre compteur", "Compteur de gaz"))],
)
async def test_model_of_a_sub_meter_is_its_kind(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, language: str, models: tuple[str, str]
) -> None:
    hass.config.language = language
    entry = await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 123.45})
    assert [device.model for device in devices(hass, entry)] == ["whatwatt Go", models[0]]
    await choose(hass, entry, whatwatt, **{"20000741": "gas"})
    await tick(hass, whatwatt)
    hub, device = devices(hass, entry)
    assert (device.model, device.name) == (models[1], f"{models[1]} 20000741")
    assert device.via_device_id == hub.id


async def test_options_keep_the_kinds_of_sub_meters(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    entry = await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 123.45, "20000742": 5})
    await choose(hass, entry, whatwatt, **{"20000741": "gas", "20000742": "none"})
    form = await open_options(hass, entry, "sub_meters")
    assert form["data_schema"] is not None
    assert form["data_schema"]({}) == {"20000741": "gas", "20000742": "none"}
    await choose(hass, entry, whatwatt, **{"20000742": "water"})
    assert entry.options[CONF_SUB_METERS] == {"20000741": "gas", "20000742": "water"}


async def test_sub_meter_without_data_can_be_removed(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    device_registry: dr.DeviceRegistry,
    whatwatt: WhatwattSimulator,
) -> None:
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client()
    entry = await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000740": 5, "20000741": 123.45})
    device = device_registry.async_get_device_by_identifier((DOMAIN, unique_id("20000741")), entry.entry_id)
    assert device is not None
    error = (await client.remove_device(device.id))["error"]
    assert error["message"] == (
        "Sub-meter 20000741 cannot be deleted, because the reader has reported it. "
        "Home Assistant would add it again. Disable the device instead."
    )
    assert (error["translation_domain"], error["translation_key"]) == (DOMAIN, "device_is_there")
    # The reader still reports a sub-meter without a value.
    await reload(hass, entry, whatwatt)
    await send(hass, whatwatt, {"20000740": 5, "20000741": None})
    assert not (await client.remove_device(device.id))["success"]
    whatwatt.sub_meters = {"20000740": 5}
    await reload(hass, entry, whatwatt)
    assert (await client.remove_device(device.id))["success"]
    await hass.async_block_till_done()
    assert entity_id(hass, "sensor", unique_id("20000741")) is None
    await send(hass, whatwatt, {"20000741": 124})
    assert shown(hass, "20000741") == "124"


@pytest.mark.parametrize(("repeats", "limit"), [(1, 16), (3, 64)])
async def test_number_of_sub_meters_is_limited_over_reloads(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, repeats: int, limit: int
) -> None:
    entry = await set_up(hass, whatwatt)
    for load in range(3):
        whatwatt.sub_meters = {f"{load}{n:03}": n for n in range(40)}
        for _ in range(repeats):
            await tick(hass, whatwatt)
        await reload(hass, entry, whatwatt)
    assert len(devices(hass, entry)) == 1 + limit
    if repeats == 1:
        await send(hass, whatwatt, {"0007": 8, "3000": 9})
        assert shown(hass, "0007") == "8"
        # Garbage differs each time, and the id of a sub-meter does not.
        await tick(hass, whatwatt)
        assert shown(hass, "3000") == "9"


@pytest.mark.parametrize("restarts", [False, True])
async def test_zero_between_two_values_is_not_shown(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, *, restarts: bool
) -> None:
    entry = await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 1234.5})
    if restarts:
        await reload(hass, entry, whatwatt)
    await send(hass, whatwatt, {"20000741": 0})
    assert shown(hass, "20000741") == ("unavailable" if restarts else "1234.5")
    await send(hass, whatwatt, {"20000741": 1234.6})
    assert shown(hass, "20000741") == "1234.6"
    assert entry.runtime_data.coordinator.data.sub_meters.validator.rejected == {"zero": 1}


async def test_rise_is_limited_by_the_chosen_kind(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    entry = await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 1234.5, "20000742": 1234.5})
    await choose(hass, entry, whatwatt, **{"20000741": "gas", "20000742": "none"})
    await tick(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 12345.6, "20000742": 12345.6})
    assert shown(hass, "20000741") == "1234.5"
    assert shown(hass, "20000742") == "12345.6", "its unit is unknown"


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        pytest.param(0.1, "unavailable", id="minutes"),
        pytest.param(10, "1434.5", id="ten hours, in which 250 m³ can flow"),
        pytest.param(None, "1434.5", id="without a stored time"),
    ],
)
async def test_rise_is_limited_by_the_time_of_a_restart(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    hass_storage: dict[str, Any],
    hours: float | None,
    expected: str,
) -> None:
    entry = await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 1234.5})
    await choose(hass, entry, whatwatt, **{"20000741": "gas"})
    # Restarts without a value keep the time.
    for _ in range(2):
        whatwatt.sub_meters = {}
        await reload(hass, entry, whatwatt)
        await tick(hass, whatwatt)
    assert await hass.config_entries.async_unload(entry.entry_id)
    stored = hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]["sub_meters"]
    assert stored["registers"] == {"20000741": 1234.5}
    if hours is None:
        stored["received_at"] = {}
    else:
        stored["received_at"]["20000741"] -= hours * 3600
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: whatwatt.streams)
    assert shown(hass, "20000741") == "unavailable"
    await send(hass, whatwatt, {"20000741": 1434.5})
    assert shown(hass, "20000741") == expected


async def test_replacement_is_logged_without_the_id(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await set_up(hass, whatwatt)
    await send(hass, whatwatt, {"20000741": 1234.5})
    caplog.clear()
    whatwatt.sub_meters = {"20000741": 0.2}
    for _ in range(130):
        await time_machine.advance(30)
        await whatwatt.tick(30)
    await tick(hass, whatwatt)
    assert shown(hass, "20000741") == "0.2"
    (warning,) = logged_messages(caplog, logging.WARNING)
    assert warning == "A meter was replaced: the register of a sub-meter has a new start value"
