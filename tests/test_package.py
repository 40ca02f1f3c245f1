"""What Home Assistant reads of the integration besides its code."""

import ast
from importlib import import_module
import json
from pathlib import Path
from typing import Any

from homeassistant.components.sensor import DEVICE_CLASS_STATE_CLASSES, DEVICE_CLASS_UNITS
from homeassistant.const import Platform
import probatio
import pytest
import voluptuous as vol

from custom_components.energy_sse import PLATFORMS, config_flow, sum_restart
from custom_components.energy_sse.appliances import ApplianceEventType
from custom_components.energy_sse.binary_sensor import CLOUDS
from custom_components.energy_sse.const import DOMAIN, CounterKind
from custom_components.energy_sse.descriptions import COUNTERS, MEASUREMENTS, PROPERTIES
from custom_components.energy_sse.issues import Issue
from custom_components.energy_sse.reader import Measurement, Property, Reader
from custom_components.energy_sse.reader.discover import READERS

from .test_translations import flatten

ROOT = Path(__file__).parents[1]
INTEGRATION = ROOT / "custom_components" / DOMAIN


def load(name: str) -> dict[str, Any]:
    return dict(json.loads((INTEGRATION / name).read_text()))


TEXTS = load("translations/en.json")


def strings_passed_as(keyword: str, source: str) -> set[str]:
    """Return the literal strings that a module passes by a keyword."""
    return {
        node.value.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword)
        and node.arg == keyword
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


FLOW_SOURCE = Path(config_flow.__file__).read_text()

# What `_async_identify` returns, in a form's error or as the reason to abort.
IDENTIFY_ERRORS = {"cannot_connect", "invalid_auth", "not_supported", "unknown"}


def test_every_step_of_the_dialogs_has_its_texts() -> None:
    steps = {**TEXTS["config"]["step"], **TEXTS["options"]["step"]}
    assert set(steps) == strings_passed_as("step_id", FLOW_SOURCE)
    for step in steps.values():
        assert step["title"]
        assert set(step.get("data", {})) == set(step.get("data_description", {}))


def test_every_error_and_every_reason_to_abort_has_its_text() -> None:
    assert set(TEXTS["config"]["error"]) == IDENTIFY_ERRORS | {"invalid_host", "wrong_device"}
    home_assistants = {
        "already_configured",
        "already_in_progress",
        "reauth_successful",
        "reconfigure_successful",
    }
    reasons = strings_passed_as("reason", FLOW_SOURCE)
    assert set(TEXTS["config"]["abort"]) == IDENTIFY_ERRORS | reasons | home_assistants


def test_every_choice_has_its_text() -> None:
    selector = TEXTS["selector"]
    assert set(selector["counter_kind"]["options"]) == set(CounterKind)
    assert set(selector["write_interval"]["options"]) == set(config_flow._WRITE_INTERVALS)  # noqa: SLF001
    assert set(TEXTS["device"]) == {f"counter_{kind}" for kind in CounterKind}


def test_every_sensor_has_its_texts_and_they_are_used() -> None:
    sensors = TEXTS["entity"]["sensor"]
    rows = [*MEASUREMENTS.values(), *PROPERTIES.values()]
    appliances = {f"appliance_{key}" for key in ("energy", "power", "state")}
    assert set(sensors) == {row.translation_key for row in rows} | appliances
    for row in rows:
        text = sensors[row.translation_key]
        assert ("{part}" in text["name"]) == (getattr(row, "part", None) is not None)
        assert set(text.get("state", {})) == set(row.options or ())


def test_every_other_entity_has_its_texts_and_they_are_used() -> None:
    entity = TEXTS["entity"]
    assert set(entity["binary_sensor"]) == {"connection", "appliance_running", *CLOUDS}
    event_type = entity["event"]["appliance_transition"]["state_attributes"]["event_type"]
    assert set(event_type["state"]) == set(ApplianceEventType)


def test_every_measurement_and_every_property_is_shown() -> None:
    assert set(MEASUREMENTS) == set(Measurement)
    assert {*PROPERTIES, *CLOUDS} == set(Property)
    assert not {*Measurement} & {*Property}, "they share the space of unique ids"


@pytest.mark.parametrize("reader", READERS.values())
def test_every_unit_of_the_wire_is_one_that_home_assistant_can_convert(reader: type[Reader]) -> None:
    for measurement, unit in reader.units.items():
        row = MEASUREMENTS[measurement]
        if row.device_class in DEVICE_CLASS_UNITS:
            assert (unit or None) in DEVICE_CLASS_UNITS[row.device_class]
        if row.state_class is not None and row.device_class is not None:
            assert row.state_class in DEVICE_CLASS_STATE_CLASSES[row.device_class]


def test_every_exception_has_its_text() -> None:
    keys = {
        key
        for path in INTEGRATION.glob("*.py")
        if "translation_domain" in (source := path.read_text())
        for key in strings_passed_as("translation_key", source)
    }
    assert set(TEXTS["exceptions"]) == keys


def test_icons_are_of_entities_that_there_are() -> None:
    icons = load("icons.json")["entity"]
    for platform, entities in icons.items():
        without_name = {row.translation_key for row in COUNTERS.values()}
        assert set(entities) <= set(TEXTS["entity"][platform]) | without_name
    assert all(icon.startswith("mdi:") for icon in flatten(icons).values())


def test_manifest_has_its_keys_in_order_and_all_that_a_store_asks_for() -> None:
    manifest = load("manifest.json")
    keys = list(manifest)
    assert keys == ["domain", "name", *sorted(set(keys) - {"domain", "name"})]
    assert set(keys) >= {
        "codeowners",
        "config_flow",
        "documentation",
        "iot_class",
        "issue_tracker",
        "version",
    }
    assert manifest["domain"] == DOMAIN
    assert manifest["requirements"] == []
    for matcher in manifest["zeroconf"]:
        assert matcher == json.loads(json.dumps(matcher).lower()), "names are matched in lower case"


def test_floor_of_home_assistant_is_the_one_that_is_tested() -> None:
    hacs = json.loads((ROOT / "hacs.json").read_text())
    assert hacs["homeassistant"] == "2026.9.0"


def test_only_what_asks_the_reader_is_limited_to_one_at_a_time() -> None:
    platform_files = {path.stem for path in INTEGRATION.glob("*.py")} & set(Platform)
    assert set(PLATFORMS) == platform_files
    for platform in PLATFORMS:
        expected = 1 if platform is Platform.BUTTON else 0
        assert expected == import_module(f"custom_components.{DOMAIN}.{platform}").PARALLEL_UPDATES


def test_schemas_are_of_the_engine_that_home_assistant_uses() -> None:
    assert vol.Schema is probatio.Schema


def test_every_issue_has_its_text() -> None:
    assert set(TEXTS["issues"]) == {*Issue, sum_restart.ISSUE}
