"""Damaged sections of stored data, and damaged or newer options and entries."""

from collections.abc import Mapping
import copy
import json
import logging
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.json import ExtendedJSONEncoder
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import (
    CONF_FILL_MISSED_HOURS,
    CONF_MAIN_FUSE,
    CONF_PHASES,
    CONF_POWER_TARIFF,
    CONF_SUB_METERS,
    CONF_WRITE_INTERVAL,
    DOMAIN,
)
from custom_components.energy_sse.diagnostics import async_get_config_entry_diagnostics
from custom_components.energy_sse.reader import parse_object
from custom_components.energy_sse.store import storage_key

from .conftest import MakeTimeLapse
from .dialogs import open_options
from .home_assistant import entry_for, set_up, settle, state_of, tick
from .logs import logged_messages
from .random_payloads import RandomPayloads
from .simulators import CurrentlyOneSimulator, WhatwattSimulator
from .test_power_tariff import HOURLY, at
from .time_lapse import REGISTERS, TimeLapse
from .wait import wait_until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "store.py", "power_tariff/*", "coordinator.py", "registers.py", "wall_clock.py", "tests/time_lapse.py"
    ),
]

TARIFF = {CONF_POWER_TARIFF: {"enabled": True}}


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged errors, apart from those about the stored data."""
    return [line for line in logged_messages(caplog, logging.ERROR) if "stored data" not in line]


async def load_once(hass: HomeAssistant, entry: MockConfigEntry, reader: CurrentlyOneSimulator) -> None:
    """Load the entry, receive a reading and two reports of an appliance, and unload it."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    await wait_until(lambda: reader.streams)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    assert state_of(hass, "binary_sensor", f"{reader.device_id}:mocca_mast:running").state == "on"
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    await hass.async_block_till_done()
    assert state_of(hass, "binary_sensor", f"{reader.device_id}:mocca_mast:running").state == "off"
    assert await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("section", "times"), [("meter", 20), ("appliances", 40), ("registers", 12), ("power_tariff", 15)]
)
async def test_reading_is_shown_after_random_damage(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    hass_storage: dict[str, Any],
    *,
    caplog: pytest.LogCaptureFixture,
    section: str,
    times: int,
) -> None:
    entry = entry_for(currentlyone, options=TARIFF)
    entry.add_to_hass(hass)
    await load_once(hass, entry, currentlyone)
    key = storage_key(entry.entry_id)
    stored = copy.deepcopy(hass_storage[key])
    random = RandomPayloads(seed=5)
    damaged = 0
    for _ in range(times):
        data = parse_object(json.dumps(random.changed(stored["data"][section])))
        hass_storage[key] = copy.deepcopy(stored)
        hass_storage[key]["data"][section] = data
        caplog.clear()
        await load_once(hass, entry, currentlyone)
        assert errors(caplog) == []
        damaged += "restoring stored data" in caplog.text
    assert damaged > times / 10


# Section, keys of a stored value in it, and a value of another type.
type WrongType = tuple[str, tuple[str | int, ...], Any]

HISTORY = ("registers", "active_energy_import")
WRONG_TYPES: list[WrongType] = [
    ("registers", ("clock", "reader_error"), "0"),
    ("registers", ("clock", "reader_error"), [0]),
    ("registers", ("clock", "last"), "2026-11-10"),
    ("registers", (*HISTORY, "last", 1), "10526363.0"),
    ("registers", (*HISTORY, "last", 3), None),
    ("registers", (*HISTORY, "changed", 2), {}),
    ("registers", (*HISTORY, "replacements"), [["now", 1, 2, 3]]),
    ("registers", (*HISTORY, "estimates"), [[1794289500, "many"]]),
    ("registers", ("registers", "active_energy_export", "confirmed"), 0),
    ("power_tariff", ("running", "lowest"), None),
    ("power_tariff", ("running", "highest"), "many"),
    ("power_tariff", ("running", "first", 1), [1]),
]


def replaced(data: Any, keys: tuple[str | int, ...], value: Any) -> Any:
    """Return a copy of stored data with one value replaced."""
    if not keys:
        return value
    data = copy.copy(data)
    data[keys[0]] = replaced(data[keys[0]], keys[1:], value)
    return data


