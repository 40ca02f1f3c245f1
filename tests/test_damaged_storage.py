"""What is stored, damaged: by a disk, by a hand, or by a version from the future."""

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
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager

from custom_components.energy_sse.const import (
    CONF_FILL_MISSED_HOURS,
    CONF_POWER_TARIFF,
    CONF_SUB_METERS,
    CONF_WRITE_INTERVAL,
    DOMAIN,
)
from custom_components.energy_sse.coordinator import registers_key
from custom_components.energy_sse.diagnostics import async_get_config_entry_diagnostics
from custom_components.energy_sse.reader import parse_object

from .home_assistant import entry_for, settle, state_of, tick
from .log import said
from .random_payloads import RandomPayloads
from .readers import CurrentlyOneSimulator, WhatwattSimulator
from .waiting import until

pytestmark = pytest.mark.slow("memory.py", "power_tariff/*", "coordinator.py")

TARIFF = {CONF_POWER_TARIFF: {"enabled": True}}

# Times that the files are damaged at random.
DAMAGES = 50


@pytest.fixture
async def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Set up the recorder first, as the test package wants it."""


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was said that should not have been, apart from what cannot be read."""
    return [line for line in said(caplog, logging.ERROR) if "begins anew" not in line]


async def live_once(hass: HomeAssistant, entry: MockConfigEntry, reader: CurrentlyOneSimulator) -> None:
    """Start, hear the meter and an appliance, and stop."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    await until(lambda: reader.streams)
    await reader.switch("mocca_mast", "on")
    await settle(hass, entry, reader)
    assert state_of(hass, "binary_sensor", f"{reader.device_id}:mocca_mast:running").state == "on"
    await reader.switch("mocca_mast", "off")
    await settle(hass, entry, reader)
    await hass.async_block_till_done()
    assert state_of(hass, "binary_sensor", f"{reader.device_id}:mocca_mast:running").state == "off"
    assert await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.faults
@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"minor_version": 7},
        {"data": []},
        {"data": {}},
        {"data": {"registers": {"active_energy_import": "many"}, "appliances": {}}},
        {"data": {"registers": {}, "heard_at": {"active_energy_import": "then"}, "appliances": []}},
        {"data": {"registers": {}, "appliances": {"mocca_mast": {"changes": 3}}}},
        {
            "data": {
                "registers": {},
                "registers_at": 0,
                "appliances": {
                    "mocca_mast": {
                        "state": ["on"],
                        "changed_at": "2026-01-01T00:00:00",
                        "changes": [["on", "2026-01-01T00:00:00"]],
                    }
                },
            }
        },
    ],
    ids=str,
)
async def test_reader_is_heard_though_nothing_can_be_remembered(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    damage: dict[str, Any],
) -> None:
    entry = entry_for(currentlyone)
    entry.add_to_hass(hass)
    await live_once(hass, entry, currentlyone)
    hass_storage[f"{DOMAIN}.{entry.entry_id}"] |= damage
    await live_once(hass, entry, currentlyone)
    assert errors(caplog) == []
    stored = hass_storage[f"{DOMAIN}.{entry.entry_id}"]
    assert (stored["version"], stored["data"]["registers"]["active_energy_import"]) == (1, 10526027)


async def live_with_damaged(
    hass: HomeAssistant,
    reader: CurrentlyOneSimulator,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    file: str,
    *,
    times: int,
    **options: Any,
) -> None:
    """Start again and again, each time with the file of an entry damaged in another way."""
    entry = entry_for(reader)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options=options)
    await live_once(hass, entry, reader)
    key = f"{DOMAIN}.{entry.entry_id}{file}"
    stored = copy.deepcopy(hass_storage[key])
    random = RandomPayloads(seed=5)
    begun_anew = 0
    for _ in range(times):
        # Through JSON, which a file is.
        hass_storage[key] = stored | {"data": parse_object(json.dumps(random.changed(stored["data"])))}
        caplog.clear()
        await live_once(hass, entry, reader)
        assert errors(caplog) == []
        begun_anew += "begins anew" in caplog.text
    assert begun_anew > times / 10


@pytest.mark.faults
async def test_reader_is_heard_whatever_its_file_has_become(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await live_with_damaged(hass, currentlyone, hass_storage, caplog, "", times=60)


@pytest.mark.faults
async def test_reader_is_heard_whatever_the_file_of_its_power_tariff_has_become(
    recorder_mock: None,
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    *,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await live_with_damaged(hass, currentlyone, hass_storage, caplog, ".power_tariff", times=15, **TARIFF)


@pytest.mark.faults
@pytest.mark.parametrize("options", [{}, TARIFF], ids=["without tariff", "with tariff"])
async def test_damaged_register_histories_do_not_hurt_the_setup(
    recorder_mock: None,
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    *,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
) -> None:
    await live_with_damaged(hass, currentlyone, hass_storage, caplog, ".registers", times=12, **options)


@pytest.mark.faults
@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"data": []},
        {"data": {}},
        {"data": {"clock": None, "registers": {}}},
        {"data": {"clock": {"since": None, "last": None, "reader_error": None}, "registers": {}}},
    ],
    ids=str,
)
async def test_register_histories_of_another_version_do_not_hurt_the_setup(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    damage: dict[str, Any],
) -> None:
    entry = entry_for(currentlyone)
    entry.add_to_hass(hass)
    await live_once(hass, entry, currentlyone)
    key = f"{DOMAIN}.{registers_key(entry.entry_id)}"
    hass_storage[key] |= damage
    await live_once(hass, entry, currentlyone)
    assert errors(caplog) == []
    stored = hass_storage[key]
    assert stored["version"] == 1
    assert stored["data"]["registers"]["active_energy_import"]["last"] is not None


@pytest.mark.parametrize(
    "options",
    [
        {CONF_WRITE_INTERVAL: "often"},
        {CONF_WRITE_INTERVAL: -5},
        {CONF_WRITE_INTERVAL: None},
        {CONF_WRITE_INTERVAL: 1e9},
        {CONF_SUB_METERS: ["20000741"]},
        {CONF_SUB_METERS: None},
        {CONF_FILL_MISSED_HOURS: "never"},
        {CONF_POWER_TARIFF: []},
        {CONF_POWER_TARIFF: "cheap"},
    ],
    ids=str,
)
async def test_options_that_nobody_can_have_chosen_are_left_out(
    recorder_mock: None, hass: HomeAssistant, whatwatt: WhatwattSimulator, options: dict[str, Any]
) -> None:
    entry = await set_up_with(hass, whatwatt, {**options, "of a newer version": 1})
    assert entry.options == {"of a newer version": 1}


@pytest.mark.parametrize(
    "options",
    [
        {CONF_SUB_METERS: {"20000741": "cooling"}},
        {CONF_SUB_METERS: {"20000741": ["gas"]}},
        {CONF_POWER_TARIFF: {"enabled": True, "interval": "30"}},
        {CONF_POWER_TARIFF: {"enabled": True, "interval": "0"}},
        {CONF_POWER_TARIFF: {"enabled": True, "peaks": 0}},
        {CONF_POWER_TARIFF: {"enabled": True, "months": ["13"]}},
        {CONF_POWER_TARIFF: {"enabled": True, "begin": 7}},
        {CONF_POWER_TARIFF: {"enabled": "perhaps"}},
        {CONF_POWER_TARIFF: {"enabled": True, "main_fuse": 5000}},
        {CONF_POWER_TARIFF: {"enabled": True, "main_fuse": "many"}},
        {CONF_POWER_TARIFF: {"enabled": True, "phases": "2"}},
        {CONF_POWER_TARIFF: {"enabled": True, "of a newer version": 1}},
    ],
    ids=str,
)
async def test_options_that_only_a_newer_version_understands_are_kept_for_it(
    recorder_mock: None, hass: HomeAssistant, whatwatt: WhatwattSimulator, options: dict[str, Any]
) -> None:
    entry = await set_up_with(hass, whatwatt, options)
    assert entry.options == options


async def set_up_with(
    hass: HomeAssistant, reader: WhatwattSimulator, options: dict[str, Any]
) -> MockConfigEntry:
    """Set a reader up, whose values are shown, that is reported on, and that has a dialog of its options."""
    reader.sub_meters = {"20000741": 1234.5}
    entry = entry_for(reader)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options=options)
    # Nothing is known of it as long as nobody listens.
    assert json.dumps(await async_get_config_entry_diagnostics(hass, entry), cls=ExtendedJSONEncoder)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await until(lambda: reader.streams)
    await tick(hass, reader)
    await tick(hass, reader)
    assert state_of(hass, "sensor", f"{reader.device_id}:counter:20000741").state == "1234.5"
    assert json.dumps(await async_get_config_entry_diagnostics(hass, entry), cls=ExtendedJSONEncoder)
    assert (await hass.config_entries.options.async_init(entry.entry_id))["type"] is FlowResultType.FORM
    return entry
