"""Texts of devices in states, files, dialogs and issues."""

import json
import logging
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.issues import escape_markdown

from .conftest import Start
from .dialogs import discover, enter_host, outcome
from .home_assistant import announcement, entry_for, set_up, settle, state_of, tick
from .logs import logged_messages
from .saved_files import files_of
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .time_machine import TimeMachine
from .wait import wait_until

LONE_SURROGATE = r"\ud83d"
"""The first half of a light bulb, as JSON writes it."""

MARKDOWN = "[Click here](http://evil.example) <img src=x> www.evil.example\n\n# You *must* `now`"
IN_ONE_LINE = "[Click here](http://evil.example) <img src=x> www.evil.example  # You *must* `now`"


def transition(reader: CurrentlyOneSimulator, fields: str) -> bytes:
    """Return a transition that happens now."""
    sec = int(reader.house.clock.timestamp())
    return f'event: transition\r\ndata: {{{fields},"sec":{sec}}}\r\n\r\n'.encode()


async def test_lone_surrogate_does_not_prevent_saving(
    hass: HomeAssistant, house: House, start: Start
) -> None:
    reader = await start(CurrentlyOneSimulator(house, name=f"Cellar {LONE_SURROGATE}"))
    result = await enter_host(hass, reader.host)
    entry = result["result"]
    assert entry.title == "Cellar ?"
    await wait_until(lambda: reader.streams)
    kettle = r'"id":"kettle\ud83d","dName":"Kettle \udca1","sName":"on\ud83d","bs":"ON","cat":"\ud83d"'
    await reader.broadcast(transition(reader, kettle))
    detected = r'"detected":[{"id":"\ud83d","to":0,"Wh":5}],"\ud83d":{"\ud83d":1}'
    await reader.broadcast(f"event: state\r\ndata: {{{detected}}}\r\n\r\n".encode())
    await settle(hass, entry, reader)
    files = files_of(hass, entry)
    assert "Cellar ?" in files["core.config_entries"]
    assert "Kettle ?" in files["core.device_registry"]
    assert "kettle?" in files["core.entity_registry"]
    assert "on?" in files["core.restore_state"]


async def test_text_too_long_for_a_state_is_cut(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    every_entity_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = currentlyone.config()
    long = "x" * 300
    monkeypatch.setattr(currentlyone, "config", lambda: config.replace('"SE2"', f'"{long}"'))
    entry = await set_up(hass, currentlyone)
    for state in ("off", "eco", long):
        dryer = f'"id":"dryer","dName":"{"y" * 20_000}","sName":"{state}","bs":"ON"'
        await currentlyone.broadcast(transition(currentlyone, dryer))
    await settle(hass, entry, currentlyone)
    reader = currentlyone.device_id
    assert state_of(hass, "sensor", f"{reader}_price_area").state == "x" * 255
    assert state_of(hass, "sensor", f"{reader}:dryer:state").state == "x" * 255
    assert len(state_of(hass, "event", f"{reader}:dryer:transition").entity_id) <= 255


async def test_template_in_a_name_is_not_rendered(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
    hass_storage: dict[str, Any],
) -> None:
    entry = await set_up(hass, currentlyone)
    caplog.set_level(logging.INFO)
    caplog.clear()
    evil = "{{ 7 * 7 }} {% raw %} !secret x: %s {0} ${x}"
    kettle = json.dumps({"id": f"../../{evil}", "dName": evil, "sName": evil, "from": evil, "cat": evil})
    for name in ("off", "eco", evil):
        fields = kettle.replace(f'"sName": "{evil}"', f'"sName": "{name}"')[1:-1]
        await currentlyone.broadcast(transition(currentlyone, fields))
    await settle(hass, entry, currentlyone)
    state = state_of(hass, "sensor", f"{currentlyone.device_id}:../../{evil}:state")
    assert state.state == evil
    events = async_capture_events(hass, "rendered")
    data = {"message": "{{ name }} is {{ states(sensor) }}"}
    variables = {"sensor": state.entity_id, "name": "{{ device_name(sensor) }}"}
    sequence = [{"variables": variables}, {"event": "rendered", "event_data": data}]
    assert await async_setup_component(hass, "script", {"script": {"render": {"sequence": sequence}}})
    await hass.services.async_call("script", "render", blocking=True)
    assert events[0].data["message"] == f"{evil} is {evil}"
    assert "7 * 7" not in "".join(logged_messages(caplog))
    await hass.config_entries.async_unload(entry.entry_id)
    assert not [key for key in hass_storage if "/" in key]


async def test_name_of_another_device_is_escaped_in_an_issue(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    entry = entry_for(whatwatt)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, title="My *own* meter")
    await hass.config_entries.async_setup(entry.entry_id)
    await tick(hass, whatwatt)
    whatwatt.device_id, whatwatt.name = "ECC9FF8A2B30", MARKDOWN + "n" * 20_000
    whatwatt.end_streams()
    await time_machine.advance(60)
    issue = ir.async_get(hass).async_get_issue(DOMAIN, f"wrong_device_{entry.entry_id}")
    assert issue is not None
    placeholders = issue.translation_placeholders
    assert placeholders is not None
    # The title is plain text, the description Markdown.
    assert placeholders["name"] == "My *own* meter"
    assert placeholders["reader"] == r"My \*own\* meter \(whatwatt Go\)"
    assert placeholders["found"] == escape_markdown(
        IN_ONE_LINE + "n" * (255 - len(IN_ONE_LINE)) + " (whatwatt Go)"
    )


async def test_name_of_a_discovered_device_is_escaped(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    whatwatt.name = MARKDOWN
    result = await discover(hass, announcement(whatwatt))
    assert outcome(result) == "form discovery_confirm"
    placeholders = result["description_placeholders"]
    assert placeholders is not None
    assert placeholders["name"] == escape_markdown(f"{IN_ONE_LINE} (whatwatt Go)")
    (flow,) = hass.config_entries.flow.async_progress()
    # The title of a discovered device is plain text.
    assert flow["context"]["title_placeholders"] == {"name": f"{IN_ONE_LINE} (whatwatt Go)"}


async def test_title_of_an_entry_is_escaped_in_reconfigure(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    hass.config_entries.async_update_entry(entry, title="[Meter](x)")
    result = await entry.start_reconfigure_flow(hass)
    assert result["description_placeholders"] == {
        "name": r"\[Meter\]\(x\) \(whatwatt Go\)",
        "reader": "[Meter](x) (whatwatt Go)",
        "found": "",
    }


def test_markdown_is_escaped() -> None:
    assert escape_markdown("Kettle 2 in Zürich") == "Kettle 2 in Zürich"
    escaped = r"\[Click here\]\(http\:\/\/evil\.example\) \<img src\=x\> www\.evil\.example"
    assert escape_markdown(IN_ONE_LINE) == escaped + r"  \# You \*must\* \`now\`"
