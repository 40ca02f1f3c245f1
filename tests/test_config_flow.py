"""Adding a reader, and what can go wrong on the way."""

from collections.abc import AsyncGenerator
from ipaddress import ip_address
import random
from typing import Any

from aiohttp import web
from homeassistant.config_entries import (
    SOURCE_DHCP,
    SOURCE_IGNORE,
    SOURCE_USER,
    SOURCE_ZEROCONF,
    ConfigFlowResult,
)
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
import pytest

from custom_components.energy_sse import config_flow
from custom_components.energy_sse.const import (
    CONF_AUTH_SCHEME,
    CONF_ENTERED_HOST,
    CONF_KIND,
    CONF_WRITE_INTERVAL,
    DOMAIN,
)

from .conftest import Start
from .home_assistant import announcement, entry_for, set_up
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .simulators.server import Simulator
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.smoke

NOBODY = "127.0.0.1:1"


@pytest.fixture
async def router() -> AsyncGenerator[str]:
    """Return the host of a device that answers every path with its own page."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="<html>Router</html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def begin(hass: HomeAssistant, source: str, data: Any = None) -> ConfigFlowResult:
    return await hass.config_entries.flow.async_init(DOMAIN, context={"source": source}, data=data)


async def submit(hass: HomeAssistant, flow: ConfigFlowResult, **fields: str) -> ConfigFlowResult:
    return await hass.config_entries.flow.async_configure(flow["flow_id"], fields)


def is_created(flow: ConfigFlowResult, reader: Simulator, **data: str) -> bool:
    assert isinstance(reader, WhatwattSimulator | CurrentlyOneSimulator)
    kind = "whatwatt" if isinstance(reader, WhatwattSimulator) else "currentlyone"
    login = "digest" if data else "none"
    return (
        flow["type"] is FlowResultType.CREATE_ENTRY
        and flow["data"] == {CONF_HOST: reader.host, CONF_KIND: kind, CONF_AUTH_SCHEME: login, **data}
        and flow["options"] == {CONF_WRITE_INTERVAL: 5}
        and flow["result"].unique_id == reader.device_id
    )


# ------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize("template", ["{}", " {} ", "http://{}/", "HTTP://{}/index.html"])
async def test_open_reader_is_added_by_its_address_alone(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, template: str
) -> None:
    flow = await begin(hass, SOURCE_USER)
    assert (flow["type"], flow["step_id"], flow["errors"]) == (FlowResultType.FORM, "user", {})
    assert is_created(await submit(hass, flow, host=template.format(whatwatt.host)), whatwatt)


async def test_currentlyone_is_added_by_its_address_alone(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    flow = await begin(hass, SOURCE_USER)
    assert is_created(await submit(hass, flow, host=currentlyone.host), currentlyone)


async def test_password_is_asked_for_when_the_reader_wants_one_until_it_is_right(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    flow = await begin(hass, SOURCE_USER)
    flow = await submit(hass, flow, host=protected_whatwatt.host)
    assert (flow["step_id"], flow["errors"]) == ("password", {})
    flow = await submit(hass, flow, password="wrong")
    assert (flow["step_id"], flow["errors"]) == ("password", {"base": "invalid_auth"})
    await protected_whatwatt.stop()
    flow = await submit(hass, flow, password="secret")
    assert (flow["step_id"], flow["errors"]) == ("password", {"base": "cannot_connect"})
    await protected_whatwatt.start(protected_whatwatt.port)
    flow = await submit(hass, flow, password="secret")
    assert is_created(flow, protected_whatwatt, password="secret")


@pytest.mark.errors
async def test_wrong_address_is_explained_and_the_dialog_goes_on(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, router: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = await begin(hass, SOURCE_USER)
    for host, errors in (
        ("my meter", {CONF_HOST: "invalid_host"}),
        (NOBODY, {"base": "cannot_connect"}),
        (router, {"base": "not_supported"}),
    ):
        flow = await submit(hass, flow, host=host)
        assert (flow["type"], flow["step_id"], flow["errors"]) == (FlowResultType.FORM, "user", errors)
        schema = flow["data_schema"]
        assert schema is not None
        assert [key.description for key in schema.schema] == [{"suggested_value": host}]
    with monkeypatch.context() as patch:
        patch.setattr(config_flow, "identify", lambda *_: 1 / 0)
        flow = await submit(hass, flow, host=whatwatt.host)
    assert flow["errors"] == {"base": "unknown"}
    assert is_created(await submit(hass, flow, host=whatwatt.host), whatwatt)


async def test_reader_is_added_once_and_a_new_address_is_taken_over(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(whatwatt, host=NOBODY)
    entry.add_to_hass(hass)
    flow = await submit(hass, await begin(hass, SOURCE_USER), host=whatwatt.host)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert entry.data[CONF_HOST] == whatwatt.host
    assert len(hass.config_entries.async_entries(DOMAIN)) == 1


async def test_reader_that_waits_as_discovered_can_be_added_by_hand(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    discovered = await begin(hass, SOURCE_ZEROCONF, announcement(whatwatt))
    flow = await submit(hass, await begin(hass, SOURCE_USER), host=whatwatt.host)
    assert is_created(flow, whatwatt)
    flows = hass.config_entries.flow.async_progress()
    assert discovered["flow_id"] not in {flow["flow_id"] for flow in flows}


async def test_reader_that_was_ignored_can_be_added_by_hand(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    await hass.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_IGNORE},
        data={"unique_id": whatwatt.device_id, "title": "whatwatt"},
    )
    flow = await begin(hass, SOURCE_ZEROCONF, announcement(whatwatt))
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    flow = await submit(hass, await begin(hass, SOURCE_USER), host=whatwatt.host)
    assert is_created(flow, whatwatt)


# ---------------------------------------------------------------------------------------- discovered


def mdns(name: str, service: str, *, port: int | None, addresses: list[str]) -> ZeroconfServiceInfo:
    parsed = [ip_address(address) for address in addresses]
    return ZeroconfServiceInfo(
        ip_address=parsed[0],
        ip_addresses=parsed,
        port=port,
        hostname="x.local.",
        type=service,
        name=f"{name}.{service}",
        properties={},
    )


@pytest.mark.parametrize(
    ("port", "addresses", "host"),
    [
        (80, ["192.168.1.50"], "192.168.1.50"),
        (None, ["192.168.1.50"], "192.168.1.50"),
        (23, ["192.168.1.50"], "192.168.1.50"),
        (8080, ["192.168.1.50"], "192.168.1.50:8080"),
        (80, ["fd00::50", "192.168.1.50"], "192.168.1.50"),
        (80, ["fd00::50"], "[fd00::50]"),
        (8080, ["fd00::50"], "[fd00::50]:8080"),
    ],
)
def test_announced_telnet_port_and_ipv6_address_lead_to_the_web_server(
    port: int | None, addresses: list[str], host: str
) -> None:
    info = mdns("CurrentlyOne_b8b41879cf58", "_currently._tcp.local.", port=port, addresses=addresses)
    assert config_flow.hosts_of(info)[0] == host


@pytest.mark.parametrize("prefix", ["CurrentlyOne", "currentlyone"])
async def test_discovered_currentlyone_is_offered_by_its_name(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, prefix: str
) -> None:
    currentlyone.name = "Casa Mia"
    info = announcement(currentlyone)
    info.name = info.name.replace("CurrentlyOne", prefix)
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "discovery_confirm")
    assert flow["description_placeholders"] == {
        "name": r"Casa Mia \(CurrentlyOne\)",
        "host": currentlyone.host,
    }
    (progress,) = hass.config_entries.flow.async_progress()
    assert progress["context"]["title_placeholders"] == {"name": "Casa Mia (CurrentlyOne)"}
    assert is_created(await submit(hass, flow), currentlyone)


async def test_reader_announced_twice_is_offered_once(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    info = announcement(currentlyone)
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert flow["type"] is FlowResultType.FORM
    info.type = "_http._tcp.local."
    info.name = info.name.replace("_currently._tcp", "_http._tcp")
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_in_progress")


async def test_discovered_whatwatt_with_a_password_is_offered_by_its_id(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    flow = await begin(hass, SOURCE_ZEROCONF, announcement(protected_whatwatt))
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "password")
    (progress,) = hass.config_entries.flow.async_progress()
    assert progress["context"]["title_placeholders"] == {"name": "whatwatt Go 5C7F14"}
    flow = await submit(hass, flow, password="wrong")
    assert flow["errors"] == {"base": "invalid_auth"}
    assert is_created(await submit(hass, flow, password="secret"), protected_whatwatt, password="secret")


async def test_announcement_without_an_id_is_asked_for_it(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    info = announcement(whatwatt)
    info.properties.clear()
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert flow["step_id"] == "discovery_confirm"
    assert is_created(await submit(hass, flow), whatwatt)


async def test_known_reader_that_is_announced_without_its_id_is_followed(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(whatwatt)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, data={**entry.data, CONF_HOST: "127.0.0.1:9"})
    info = announcement(whatwatt)
    info.properties.clear()
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert entry.data[CONF_HOST] == whatwatt.host


async def test_reader_that_changes_before_it_is_confirmed_is_asked_again(
    hass: HomeAssistant, house: House, whatwatt: WhatwattSimulator
) -> None:
    flow = await begin(hass, SOURCE_ZEROCONF, announcement(whatwatt))
    await whatwatt.stop()
    flow = await submit(hass, flow)
    assert (flow["step_id"], flow["errors"]) == ("discovery_confirm", {"base": "cannot_connect"})
    whatwatt.login = WhatwattSimulator(house, password="secret").login
    await whatwatt.start(whatwatt.port)
    flow = await submit(hass, flow)
    assert (flow["step_id"], flow["errors"]) == ("password", {})
    assert is_created(await submit(hass, flow, password="secret"), whatwatt, password="secret")


async def test_announced_device_that_does_not_answer_is_not_offered(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    info = announcement(whatwatt)
    await whatwatt.stop()
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "cannot_connect")


async def test_announced_device_that_is_something_else_is_not_offered(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, router: str
) -> None:
    info = announcement(whatwatt)
    info.port = int(router.rpartition(":")[2])
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "not_supported")


async def test_announced_device_that_says_another_id_is_not_offered(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    info = announcement(whatwatt)
    info.properties["id"] = "ECC9FF000000"
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "not_supported")


# ---------------------------------------------------------------------------- known, at another address


async def test_known_reader_at_a_new_address_is_followed_after_it_has_proved_itself(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt, host=NOBODY)
    entry.add_to_hass(hass)
    flow = await begin(hass, SOURCE_ZEROCONF, announcement(protected_whatwatt))
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert entry.data[CONF_HOST] == protected_whatwatt.host
    assert entry.data[CONF_PASSWORD] == "secret"


async def test_known_reader_with_a_living_stream_stays_at_its_address(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    info = announcement(whatwatt)
    info.ip_address = ip_address("127.0.0.2")
    info.ip_addresses = [info.ip_address]
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    await hass.async_block_till_done()
    assert entry.data[CONF_HOST] == whatwatt.host
    assert whatwatt.stream_count == 1, "nothing was reloaded"


async def test_announcement_ends_the_wait_for_a_reader_that_was_away(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await set_up(hass, whatwatt)
    monkeypatch.setattr(random, "uniform", lambda _low, _high: 300)
    info = announcement(whatwatt)
    await whatwatt.stop()
    await time_machine.advance(120)
    await whatwatt.start(whatwatt.port)
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    await wait_until(lambda: whatwatt.streams)


@pytest.mark.parametrize("device_id", ["ECC9FF000000", "ECC9FF5C7F14"])
async def test_address_is_not_given_to_a_device_that_does_not_prove_itself(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, device_id: str
) -> None:
    """By another id, or by another password."""
    entry = entry_for(protected_whatwatt, host=NOBODY, password="secret")
    entry.add_to_hass(hass)
    info = announcement(protected_whatwatt)
    if device_id == protected_whatwatt.device_id:
        assert protected_whatwatt.login is not None
        protected_whatwatt.login.password = "another"
        reason = "invalid_auth"
    else:
        protected_whatwatt.device_id = device_id
        reason = "not_supported"
    flow = await begin(hass, SOURCE_ZEROCONF, info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, reason)
    assert entry.data[CONF_HOST] == NOBODY


# ------------------------------------------------------------------------------------------- by DHCP


@pytest.fixture
def _http_port(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let HTTP's own port be the simulator's."""
    reader = request.getfixturevalue(request.param)
    monkeypatch.setattr(config_flow, "_HTTP_PORT", reader.port)


