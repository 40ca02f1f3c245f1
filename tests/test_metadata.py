"""Texts, icons and matchers that Home Assistant reads beside the code."""

import ast
from fnmatch import fnmatch
from importlib import import_module
from importlib.metadata import version
import json
from pathlib import Path
import re
from typing import Any

from awesomeversion import AwesomeVersion
from homeassistant import const
from homeassistant.components.sensor import DEVICE_CLASS_STATE_CLASSES, DEVICE_CLASS_UNITS
from homeassistant.const import Platform
import pytest

from custom_components.energy_sse import PLATFORMS
from custom_components.energy_sse.appliances import ApplianceEventType
from custom_components.energy_sse.binary_sensor import CLOUDS
from custom_components.energy_sse.config_flow import EnergySseConfigFlow
from custom_components.energy_sse.const import (
    DOMAIN,
    SUBENTRY_POWER_TARIFF,
    PowerTariffKey,
    SubMeterKind,
)
from custom_components.energy_sse.descriptions import MEASUREMENTS, POWER_TARIFF, PROPERTIES, SUB_METERS
from custom_components.energy_sse.issues import Issue
from custom_components.energy_sse.options_flow import PHASES, WRITE_INTERVALS, EnergySseOptionsFlow
from custom_components.energy_sse.power_tariff import settings
from custom_components.energy_sse.power_tariff.presets import PRESETS
from custom_components.energy_sse.reader import Announcement, Measurement, Property, Reader, Reason
from custom_components.energy_sse.reader.base import READERS
from custom_components.energy_sse.tariff_flow import PowerTariffFlow

from .simulators import SIMULATORS
from .test_translations import flatten

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).parents[1]
INTEGRATION = ROOT / "custom_components" / DOMAIN


def load(name: str) -> dict[str, Any]:
    return dict(json.loads((INTEGRATION / name).read_text()))


TEXTS = load("translations/en.json")


@pytest.mark.parametrize("word", ["whatwatt", "currentlyone", "meter", "energy"])
def test_search_finds_the_integration_by_each_word(word: str) -> None:
    # The search of the frontend finds a word that begins within 20 characters of the name or of the domain.
    name = load("manifest.json")["name"]
    assert any(0 <= text.lower().find(word) <= 20 for text in (name, DOMAIN))


def test_each_step_and_each_field_has_its_texts() -> None:
    for flow, texts, without_form in (
        (EnergySseConfigFlow, TEXTS["config"], {"dhcp", "reauth", "zeroconf"}),
        (EnergySseOptionsFlow, TEXTS["options"], set()),
        (PowerTariffFlow, TEXTS["config_subentries"][SUBENTRY_POWER_TARIFF], {"reconfigure"}),
    ):
        steps = {name.removeprefix("async_step_") for name in vars(flow) if name.startswith("async_step_")}
        assert set(texts["step"]) == steps - without_form
        for step in texts["step"].values():
            assert set(step.get("data", {})) == set(step.get("data_description", {}))


def test_menu_of_the_options_has_a_text_for_each_step() -> None:
    steps = TEXTS["options"]["step"]
    assert set(steps["init"]["menu_options"]) == steps.keys() - {"init", "updates_unknown"}


def test_each_choice_has_its_text() -> None:
    selector = TEXTS["selector"]
    assert set(selector["sub_meter_kind"]["options"]) == set(SubMeterKind)
    assert set(selector["write_interval"]["options"]) == set(WRITE_INTERVALS)
    categories = {key for key in TEXTS["device"] if key.startswith("category_")}
    assert set(TEXTS["device"]) - categories == {f"sub_meter_{kind}" for kind in SubMeterKind}
    assert set(selector["contract"]["options"]) == set(PRESETS)
    assert set(selector["demand_interval"]["options"]) == set(settings.INTERVALS)
    assert set(selector["month"]["options"]) == set(settings.MONTHS)
    assert set(selector["tariff_days"]["options"]) == set(settings.DAYS)
    assert set(selector["phases"]["options"]) == set(PHASES)


@pytest.mark.parametrize("path", sorted(INTEGRATION.glob("translations/*.json")), ids=lambda each: each.stem)
def test_dialog_shows_the_size_of_each_choice(path: Path) -> None:
    text = json.loads(path.read_text())["options"]["step"]["updates"]["description"]
    assert re.findall(r"\{mb_(\w+)\}", text) == WRITE_INTERVALS


def test_each_sensor_has_its_texts() -> None:
    sensors = TEXTS["entity"]["sensor"]
    rows = [*MEASUREMENTS.values(), *PROPERTIES.values(), *POWER_TARIFF.values()]
    appliances = {f"appliance_{key}" for key in ("energy", "last_run", "power", "state")}
    assert set(sensors) == {row.translation_key for row in rows} | appliances
    for row in rows:
        text = sensors[row.translation_key]
        assert ("{part}" in text["name"]) == (getattr(row, "part", None) is not None)
        assert set(text.get("state", {})) == set(row.options or ())


