"""Dialog of power tariffs, several of them at a time, and readers that lack a measurement."""

from contextlib import nullcontext
from datetime import datetime, time
from types import MappingProxyType
from typing import Any

from homeassistant.config_entries import SOURCE_USER, ConfigEntryState, ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.energy_sse.const import (
    CONF_POWER_TARIFF,
    COST_KEYS,
    DOMAIN,
    SUBENTRY_POWER_TARIFF,
    PowerTariffKey as K,
)
from custom_components.energy_sse.power_tariff.demand import PowerTariff
from custom_components.energy_sse.power_tariff.presets import PRESETS
from custom_components.energy_sse.power_tariff.settings import first_and_last, get_tariff, months_between
from custom_components.energy_sse.power_tariff.tracker import MONTHLY_KEYS
from custom_components.energy_sse.reader import Measurement as M, currentlyone as currentlyone_reader
from custom_components.energy_sse.reader.base import measurement_names
from custom_components.energy_sse.reader.currentlyone import CurrentlyOneReader
from custom_components.energy_sse.registers import QUARTER
from custom_components.energy_sse.store import storage_key

from .conftest import MakeTimeLapse
from .dialogs import change_options
from .home_assistant import entry_for, reload, set_up, state_of, tick
from .simulators import CurrentlyOneSimulator, Simulator, WhatwattSimulator
from .tariffs import add_tariff, choose_tariff, open_tariff, submit_form, submit_tariff, tariff_state
from .test_power_tariff import HOURLY, Loads, at, draw, shown
from .wait import wait_until

pytestmark = pytest.mark.smoke

# All rules of a tariff that was added with the defaults.
DEFAULTS = {
    "interval": "60",
    "peaks": 3,
    "one_per_day": True,
    "months": [str(month) for month in range(1, 13)],
    "days": "all",
    "begin": "00:00",
    "end": "24:00",
    "other_weight": 0,
    "min_limit": 0,
    "min_limit_share": 50,
    "price": 0,
}


