"""Rules of Home Assistant's quality scale."""

from pathlib import Path

from homeassistant.util.yaml import load_yaml_dict

ROOT = Path(__file__).parents[1]

# From the page *Integration quality scale* of Home Assistant's developer documentation, in November 2026.
RULES = """
    action-setup appropriate-polling brands common-modules config-flow config-flow-test-coverage
    dependency-transparency docs-actions docs-conditions docs-high-level-description
    docs-installation-instructions docs-removal-instructions docs-triggers entity-event-setup
    entity-unique-id has-entity-name runtime-data test-before-configure test-before-setup
    unique-config-entry action-exceptions config-entry-unloading docs-configuration-parameters
    docs-installation-parameters entity-unavailable integration-owner log-when-unavailable parallel-updates
    reauthentication-flow test-coverage async-dependency inject-websession strict-typing devices diagnostics
    discovery discovery-update-info docs-data-update docs-examples docs-known-limitations
    docs-supported-devices docs-supported-functions docs-troubleshooting docs-use-cases dynamic-devices
    entity-category entity-device-class entity-disabled-by-default entity-translations
    exception-translations icon-translations reconfiguration-flow repair-issues stale-devices
"""

# Rule → heading of the README.
HEADINGS = {
    "docs-configuration-parameters": "Configuration options",
    "docs-data-update": "Data updates",
    "docs-examples": "Automations",
    "docs-installation-instructions": "Installation",
    "docs-installation-parameters": "Configuration",
    "docs-known-limitations": "Known limitations",
    "docs-removal-instructions": "Removing the integration",
    "docs-supported-devices": "Supported devices",
    "docs-supported-functions": "Supported functionality",
    "docs-troubleshooting": "Troubleshooting",
}


def test_each_rule_is_done_or_exempt_with_a_reason() -> None:
    rules = load_yaml_dict(str(ROOT / "custom_components/energy_sse/quality_scale.yaml"))["rules"]
    assert sorted(rules) == sorted(RULES.split())
    for name, rule in rules.items():
        status, comment = (rule, "") if isinstance(rule, str) else (rule["status"], rule["comment"])
        assert status == "done" or (status == "exempt" and comment), name


def test_readme_has_the_headings_of_the_rules() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    titles = {line.lstrip("#").strip() for line in lines if line.startswith("##")}
    assert set(HEADINGS.values()) <= titles
