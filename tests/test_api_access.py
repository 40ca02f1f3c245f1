"""Values of a reader in the APIs of Home Assistant, which other programs use."""

from datetime import timedelta

from aiohttp import web
from aiohttp.test_utils import TestClient
from homeassistant.auth.models import TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockUser
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.energy_sse.reader import READERS, Measurement as M

from .home_assistant import entity_id, marker_of, sent_value, set_up, tick
from .simulators import Simulator

# Measurements and units that a meter of the type "Home Assistant" in evcc needs.
EVCC = {
    M.ACTIVE_POWER_NET: "W",
    M.ACTIVE_ENERGY_IMPORT: "kWh",
    M.ACTIVE_ENERGY_EXPORT: "kWh",
    M.CURRENT_L1: "A",
    M.CURRENT_L2: "A",
    M.CURRENT_L3: "A",
    M.VOLTAGE_L1: "V",
    M.VOLTAGE_L2: "V",
    M.VOLTAGE_L3: "V",
}


type Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def token(hass: HomeAssistant, hass_admin_user: MockUser) -> str:
    """Return a long-lived access token, as a user creates it."""
    long_lived = await hass.auth.async_create_refresh_token(
        hass_admin_user,
        client_name="evcc",
        token_type=TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN,
        access_token_expiration=timedelta(days=3650),
    )
    return hass.auth.async_create_access_token(long_lived)


@pytest.fixture
async def client(hass: HomeAssistant, hass_client_no_auth: ClientSessionGenerator) -> Client:
    """Return a client without authentication."""
    for component in ("api", "websocket_api"):
        assert await async_setup_component(hass, component, {})
    program: Client = await hass_client_no_auth()
    return program


async def test_rest_api_returns_values_with_unit_and_sign(
    hass: HomeAssistant, client: Client, token: str, any_reader: Simulator
) -> None:
    await set_up(hass, any_reader)
    await tick(hass, any_reader)
    assert any_reader.house.net_power < 0, "the sun shines"
    login = {"Authorization": f"Bearer {token}"}
    values = {}
    for measurement in EVCC.keys() & READERS[any_reader.kind].units.keys():
        sensor = entity_id(hass, "sensor", f"{any_reader.device_id}_{measurement}")
        state = await (await client.get(f"/api/states/{sensor}", headers=login)).json()
        assert state["attributes"]["unit_of_measurement"] == EVCC[measurement]
        values[measurement] = float(state["state"])
    assert values[M.ACTIVE_POWER_NET] == pytest.approx(any_reader.house.net_power, abs=1)
    assert (await client.get("/api/states")).status == 401


async def test_websocket_api_sends_each_change(
    hass: HomeAssistant, client: Client, token: str, any_reader: Simulator
) -> None:
    await set_up(hass, any_reader)
    await tick(hass, any_reader)
    sensor = entity_id(hass, "sensor", f"{any_reader.device_id}_{marker_of(any_reader)}")
    async with client.ws_connect("/api/websocket") as socket:
        assert (await socket.receive_json())["type"] == "auth_required"
        await socket.send_json({"type": "auth", "access_token": token})
        assert (await socket.receive_json())["type"] == "auth_ok"
        await socket.send_json({"id": 1, "type": "subscribe_entities", "entity_ids": [sensor]})
        assert (await socket.receive_json())["success"]
        first = float((await socket.receive_json())["event"]["a"][sensor]["s"])
        await tick(hass, any_reader)
        change = (await socket.receive_json())["event"]["c"][sensor]["+"]
        assert float(change["s"]) == pytest.approx(sent_value(any_reader, marker_of(any_reader)), abs=0.1)
        assert float(change["s"]) != first
