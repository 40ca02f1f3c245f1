"""A Home Assistant whose recorder has lost something that the filling of hours needs."""

import ast
from collections.abc import Iterable
from pathlib import Path
import subprocess
import sys

from homeassistant.components.repairs.const import DOMAIN as REPAIRS
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager

from custom_components.energy_sse import backfill
from custom_components.energy_sse.const import (
    CONF_FILL_MISSED_HOURS,
    CONF_POWER_TARIFF,
    DOMAIN,
    TariffKey,
)

from .home_assistant import entry_for, set_up, state_of, tick
from .readers import CurrentlyOneSimulator, WhatwattSimulator
from .waiting import until

pytestmark = pytest.mark.slow("backfill/*", "power_tariff/*")

INTEGRATION = Path(__file__).parents[1] / "custom_components" / DOMAIN
FILES = sorted(INTEGRATION.rglob("*.py"))
ROOM = INTEGRATION / "backfill"
DOOR = ROOM / "__init__.py"


def names_from_outside(files: Iterable[Path], *, inside_functions: bool) -> dict[str, set[str]]:
    """Return what files import that is neither ours nor Python's, by module."""
    names: dict[str, set[str]] = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level and not is_pythons(str(node.module)):
                if inside_functions or not node.col_offset:
                    names.setdefault(str(node.module), set()).update(alias.name for alias in node.names)
            elif isinstance(node, ast.Import) and path.parent == ROOM:
                assert all(is_pythons(alias.name) for alias in node.names), f"{path.name} takes all of it"
    return names


def is_pythons(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def test_recorder_is_imported_in_one_room_only() -> None:
    for path in FILES:
        if path.parent != ROOM:
            for module in ("components.recorder", "helpers.recorder", "sqlalchemy"):
                assert module not in path.read_text(), path.name


# Runs in a process of its own: what was imported once cannot be taken away from those who have it.
PROGRAM = """
import importlib, pkgutil, sys
names = eval(sys.argv[1])
imported = {(module, name): importlib.import_module(module) for module in names for name in names[module]}
values = {(module, name): getattr(imported[module, name], name) for module, name in imported}

for (module, name) in imported:
    delattr(imported[module, name], name)
package = importlib.import_module("custom_components.energy_sse")
for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if ".backfill." not in info.name:
        importlib.import_module(info.name)
for each, value in values.items():
    setattr(imported[each], each[1], value)

def opens():
    for name in [name for name in sys.modules if ".energy_sse.backfill." in name]:
        del sys.modules[name]
        vars(package.backfill).pop(name.rpartition(".")[2], None)
    return package.backfill._open() is not None

for (module, name), value in values.items():
    delattr(imported[module, name], name)
    print(name, opens())
    setattr(imported[module, name], name, value)
print("nothing", opens())
"""


def test_everything_but_the_room_can_be_imported_without_any_name_that_only_the_room_needs() -> None:
    before = [path for path in FILES if path.parent != ROOM or path == DOOR]
    needed_before = names_from_outside(before, inside_functions=False)
    names = {
        module: sorted(found - needed_before.get(module, set()))
        for module, found in names_from_outside(ROOM.glob("*.py"), inside_functions=True).items()
    }
    all_names = {name for found in names.values() for name in found}
    assert {"States", "StatisticsRuns", "SQLAlchemyError", "session_scope"} <= all_names
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, repr(names)],
        cwd=INTEGRATION.parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(result.stdout.splitlines()) == {f"{name} False" for name in all_names} | {"nothing True"}
    assert result.stderr.count("cannot be filled with Home Assistant") == len(all_names)


