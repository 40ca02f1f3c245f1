"""Config flow: adding, discovering and reconfiguring a reader, and its errors."""

from collections.abc import AsyncGenerator
from ipaddress import ip_address
from typing import NoReturn, override

from aiohttp import web
from aiohttp.abc import AbstractResolver
from homeassistant.config_entries import SOURCE_IGNORE, SOURCE_USER, ConfigFlowResult
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.helpers import aiohttp_client
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
from .dialogs import discover, enter_host, outcome, submit
from .home_assistant import announcement, entry_for, set_up
from .simulators import CurrentlyOneSimulator, House, Simulator, WhatwattSimulator
from .wait import wait_until

pytestmark = pytest.mark.smoke

# No device responds at this address.
UNUSED = "127.0.0.1:1"


@pytest.fixture
async def router() -> AsyncGenerator[str]:
    """Return the host of a device that responds with a page."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="<html>Router</html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def assert_created(flow: ConfigFlowResult, reader: Simulator, **data: str) -> None:
    """Assert that an entry was created, with these data."""
    assert outcome(flow) == "create_entry"
    scheme = "digest" if data else "none"
    expected = {CONF_HOST: reader.host, CONF_KIND: reader.kind, CONF_AUTH_SCHEME: scheme, **data}
    assert flow["data"] == expected
    assert flow["options"] == {CONF_WRITE_INTERVAL: 5}
    assert flow["result"].unique_id == reader.device_id


def title_of(hass: HomeAssistant) -> str:
    """Return the title of the only discovered device."""
    (flow,) = hass.config_entries.flow.async_progress()
    return str(flow["context"]["title_placeholders"]["name"])


# ------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize("template", ["{}", " {} ", "http://{}/", "HTTP://{}/index.html"])
async def test_reader_is_added_by_its_address(
    hass: HomeAssistant, any_reader: Simulator, template: str
) -> None:
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert outcome(flow) == "form user"
    assert_created(await submit(hass, flow, host=template.format(any_reader.host)), any_reader)


async def test_password_is_requested_until_it_is_right(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    flow = await enter_host(hass, protected_whatwatt.host)
    assert outcome(flow) == "form password"
    schema = flow["data_schema"]
    assert schema is not None
    assert schema.schema[CONF_PASSWORD].config["type"] == "password"
    flow = await submit(hass, flow, password="wrong")
    assert outcome(flow) == "form password invalid_auth"
    await protected_whatwatt.stop()
    flow = await submit(hass, flow, password="secret")
    assert outcome(flow) == "form password cannot_connect"
    await protected_whatwatt.start(protected_whatwatt.port)
    assert_created(await submit(hass, flow, password="secret"), protected_whatwatt, password="secret")


async def test_password_is_requested_when_other_readers_stream(
    hass: HomeAssistant, house: House, whatwatt: WhatwattSimulator, start: Start
) -> None:
    entry_for(WhatwattSimulator(house, device_id="ECC9FF000000"), host=UNUSED).add_to_hass(hass)
    await set_up(hass, whatwatt)
    other = await start(WhatwattSimulator(house, device_id="ECC9FF8A2B30", password="secret"))
    assert outcome(await enter_host(hass, other.host)) == "form password"


class EmptyResolver(AbstractResolver):
    """Resolver of a network without names. The test package disables the real one."""

    @override
    async def resolve(self, *_: object, **__: object) -> NoReturn:
        raise OSError(None, "MDNS lookup failed")

    @override
    async def close(self) -> None:
        pass

    real_close = close


async def test_unknown_host_name_is_explained(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp_client, "_async_make_resolver", lambda _: EmptyResolver())
    form = await enter_host(hass, "whatwatt-ABCDEF.local")
    assert form["errors"] == {CONF_HOST: "host_unknown"}


@pytest.mark.errors
async def test_wrong_address_is_explained_and_can_be_corrected(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, router: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host, error in (
        ("my meter", "invalid_host"),
        (f"https://{whatwatt.host}", "encrypted_host"),
        (UNUSED, "cannot_connect"),
        (router, "not_supported"),
    ):
        flow = await enter_host(hass, host)
        assert outcome(flow) == f"form user {error}"
        schema = flow["data_schema"]
        assert schema is not None
        assert [key.description for key in schema.schema] == [{"suggested_value": host}]
    with monkeypatch.context() as patch:
        patch.setattr(config_flow, "identify", lambda *_: 1 / 0)
        flow = await submit(hass, flow, host=whatwatt.host)
    assert outcome(flow) == "form user unknown"
    assert_created(await submit(hass, flow, host=whatwatt.host), whatwatt)


async def test_reader_is_added_once_and_its_address_is_updated(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(whatwatt, host=UNUSED)
    entry.add_to_hass(hass)
    assert outcome(await enter_host(hass, whatwatt.host)) == "abort already_configured"
    assert entry.data[CONF_HOST] == whatwatt.host
    assert len(hass.config_entries.async_entries(DOMAIN)) == 1


async def test_discovered_reader_can_be_added_by_its_address(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    assert outcome(await discover(hass, announcement(whatwatt))) == "form discovery_confirm"
    assert_created(await enter_host(hass, whatwatt.host), whatwatt)
    assert hass.config_entries.flow.async_progress() == []


async def test_ignored_reader_can_be_added_by_its_address(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    ignored = {"unique_id": whatwatt.device_id, "title": "whatwatt"}
    await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_IGNORE}, data=ignored)
    assert outcome(await discover(hass, announcement(whatwatt))) == "abort already_configured"
    assert_created(await enter_host(hass, whatwatt.host), whatwatt)


# ---------------------------------------------------------------------------------------- by mDNS


@pytest.mark.parametrize(
    ("port", "addresses", "hosts"),
    [
        *((port, ["192.168.1.50"], ["192.168.1.50"]) for port in (80, 23, None, -1, 0, 65_536)),
        (8080, ["192.168.1.50"], ["192.168.1.50:8080"]),
        (80, ["fd00::50", "192.168.1.50"], ["192.168.1.50", "[fd00::50]"]),
        (8080, ["fd00::50"], ["[fd00::50]:8080"]),
        (80, ["2001:db8::1%eth0"], ["[2001:db8::1%eth0]"]),
        # Addresses of no device.
        (80, ["255.255.255.255", "240.0.0.1", "224.0.0.1", "0.0.0.0", "192.168.1.50"], ["192.168.1.50"]),  # noqa: S104 (announced)
        (80, ["169.254.1.1", "fe80::1%eth0", "ff02::fb"], []),
        # Only eight addresses are tried.
        (80, [f"10.0.{n}.1" for n in range(256)], [f"10.0.{n}.1" for n in range(8)]),
    ],
)
def test_announced_addresses_are_those_of_web_servers(
    port: int | None, addresses: list[str], hosts: list[str]
) -> None:
    parsed = [ip_address(address) for address in addresses]
    info = ZeroconfServiceInfo(
        ip_address=parsed[0],
        ip_addresses=parsed,
        port=port,
        hostname="x.local.",
        type="_currently._tcp.local.",
        name="CurrentlyOne_b8b41879cf58._currently._tcp.local.",
        properties={},
    )
    assert config_flow.get_hosts(info) == hosts


@pytest.mark.parametrize("prefix", ["CurrentlyOne", "currentlyone"])
async def test_announced_currentlyone_is_shown_by_its_name(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, prefix: str
) -> None:
    currentlyone.name = "Casa Mia"
    info = announcement(currentlyone)
    info.name = info.name.replace("CurrentlyOne", prefix)
    flow = await discover(hass, info)
    assert outcome(flow) == "form discovery_confirm"
    assert flow["description_placeholders"] == {
        "name": r"Casa Mia \(CurrentlyOne\)",
        "host": currentlyone.host,
    }
    assert title_of(hass) == "Casa Mia (CurrentlyOne)"
    # Announced a second time, for another service.
    info.type = "_http._tcp.local."
    info.name = info.name.replace("_currently._tcp", "_http._tcp")
    assert outcome(await discover(hass, info)) == "abort already_in_progress"
    assert_created(await submit(hass, flow), currentlyone)


async def test_announced_protected_whatwatt_is_shown_by_its_id(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    flow = await discover(hass, announcement(protected_whatwatt))
    assert outcome(flow) == "form password"
    assert title_of(hass) == "whatwatt Go 5C7F14"
    flow = await submit(hass, flow, password="wrong")
    assert outcome(flow) == "form password invalid_auth"
    assert_created(await submit(hass, flow, password="secret"), protected_whatwatt, password="secret")


async def test_announced_reader_can_change_before_it_is_confirmed(
    hass: HomeAssistant, house: House, whatwatt: WhatwattSimulator
) -> None:
    flow = await discover(hass, announcement(whatwatt))
    await whatwatt.stop()
    flow = await submit(hass, flow)
    assert outcome(flow) == "form discovery_confirm cannot_connect"
    whatwatt.auth = WhatwattSimulator(house, password="secret").auth
    await whatwatt.start(whatwatt.port)
    flow = await submit(hass, flow)
    assert outcome(flow) == "form password"
    assert_created(await submit(hass, flow, password="secret"), whatwatt, password="secret")


async def test_announced_device_is_rejected_unless_it_is_a_reader(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, router: str
) -> None:
    info = announcement(whatwatt)
    info.name = f"Printer.{info.type}"
    assert outcome(await discover(hass, info)) == "abort not_supported"
    assert whatwatt.requests == []
    info = announcement(whatwatt)
    info.properties["id"] = "ECC9FF000000"
    assert outcome(await discover(hass, info)) == "abort not_supported"
    info = announcement(whatwatt)
    await whatwatt.stop()
    assert outcome(await discover(hass, info)) == "abort cannot_connect"
    info.port = int(router.rpartition(":")[2])
    assert outcome(await discover(hass, info)) == "abort not_supported"


@pytest.mark.parametrize("has_id", [True, False])
async def test_known_reader_is_followed_to_an_announced_address(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, *, has_id: bool
) -> None:
    entry = entry_for(protected_whatwatt, host=UNUSED)
    entry.add_to_hass(hass)
    info = announcement(protected_whatwatt)
    if not has_id:
        protected_whatwatt.auth = None
        hass.config_entries.async_update_entry(entry, data={CONF_HOST: UNUSED, CONF_KIND: "whatwatt"})
        info.properties.clear()
    password = entry.data.get(CONF_PASSWORD)
    assert outcome(await discover(hass, info)) == "abort already_configured"
    assert (entry.data[CONF_HOST], entry.data.get(CONF_PASSWORD)) == (protected_whatwatt.host, password)


async def test_streaming_reader_is_not_moved_by_an_announcement(
    hass: HomeAssistant, whatwatt: WhatwattSimulator
) -> None:
    entry = await set_up(hass, whatwatt)
    info = announcement(whatwatt)
    info.ip_address = ip_address("127.0.0.2")
    info.ip_addresses = [info.ip_address]
    assert outcome(await discover(hass, info)) == "abort already_configured"
    await hass.async_block_till_done()
    assert entry.data[CONF_HOST] == whatwatt.host
    assert whatwatt.stream_count == 1


@pytest.mark.parametrize("device_id", ["ECC9FF000000", "ECC9FF5C7F14"])
async def test_announced_address_is_ignored_without_identification(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator, device_id: str
) -> None:
    """The device at the announced address has another id, or another password."""
    entry = entry_for(protected_whatwatt, host=UNUSED, password="secret")
    entry.add_to_hass(hass)
    info = announcement(protected_whatwatt)
    if device_id == protected_whatwatt.device_id:
        assert protected_whatwatt.auth is not None
        protected_whatwatt.auth.password = "another"
        reason = "invalid_auth"
    else:
        protected_whatwatt.device_id = device_id
        reason = "not_supported"
    assert outcome(await discover(hass, info)) == f"abort {reason}"
    assert entry.data[CONF_HOST] == UNUSED


# ------------------------------------------------------------------------------------------- by DHCP


@pytest.fixture
async def leased(
    request: pytest.FixtureRequest,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    monkeypatch: pytest.MonkeyPatch,
) -> Simulator:
    """Return the reader of a kind, which listens at the default port of HTTP."""
    reader: Simulator = whatwatt if request.param == "whatwatt" else currentlyone
    monkeypatch.setattr(config_flow, "_HTTP_PORT", reader.port)
    return reader


def lease(hostname: str, mac_address: str) -> DhcpServiceInfo:
    return DhcpServiceInfo(ip="127.0.0.1", hostname=hostname, macaddress=mac_address)


@pytest.mark.parametrize(
    ("leased", "hostname", "mac_address"),
    [
        ("whatwatt", "whatwatt-5c7f14", "ecc9ff5c7f14"),
        ("whatwatt", "whatwatt-5c7f14", "ecc9ff5c7f17"),
        ("currentlyone", "currentlyone_b8b41879cf58", "58cf7918b4b8"),
    ],
    indirect=["leased"],
)
async def test_reader_is_found_by_the_lease_of_each_interface(
    hass: HomeAssistant, leased: Simulator, hostname: str, mac_address: str
) -> None:
    flow = await discover(hass, lease(hostname, mac_address))
    assert outcome(flow) == "form discovery_confirm"
    assert_created(await submit(hass, flow), leased)
    # A known reader is found with any host name.
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    hass.config_entries.async_update_entry(entry, data={**entry.data, CONF_HOST: UNUSED})
    await hass.config_entries.async_unload(entry.entry_id)
    assert outcome(await discover(hass, lease("meter", mac_address))) == "abort already_configured"
    assert entry.data[CONF_HOST] == leased.host


@pytest.mark.parametrize(
    ("hostname", "mac_address"),
    [
        *(("printer", mac_address) for mac_address in ("ecc9ff5c7f14", "58cf7918b4b8")),
        *(("whatwatt-5c7f14", each) for each in ("", "zz", "aabbccddee", "aabbccddeeffaabb")),
        ("whatwatt-5c7f14", "aabbccddeef\u0661"),
    ],
)
async def test_lease_of_another_device_is_ignored(
    hass: HomeAssistant, hostname: str, mac_address: str
) -> None:
    assert outcome(await discover(hass, lease(hostname, mac_address))) == "abort not_supported"


# ---------------------------------------------------------------------------------------- a new password


async def test_new_password_is_requested_until_it_is_right(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt, password="old")
    entry.add_to_hass(hass)
    flow = await entry.start_reauth_flow(hass)
    assert outcome(flow) == "form reauth_confirm"
    flow = await submit(hass, flow, password="wrong")
    assert outcome(flow) == "form reauth_confirm invalid_auth"
    assert outcome(await submit(hass, flow, password="secret")) == "abort reauth_successful"
    assert entry.data[CONF_PASSWORD] == "secret"
    await hass.async_block_till_done()
    await wait_until(lambda: protected_whatwatt.streams)


# ---------------------------------------------------------------------------------------- a new address


async def test_reader_can_have_a_new_address_and_password(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt, host=UNUSED, password="old")
    entry.add_to_hass(hass)
    flow = await entry.start_reconfigure_flow(hass)
    schema = flow["data_schema"]
    assert schema is not None
    suggested = {str(key): (key.description or {}).get("suggested_value") for key in schema.schema}
    assert suggested == {CONF_HOST: UNUSED, CONF_PASSWORD: None}
    for fields, error in (
        ({"host": "my meter"}, "invalid_host"),
        ({"host": UNUSED}, "cannot_connect"),
        ({"host": protected_whatwatt.host}, "invalid_auth"),
        ({"host": protected_whatwatt.host, "password": "wrong"}, "invalid_auth"),
    ):
        flow = await submit(hass, flow, **fields)
        assert outcome(flow) == f"form reconfigure {error}"
    flow = await submit(hass, flow, host=protected_whatwatt.host, password="secret")
    assert outcome(flow) == "abort reconfigure_successful"
    assert entry.data[CONF_HOST] == protected_whatwatt.host
    assert entry.data[CONF_PASSWORD] == "secret"
    await hass.async_block_till_done()
    await wait_until(lambda: protected_whatwatt.streams)


async def test_password_is_kept_unless_another_is_entered(
    hass: HomeAssistant, protected_whatwatt: WhatwattSimulator
) -> None:
    entry = entry_for(protected_whatwatt, host=UNUSED)
    entry.add_to_hass(hass)
    flow = await submit(hass, await entry.start_reconfigure_flow(hass), host=protected_whatwatt.host)
    assert outcome(flow) == "abort reconfigure_successful"
    assert entry.data[CONF_PASSWORD] == "secret"


async def test_currentlyone_cannot_have_a_password(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator
) -> None:
    entry = entry_for(currentlyone, host=UNUSED)
    entry.add_to_hass(hass)
    flow = await entry.start_reconfigure_flow(hass)
    schema = flow["data_schema"]
    assert schema is not None
    assert list(schema.schema) == [CONF_HOST]
    assert outcome(await submit(hass, flow, host=currentlyone.host)) == "abort reconfigure_successful"
    assert entry.data == {
        CONF_HOST: currentlyone.host,
        CONF_ENTERED_HOST: currentlyone.host,
        CONF_KIND: "currentlyone",
        CONF_AUTH_SCHEME: "none",
    }