# ------------------------------------------------------------------------------------------- dialog


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({}, {}),
        ({"peaks": 2.0, "other_weight": 50.0}, {"peaks": 2, "other_weight": 50}),
        ({"begin": "22:00", "end": "06:00"}, {"begin": "22:00", "end": "06:00"}),
        ({"begin": "07:00"}, {"begin": "07:00", "end": "24:00"}),
        (
            {"interval": "15", "begin": "07:15", "end": "19:45"},
            {"interval": "15", "begin": "07:15", "end": "19:45"},
        ),
        ({"first_month": "11", "last_month": "3"}, {"months": ["11", "12", "1", "2", "3"]}),
        ({"first_month": "6", "last_month": "6"}, {"months": ["6"]}),
        ({"price": 42.5}, {"price": 42.5}),
        ({"min_limit": 2.5, "min_limit_share": 0.0}, {"min_limit": 2.5, "min_limit_share": 0}),
    ],
    ids=str,
)
async def test_tariff_is_stored_as_it_was_entered(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, fields: dict[str, Any], stored: dict[str, Any]
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    result = await add_tariff(hass, entry, name=" Winter ", **fields)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    (subentry,) = entry.subentries.values()
    assert (subentry.subentry_type, subentry.title) == (SUBENTRY_POWER_TARIFF, "Winter")
    # 2 equals 2.0, but users would see 2.0.
    assert repr(dict(subentry.data)) == repr({**dict(subentry.data), **stored})
    assert subentry.data == DEFAULTS | stored


@pytest.mark.parametrize("contract", PRESETS)
async def test_contract_fills_the_forms_in(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, contract: str
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    form = await open_tariff(hass, entry, contract=contract)
    result = await submit_tariff(hass, form, {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    (subentry,) = entry.subentries.values()
    assert subentry.data == {**DEFAULTS, **PRESETS[contract]}


@pytest.mark.parametrize(
    ("country", "contract"),
    [
        ("BE", "capaciteitstarief"),
        ("CH", "leistungstarif"),
        ("NO", "kapasitetsledd"),
        ("SE", "effekttariff"),
        ("US", "custom"),
        (None, "custom"),
    ],
)
async def test_contract_of_the_country_is_selected(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, country: str | None, contract: str
) -> None:
    hass.config.country = country
    entry = await set_up(hass, currentlyone)
    form = await hass.config_entries.subentries.async_init(
        (entry.entry_id, SUBENTRY_POWER_TARIFF), context={"source": SOURCE_USER}
    )
    assert form["data_schema"] is not None
    assert form["data_schema"]({}) == {"contract": contract}


@pytest.mark.parametrize(
    ("contract", "tariff"),
    [
        ("effekttariff", PowerTariff(peaks=3, one_per_day=True)),
        (
            "effekttariff_night",
            PowerTariff(peaks=3, one_per_day=True, begin=time(6), end=time(22), other_weight=0.5),
        ),
        (
            "effekttariff_winter",
            PowerTariff(
                peaks=5,
                months=frozenset({11, 12, 1, 2, 3}),
                weekdays_only=True,
                begin=time(7),
                end=time(19),
            ),
        ),
        ("kapasitetsledd", PowerTariff(peaks=3, one_per_day=True)),
        ("leistungstarif", PowerTariff(interval=QUARTER)),
        (
            "leistungstarif_day",
            PowerTariff(interval=QUARTER, weekdays_only=True, begin=time(7), end=time(20)),
        ),
        ("capaciteitstarief", PowerTariff(interval=QUARTER, min_limit=2500)),
    ],
)
def test_contract_fills_in_the_rules_of_its_name(contract: str, tariff: PowerTariff) -> None:
    assert get_tariff(PRESETS[contract]) == tariff


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"peaks": 2.5}, {"peaks": "not_whole"}),
        ({"begin": "07:00", "end": "07:00"}, {"end": "no_hours"}),
    ],
)
async def test_invalid_rule_is_an_error_at_its_field(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, fields: dict[str, Any], errors: dict[str, str]
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    result = await add_tariff(hass, entry, **fields)
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == errors
    assert result["data_schema"] is not None
    assert result["data_schema"]({}).items() >= fields.items()
    valid = {key: 3 if key == "peaks" else "19:00" for key in errors}
    assert (await submit_tariff(hass, result, valid))["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    ("interval", "begins", "ends"),
    [
        ("60", ("00:00", "23:00", 24), ("01:00", "24:00", 24)),
        ("15", ("00:00", "23:45", 96), ("00:15", "24:00", 96)),
    ],
)
async def test_only_times_between_intervals_can_be_selected(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    *,
    interval: str,
    begins: tuple[str, str, int],
    ends: tuple[str, str, int],
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    form = await open_tariff(hass, entry)
    form = await submit_form(hass, form, {"interval": interval})
    assert form["data_schema"] is not None
    fields = form["data_schema"].schema
    for key, expected in (("begin", begins), ("end", ends)):
        options = fields[key].config["options"]
        assert (options[0], options[-1], len(options)) == expected


@pytest.mark.parametrize(
    ("field", "minimum", "maximum"),
    [("peaks", 1, 10), ("other_weight", 0, 100), ("min_limit", 0, 100), ("min_limit_share", 0, 100)],
)
async def test_numbers_of_a_tariff_have_limits(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, *, field: str, minimum: int, maximum: int
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    form = await open_tariff(hass, entry)
    while (schema := form["data_schema"]) is not None and field not in schema.schema:
        form = await submit_form(hass, form, {})
    assert schema is not None
    # The frontend enforces the limits, but other clients of the API do not.
    limits = ((minimum - 1, False), (minimum, True), (maximum, True), (maximum + 1, False))
    for value, is_accepted in limits:
        with nullcontext() if is_accepted else pytest.raises(vol.Invalid):
            schema({field: value})


@pytest.mark.parametrize(
    ("language", "name"),
    # There is no language with the code xx.
    [("en", "Power tariff"), ("de", "Leistungstarif"), ("xx", "Power tariff")],
)
async def test_unnamed_tariff_is_named_in_the_home_language(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, language: str, name: str
) -> None:
    hass.config.language = language
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    await add_tariff(hass, entry, name=" ")
    assert [subentry.title for subentry in entry.subentries.values()] == [name]


async def test_reconfigured_tariff_shows_and_keeps_its_rules(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    await add_tariff(hass, entry, name="Winter", interval="15", begin="07:15", end="19:15")
    await reload(hass, entry, currentlyone)
    await tick(hass, currentlyone)
    (subentry,) = entry.subentries.values()
    before = dict(subentry.data)
    form = await open_tariff(hass, entry, subentry.subentry_id)
    assert form["data_schema"] is not None
    assert form["data_schema"]({}) == {"name": "Winter", "interval": "15", "peaks": 3, "one_per_day": True}
    result = await submit_tariff(hass, form, {})
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
    assert subentry.data == before
    # The quarter is not a time at which an hour begins.
    assert await choose_tariff(hass, entry, name="Season", interval="60") is None
    assert (subentry.title, subentry.data) == (
        "Season",
        before | {"interval": "60", "begin": "00:00", "end": "24:00"},
    )


@pytest.mark.parametrize(
    ("months", "range_"),
    [
        (range(1, 13), (1, 12)),
        ((11, 12, 1, 2, 3), (11, 3)),
        ((6,), (6, 6)),
        ((12, 1), (12, 1)),
        # The form has no other way to show them.
        ((1, 3, 12), (12, 3)),
    ],
)
def test_months_are_shown_as_a_range(months: tuple[int, ...], range_: tuple[int, int]) -> None:
    first, last = first_and_last(map(str, months))
    assert (int(first), int(last)) == range_
    assert set(map(str, months)) <= set(months_between(first, last))


async def test_register_is_not_checked_while_the_reader_is_offline(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    await hass.config_entries.async_unload(entry.entry_id)
    assert await choose_tariff(hass, entry) is None


async def test_missing_register_is_an_error_at_a_field(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.missing_keys = {"E_In", "E_In_T2"}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    result = await add_tariff(hass, entry)
    assert (result["step_id"], result["errors"]) == ("peaks", {"interval": "no_register"})


# ------------------------------------------------------------------------------------ several tariffs


async def add_and_reload(
    hass: HomeAssistant, entry: MockConfigEntry, reader: CurrentlyOneSimulator, **fields: Any
) -> None:
    """Add a power tariff, and wait until the entry is reloaded and has received a reading."""
    count = reader.stream_count
    assert (await add_tariff(hass, entry, **fields))["type"] is FlowResultType.CREATE_ENTRY
    await wait_until(lambda: reader.stream_count > count and reader.streams)
    await tick(hass, reader)


async def test_tariffs_have_a_device_and_entities_each(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    for name, interval in (("Hours", "60"), ("Quarters", "15")):
        await add_and_reload(hass, entry, currentlyone, name=name, interval=interval)
    devices = dr.async_get(hass)
    reader = devices.async_get_device_by_identifier((DOMAIN, currentlyone.device_id), entry.entry_id)
    assert reader is not None
    for subentry_id, subentry in entry.subentries.items():
        (device,) = (
            each
            for each in dr.async_entries_for_config_entry(devices, entry.entry_id)
            if each.config_subentry_id == subentry_id
        )
        assert (device.name, device.via_device_id) == (subentry.title, reader.id)
        assert device.entry_type is dr.DeviceEntryType.SERVICE
        entities = er.async_entries_for_device(er.async_get(hass), device.id)
        assert {each.unique_id for each in entities} == {
            f"{currentlyone.device_id}_{subentry_id}_{key}" for key in set(K) - COST_KEYS
        }
        assert {each.config_subentry_id for each in entities} == {subentry_id}
        state = tariff_state(hass, entry, K.DEMAND, subentry_id)
        assert state.entity_id == f"sensor.{subentry.title.lower()}_demand"
        assert state.state not in ("unknown", "unavailable")
    hours, quarters = entry.runtime_data.tariffs.values()
    assert hours.tariff.interval == 4 * quarters.tariff.interval
    # A change of one power tariff does not write the entities of the other one.
    assert hours.context(K.DEMAND) != quarters.context(K.DEMAND)


async def test_current_interval_of_each_tariff_is_restored(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, hass_storage: dict[str, Any]
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    for interval in ("60", "15"):
        await add_and_reload(hass, entry, currentlyone, interval=interval)
    stored = []
    for _ in range(2):
        await hass.config_entries.async_unload(entry.entry_id)
        data = hass_storage[storage_key(entry.entry_id)]["data"]
        stored.append([data[f"power_tariff:{subentry_id}"]["running"] for subentry_id in entry.subentries])
        assert await hass.config_entries.async_setup(entry.entry_id)
        await wait_until(lambda: currentlyone.streams)
    assert stored[0] == stored[1]
    assert None not in stored[0]


async def test_renamed_tariff_renames_its_device(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    await add_and_reload(hass, entry, currentlyone, name="Winter")
    (subentry,) = entry.subentries.values()
    count = currentlyone.stream_count
    # As the menu of the frontend does.
    hass.config_entries.async_update_subentry(entry, subentry, title="Season")
    await wait_until(lambda: currentlyone.stream_count > count and currentlyone.streams)
    await tick(hass, currentlyone)
    state = tariff_state(hass, entry, K.DEMAND)
    assert (state.entity_id, state.name) == ("sensor.winter_demand", "Season Demand")


async def test_changed_data_of_an_entry_does_not_reload_it(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    await add_and_reload(hass, entry, currentlyone)
    before = entry.runtime_data
    hass.config_entries.async_update_entry(entry, title="Cellar", data={**entry.data, "another": 1})
    await hass.async_block_till_done()
    assert entry.runtime_data is before


async def test_cost_has_sensors_while_there_is_a_price(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    def costs() -> set[str]:
        entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
        return {str(each.translation_key) for each in entities if each.translation_key in COST_KEYS}

    hass.config.currency = "SEK"
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    await add_and_reload(hass, entry, currentlyone)
    assert costs() == set()
    count = currentlyone.stream_count
    assert await choose_tariff(hass, entry, price=42.5) is None
    await wait_until(lambda: currentlyone.stream_count > count and currentlyone.streams)
    await tick(hass, currentlyone)
    assert costs() == COST_KEYS
    attributes = tariff_state(hass, entry, K.PEAK_COST).attributes
    assert (attributes["device_class"], attributes["unit_of_measurement"]) == ("monetary", "SEK")
    assert await choose_tariff(hass, entry, price=0) is None
    await wait_until(lambda: not costs())


async def test_deleted_tariff_leaves_the_other_one(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, hass_storage: dict[str, Any]
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    for _ in range(2):
        await add_and_reload(hass, entry, currentlyone)
    one, other = entry.subentries
    count = currentlyone.stream_count
    hass.config_entries.async_remove_subentry(entry, one)
    await wait_until(lambda: currentlyone.stream_count > count and currentlyone.streams)
    await tick(hass, currentlyone)
    assert list(entry.runtime_data.tariffs) == [other]
    assert tariff_state(hass, entry, K.DEMAND).state not in ("unknown", "unavailable")
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    devices = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    assert {each.config_subentry_id for each in entities} == {None, other}
    assert {each.config_subentry_id for each in devices} == {None, other}
    await hass.config_entries.async_unload(entry.entry_id)
    sections = hass_storage[storage_key(entry.entry_id)]["data"].keys()
    assert [each for each in sections if each.startswith("power_tariff")] == [f"power_tariff:{other}"]


@pytest.mark.parametrize(
    "rules",
    [
        {"interval": "30"},
        {"interval": "0"},
        {"peaks": 0},
        {"months": ["13"]},
        {"begin": 7},
        {"end": "24:15"},
        {"other_weight": "half"},
        {"min_limit": -1},
        {"min_limit_share": 101},
        {"price": "high"},
    ],
    ids=str,
)
async def test_tariff_with_damaged_rules_is_ignored(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, rules: dict[str, Any]
) -> None:
    entry = entry_for(currentlyone)
    entry.add_to_hass(hass)
    subentry = ConfigSubentry(
        data=MappingProxyType(rules), subentry_type=SUBENTRY_POWER_TARIFF, title="Winter", unique_id=None
    )
    hass.config_entries.async_add_subentry(entry, subentry)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: currentlyone.streams)
    await tick(hass, currentlyone)
    assert entry.state is ConfigEntryState.LOADED
    assert not entry.runtime_data.tariffs
    assert subentry.data == rules
    assert await choose_tariff(hass, entry) is None
    assert subentry.data == DEFAULTS


def test_tariff_can_end_at_midnight() -> None:
    tariff = get_tariff({"begin": "07:00", "end": "24:00"})
    weights = [tariff.weight(datetime(2026, 11, 10, hour)) for hour in (0, 6, 7, 23)]  # noqa: DTZ001 (local)
    assert weights == [0, 0, 1, 1]


def test_tariff_of_an_earlier_version_has_no_lowest_limit() -> None:
    tariff = get_tariff({key: value for key, value in DEFAULTS.items() if "limit" not in key})
    assert (tariff.min_limit, tariff.min_limit_share) == (0, 0)


def test_lowest_limit_of_the_dialog_is_converted() -> None:
    tariff = get_tariff({"min_limit": 2.5, "min_limit_share": 50})
    assert (tariff.min_limit, tariff.min_limit_share) == (2500, 0.5)


def test_tariff_with_rules_of_a_newer_version_is_accepted() -> None:
    assert get_tariff({"of a newer version": 1}) == get_tariff({})


# ------------------------------------------------------------------------------------------ migration


SETTINGS = {
    "enabled": True,
    "interval": "60",
    "peaks": 3.0,
    "one_per_day": False,
    "months": ["11", "12", "1"],
    "days": "weekdays",
    "begin": "07:00:00",
    "end": "00:00:00",
    "other_weight": 50.0,
    "phases": "1",
    "main_fuse": 25.0,
}


async def test_option_of_version_2_becomes_a_subentry(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = entry_for(currentlyone, options={"write_interval": 10, CONF_POWER_TARIFF: SETTINGS})
    entry.add_to_hass(hass)
    registry = er.async_get(hass)
    sensor = registry.async_get_or_create(
        "sensor", DOMAIN, f"{currentlyone.device_id}_{K.DEMAND}", config_entry=entry
    )
    registry.async_update_entity(sensor.entity_id, new_entity_id="sensor.my_demand", name="Mine")
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: currentlyone.streams)
    await tick(hass, currentlyone)
    assert entry.version == 3
    assert repr(dict(entry.options)) == repr({"write_interval": 10, "main_fuse": 25, "phases": "1"})
    (subentry,) = entry.subentries.values()
    assert subentry.title == "Power tariff"
    assert subentry.data == {
        "interval": "60",
        "peaks": 3,
        "one_per_day": False,
        "months": ["11", "12", "1"],
        "days": "weekdays",
        "begin": "07:00",
        "end": "24:00",
        "other_weight": 50,
    }
    moved = registry.async_get("sensor.my_demand")
    assert moved is not None
    assert (moved.id, moved.unique_id, moved.name) == (sensor.id, sensor.unique_id, "Mine")
    assert moved.config_subentry_id == subentry.subentry_id
    assert tariff_state(hass, entry, K.DEMAND).entity_id == "sensor.my_demand"
    assert {
        each.unique_id
        for each in er.async_entries_for_config_entry(registry, entry.entry_id)
        if each.config_subentry_id is not None
    } == {f"{currentlyone.device_id}_{key}" for key in set(K) - COST_KEYS}
    assert await choose_tariff(hass, entry) is None


async def test_entities_are_moved_while_the_reader_is_offline(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = entry_for(currentlyone, options={CONF_POWER_TARIFF: SETTINGS})
    entry.add_to_hass(hass)
    registry = er.async_get(hass)
    unique_id = f"{currentlyone.device_id}_{K.PEAK_EXPECTED}"
    sensor = registry.async_get_or_create("binary_sensor", DOMAIN, unique_id, config_entry=entry)
    await currentlyone.stop()
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    (subentry_id,) = entry.subentries
    moved = registry.async_get(sensor.entity_id)
    assert moved is not None
    assert moved.config_subentry_id == subentry_id
    hass.config_entries.async_remove_subentry(entry, subentry_id)
    assert registry.async_get(sensor.entity_id) is None


@pytest.mark.parametrize(
    ("option", "options"),
    [
        ({**SETTINGS, "enabled": False}, {"main_fuse": 25, "phases": "1"}),
        ({"enabled": "perhaps"}, {}),
        ({"enabled": False, "main_fuse": 5000, "phases": "2"}, {}),
        ([], {}),
        ("cheap", {}),
    ],
    ids=str,
)
async def test_option_that_is_off_or_damaged_becomes_no_subentry(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, option: object, options: dict[str, Any]
) -> None:
    entry = await set_up(hass, currentlyone, options={CONF_POWER_TARIFF: option})
    assert entry.version == 3
    assert entry.options == options
    assert not entry.subentries


# -------------------------------------------------------------------------------------------- supply


async def test_main_fuse_is_an_option_of_the_reader(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = await set_up(hass, currentlyone, options={CONF_POWER_TARIFF: HOURLY})
    count = currentlyone.stream_count
    await change_options(hass, entry, "supply", main_fuse=20, phases="1")
    await wait_until(lambda: currentlyone.stream_count > count and currentlyone.streams)
    (tracker,) = entry.runtime_data.tariffs.values()
    assert tracker._max_power == 4600.0  # noqa: SLF001 (the available power needs an hour)


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
    keys = set(MONTHLY_KEYS) - COST_KEYS
    shown = {key: state_of(hass, "sensor", f"{whatwatt.device_id}_{key}").state for key in keys}
    assert shown == dict.fromkeys(keys, "unavailable")
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
