"""Dialogs that get what no form sends, and dialogs that compete."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from homeassistant.config_entries import SOURCE_USER
from homeassistant.const import CONF_HOST
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, UnknownFlow
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.energy_sse.const import CONF_POWER_TARIFF, CONF_WRITE_INTERVAL, DOMAIN

from .home_assistant import set_up
from .simulators import WhatwattSimulator
from .test_authentication import submit
from .wait import wait_until

FLOWS = "/api/config/config_entries/flow"
OPTIONS_FLOWS = "/api/config/config_entries/options/flow"

OPTIONS = {CONF_WRITE_INTERVAL: "5", "fill_missed_hours": True}

type Send = Callable[[str, dict[str, Any], object], Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
async def send(hass: HomeAssistant, hass_client: ClientSessionGenerator) -> Send:
    """Return a function that begins a dialog and submits its first step, as the frontend does."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_client()

    async def begin_and_submit(
        url: str, begin: dict[str, Any], submitted: object
    ) -> tuple[int, dict[str, Any]]:
        response = await client.post(url, json=begin)
        assert response.status == HTTPStatus.OK
        flow = await response.json()
        response = await client.post(f"{url}/{flow['flow_id']}", json=submitted)
        return response.status, await response.json()

    return begin_and_submit


@pytest.mark.parametrize(
    "submitted",
    [
        [],
        "x",
        5,
        {},
        {"host": None},
        {"host": 5},
        {"host": ["127.0.0.1"]},
        {"host": {}},
        {"host": "127.0.0.1:9", "login": "basic"},
        {"host": "127.0.0.1:9", "password": "x"},
        {"password": "x"},
    ],
    ids=repr,
)
async def test_dialog_refuses_what_its_form_does_not_have(send: Send, submitted: object) -> None:
    status, _ = await send(FLOWS, {"handler": DOMAIN}, submitted)
    assert status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "x" * 100_000,
        "a b",
        "http://[",
        "127.0.0.1:99999",
        "https://x",
        "javascript:alert(1)",
        "\u202e",
    ],
    ids=lambda host: host[:20],
)
async def test_dialog_goes_on_after_an_invalid_host(send: Send, host: str) -> None:
    status, flow = await send(FLOWS, {"handler": DOMAIN}, {"host": host})
    assert (status, flow["type"], flow["errors"]) == (HTTPStatus.OK, "form", {"host": "invalid_host"})


@pytest.mark.parametrize("password", ["", "x" * 100_000, "\x00\r\nX-Header: y", "€😀", "a:b"], ids=repr)
async def test_any_password_is_only_wrong(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, password: str
) -> None:
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={CONF_HOST: protected_whatwatt.host}
    )
    flow = await submit(hass, flow, password=password)
    assert (flow["step_id"], flow["errors"]) == ("password", {"base": "invalid_auth"})


@pytest.mark.parametrize(
    "submitted",
    [
        [],
        {**OPTIONS, CONF_WRITE_INTERVAL: 5},
        {**OPTIONS, CONF_WRITE_INTERVAL: "7"},
        {**OPTIONS, "counters": {"20000741": "gas"}},
        {**OPTIONS, "counters": 5},
        {**OPTIONS, CONF_POWER_TARIFF: 5},
        {**OPTIONS, CONF_POWER_TARIFF: {"enabled": True, "x": 1}},
        {**OPTIONS, "entered_host": "evil.example"},
    ],
    ids=repr,
)
async def test_options_refuse_what_their_form_does_not_have(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, send: Send, submitted: object
) -> None:
    entry = await set_up(hass, whatwatt)
    status, _ = await send(OPTIONS_FLOWS, {"handler": entry.entry_id}, submitted)
    assert status == HTTPStatus.BAD_REQUEST
    assert entry.options == {}


async def test_reader_is_added_once_by_two_dialogs_at_a_time(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    flows = [
        await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER}) for _ in range(2)
    ]
    results = await asyncio.gather(
        *(submit(hass, flow, host=whatwatt.host) for flow in flows), return_exceptions=True
    )
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    await hass.async_block_till_done()
    await wait_until(lambda: whatwatt.streams)
    created = [result for result in results if not isinstance(result, BaseException)]
    assert created[0]["type"] is FlowResultType.CREATE_ENTRY
    assert created[0]["result"] is entry
    # The first dialog that is done ends the other one.
    assert all(isinstance(result, UnknownFlow) for result in results if result not in created)
    assert hass.config_entries.flow.async_progress() == []


async def test_dialog_to_log_in_ends_when_the_reader_is_removed(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, protected_whatwatt)
    flow = await entry.start_reauth_flow(hass)
    await hass.config_entries.async_remove(entry.entry_id)
    with pytest.raises(UnknownFlow):
        await submit(hass, flow, password="secret")
    assert hass.config_entries.async_entries(DOMAIN) == []
