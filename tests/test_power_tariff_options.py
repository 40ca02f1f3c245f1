"""Options of the power tariff: errors, limits, defaults, and readers that lack a measurement."""

from contextlib import nullcontext
from typing import Any

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.energy_sse.const import CONF_POWER_TARIFF, TariffKey as K
from custom_components.energy_sse.power_tariff.tracker import MONTHLY_KEYS
from custom_components.energy_sse.reader import Measurement as M, currentlyone as currentlyone_reader
from custom_components.energy_sse.reader.base import measurement_names
from custom_components.energy_sse.reader.currentlyone import CurrentlyOneReader

from .conftest import MakeTimeLapse
from .home_assistant import entry_for, set_up, state_of, tick
from .simulators import CurrentlyOneSimulator, Simulator, WhatwattSimulator
from .test_power_tariff import Loads, at, draw, shown
from .wait import wait_until

pytestmark = pytest.mark.smoke

HOURLY = {"enabled": True, "interval": "60", "peaks": 2, "one_per_day": False}


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
async def test_tariff_is_validated(
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
    assert again["power_tariff"].items() >= {**HOURLY, **tariff}.items()


@pytest.mark.parametrize(
    ("field", "minimum", "maximum"), [("peaks", 1, 10), ("other_weight", 0, 100), ("main_fuse", 6, 290)]
)
async def test_numbers_of_a_tariff_have_limits(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    *,
    field: str,
    minimum: int,
    maximum: int,
) -> None:
    entry = await set_up(hass, currentlyone)
    flow = await hass.config_entries.options.async_init(entry.entry_id)
    assert flow["data_schema"] is not None
    fields = flow["data_schema"].schema[CONF_POWER_TARIFF].schema.schema
    # The frontend enforces the limits, but other clients of the API do not.
    assert fields[field].config["step"] == 1
    limits = ((minimum - 1, False), (minimum, True), (maximum, True), (maximum + 1, False))
    for value, is_accepted in limits:
        with nullcontext() if is_accepted else pytest.raises(vol.Invalid):
            flow["data_schema"]({CONF_POWER_TARIFF: {**HOURLY, field: value}})


async def test_default_tariff_is_off(hass: HomeAssistant, currentlyone: CurrentlyOneSimulator) -> None:
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


async def test_tariff_that_is_off_needs_no_register(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    whatwatt.missing_keys = {"E_In", "E_In_T2"}
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


async def test_tariff_is_kept_when_other_options_change(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: {**HOURLY, "peaks": 7}})
    options = hass.config_entries.options
    flow = await options.async_init(entry.entry_id)
    await options.async_configure(flow["flow_id"], {"write_interval": "60"})
    assert entry.options[CONF_POWER_TARIFF] == {**HOURLY, "peaks": 7}


@pytest.mark.slow("power_tariff/*", "registers.py", "histories.py", "tests/time_lapse.py")
async def test_available_power_is_bounded_by_the_main_fuse(make_time_lapse: MakeTimeLapse) -> None:
    house = Loads(clock=at("05:30:00"), appliances=[], solar_peak=0.0)
    async with make_time_lapse(None, house) as time_lapse:
        time_lapse.options = {CONF_POWER_TARIFF: {**HOURLY, "peaks": 1, "main_fuse": 20, "phases": "1"}}
        time_lapse.has_recorder = False
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


async def set_up_with_tariff(hass: HomeAssistant, reader: Simulator) -> MockConfigEntry:
    """Set a reader up with a power tariff."""
    entry = entry_for(reader)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: HOURLY})
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: reader.streams)
    return entry


async def test_tariff_sum_is_followed_by_power(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    whatwatt.house.solar_peak = 0.0
    whatwatt.missing_keys = {"E_In", "E_In_T2"}
    await set_up_with_tariff(hass, whatwatt)
    for _ in range(5):
        await tick(hass, whatwatt)
    shown = {key: state_of(hass, "sensor", f"{whatwatt.device_id}_{key}").state for key in MONTHLY_KEYS}
    assert shown == dict.fromkeys(MONTHLY_KEYS, "unavailable")
    watts = state_of(hass, "sensor", f"{whatwatt.device_id}_{M.ACTIVE_POWER_NET}").state
    kilowatts = state_of(hass, "sensor", f"{whatwatt.device_id}_{K.EXPECTED_DEMAND}").state
    assert float(kilowatts) == pytest.approx(float(watts) / 1000, rel=0.3)


async def test_tariff_is_followed_without_a_power(
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
    await set_up_with_tariff(hass, currentlyone)
    await tick(hass, currentlyone)
    assert state_of(hass, "sensor", f"{currentlyone.device_id}_{K.DEMAND}").state == "0.0"
