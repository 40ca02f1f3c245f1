"""Make an installation of the present version, from which later versions are started.

The command is `python -m pytest -o python_files=make.py tests/upgrade/make.py`. It replaces the folder of the
version, which has:

- `storage`: the files of Home Assistant and of the integration, after 31 hours with a restart in between;
- `statistics.json`: the statistics of the sensors, without those of most powers and voltages;
- `readers.json` and `currentlyone.sse`: the readers 40 minutes later, when Home Assistant is started again;
- `expected.json`: what the version shows before the stop, and after that start.

Run it before what is stored changes, and never for a version that was released.
"""

from datetime import UTC, datetime, timedelta
import json
import logging
from pathlib import Path
import shutil
import sqlite3
from typing import Any, Final

from homeassistant.config_entries import SOURCE_USER, SOURCE_ZEROCONF, ConfigEntryState
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr, entity_registry as er, issue_registry as ir
from homeassistant.helpers.recorder import get_instance
import pytest

from custom_components.energy_sse.const import DOMAIN

from ..home_assistant import announcement
from ..simulators.port import ReservedPort
from .home import Home, make_currentlyone, make_whatwatt, simulated_time
from .installation import lines_of, observe, restore, save_files, save_readers, save_statistics

FOLDER: Final = Path(__file__).parent

_MANIFEST: Final = Path(__file__).parents[2] / "custom_components/energy_sse/manifest.json"

# The last day of a month, so that the peaks of two months are stored.
_START: Final = datetime(2026, 10, 31, 5, 30, tzinfo=UTC)

WHATWATT_ID: Final = "ECC9FF5C7F14"
CURRENTLYONE_ID: Final = "b8b41879cf58"

# Step of the menu → fields.
_WHATWATT_OPTIONS: Final[dict[str, Any]] = {
    "updates": {"write_interval": "30"},
    "supply": {"main_fuse": 25, "phases": "3"},
    "energy_dashboard": {"fill_missed_hours": False},
    "sub_meters": {"20000741": "gas", "20000742": "water", "20000743": "none"},
}
_CURRENTLYONE_OPTIONS: Final[dict[str, Any]] = {"updates": {"write_interval": "10"}}

# Form → fields.
_WHATWATT_TARIFF: Final[dict[str, Any]] = {"peaks": {"interval": "15", "peaks": 2}, "times": {}}
_CURRENTLYONE_TARIFF: Final[dict[str, Any]] = {
    "peaks": {"interval": "60", "peaks": 3, "one_per_day": False},
    "times": {"begin": "07:00", "end": "20:00", "other_weight": 50},
}


def at(text: str, day: int) -> datetime:
    """Return a time on the first or the second day, in UTC."""
    return datetime.fromisoformat(f"2026-{'10-31' if day == 1 else '11-01'}T{text}:00+00:00")


async def _add_readers(home: Home) -> None:
    """Add the whatwatt from its announcement, and the CurrentlyOne by its address."""
    flows = home.hass.config_entries.flow
    form = await flows.async_init(
        DOMAIN, context={"source": SOURCE_ZEROCONF}, data=announcement(home.whatwatt)
    )
    result = await flows.async_configure(form["flow_id"], {CONF_PASSWORD: "secret"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    form = await flows.async_init(DOMAIN, context={"source": SOURCE_USER})
    result = await flows.async_configure(form["flow_id"], {CONF_HOST: home.currentlyone.host})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await home.settle()


async def _choose_options(home: Home) -> None:
    flows = home.hass.config_entries
    for device_id, steps, tariff in (
        (WHATWATT_ID, _WHATWATT_OPTIONS, _WHATWATT_TARIFF),
        (CURRENTLYONE_ID, _CURRENTLYONE_OPTIONS, _CURRENTLYONE_TARIFF),
    ):
        entry_id = home.entries[device_id].entry_id
        for step, chosen in steps.items():
            menu = await flows.options.async_init(entry_id)
            form = await flows.options.async_configure(menu["flow_id"], {"next_step_id": step})
            result = await flows.options.async_configure(form["flow_id"], chosen)
            assert result["type"] is FlowResultType.CREATE_ENTRY
            await home.settle()
        kinds = await flows.subentries.async_init((entry_id, "power_tariff"), context={"source": SOURCE_USER})
        peaks = await flows.subentries.async_configure(kinds["flow_id"], {"contract": "custom"})
        times = await flows.subentries.async_configure(peaks["flow_id"], tariff["peaks"])
        limit = await flows.subentries.async_configure(times["flow_id"], tariff["times"])
        added = await flows.subentries.async_configure(limit["flow_id"], {})
        assert added["type"] is FlowResultType.CREATE_ENTRY
        await home.settle()


def _change_registries(home: Home) -> None:
    """Rename, disable and hide entities, and change their unit, as users do."""
    entities = er.async_get(home.hass)

    def change(unique_id: str, **changes: Any) -> None:
        entities.async_update_entity(home.entity_id(unique_id), **changes)

    change(f"{CURRENTLYONE_ID}_active_energy_import", new_entity_id="sensor.grid_import", name="Grid import")
    change(f"{CURRENTLYONE_ID}_voltage_l2", disabled_by=er.RegistryEntryDisabler.USER)
    change(f"{CURRENTLYONE_ID}_voltage_l3", hidden_by=er.RegistryEntryHider.USER)
    change(f"{CURRENTLYONE_ID}:heat_pump:running", new_entity_id="binary_sensor.heating", icon="mdi:radiator")
    change(f"{CURRENTLYONE_ID}:heat_pump:transition", disabled_by=er.RegistryEntryDisabler.USER)
    change(f"{WHATWATT_ID}:counter:20000741", new_entity_id="sensor.gas", name="Gas")
    change(f"{WHATWATT_ID}_cloud_whatwatt", disabled_by=None)
    entities.async_update_entity_options(
        home.entity_id(f"{WHATWATT_ID}_active_energy_export"), "sensor", {"unit_of_measurement": "MWh"}
    )
    devices = dr.async_get(home.hass)
    device = devices.async_get_device_by_identifier((DOMAIN, WHATWATT_ID), home.entries[WHATWATT_ID].entry_id)
    assert device is not None
    devices.async_update_device(device.id, name_by_user="Cellar")


async def _switch(home: Home, *switches: tuple[datetime, str, str]) -> None:
    for time, appliance, state in switches:
        await home.run_until(time)
        await home.currentlyone.switch(appliance, state)


async def _move_currentlyone(home: Home) -> None:
    """Move the CurrentlyOne to another address, which it announces."""
    await home.currentlyone.stop()
    await home.currentlyone.start()
    result = await home.hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_ZEROCONF}, data=announcement(home.currentlyone)
    )
    assert result["reason"] == "already_configured"
    await home.settle()


