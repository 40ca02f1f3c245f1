"""What Home Assistant reads of the integration besides its code."""

import ast
from importlib import import_module
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.const import Platform
import probatio
import pytest
import voluptuous as vol

from custom_components.energy_sse import PLATFORMS, config_flow
from custom_components.energy_sse.appliances import ApplianceEventType
from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.sensor import DESCRIPTIONS

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
    steps = strings_passed_as("step_id", FLOW_SOURCE)
    assert set(TEXTS["config"]["step"]) == steps
    for step in TEXTS["config"]["step"].values():
        assert step["title"]
        assert set(step.get("data", {})) == set(step.get("data_description", {}))


def test_every_error_and_every_reason_to_abort_has_its_text() -> None:
    assert set(TEXTS["config"]["error"]) == IDENTIFY_ERRORS | {"invalid_host"}
    home_assistants = {"already_configured", "already_in_progress", "reauth_successful"}
    reasons = strings_passed_as("reason", FLOW_SOURCE)
    assert set(TEXTS["config"]["abort"]) == IDENTIFY_ERRORS | reasons | home_assistants


def test_every_entity_has_its_texts_and_they_are_used() -> None:
    sensors = TEXTS["entity"]["sensor"]
    assert set(sensors) == {description.translation_key for description in DESCRIPTIONS.values()}
    for description in DESCRIPTIONS.values():
        text = sensors[description.translation_key]
        assert ("{part}" in text["name"]) == (description.part is not None)
        assert set(text.get("state", {})) == set(description.options or ())
    event_type = TEXTS["entity"]["event"]["transition"]["state_attributes"]["event_type"]
    assert set(event_type["state"]) == set(ApplianceEventType)


def test_every_exception_has_its_text() -> None:
    keys = {
        key
        for path in INTEGRATION.glob("*.py")
        if "translation_domain" in (source := path.read_text())
        for key in strings_passed_as("translation_key", source)
    }
    assert set(TEXTS["exceptions"]) == keys


def texts_in(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts_in(inner)]
    return [str(value)]


@pytest.mark.parametrize("text", texts_in(TEXTS))
def test_text_follows_home_assistants_rules(text: str) -> None:
    assert text == text.strip()
    assert not re.search(r"<[a-z]|https?://|\[%key|'\{", text)


def test_icons_are_of_entities_that_there_are() -> None:
    icons = load("icons.json")["entity"]
    for platform, entities in icons.items():
        assert set(entities) <= set(TEXTS["entity"][platform])
    assert all(icon.startswith("mdi:") for icon in texts_in(icons))


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
    assert hacs == {"name": load("manifest.json")["name"], "homeassistant": "2026.9.0"}


def test_every_platform_updates_in_parallel_without_limit() -> None:
    platform_files = {path.stem for path in INTEGRATION.glob("*.py")} & set(Platform)
    assert set(PLATFORMS) == platform_files
    for platform in PLATFORMS:
        assert import_module(f"custom_components.{DOMAIN}.{platform}").PARALLEL_UPDATES == 0


def test_schemas_are_of_the_engine_that_home_assistant_uses() -> None:
    assert vol.Schema is probatio.Schema
