"""Options of the power tariff: errors, what follows from them, and how often the sensors are written."""

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.recorder import Recorder
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.const import EVENT_STATE_CHANGED, EVENT_STATE_REPORTED
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager
import voluptuous as vol

from custom_components.energy_sse.const import CONF_POWER_TARIFF, TariffKey as K
from custom_components.energy_sse.power_tariff.settings import supply_of
from custom_components.energy_sse.power_tariff.tracker import MONTHLY_KEYS
from custom_components.energy_sse.reader import Measurement as M, clock, currentlyone as currentlyone_reader
from custom_components.energy_sse.reader.base import measurement_names
from custom_components.energy_sse.reader.currentlyone import CurrentlyOneReader
from custom_components.energy_sse.store import storage_key

from .conftest import MakeTimeLapse
from .home_assistant import entry_for, set_up, state_of, tick
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .test_power_tariff import Loads, at, draw, shown
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

HOURLY = {"enabled": True, "interval": "60", "peaks": 2, "one_per_day": False}


@pytest.fixture
async def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Let the recorder come before Home Assistant, which the shared fixtures already want."""


@pytest.mark.parametrize(
    ("tariff", "error"),
    [
        ({"months": []}, "no_months"),
        ({"begin": "07:00:00", "end": "07:00:00"}, "no_hours"),
        ({"begin": "07:15:00", "end": "19:00:00"}, "hours_between_intervals"),
        ({"begin": "07:10:00", "end": "19:00:00", "interval": "15"}, "hours_between_intervals"),
        ({"begin": "07:15:00", "end": "19:00:00", "interval": "15"}, None),
        ({"begin": "22:00:00", "end": "06:00:00", "other_weight": 50}, None),
        ({"months": [], "enabled": False}, None),
        ({"main_fuse": 25, "phases": "1"}, None),
    ],
)
async def test_impossible_tariff_is_rejected(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    tariff: dict[str, Any],
    error: str | None,
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    options = hass.config_entries.options
    flow = await options.async_init(entry.entry_id)
    data = {"write_interval": "30", "fill_missed_hours": False, "power_tariff": {**HOURLY, **tariff}}
    result = await options.async_configure(flow["flow_id"], data)
    if error is None:
        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert entry.options[CONF_POWER_TARIFF].items() >= {**HOURLY, **tariff}.items()
        return
    assert result["errors"] == {CONF_POWER_TARIFF: error}
    assert result["data_schema"] is not None
    again = result["data_schema"]({"power_tariff": {}})
    assert again.items() >= {"write_interval": "30", "fill_missed_hours": False}.items()
    assert again["power_tariff"].items() >= {**HOURLY, **tariff}.items(), "nothing is lost"


@pytest.mark.parametrize(
    ("field", "least", "most"), [("peaks", 1, 10), ("other_weight", 0, 100), ("main_fuse", 6, 290)]
)
async def test_numbers_of_a_tariff_have_limits(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    *,
    field: str,
    least: int,
    most: int,
) -> None:
    entry = await set_up(hass, currentlyone)
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert flow["data_schema"] is not None
    fields = flow["data_schema"].schema[CONF_POWER_TARIFF].schema.schema
    # The screen takes no others; what comes by another way is held to the limits here.
    assert fields[field].config["step"] == 1
    for value, is_taken in ((least - 1, False), (least, True), (most, True), (most + 1, False)):
        with nullcontext() if is_taken else pytest.raises(vol.Invalid):
            flow["data_schema"]({CONF_POWER_TARIFF: {**HOURLY, field: value}})


async def test_default_tariff_is_off(
    recorder_mock: Recorder, hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert flow["data_schema"] is not None
    assert flow["data_schema"]({CONF_POWER_TARIFF: {}})[CONF_POWER_TARIFF] == {
        "enabled": False,
        "interval": "60",
        "peaks": 3,
        "one_per_day": True,
        "months": [str(month) for month in range(1, 13)],
        "days": "all",
        "begin": "00:00:00",
        "end": "00:00:00",
        "other_weight": 0,
        "phases": "3",
    }


async def choose(hass: HomeAssistant, entry: MockConfigEntry, **tariff: Any) -> ConfigFlowResult:
    """Submit the options with a power tariff."""
    options = hass.config_entries.options
    flow = await options.async_init(entry.entry_id)
    return await options.async_configure(flow["flow_id"], {"write_interval": "0", "power_tariff": tariff})


async def test_tariff_needs_an_import_register(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    whatwatt.lacks = {"E_In", "E_In_T2"}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    result = await choose(hass, entry, enabled=True)
    assert result["errors"] == {CONF_POWER_TARIFF: "no_register"}
    result = await choose(hass, entry, enabled=True, months=[])
    assert result["errors"] == {CONF_POWER_TARIFF: "no_months"}
    # The register of the other direction is not enough; the first one of the import is.
    whatwatt.lacks = set()
    await tick(hass, whatwatt)
    assert (await choose(hass, entry, enabled=True))["type"] is FlowResultType.CREATE_ENTRY


async def test_tariff_that_is_off_needs_no_register(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    whatwatt.lacks = {"E_In", "E_In_T2"}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    assert (await choose(hass, entry, enabled=False))["type"] is FlowResultType.CREATE_ENTRY


async def test_register_is_not_checked_while_the_reader_is_offline(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    await hass.config_entries.async_unload(entry.entry_id)
    assert (await choose(hass, entry, enabled=True))["type"] is FlowResultType.CREATE_ENTRY


async def test_main_fuse_can_be_cleared(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await choose(hass, entry, enabled=True, main_fuse=25, phases="1")
    assert entry.options[CONF_POWER_TARIFF]["main_fuse"] == 25
    await wait_until(lambda: whatwatt.stream_count > 1 and entry.state is ConfigEntryState.LOADED)
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert flow["data_schema"] is not None
    section = flow["data_schema"].schema[CONF_POWER_TARIFF].schema
    suggested = {str(key): (key.description or {}).get("suggested_value") for key in section.schema}
    assert suggested["main_fuse"] == 25
    assert section({})["phases"] == "1"
    await choose(hass, entry, enabled=True)
    assert "main_fuse" not in entry.options[CONF_POWER_TARIFF]


@pytest.mark.parametrize(
    ("settings", "watts"),
    [
        (None, 200_000),
        ({}, 200_000),
        ({"phases": "1"}, 200_000),
        ({"main_fuse": 25}, 17_250),
        ({"main_fuse": 25, "phases": "3"}, 17_250),
        ({"main_fuse": 25, "phases": "1"}, 5750),
    ],
)
def test_supply_follows_from_main_fuse_and_phases(settings: dict[str, Any] | None, watts: float) -> None:
    assert supply_of(settings) == watts


async def test_tariff_is_kept_when_other_options_change(
    recorder_mock: Recorder, hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: {**HOURLY, "peaks": 7}})
    options = hass.config_entries.options
    flow = await options.async_init(entry.entry_id)
    await options.async_configure(flow["flow_id"], {"write_interval": "60"})
    assert entry.options[CONF_POWER_TARIFF] == {**HOURLY, "peaks": 7}


@pytest.mark.slow("power_tariff/*", "registers.py", "coordinator.py", "store.py", "tests/time_machine.py")
async def test_tariff_works_without_a_recorder(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    # The one of the reader, whose clock shows local time.
    await hass.config.async_set_time_zone("Europe/Zurich")
    begin = datetime(2026, 11, 10, 5, 58, tzinfo=UTC)
    freezer.move_to(begin)
    machine = TimeMachine(asyncio.get_running_loop(), freezer.tick)
    reader = WhatwattSimulator(House(clock=begin, solar_peak=0.0), interval=60)
    await reader.start(live=True)
    assert "recorder" not in hass.config.components
    entry = entry_for(reader)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: HOURLY})
    assert await hass.config_entries.async_setup(entry.entry_id)

    def shown(key: K) -> float:
        return float(state_of(hass, "sensor", f"{reader.device_id}_{key}").state)

    await machine.advance(600)
    assert 0 < shown(K.DEMAND) < 10
    assert 0 < shown(K.EXPECTED_DEMAND) < 10
    await machine.advance(3600)
    peak = shown(K.PEAK_DEMAND)
    assert 0 < peak < 10
    assert shown(K.DEMAND_LIMIT) == peak
    assert shown(K.AVAILABLE_POWER) > 0
    # The register histories are stored without a recorder, too.
    await hass.config_entries.async_unload(entry.entry_id)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await machine.advance(120)
    assert shown(K.PEAK_DEMAND) == peak
    await hass.config_entries.async_unload(entry.entry_id)
    await reader.stop()


@pytest.mark.slow("power_tariff/*", "registers.py", "tests/time_lapse.py")
async def test_available_power_is_bounded_by_the_main_fuse(make_time_lapse: MakeTimeLapse) -> None:
    house = Loads(clock=at("05:30:00"), appliances=[], solar_peak=0.0)
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.options = {CONF_POWER_TARIFF: {**HOURLY, "peaks": 1, "main_fuse": 20, "phases": "1"}}
        await time_lapse.start()
        await draw(time_lapse, 2000, at("07:00:30"))
        await draw(time_lapse, 0, at("07:06:00"))
        limit = float(shown(time_lapse, K.DEMAND_LIMIT).state)
        available = float(shown(time_lapse, K.AVAILABLE_POWER).state)
        assert limit < available < 4.6
        await draw(time_lapse, 0, at("07:40:00"))
        assert float(shown(time_lapse, K.AVAILABLE_POWER).state) == 4.6
        # The telegram in the last 30 seconds.
        await draw(time_lapse, 0, at("07:59:59"))
        assert shown(time_lapse, K.AVAILABLE_POWER).state == "unknown"
        await draw(time_lapse, 0, at("08:02:00"))
        assert float(shown(time_lapse, K.AVAILABLE_POWER).state) <= 4.6


async def test_values_are_written_every_ten_seconds_to_a_minute(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    time_machine: TimeMachine,
) -> None:
    currentlyone.house.solar_peak = 0.0
    entry = entry_for(currentlyone)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: HOURLY})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: currentlyone.streams)
    await tick(hass, currentlyone)
    await tick(hass, currentlyone)
    written: list[str] = []
    moving = (K.DEMAND, K.EXPECTED_DEMAND, K.AVAILABLE_POWER)
    ids = [state_of(hass, "sensor", f"{currentlyone.device_id}_{key}").entity_id for key in moving]

    @callback
    def note(event: Event[Any]) -> None:
        written.append(event.data["entity_id"])

    @callback
    def is_moving(data: Mapping[str, Any]) -> bool:
        return data["entity_id"] in ids

    hass.bus.async_listen(EVENT_STATE_CHANGED, note, is_moving)
    hass.bus.async_listen(EVENT_STATE_REPORTED, note, is_moving)
    began_at = clock.now()
    for _ in range(130):
        await time_machine.advance(1)
        await tick(hass, currentlyone, 1)
    # Real time passes, too.
    passed = clock.now() - began_at
    assert all(passed // 60 <= written.count(each) <= passed // 9.5 + 1 for each in ids)


async def test_tariff_sum_is_followed_by_power(
    recorder_mock: Recorder, hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.house.solar_peak = 0.0
    whatwatt.lacks = {"E_In", "E_In_T2"}
    entry = entry_for(whatwatt)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: HOURLY})
    assert await hass.config_entries.async_setup(entry.entry_id)
    for _ in range(5):
        await tick(hass, whatwatt)
    shown = {key: state_of(hass, "sensor", f"{whatwatt.device_id}_{key}").state for key in MONTHLY_KEYS}
    assert shown == dict.fromkeys(MONTHLY_KEYS, "unavailable")
    watts = state_of(hass, "sensor", f"{whatwatt.device_id}_{M.ACTIVE_POWER_NET}").state
    kilowatts = state_of(hass, "sensor", f"{whatwatt.device_id}_{K.EXPECTED_DEMAND}").state
    assert float(kilowatts) == pytest.approx(float(watts) / 1000, rel=0.3)


async def test_stored_data_is_removed_with_the_reader(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    hass_storage: dict[str, Any],
) -> None:
    entry = entry_for(currentlyone)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: HOURLY})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await tick(hass, currentlyone)
    await hass.config_entries.async_unload(entry.entry_id)
    assert "power_tariff" in hass_storage[storage_key(entry.entry_id)]["data"]
    await hass.config_entries.async_remove(entry.entry_id)
    assert not [key for key in hass_storage if entry.entry_id in key]


async def test_tariff_is_followed_without_a_power(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bill the register of a reader that does not measure the imported power."""
    powers = {M.ACTIVE_POWER_IMPORT, M.ACTIVE_POWER_NET}
    fields = {key: field for key, field in currentlyone_reader.FIELDS.items() if field[0] not in powers}
    monkeypatch.setattr(currentlyone_reader, "FIELDS", fields)
    monkeypatch.setattr(currentlyone_reader, "_NAMES", measurement_names(fields))
    units = {key: unit for key, unit in CurrentlyOneReader.units.items() if key not in powers}
    monkeypatch.setattr(CurrentlyOneReader, "units", units)
    entry = entry_for(currentlyone)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: HOURLY})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: currentlyone.streams)
    await tick(hass, currentlyone)
    assert entry.state is ConfigEntryState.LOADED
    assert state_of(hass, "sensor", f"{currentlyone.device_id}_{K.DEMAND}").state == "0.0"