def test_each_other_entity_has_its_texts() -> None:
    entity = TEXTS["entity"]
    others = {"connection", "appliance_running", PowerTariffKey.PEAK_EXPECTED}
    assert set(entity["binary_sensor"]) == {*others, *CLOUDS}
    event_type = entity["event"]["appliance_transition"]["state_attributes"]["event_type"]
    assert set(event_type["state"]) == set(ApplianceEventType)


def test_each_value_has_a_description_and_its_own_key() -> None:
    assert set(MEASUREMENTS) == set(Measurement)
    assert {*PROPERTIES, *CLOUDS} == set(Property)
    assert {*POWER_TARIFF, PowerTariffKey.PEAK_EXPECTED} == set(PowerTariffKey)
    keys = [*Measurement, *Property, *PowerTariffKey]
    assert len({str(key) for key in keys}) == len(keys), "they are parts of unique ids"


@pytest.mark.parametrize("reader", READERS.values())
def test_home_assistant_can_convert_each_unit_of_a_reader(reader: type[Reader]) -> None:
    for measurement, unit in reader.units.items():
        row = MEASUREMENTS[measurement]
        if row.device_class in DEVICE_CLASS_UNITS:
            assert (unit or None) in DEVICE_CLASS_UNITS[row.device_class]
        if row.state_class is not None and row.device_class is not None:
            assert row.state_class in DEVICE_CLASS_STATE_CLASSES[row.device_class]


def test_each_exception_and_each_issue_has_its_text() -> None:
    keys = {
        node.value.value
        for path in INTEGRATION.rglob("*.py")
        if "translation_domain" in (source := path.read_text())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword)
        and node.arg == "translation_key"
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    assert set(TEXTS["exceptions"]) == {*keys, *Reason}
    assert set(TEXTS["issues"]) == set(Issue)


def test_icons_belong_to_existing_entities() -> None:
    icons = load("icons.json")["entity"]
    for platform, entities in icons.items():
        without_name = {row.translation_key for row in SUB_METERS.values()}
        assert set(entities) <= set(TEXTS["entity"][platform]) | without_name
    assert all(icon.startswith("mdi:") for icon in flatten(icons).values())
    # A power and its phases have the same icon, and so have a register and its tariffs.
    names: dict[str, set[str]] = {}
    for name, icon in icons["sensor"].items():
        names.setdefault(icon["default"], set()).add(re.sub(r"_(phase|tariff)$", "", name))
    assert {icon for icon, shared in names.items() if len(shared) > 1} == {
        "mdi:clock-alert-outline",
        "mdi:led-on",
    }


@pytest.mark.parametrize("kind", READERS)
def test_announcement_of_each_kind_is_in_the_manifest(kind: str) -> None:
    device_id = SIMULATORS[kind].ids[0]
    service = SIMULATORS[kind].service(device_id, 80)
    matchers = [
        each if isinstance(each, dict) else {"type": each} for each in load("manifest.json")["zeroconf"]
    ]
    assert any(
        service.type == each["type"] and fnmatch(service.name.lower(), each.get("name", "*"))
        for each in matchers
    )
    announcement = Announcement(service.type, service.name, service.properties)
    found = {name: reader.id_in_announcement(announcement) for name, reader in READERS.items()}
    assert found == dict.fromkeys(READERS) | {kind: device_id}, "another kind accepts it"


def test_leases_of_all_kinds_are_in_the_manifest() -> None:
    hostnames = {each["hostname"] for each in load("manifest.json")["dhcp"] if "hostname" in each}
    assert hostnames == {f"{each}*" for reader in READERS.values() for each in reader.dhcp_hostnames}


def test_minimum_home_assistant_is_the_oldest_tested_one() -> None:
    minimum = AwesomeVersion(json.loads((ROOT / "hacs.json").read_text())["homeassistant"])
    # With this version of the test package, the tests run on the oldest Home Assistant.
    package, _, pinned = (ROOT / "tests/requirements/oldest.txt").read_text().strip().partition("==")
    if version(package) == pinned:
        assert AwesomeVersion(const.__version__) == minimum
    else:
        assert AwesomeVersion(const.__version__) > minimum


def test_requests_to_a_reader_run_one_at_a_time() -> None:
    assert set(PLATFORMS) == {path.stem for path in INTEGRATION.glob("*.py")} & set(Platform)
    for platform in PLATFORMS:
        # Only a button sends a request.
        expected = 1 if platform is Platform.BUTTON else 0
        assert expected == import_module(f"custom_components.{DOMAIN}.{platform}").PARALLEL_UPDATES