def lease(hostname: str, mac_address: str) -> DhcpServiceInfo:
    return DhcpServiceInfo(ip="127.0.0.1", hostname=hostname, macaddress=mac_address)


@pytest.mark.parametrize("_http_port", ["whatwatt"], indirect=True)
@pytest.mark.parametrize("mac_address", ["ecc9ff5c7f14", "ecc9ff5c7f17"])
@pytest.mark.usefixtures("_http_port")
async def test_whatwatt_is_found_by_its_lease_on_either_interface(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, mac_address: str
) -> None:
    flow = await begin(hass, SOURCE_DHCP, lease("whatwatt-5c7f14", mac_address))
    assert flow["step_id"] == "discovery_confirm"
    assert is_created(await submit(hass, flow), whatwatt)


@pytest.mark.parametrize("_http_port", ["currentlyone"], indirect=True)
@pytest.mark.usefixtures("_http_port")
async def test_currentlyone_is_found_by_its_lease(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    flow = await begin(hass, SOURCE_DHCP, lease("currentlyone_b8b41879cf58", "58cf7918b4b8"))
    assert flow["step_id"] == "discovery_confirm"
    assert is_created(await submit(hass, flow), currentlyone)


@pytest.mark.parametrize(
    ("_http_port", "mac_address"),
    [
        ("whatwatt", "ecc9ff5c7f14"),
        ("whatwatt", "ecc9ff5c7f17"),
        ("currentlyone", "58cf7918b4b8"),
    ],
    indirect=["_http_port"],
)
@pytest.mark.usefixtures("_http_port")
async def test_known_reader_is_followed_by_its_lease_whatever_its_name(
    hass: HomeAssistant, request: pytest.FixtureRequest, mac_address: str
) -> None:
    reader = request.getfixturevalue("currentlyone" if mac_address.startswith("58") else "whatwatt")
    entry = entry_for(reader, host=NOBODY)
    entry.add_to_hass(hass)
    flow = await begin(hass, SOURCE_DHCP, lease("meter", mac_address))
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert entry.data[CONF_HOST] == reader.host


# --------------------------------------------------------------------------- a password that changed


async def test_changed_password_is_asked_for_until_it_is_right(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt, password="old")
    entry.add_to_hass(hass)
    flow = await entry.start_reauth_flow(hass)
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "reauth_confirm")
    flow = await submit(hass, flow, password="wrong")
    assert flow["errors"] == {"base": "invalid_auth"}
    flow = await submit(hass, flow, password="secret")
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "reauth_successful")
    assert entry.data[CONF_PASSWORD] == "secret"
    await hass.async_block_till_done()
    await wait_until(lambda: protected_whatwatt.streams)