@pytest.mark.errors
@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=lambda wrong: f"{wrong[1]} {wrong[2]}")
async def test_reading_is_shown_after_a_value_of_another_type(
    make_time_lapse: MakeTimeLapse, caplog: pytest.LogCaptureFixture, wrong: WrongType
) -> None:
    section, keys, value = wrong
    async with make_time_lapse(None) as time_lapse:
        time_lapse.has_recorder = False
        time_lapse.options = {CONF_POWER_TARIFF: HOURLY}
        await time_lapse.start()
        await time_lapse.run_until(at("07:10:00"))
        await time_lapse.stop()
        data = time_lapse.stored(section)
        time_lapse.store(section, replaced(data, keys, value))
        await time_lapse.run_until(at("07:22:00"))
        await time_lapse.start()
        await time_lapse.run_until(at("07:32:00"))
        assert shown_in_wh(time_lapse) == pytest.approx(time_lapse.meter_registers, abs=3)
        for history in time_lapse.entry.runtime_data.coordinator.histories.by_register.values():
            assert at("07:30:00") in history.boundaries
            assert all(isinstance(total, float) for total in history.boundaries.values())
        assert errors(caplog) == []
        await time_lapse.stop()
        # The next save replaces it.
        assert types(time_lapse.stored(section)) == types(data)


def shown_in_wh(time_lapse: TimeLapse) -> list[float]:
    states = [time_lapse.hass.states.get(time_lapse.sensor(register)) for register in REGISTERS]
    return [float(state.state) * 1000 for state in states if state is not None]


def types(data: Any) -> Any:
    """Return the types of the values in stored data, apart from those of lists."""
    if isinstance(data, Mapping):
        return {key: types(value) for key, value in data.items()}
    return type(data)


INVALID = [
    {CONF_WRITE_INTERVAL: "often"},
    {CONF_WRITE_INTERVAL: -5},
    {CONF_WRITE_INTERVAL: None},
    {CONF_WRITE_INTERVAL: 1e9},
    {CONF_SUB_METERS: ["20000741"]},
    {CONF_SUB_METERS: None},
    {CONF_FILL_MISSED_HOURS: "never"},
    {CONF_MAIN_FUSE: 5000},
    {CONF_MAIN_FUSE: "many"},
    {CONF_PHASES: "2"},
    {CONF_PHASES: []},
]

OF_A_NEWER_VERSION = [
    {"of a newer version": 1},
    {CONF_SUB_METERS: {"20000741": "cooling"}},
    {CONF_SUB_METERS: {"20000741": ["gas"]}},
]


def is_json(diagnostics: dict[str, Any]) -> bool:
    return bool(json.dumps(diagnostics, cls=ExtendedJSONEncoder))


@pytest.mark.parametrize("options", [*INVALID, *OF_A_NEWER_VERSION], ids=str)
async def test_invalid_options_are_ignored_and_newer_ones_kept(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, options: dict[str, Any]
) -> None:
    whatwatt.sub_meters = {"20000741": 1234.5}
    entry = entry_for(whatwatt, options=options)
    entry.add_to_hass(hass)
    assert is_json(await async_get_config_entry_diagnostics(hass, entry))
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: whatwatt.streams)
    await tick(hass, whatwatt)
    await tick(hass, whatwatt)
    assert state_of(hass, "sensor", f"{whatwatt.device_id}:counter:20000741").state == "1234.5"
    assert is_json(await async_get_config_entry_diagnostics(hass, entry))
    for step in ("updates", "supply", "energy_dashboard", "sub_meters"):
        assert (await open_options(hass, entry, step))["type"] is FlowResultType.FORM
    assert entry.options == ({} if options in INVALID else options)


@pytest.mark.errors
@pytest.mark.parametrize(
    "changes",
    [
        {"kind": None},
        {"kind": "of a newer version"},
        {"kind": ["whatwatt"]},
        {"host": None},
        {"host": 80},
        {"host": "http://[::1"},
        {"password": 1234},
        {"login": "of a newer version"},
        {"login": []},
    ],
    ids=str,
)
async def test_entry_with_damaged_data_can_be_removed(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    changes: dict[str, Any],
) -> None:
    entry = entry_for(whatwatt, **changes)
    entry.add_to_hass(hass)
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert is_json(await async_get_config_entry_diagnostics(hass, entry))
    await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    await hass.config_entries.async_remove(entry.entry_id)
    assert state_of(hass, "sensor", f"{currentlyone.device_id}_voltage_l1").state != "unavailable"
    (other,) = hass.config_entries.async_entries(DOMAIN)
    assert other.state is ConfigEntryState.LOADED


async def test_entry_of_a_newer_minor_version_is_kept(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    data = {**entry_for(whatwatt).data, "of a newer version": {"key": 1}}
    entry = MockConfigEntry(
        domain=DOMAIN, unique_id=whatwatt.device_id, data=data, version=2, minor_version=2
    )
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.data.keys() >= {"of a newer version"}
