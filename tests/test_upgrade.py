"""Upgrade of installations that version 0.1 has made: nothing is lost, and nothing is doubled.

`tests/upgrade/make.py` has made them. `0.1` has entries of version 1. `0.1-options` has entries of version 2,
whose power tariffs are options. These tests use Home Assistant and simulated readers only, so that they hold
for every later version.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import json
import logging
from pathlib import Path
import shutil
from typing import Any, Final, override

from homeassistant.components.repairs.const import DOMAIN as REPAIRS
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState, ConfigFlowContext
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.helpers.translation import async_get_translations
from homeassistant.setup import async_setup_component
import pytest

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.store import STORAGE_VERSION

from .simulators.digest import BasicAuth
from .upgrade.home import Home, simulated_time
from .upgrade.installation import observe, restore

FOLDER: Final = Path(__file__).parent / "upgrade/0.1"
FOLDERS: Final = (FOLDER, FOLDER.with_name("0.1-options"))

WHATWATT: Final = "ECC9FF5C7F14"
CURRENTLYONE: Final = "b8b41879cf58"

MOMENTS: Final = ("start", "interval", "next hour", "second start", "end")

# Tolerance by unit. A value can be from the previous telegram.
TOLERANCES: Final = {"kWh": 0.02, "MWh": 0.00002, "W": 1.0, "kW": 0.005, "m³": 0.02, "V": 0.02}

# Entities that version 0.1 did not have: the ends of their entity ids, and their translation keys.
NEW: Final = ("_last_run", "_time_of_highest_peak", "_missed_intervals")
NEW_KEYS: Final = ("appliance_last_run", "peak_time", "missed_intervals")

# Attributes that version 0.1 did not have.
NEW_ATTRIBUTES: Final = ("expected_demand", "demand_limit")

# Values of the current interval, by the end of their ids. They are not written for a change of 100 W or 5 %,
# nor within the update interval. In kW, and as a part of a larger value.
LIVE: Final = ("5c7f14_demand", "b8b418_demand", "_expected_demand", "_available_power")
LIVE_TOLERANCE: Final = 0.15

# Begin of the names of a power tariff's entities, which version 0.1 had on the device of the reader.
TARIFF: Final = "Power tariff "

# Names of entities now → in version 0.1.
OLD_NAMES: Final[Mapping[str, str]] = {
    "Peak demand this month": "Peak demand",
    "Peak demand last month": "Previous peak demand",
    "State change": "Transition",
}

# Values in the dialogs.
OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    WHATWATT: {
        "write_interval": "30",
        "main_fuse": 25,
        "phases": "3",
        "fill_missed_hours": False,
        "20000741": "gas",
        "20000742": "water",
        "20000743": "none",
        "name": "Power tariff",
        "interval": "15",
        "peaks": 2,
        "one_per_day": True,
        "first_month": "1",
        "last_month": "12",
        "days": "all",
        "begin": "00:00",
        "end": "24:00",
        "days_off": None,
        "other_weight": 0,
        "min_limit": 0,
        "min_limit_share": 0,
        "price": 0,
    },
    CURRENTLYONE: {
        "write_interval": "10",
        "main_fuse": None,
        "phases": "3",
        "fill_missed_hours": True,
        "name": "Power tariff",
        "interval": "60",
        "peaks": 3,
        "one_per_day": False,
        "first_month": "1",
        "last_month": "12",
        "days": "all",
        "begin": "07:00",
        "end": "20:00",
        "days_off": None,
        "other_weight": 50,
        "min_limit": 0,
        "min_limit_share": 0,
        "price": 0,
    },
}

pytestmark = [
    pytest.mark.slow("custom_components/*", "tests/upgrade/*", "tests/simulators/*"),
    pytest.mark.stored_files,
    # Home Assistant leaves timers when it stops.
    pytest.mark.parametrize("expected_lingering_timers", [True]),
]

START: Final = datetime.fromisoformat(json.loads((FOLDER / "readers.json").read_text())["clock"])


@pytest.fixture
def folder() -> Path:
    """Return the folder of the installation. Tests can replace it."""
    return FOLDER


@pytest.fixture
async def home(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncGenerator[Home]:
    """Return a home with the installation, before its start."""
    caplog.set_level(logging.CRITICAL, "aiohttp.access")  # It does not support a stopped wall clock.
    for talkative in ("homeassistant", "custom_components.energy_sse"):
        caplog.set_level(logging.INFO, talkative)
    with simulated_time(START) as time_machine:
        async with await restore(folder, tmp_path / "home", time_machine) as home:
            yield home


def stored(home: Home, file: str) -> Any:
    return json.loads((home.origin / "storage" / file).read_text())["data"]


def expected_of(home: Home) -> dict[str, Any]:
    """Return the states that the version of the installation has shown."""
    expected: dict[str, Any] = json.loads((home.origin / "expected.json").read_text())
    return expected


# ----------------------------------------------------------------------------------------- comparisons


def differences(seen: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Any]:
    """Return the entities whose state or attributes differ."""
    unmatched = seen.keys() ^ expected.keys()
    different: list[Any] = [
        (entity_id,) for entity_id in unmatched if not entity_id.removesuffix("_2").endswith(NEW)
    ]
    for entity_id, (state, attributes) in expected.items():
        if entity_id in seen:
            shown_state, shown_attributes = seen[entity_id]
            shown_attributes = {
                key: each for key, each in shown_attributes.items() if key not in NEW_ATTRIBUTES
            }
            shown_attributes["friendly_name"] = name_before(
                shown_attributes["friendly_name"], attributes["friendly_name"]
            )
            tolerance = TOLERANCES.get(attributes.get("unit_of_measurement"), 0.0)
            if entity_id.endswith(LIVE) and state not in (STATE_UNAVAILABLE, STATE_UNKNOWN):
                tolerance = LIVE_TOLERANCE * max(1.0, float(state))
            if not is_same(shown_state, state, tolerance) or not is_same(shown_attributes, attributes, 0.005):
                different.append((entity_id, seen[entity_id], expected[entity_id]))
    return different


def name_before(name: str, expected: str) -> str:
    """Return the name that version 0.1 gave to an entity, or the name unchanged."""
    for now, before in OLD_NAMES.items():
        if name.endswith(now):
            name = name.removesuffix(now) + before
    return expected if name.startswith(TARIFF) and expected.endswith(name.removeprefix(TARIFF)) else name


def is_same(one: Any, other: Any, tolerance: float) -> bool:
    """Return whether numbers, times and everything else are the same, also within JSON."""
    if isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key], tolerance) for key in other)
    if isinstance(other, list):
        return len(one) == len(other) and all(
            is_same(*each, tolerance) for each in zip(one, other, strict=True)
        )
    if one == other or type(one) is not type(other):
        return bool(one == other)
    try:
        return abs(float(one) - float(other)) <= tolerance + 1e-9
    except ValueError:
        return is_same_time(one, other)


def is_same_time(one: str, other: str) -> bool:
    try:
        return abs((datetime.fromisoformat(one) - datetime.fromisoformat(other)).total_seconds()) < 2
    except ValueError:
        return False


def assert_registries_are_kept(home: Home) -> None:
    kept = (
        "entity_id",
        "name",
        "original_name",
        "disabled_by",
        "hidden_by",
        "icon",
        "has_entity_name",
        "translation_key",
        "id",
    )
    entities = {
        (each.domain, each.unique_id): each for each in home.entities if each.translation_key not in NEW_KEYS
    }
    before = {
        (each["entity_id"].partition(".")[0], each["unique_id"]): each
        for each in stored(home, "core.entity_registry")["entities"]
    }
    assert entities.keys() == before.keys()
    for key, entity in entities.items():
        now = {name: getattr(entity, name) for name in kept}
        now["original_name"] = OLD_NAMES.get(now["original_name"], now["original_name"])
        assert now == {name: before[key][name] for name in kept}
        assert entity.options == before[key]["options"] | dict(entity.options)
        assert entity.device_id == before[key]["device_id"] or entity.config_subentry_id is not None
    registry = dr.async_get(home.hass)
    devices = {
        device.id: device
        for entry in home.entries.values()
        for device in dr.async_entries_for_config_entry(registry, entry.entry_id)
    }
    tariffs = {device_id for device_id, device in devices.items() if device.config_subentry_id is not None}
    assert len(tariffs) == 2
    tariff_entities = [each for each in entities.values() if each.config_subentry_id is not None]
    assert {each.device_id for each in tariff_entities} == tariffs
    assert len(tariff_entities) == 14
    devices = {device_id: device for device_id, device in devices.items() if device_id not in tariffs}
    known = {each["id"]: each for each in stored(home, "core.device_registry")["devices"]}
    assert devices.keys() == known.keys()
    for device_id, device in devices.items():
        for name in ("name", "name_by_user", "via_device_id", "serial_number"):
            assert getattr(device, name) == known[device_id][name]


def assert_entries_are_kept(home: Home) -> None:
    entries = stored(home, "core.config_entries")["entries"]
    assert home.entries.keys() == {entry["unique_id"] for entry in entries}
    for before in entries:
        entry = home.entries[before["unique_id"]]
        assert entry.state is ConfigEntryState.LOADED
        assert (entry.entry_id, entry.title) == (before["entry_id"], before["title"])
        assert (entry.source, entry.disabled_by) == (before["source"], before["disabled_by"])


def assert_hours_are_kept(home: Home, statistics: Mapping[str, list[tuple[float, float, float]]]) -> None:
    """Check that each hour has one row, and that the rows from before the upgrade are unchanged."""
    stored_rows = json.loads((home.origin / "statistics.json").read_text())["statistics"]
    for entity_id, rows in statistics.items():
        starts = [row[0] for row in rows]
        assert {after - before for before, after in pairwise(starts)} == {3600}
        before_upgrade = {row["start_ts"]: (row["state"], row["sum"]) for row in stored_rows[entity_id]}
        now = {start: (state, total) for start, state, total in rows if start in before_upgrade}
        assert now.keys() == before_upgrade.keys()
        for start, values in before_upgrade.items():
            assert now[start] == pytest.approx(values, abs=0.001), (entity_id, start)


def shorten_greeting(home: Home) -> None:
    """Let the CurrentlyOne identify itself, without the messages that it has stored."""
    greeting = home.currentlyone.recording
    assert greeting is not None
    home.currentlyone.recording = greeting[: greeting.index(b"event: hourly")]


async def reconfigure_host(home: Home, unique_id: str) -> str:
    """Return the address that *Reconfigure* suggests."""
    flows = home.hass.config_entries.flow
    context = ConfigFlowContext(source=SOURCE_RECONFIGURE, entry_id=home.entries[unique_id].entry_id)
    form = await flows.async_init(DOMAIN, context=context)
    flows.async_abort(form["flow_id"])
    assert form["data_schema"] is not None
    (host, *_) = form["data_schema"].schema
    return str(host.description["suggested_value"])


async def confirm_repair(home: Home) -> None:
    """Confirm the only repair, as users do."""
    hass = home.hass
    assert await async_setup_component(hass, REPAIRS, {})
    (issue,) = (each for each in ir.async_get(hass).issues.values() if each.domain == DOMAIN)
    assert issue.active
    texts = await async_get_translations(hass, "en", "issues", {DOMAIN})
    assert f"component.{DOMAIN}.issues.{issue.translation_key}.title" in texts
    flows = hass.data[REPAIRS]["flow_manager"]
    form = await flows.async_init(DOMAIN, data={"issue_id": issue.issue_id})
    assert form["type"] is FlowResultType.FORM
    assert (await flows.async_configure(form["flow_id"], {}))["type"] is FlowResultType.CREATE_ENTRY
    await home.settle()


# ------------------------------------------------------------------------------------------------ tests


BOTH: Final = pytest.mark.parametrize("folder", FOLDERS, ids=lambda each: each.name)


@BOTH
async def test_upgraded_installation_continues(home: Home) -> None:
    seen, expected = await observe(home), expected_of(home)
    for moment in MOMENTS:
        assert differences(seen[moment], expected[moment]) == [], moment
    assert seen["events"] == expected["events"]
    assert seen["options"] == OPTIONS
    assert seen["statistics"].keys() == expected["statistics"].keys()
    for entity_id, rows in expected["statistics"].items():
        assert is_same(seen["statistics"][entity_id], rows, 0.002), entity_id
    assert_registries_are_kept(home)
    assert_entries_are_kept(home)
    assert await reconfigure_host(home, WHATWATT) == home.whatwatt.host
    assert await reconfigure_host(home, CURRENTLYONE) == f"127.0.0.1:{home.entered.number}"
    statistics = await home.statistics(datetime.fromtimestamp(0, UTC))
    assert_hours_are_kept(home, statistics)

    await confirm_repair(home)
    export = home.entity_id(f"{WHATWATT}_active_energy_export")
    rows = (await home.statistics(datetime.fromtimestamp(0, UTC)))[export]
    assert rows[-1][2] - rows[0][2] == pytest.approx(rows[-1][1] - rows[0][1], abs=0.002)

    for entry in home.entries.values():
        await home.hass.config_entries.async_remove(entry.entry_id)
    assert [each for each in ir.async_get(home.hass).issues.values() if each.domain == DOMAIN] == []
    assert home.entities == []
    await home.stop()
    assert [path.name for path in (home.folder / ".storage").iterdir() if DOMAIN in path.name] == []


def test_each_version_of_the_stored_file_is_upgraded() -> None:
    """A new version of the file needs an installation of the previous one, which `upgrade/make.py` makes."""
    storages = [folder / "storage" for folder in FOLDERS]
    files = [
        storage / f"{DOMAIN}.{entry['entry_id']}"
        for storage in storages
        for entry in json.loads((storage / "core.config_entries").read_text())["data"]["entries"]
    ]
    versions = {json.loads(file.read_text())["version"] for file in files}
    assert versions >= set(range(1, STORAGE_VERSION))


async def test_appliances_are_restored_without_a_report(home: Home) -> None:
    shorten_greeting(home)
    home.currentlyone.has_inventory = False
    await home.start(has_recorder=False)
    appliances = {each.entity_id for each in home.entities if each.unique_id.startswith(f"{CURRENTLYONE}:")}
    shown, before = (
        {entity_id: state for entity_id, state in states.items() if entity_id in appliances}
        for states in (home.shown(), expected_of(home)["stop"])
    )
    assert len(shown) >= 12
    assert differences(shown, before) == []
    assert home.fired == []


async def test_missed_event_fires_once_in_two_starts(home: Home) -> None:
    # The reader repeats the same reports to both.
    await home.start(has_recorder=False)
    assert home.fired == expected_of(home)["events"][:1]
    await home.stop()
    await home.run_until(START + timedelta(seconds=2))
    await home.start(has_recorder=False)
    assert home.fired == []


async def test_registers_are_compared_with_the_stored_ones(home: Home) -> None:
    whatwatt, currentlyone = home.whatwatt, home.currentlyone
    shorten_greeting(home)
    # Registers never fall, and the export cannot have risen that much since the stop.
    counts, whatwatt.sub_meters = whatwatt.sub_meters, dict.fromkeys(whatwatt.sub_meters, 1.0)
    whatwatt.overrides = {"E_In_T1": 0.5, "E_Out": 9e6}
    currentlyone.overrides = {"Wh": 5, "Ph": 2**31}
    await home.start(has_recorder=False)
    await home.run_until(START + timedelta(minutes=1))
    registers = {
        *(home.entity_id(f"{WHATWATT}:counter:{number}") for number in counts),
        *(home.entity_id(f"{WHATWATT}_active_energy_{key}") for key in ("import_t1", "export")),
        *(home.entity_id(f"{CURRENTLYONE}_active_energy_{key}") for key in ("import", "export")),
    }
    assert len(registers) == 7
    assert {home.shown()[each][0] for each in registers} <= {"unavailable", "unknown"}
    whatwatt.sub_meters, whatwatt.overrides, currentlyone.overrides = counts, {}, {}
    await home.run_until(START + timedelta(minutes=3))
    assert {home.shown()[each][0] for each in registers} & {"unavailable", "unknown"} == set()


@BOTH
async def test_upgrade_without_the_readers_loses_nothing(home: Home) -> None:
    ports = [(reader, reader.port) for reader in (home.whatwatt, home.currentlyone)]
    for reader, _ in ports:
        await reader.stop()
    await home.start()
    assert {entry.state for entry in home.entries.values()} == {ConfigEntryState.SETUP_RETRY}
    await home.stop()
    for reader, port in ports:
        await reader.start(port)
    await assert_home_continues(home)


@BOTH
async def test_power_cut_after_an_upgrade_loses_nothing(home: Home) -> None:
    await home.start()
    # Home Assistant writes its own files a second later.
    storage, at_power_cut = home.folder / ".storage", home.folder / "at_power_cut"
    shutil.copytree(storage, at_power_cut)
    await home.stop()
    shutil.rmtree(storage)
    at_power_cut.rename(storage)
    # Home Assistant has not stored the last event yet.
    await assert_home_continues(home, lost=(":transition",))


async def assert_home_continues(home: Home, *, lost: tuple[str, ...] = ()) -> None:
    """Start Home Assistant, and check the current intervals and all that is stored.

    Entities whose unique ids have a lost end can show something else.
    """
    await home.start()
    await home.run_until(START + timedelta(minutes=11))
    kept = {each.entity_id for each in home.entities if not each.unique_id.endswith(lost)}
    different = differences(home.shown(), expected_of(home)["interval"])
    assert [each for each in different if each[0] in kept] == []
    assert_registries_are_kept(home)
    assert_entries_are_kept(home)
    assert_hours_are_kept(home, await home.statistics(datetime.fromtimestamp(0, UTC)))


class ObservedAuth(BasicAuth):
    """Authentication that stores the received credentials."""

    def __init__(self, password: str) -> None:
        super().__init__(password)
        self.received: list[str] = []

    @override
    def check(self, authorization: str | None, _method: str, _target: str) -> str | None:
        if authorization is not None:
            self.received.append(authorization)
        return super().check(authorization, _method, _target)


async def test_password_is_not_sent_unencrypted(home: Home) -> None:
    # The entry has stored that the reader uses Digest.
    home.whatwatt.auth = auth = ObservedAuth("secret")
    await home.start(has_recorder=False)
    assert home.entries[WHATWATT].state is not ConfigEntryState.LOADED
    assert home.entries[CURRENTLYONE].state is ConfigEntryState.LOADED
    assert auth.received == []


async def test_entry_of_a_higher_major_version_is_rejected(home: Home) -> None:
    """Check that Home Assistant rejects entries of a later version, and keeps them.

    A downgrade is not supported: the earlier version has to be restored from a backup.
    """
    path = home.folder / ".storage" / "core.config_entries"
    later = path.read_text().replace('"version":1}', '"version":99}')
    path.write_text(later)
    files = {each.name: each.read_bytes() for each in path.parent.iterdir() if DOMAIN in each.name}
    await home.start(has_recorder=False)
    for entry in home.entries.values():
        assert entry.state is ConfigEntryState.MIGRATION_ERROR
        assert entry.version == 99
    data = [dict(entry.data) for entry in home.entries.values()]
    await home.stop()
    assert data == [each["data"] for each in json.loads(later)["data"]["entries"]]
    assert files == {each.name: each.read_bytes() for each in path.parent.iterdir() if DOMAIN in each.name}


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def replace_values(path: Path) -> None:
    """Replace each value in the data of a file with one of another type."""
    file = json.loads(path.read_text())
    file["data"] = dict.fromkeys(file["data"], "text")
    path.write_text(json.dumps(file))


# File of version 0.1 → ends of the unique ids of the entities that show its data.
LOST: Final = {
    # An event that was missed before the start needs the time of the change before it.
    "": (":transition",),
    ".registers": ("demand", "_demand_limit", "_available_power", "_peak_expected"),
    ".power_tariff": ("_demand", "_expected_demand", "_available_power", "_peak_expected"),
}


@pytest.mark.errors
@pytest.mark.parametrize("damage", [truncate, replace_values, Path.unlink], ids=lambda each: each.__name__)
@pytest.mark.parametrize("file", ["", ".registers", ".power_tariff"])
async def test_damaged_file_loses_only_its_content(
    home: Home, file: str, damage: Callable[[Path], None]
) -> None:
    for entry in stored(home, "core.config_entries")["entries"]:
        damage(home.folder / ".storage" / f"{DOMAIN}.{entry['entry_id']}{file}")
    await assert_home_continues(home, lost=LOST[file])