async def test_password_of_another_reader_at_the_address_changes_nothing(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt, password="old")
    entry.add_to_hass(hass)
    flow = await entry.start_reauth_flow(hass)
    protected_whatwatt.device_id = "ECC9FF000000"
    flow = await submit(hass, flow, password="secret")
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "wrong_device")
    assert entry.data[CONF_PASSWORD] == "old"


async def test_password_field_hides_what_is_typed(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    flow = await submit(hass, await begin(hass, SOURCE_USER), host=protected_whatwatt.host)
    schema = flow["data_schema"]
    assert schema is not None
    assert schema.schema[CONF_PASSWORD].config["type"] == "password"


# -------------------------------------------------------------------------------- another address or password


async def test_reader_can_be_given_a_new_address_and_a_new_password(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt, host=NOBODY, password="old")
    entry.add_to_hass(hass)
    flow = await entry.start_reconfigure_flow(hass)
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "reconfigure")
    schema = flow["data_schema"]
    assert schema is not None
    suggested = {str(key): (key.description or {}).get("suggested_value") for key in schema.schema}
    assert suggested == {CONF_HOST: NOBODY, CONF_PASSWORD: None}, "a password is never shown again"
    for fields, errors in (
        ({"host": "my meter"}, {CONF_HOST: "invalid_host"}),
        ({"host": NOBODY}, {"base": "cannot_connect"}),
        ({"host": protected_whatwatt.host}, {"base": "invalid_auth"}),
        ({"host": protected_whatwatt.host, "password": "wrong"}, {"base": "invalid_auth"}),
    ):
        flow = await submit(hass, flow, **fields)
        assert (flow["type"], flow["errors"]) == (FlowResultType.FORM, errors)
    flow = await submit(hass, flow, host=protected_whatwatt.host, password="secret")
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "reconfigure_successful")
    assert entry.data[CONF_HOST] == protected_whatwatt.host
    assert entry.data[CONF_PASSWORD] == "secret"
    await hass.async_block_till_done()
    await wait_until(lambda: protected_whatwatt.streams)


