"""Dialogs that receive invalid data, and several dialogs at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from homeassistant.config_entries import SOURCE_USER
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.energy_sse.const import CONF_WRITE_INTERVAL, DOMAIN, SUBENTRY_POWER_TARIFF

from .dialogs import discover, enter_host, outcome, submit
from .home_assistant import announcement, set_up, tick
from .simulators import CurrentlyOneSimulator, Simulator, WhatwattSimulator

FLOWS = "/api/config/config_entries/flow"
OPTIONS_FLOWS = "/api/config/config_entries/options/flow"
SUBENTRY_FLOWS = "/api/config/config_entries/subentries/flow"

type Send = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
async def send(hass: HomeAssistant, hass_client: ClientSessionGenerator) -> Send:
    """Return a function that begins a dialog and submits its first steps over HTTP."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_client()

    async def begin_and_submit(
        url: str, begin: dict[str, Any], *submitted: object
    ) -> tuple[int, dict[str, Any]]:
        response = await client.post(url, json=begin)
        for each in submitted:
            assert response.status == HTTPStatus.OK
            flow = await response.json()
            response = await client.post(f"{url}/{flow['flow_id']}", json=each)
        return response.status, await response.json()

    return begin_and_submit


@pytest.mark.parametrize(
    "submitted",
    [
        *([], "x", 5, {}, {"host": None}, {"host": 5}, {"host": ["127.0.0.1"]}, {"host": {}}),
        {"host": "127.0.0.1:9", "login": "basic"},
        {"host": "127.0.0.1:9", "password": "x"},
        {"password": "x"},
    ],
    ids=repr,
)
async def test_dialog_rejects_unknown_fields(send: Send, submitted: object) -> None:
    status, _ = await send(FLOWS, {"handler": DOMAIN}, submitted)
    assert status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("password", ["", "x" * 100_000, "\x00\r\nX-Header: y", "€😀", "a:b"], ids=repr)
async def test_unusual_password_is_rejected(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, password: str
) -> None:
    flow = await enter_host(hass, protected_whatwatt.host)
    flow = await submit(hass, flow, password=password)
    assert outcome(flow) == "form password invalid_auth"


@pytest.mark.parametrize(
    ("step", "submitted"),
    [
        ("updates", []),
        ("updates", {CONF_WRITE_INTERVAL: 5}),
        ("updates", {CONF_WRITE_INTERVAL: "7"}),
        ("updates", {CONF_WRITE_INTERVAL: "5", "counters": {"20000741": "gas"}}),
        ("updates", {CONF_WRITE_INTERVAL: "5", "entered_host": "evil.example"}),
        ("supply", {"main_fuse": "many"}),
        ("supply", {"phases": "2"}),
        ("energy_dashboard", {"counters": {}}),
        ("sub_meters", {"20000741": "gas"}),
    ],
    ids=repr,
)
async def test_options_reject_unknown_fields(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, send: Send, step: str, submitted: object
) -> None:
    whatwatt.sub_meters = {"20000742": 1234.5}
    entry = await set_up(hass, whatwatt)
    await tick(hass, whatwatt)
    await tick(hass, whatwatt)
    status, _ = await send(OPTIONS_FLOWS, {"handler": entry.entry_id}, {"next_step_id": step}, submitted)
    assert status == HTTPStatus.BAD_REQUEST
    assert entry.options == {}


@pytest.mark.parametrize(
    "submitted",
    [
        [],
        {"enabled": True},
        {"interval": "30"},
        {"interval": 60},
        {"peaks": 0},
        {"peaks": "many"},
        {"name": 5},
        {"months": ["1"]},
    ],
    ids=repr,
)
async def test_tariff_rejects_unknown_fields(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, send: Send, submitted: object
) -> None:
    entry = await set_up(hass, currentlyone)
    await tick(hass, currentlyone)
    begin = {"handler": [entry.entry_id, SUBENTRY_POWER_TARIFF]}
    status, _ = await send(SUBENTRY_FLOWS, begin, submitted)
    assert status == HTTPStatus.BAD_REQUEST
    assert not entry.subentries


async def test_dialogs_at_a_time_create_one_entry(hass: HomeAssistant, any_reader: Simulator) -> None:
    flows = hass.config_entries.flow
    forms = [await flows.async_init(DOMAIN, context={"source": SOURCE_USER}) for _ in range(3)]
    found = await discover(hass, announcement(any_reader))
    results = await asyncio.gather(
        *(submit(hass, form, host=any_reader.host) for form in forms), submit(hass, found)
    )
    assert sorted(result["type"] for result in results) == ["abort"] * 3 + ["create_entry"]
    assert len(hass.config_entries.async_entries(DOMAIN)) == 1
    assert flows.async_progress() == []