@pytest.fixture
async def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Set up the recorder first, as the test package wants it."""


@pytest.fixture
def _recorder_unknown(monkeypatch: pytest.MonkeyPatch, recorder_mock: None) -> None:
    """Take a name away from the recorder, that is running already."""
    for path in (INTEGRATION / "backfill").glob("[a-z]*.py"):
        monkeypatch.delitem(sys.modules, f"{backfill.__name__}.{path.stem}", raising=False)
        monkeypatch.delattr(backfill, path.stem, raising=False)
    monkeypatch.delattr("homeassistant.components.recorder.db_schema.StatisticsRuns")


@pytest.mark.faults
@pytest.mark.usefixtures("_recorder_unknown")
async def test_readings_arrive_and_a_repair_tells_that_no_hour_is_filled(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    assert float(state_of(hass, "sensor", f"{currentlyone.device_id}_active_energy_import").state) > 0
    issue_id = f"recorder_unknown_{entry.entry_id}"
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
    assert await hass.config_entries.async_reload(entry.entry_id)
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
    assert caplog.text.count("cannot be filled with Home Assistant") == 1
    hass.config_entries.async_update_entry(entry, options={CONF_FILL_MISSED_HOURS: False})
    assert await hass.config_entries.async_reload(entry.entry_id)
    assert not ir.async_get(hass).async_get_issue(DOMAIN, issue_id)


@pytest.mark.faults
@pytest.mark.usefixtures("_recorder_unknown")
async def test_power_tariff_waits_for_a_recorder_that_is_known_and_a_repair_tells(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(whatwatt)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: {"enabled": True}})
    peak = er.async_get(hass).async_get_or_create(
        "sensor", DOMAIN, f"{whatwatt.device_id}_{TariffKey.PEAK_DEMAND}", config_entry=entry
    )
    assert await hass.config_entries.async_setup(entry.entry_id)
    await until(lambda: whatwatt.streams)
    await tick(hass, whatwatt)
    assert float(state_of(hass, "sensor", f"{whatwatt.device_id}_active_energy_import").state) > 0
    assert er.async_get(hass).async_get(peak.entity_id), "what its owner has made of it stays"
    issue_id = f"recorder_unknown_{entry.entry_id}"
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
    hass.config_entries.async_update_entry(entry, options={CONF_POWER_TARIFF: {"enabled": False}})
    assert await hass.config_entries.async_reload(entry.entry_id)
    assert not ir.async_get(hass).async_get_issue(DOMAIN, issue_id)


@pytest.mark.faults
@pytest.mark.usefixtures("_recorder_unknown")
async def test_reader_is_added_and_removed(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": "user"})
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {"host": whatwatt.host})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.state is ConfigEntryState.LOADED
    assert not ir.async_get(hass).issues
    await hass.config_entries.async_remove(entry.entry_id)


@pytest.mark.faults
@pytest.mark.usefixtures("_recorder_unknown")
async def test_sum_that_started_again_before_an_update_cannot_be_raised_after_it(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    await set_up(hass, whatwatt)
    assert await async_setup_component(hass, "repairs", {})
    ir.async_create_issue(
        hass,
        DOMAIN,
        "sum_restart_x",
        data={"statistic_id": "sensor.x", "start": 0.0},
        is_fixable=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key="sum_restart",
    )
    flows = hass.data[REPAIRS]["flow_manager"]
    form = await flows.async_init(DOMAIN, data={"issue_id": "sum_restart_x"})
    done = await flows.async_configure(form["flow_id"], {})
    assert (done["type"], done["reason"]) == (FlowResultType.ABORT, "recorder_unknown")
    assert ir.async_get(hass).async_get_issue(DOMAIN, "sum_restart_x")


def test_what_is_taken_of_the_recorder_is_listed() -> None:
    listed = (INTEGRATION.parents[1] / "docs" / "architecture.md").read_text()
    names = {
        name
        for module, found in names_from_outside(ROOM.glob("*.py"), inside_functions=True).items()
        for name in found
        if ("recorder" in module and not name.startswith("Statistic")) or name == "StatisticsRuns"
    }
    assert len(names) > 10
    assert [name for name in sorted(names) if f"`{name}`" not in listed] == []
