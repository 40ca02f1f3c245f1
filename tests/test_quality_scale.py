"""The rules of Home Assistant's quality scale, where a machine can tell."""

from collections.abc import Callable
import json
from pathlib import Path
import tomllib
from typing import Any

from homeassistant.helpers.update_coordinator import BaseCoordinatorEntity
from homeassistant.util.yaml import load_yaml_dict
import pytest

from custom_components import energy_sse
from custom_components.energy_sse import diagnostics
from custom_components.energy_sse.config_flow import EnergySseConfigFlow
from custom_components.energy_sse.entity import EnergySseEntity

ROOT = Path(__file__).parents[1]
INTEGRATION = ROOT / "custom_components" / "energy_sse"
README = (ROOT / "README.md").read_text()
RULES: dict[str, Any] = load_yaml_dict(str(INTEGRATION / "quality_scale.yaml"))["rules"]

# Of https://developers.home-assistant.io/docs/core/integration-quality-scale, in November 2026.
NAMES = [
    "action-setup",
    "appropriate-polling",
    "brands",
    "common-modules",
    "config-flow",
    "config-flow-test-coverage",
    "dependency-transparency",
    "docs-actions",
    "docs-conditions",
    "docs-high-level-description",
    "docs-installation-instructions",
    "docs-removal-instructions",
    "docs-triggers",
    "entity-event-setup",
    "entity-unique-id",
    "has-entity-name",
    "runtime-data",
    "test-before-configure",
    "test-before-setup",
    "unique-config-entry",
    "action-exceptions",
    "config-entry-unloading",
    "docs-configuration-parameters",
    "docs-installation-parameters",
    "entity-unavailable",
    "integration-owner",
    "log-when-unavailable",
    "parallel-updates",
    "reauthentication-flow",
    "test-coverage",
    "async-dependency",
    "inject-websession",
    "strict-typing",
    "devices",
    "diagnostics",
    "discovery",
    "discovery-update-info",
    "docs-data-update",
    "docs-examples",
    "docs-known-limitations",
    "docs-supported-devices",
    "docs-supported-functions",
    "docs-troubleshooting",
    "docs-use-cases",
    "dynamic-devices",
    "entity-category",
    "entity-device-class",
    "entity-disabled-by-default",
    "entity-translations",
    "exception-translations",
    "icon-translations",
    "reconfiguration-flow",
    "repair-issues",
    "stale-devices",
]


def source(name: str) -> str:
    return (INTEGRATION / name).read_text()


def has_heading(title: str) -> Callable[[], bool]:
    return lambda: f"\n## {title}\n" in README or f"\n### {title}\n" in README


def manifest() -> dict[str, Any]:
    return dict(json.loads(source("manifest.json")))


def tool(name: str) -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][name])


def has_steps(*names: str) -> bool:
    """Tell whether the config flow has steps of its own, beside those that Home Assistant gives all flows."""
    return all(f"async_step_{name}" in vars(EnergySseConfigFlow) for name in names)


# What shows that a rule is kept. The others are kept by tests of what Home Assistant does, or by reading.
SHOWN: dict[str, Callable[[], bool]] = {
    "brands": (INTEGRATION / "brand" / "icon.png").exists,
    "common-modules": lambda: all((INTEGRATION / name).exists() for name in ("coordinator.py", "entity.py")),
    "config-flow": lambda: manifest()["config_flow"] is True,
    "config-entry-unloading": lambda: callable(energy_sse.async_unload_entry),
    "dependency-transparency": lambda: manifest()["requirements"] == [],
    "diagnostics": lambda: callable(diagnostics.async_get_config_entry_diagnostics),
    "discovery": lambda: bool(manifest()["zeroconf"] and manifest()["dhcp"]),
    "discovery-update-info": lambda: has_steps("zeroconf", "dhcp"),
    "docs-configuration-parameters": has_heading("Options"),
    "docs-data-update": has_heading("How data travels"),
    "docs-examples": has_heading("Automate"),
    "docs-installation-instructions": has_heading("Install"),
    "docs-installation-parameters": has_heading("Add a reader"),
    "docs-known-limitations": has_heading("Known limits"),
    "docs-removal-instructions": has_heading("Remove"),
    "docs-supported-functions": has_heading("What you get"),
    "docs-troubleshooting": has_heading("When something is wrong"),
    "entity-event-setup": lambda: issubclass(EnergySseEntity, BaseCoordinatorEntity),
    "has-entity-name": lambda: EnergySseEntity._attr_has_entity_name,  # noqa: SLF001
    "icon-translations": lambda: bool(json.loads(source("icons.json"))["entity"]),
    "integration-owner": lambda: bool(manifest()["codeowners"]),
    "reauthentication-flow": lambda: has_steps("reauth"),
    "reconfiguration-flow": lambda: has_steps("reconfigure"),
    "stale-devices": lambda: callable(energy_sse.async_remove_config_entry_device),
    "strict-typing": lambda: (
        tool("mypy")["strict"] is True
        and not tool("mypy").get("exclude")
        and (INTEGRATION / "reader/py.typed").exists()
    ),
    "test-coverage": lambda: tool("coverage")["report"]["fail_under"] >= 95,
}


def test_every_rule_is_answered() -> None:
    assert len(NAMES) == len(set(NAMES)) == 54
    assert set(RULES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_rule_is_kept_or_has_a_reason_not_to_be(name: str) -> None:
    answer = RULES[name]
    status = answer if isinstance(answer, str) else answer["status"]
    assert status in {"done", "exempt"}
    if not isinstance(answer, str):
        assert answer["comment"]


@pytest.mark.parametrize("name", SHOWN)
def test_rule_is_kept_by_what_is_there(name: str) -> None:
    assert SHOWN[name]()
