"""Key of the pseudonyms: stored once, and neither logged nor in diagnostics."""

import json
import logging
from typing import Any

from homeassistant.config_entries import SOURCE_IGNORE
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.diagnostics import get_diagnostics_for_config_entry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import redaction

from .home_assistant import set_up, tick
from .simulators import CurrentlyOneSimulator, WhatwattSimulator

FILE = f"{DOMAIN}.pseudonyms"


@pytest.fixture
def redactor(monkeypatch: pytest.MonkeyPatch) -> redaction.Redactor:
    """Return the redactor of a process that has just started."""
    redactor = redaction.REDACTOR
    monkeypatch.setattr(redactor, "key", redaction.Redactor().key)
    return redactor


async def restart(redactor: redaction.Redactor, hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Set an entry up again with the redactor of another process."""
    await hass.config_entries.async_unload(entry.entry_id)
    redactor.key = redaction.Redactor().key
    assert await hass.config_entries.async_setup(entry.entry_id)


async def test_pseudonyms_stay_the_same_after_a_restart(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    redactor: redaction.Redactor,
) -> None:
    before_setup = redactor.pseudonym("Casa Mia")
    entry = await set_up(hass, whatwatt)
    assert redactor.pseudonym("Casa Mia") == before_setup
    await restart(redactor, hass, entry)
    assert redactor.pseudonym("Casa Mia") == before_setup
    await set_up(hass, currentlyone)
    assert redactor.pseudonym("Casa Mia") == before_setup


@pytest.mark.parametrize(
    "damaged",
    [
        {"version": 1, "minor_version": 1, "key": FILE, "data": data}
        for data in ({}, {"key": "no"}, {"key": 5}, {"key": ""}, {"key": "ff" * 100}, ["key"], "key")
    ]
    + [{"version": 2, "minor_version": 1, "key": FILE, "data": {"key": "ff" * 32}}],
)
async def test_damaged_key_is_replaced(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    whatwatt: WhatwattSimulator,
    redactor: redaction.Redactor,
    damaged: dict[str, Any],
) -> None:
    hass_storage[FILE] = damaged
    await set_up(hass, whatwatt)
    assert hass_storage[FILE]["data"] == {"key": redactor.key.hex()}


async def test_key_is_neither_logged_nor_in_diagnostics(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    currentlyone: CurrentlyOneSimulator,
    redactor: redaction.Redactor,
    *,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, f"custom_components.{DOMAIN}")
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    await restart(redactor, hass, entry)
    assert await async_setup_component(hass, "diagnostics", {})
    diagnostics = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("custom_components")]
    assert redactor.key.hex() not in json.dumps(diagnostics) + "".join(logged)


async def test_key_is_deleted_with_the_last_reader(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
) -> None:
    MockConfigEntry(domain=DOMAIN, source=SOURCE_IGNORE).add_to_hass(hass)
    entries = [await set_up(hass, reader) for reader in (whatwatt, currentlyone)]
    await hass.config_entries.async_remove(entries[0].entry_id)
    assert FILE in hass_storage
    await hass.config_entries.async_remove(entries[1].entry_id)
    assert FILE not in hass_storage