async def test_password_that_is_left_empty_stays(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt, host=NOBODY)
    entry.add_to_hass(hass)
    flow = await submit(hass, await entry.start_reconfigure_flow(hass), host=protected_whatwatt.host)
    assert flow["reason"] == "reconfigure_successful"
    assert entry.data[CONF_PASSWORD] == "secret"


async def test_reader_without_a_password_gets_none(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = entry_for(currentlyone, host=NOBODY)
    entry.add_to_hass(hass)
    flow = await submit(hass, await entry.start_reconfigure_flow(hass), host=currentlyone.host)
    assert flow["reason"] == "reconfigure_successful"
    assert entry.data == {
        CONF_HOST: currentlyone.host,
        CONF_ENTERED_HOST: currentlyone.host,
        CONF_KIND: "currentlyone",
        CONF_AUTH_SCHEME: "none",
    }


async def test_another_reader_at_the_new_address_is_refused_by_name(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, house: House, start: Start
) -> None:
    other = WhatwattSimulator(house, device_id="ECC9FF000000", name="Neighbour")
    await start(other)
    entry = entry_for(whatwatt)
    entry.add_to_hass(hass)
    flow = await submit(hass, await entry.start_reconfigure_flow(hass), host=other.host)
    assert (flow["type"], flow["errors"]) == (FlowResultType.FORM, {"base": "wrong_device"})
    assert flow["description_placeholders"] == {
        "name": r"Meter \(whatwatt Go\)",
        # In an error, which is no Markdown.
        "reader": "Meter (whatwatt Go)",
        "found": "Neighbour (whatwatt Go)",
    }
    assert entry.data[CONF_HOST] == whatwatt.host
    flow = await submit(hass, flow, host=whatwatt.host)
    assert flow["reason"] == "reconfigure_successful"