def _purge_five_minutes(home: Home) -> None:
    """Remove the five minutes of the whatwatt's export, as a purge does. The recorder resets the sum then."""
    with sqlite3.connect(home.folder / "home-assistant.db") as database:
        database.execute(
            "DELETE FROM statistics_short_term WHERE metadata_id IN"
            " (SELECT id FROM statistics_meta WHERE statistic_id LIKE 'sensor.whatwatt_%_energy_export')"
        )
    database.close()


async def _run(home: Home) -> None:
    """Run for 31 hours."""
    await home.start()
    await _add_readers(home)
    await home.run_until(at("05:42", 1))
    await _choose_options(home)
    await home.run_until(at("05:47", 1))
    # The five minutes of the choice began with a state without a unit. Users remove such statistics, too.
    gas_and_water = [home.entity_id(f"{WHATWATT_ID}:counter:2000074{number}") for number in (1, 2)]
    get_instance(home.hass).async_clear_statistics(gas_and_water)
    await _switch(
        home,
        (at("06:00", 1), "heat_pump", "off"),
        (at("06:01", 1), "heat_pump", "Active"),
        (at("06:10", 1), "dishwasher", "washing"),
        (at("06:12", 1), "mocca_mast", "on"),
    )
    await home.run_until(at("06:20", 1))
    _change_registries(home)
    await _switch(
        home,
        (at("06:30", 1), "dishwasher", "heating"),
        (at("06:31", 1), "mocca_mast", "off"),
        (at("07:00", 1), "dishwasher", "off"),
        (at("08:00", 1), "heat_pump", "off"),
    )
    await home.run_until(at("09:00", 1))
    await _move_currentlyone(home)
    await home.run_until(at("11:40", 1))
    await home.stop()
    _purge_five_minutes(home)
    await home.run_until(at("14:10", 1))
    await home.start()
    await home.run_until(at("17:00", 1))
    # The grid operator replaces the meter.
    home.currentlyone.house.active_import = {1: 12.0, 2: 0.0}
    await _switch(
        home,
        (at("20:00", 1), "heat_pump", "Active"),
        (at("07:10", 2), "dishwasher", "washing"),
        (at("12:38", 2), "mocca_mast", "on"),
    )
    await home.run_until(at("12:40", 2))


async def _run_without_home_assistant(home: Home) -> None:
    """Run the readers for 40 minutes, while Home Assistant is off."""
    await _switch(home, (at("12:48", 2), "heat_pump", "off"))
    await home.run_until(at("13:19", 2) + timedelta(seconds=40))
    await home.currentlyone.switch("mocca_mast", "off")
    await home.run_until(at("13:20", 2))


@pytest.mark.timeout(600)
@pytest.mark.stored_files
@pytest.mark.parametrize("expected_lingering_timers", [True])  # Home Assistant leaves timers when it stops.
async def test_make(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Make the files. It is a test, so that it has the fixtures of all tests."""
    caplog.set_level(logging.CRITICAL, "aiohttp.access")  # It does not support a stopped wall clock.
    made = tmp_path / "made"
    (made / "storage").mkdir(parents=True)
    with simulated_time(_START) as time_machine:
        whatwatt, currentlyone = make_whatwatt(_START), make_currentlyone(_START)
        entered = ReservedPort("127.0.0.1")
        await whatwatt.start()
        await currentlyone.start(entered.number)
        async with Home(tmp_path / "home", whatwatt, currentlyone, entered, time_machine) as home:
            home.folder.mkdir()
            await _run(home)
            assert all(entry.state is ConfigEntryState.LOADED for entry in home.entries.values())
            assert [issue.domain for issue in ir.async_get(home.hass).issues.values()] == [DOMAIN]
            before = home.shown()
            await home.stop()
            save_files(home, made / "storage")
            save_statistics(home, made / "statistics.json", at("11:55", 2))
            await _run_without_home_assistant(home)
            await save_readers(home, made)
        async with await restore(made, tmp_path / "copy", time_machine) as home:
            expected = {"stop": before, **await observe(home)}
    text = "\n".join(lines_of(expected, 2))
    (made / "expected.json").write_text(f"{text}\n")
    version = json.loads(_MANIFEST.read_text())["version"]
    folder = FOLDER / version.rpartition(".")[0]
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)
