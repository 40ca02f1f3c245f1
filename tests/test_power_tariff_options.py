"""The option *Power tariff*: what is refused, what is made of it, and how often it writes."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from homeassistant.components.recorder import Recorder
from homeassistant.const import EVENT_STATE_CHANGED, EVENT_STATE_REPORTED
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager
import voluptuous as vol

from custom_components.energy_sse.const import CONF_POWER_TARIFF, TariffKey as K
from custom_components.energy_sse.power_tariff.tracker import COUNTED
from custom_components.energy_sse.reader import Measurement as M, clock

from .home_assistant import entity_id, entry_for, set_up, state_of, tick
from .readers import CurrentlyOneSimulator, WhatwattSimulator
from .time_machine import TimeMachine
from .waiting import until

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
    ],
)
async def test_tariff_that_could_not_be_counted_is_refused(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    tariff: dict[str, Any],
    error: str | None,
) -> None:
    entry = await set_up(hass, currentlyone)
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


@pytest.mark.parametrize(("field", "least", "most"), [("peaks", 1, 10), ("other_weight", 0, 100)])
async def test_numbers_of_a_tariff_are_whole_and_have_limits(
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


async def test_tariff_of_many_grid_companies_is_offered_and_off(
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
    }


async def test_option_says_that_it_needs_a_recorder(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    options = hass.config_entries.options
    flow = await options.async_init(entry.entry_id)
    result = await options.async_configure(
        flow["flow_id"], {"write_interval": "0", "power_tariff": {"enabled": True}}
    )
    assert result["errors"] == {CONF_POWER_TARIFF: "no_recorder"}


async def test_tariff_that_was_chosen_stays_when_other_options_change(
    recorder_mock: Recorder, hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: {**HOURLY, "peaks": 7}})
    options = hass.config_entries.options
    flow = await options.async_init(entry.entry_id)
    await options.async_configure(flow["flow_id"], {"write_interval": "60"})
    assert entry.options[CONF_POWER_TARIFF] == {**HOURLY, "peaks": 7}


async def test_home_without_a_recorder_has_no_tariff_and_everything_else(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = entry_for(currentlyone)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: HOURLY})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await until(lambda: currentlyone.streams)
    await tick(hass, currentlyone)
    await tick(hass, currentlyone)
    power = f"{currentlyone.device_id}_{M.ACTIVE_POWER_NET}"
    assert state_of(hass, "sensor", power).state not in ("unavailable", "unknown")
    assert entity_id(hass, "sensor", f"{currentlyone.device_id}_{K.DEMAND}") is None


async def test_what_moves_is_written_at_most_every_ten_seconds_and_once_a_minute_in_any_case(
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
    await until(lambda: currentlyone.streams)
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
        await time_machine.let_pass(1)
        await tick(hass, currentlyone, 1)
    # Real time passes, too.
    passed = clock.now() - began_at
    assert all(passed // 60 <= written.count(each) <= passed // 9.5 + 1 for each in ids)


async def test_meter_without_a_register_for_all_tariffs_is_followed_by_its_power(
    recorder_mock: Recorder, hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.house.solar_peak = 0.0
    whatwatt.lacks = {"E_In"}
    entry = entry_for(whatwatt)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: HOURLY})
    assert await hass.config_entries.async_setup(entry.entry_id)
    for _ in range(5):
        await tick(hass, whatwatt)
    shown = {key: state_of(hass, "sensor", f"{whatwatt.device_id}_{key}").state for key in COUNTED}
    assert shown == dict.fromkeys(COUNTED, "unavailable")
    watts = state_of(hass, "sensor", f"{whatwatt.device_id}_{M.ACTIVE_POWER_NET}").state
    kilowatts = state_of(hass, "sensor", f"{whatwatt.device_id}_{K.EXPECTED_DEMAND}").state
    assert float(kilowatts) == pytest.approx(float(watts) / 1000, rel=0.3)


async def test_nothing_stays_behind_when_the_reader_is_removed(
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
    assert f"energy_sse.{entry.entry_id}.power_tariff" in hass_storage
    await hass.config_entries.async_remove(entry.entry_id)
    assert not [key for key in hass_storage if entry.entry_id in key]
