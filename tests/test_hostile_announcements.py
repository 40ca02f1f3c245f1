"""Announcements that another device on the network makes up, and devices that lie."""

import asyncio
from collections.abc import AsyncGenerator
from ipaddress import ip_address
import logging
from typing import override

from homeassistant.config_entries import SOURCE_DHCP, SOURCE_ZEROCONF, ConfigFlowResult
from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
import pytest

from custom_components.energy_sse.config_flow import hosts_of
from custom_components.energy_sse.const import CONF_AUTH_SCHEME, CONF_ENTERED_HOST, DOMAIN
from custom_components.energy_sse.reader import AuthScheme

from . import pseudonyms
from .conftest import Start
from .home_assistant import announcement, entity_id, set_up
from .logs import OURS
from .simulators import House, WhatwattSimulator
from .simulators.digest import BasicLogin, DigestLogin
from .test_authentication import Rogue, submit
from .time_machine import TimeMachine
from .wait import wait_until


class Tarpit:
    """A server that accepts connections, and never responds."""

    def __init__(self) -> None:
        self.port = 0
        self.open = 0
        self.requests: list[bytes] = []
        """The heads of the requests."""

        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections."""
        assert self._server is not None
        self._server.close()
        self._server.close_clients()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.requests.append(await reader.read(65536))
        await reader.read()
        self.open -= 1
        writer.close()


@pytest.fixture
async def tarpit() -> AsyncGenerator[Tarpit]:
    """Return a server that never responds."""
    tarpit = Tarpit()
    await tarpit.start()
    yield tarpit
    await tarpit.stop()


@pytest.fixture
async def live(house: House) -> AsyncGenerator[WhatwattSimulator]:
    """Return a whatwatt without a password that sends readings."""
    reader = await WhatwattSimulator(house).start(live=True)
    yield reader
    await reader.stop()


def mdns(
    device_id: object,
    *addresses: str,
    port: int | None = 80,
    name: str = "whatwatt Go 5C7F14 WebUI",
    **properties: object,
) -> ZeroconfServiceInfo:
    """Return an announcement of a whatwatt, by default at this machine."""
    parsed = [ip_address(each) for each in addresses or ("127.0.0.1",)]
    return ZeroconfServiceInfo(
        ip_address=parsed[0],
        ip_addresses=parsed,
        port=port,
        hostname="x.local.",
        type="_http._tcp.local.",
        name=f"{name}._http._tcp.local.",
        properties={"id": device_id, **properties},
    )


async def announce(hass: HomeAssistant, info: ZeroconfServiceInfo | DhcpServiceInfo) -> ConfigFlowResult:
    """Announce a device."""
    source = SOURCE_DHCP if isinstance(info, DhcpServiceInfo) else SOURCE_ZEROCONF
    return await hass.config_entries.flow.async_init(DOMAIN, context={"source": source}, data=info)


# ------------------------------------------------------------------------------------------ every field


@pytest.mark.parametrize(
    "addresses",
    [
        ["255.255.255.255"],
        ["240.0.0.1"],
        ["224.0.0.1"],
        ["0.0.0.0"],  # noqa: S104 (announced)
        ["169.254.1.1"],
        ["fe80::1%eth0"],
        ["ff02::fb"],
    ],
    ids=str,
)
def test_address_of_no_device_is_left_out(addresses: list[str]) -> None:
    assert hosts_of(mdns("", *addresses)) == []
    assert hosts_of(mdns("", *addresses, "192.168.1.50")) == ["192.168.1.50"]


@pytest.mark.parametrize("port", [-1, 0, 65_536, None])
def test_invalid_port_is_replaced(port: int | None) -> None:
    assert hosts_of(mdns("", "192.168.1.50", port=port)) == ["192.168.1.50"]


def test_address_with_a_zone_is_kept() -> None:
    assert hosts_of(mdns("", "2001:db8::1%eth0")) == ["[2001:db8::1%eth0]"]


def test_only_eight_of_hundreds_of_addresses_are_tried() -> None:
    addresses = [f"10.0.{number}.1" for number in range(256)]
    assert hosts_of(mdns("", *addresses)) == addresses[:8]


@pytest.mark.parametrize(
    "device_id",
    [
        None,
        b"ECC9FF5C7F14",
        ["x"],
        5,
        "x" * 10_000,
        "\x00",
        "ECC9FF5C7F14\n",
        "ECC9FF5C7F1\u0661",
        "\u202e<b>",
    ],
    ids=repr,
)
async def test_device_is_asked_when_the_announced_id_is_invalid(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, device_id: object
) -> None:
    name = "whatwatt go \x00\u202e[Click](http://evil.example)" + "x" * 10_000
    flow = await announce(hass, mdns(device_id, port=whatwatt.port, name=name, type=b"\xff", other=None))
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "discovery_confirm")
    assert flow["description_placeholders"] == {
        "name": "whatwatt Go 5C7F14",
        "host": whatwatt.host,
    }


@pytest.mark.parametrize(
    "mac_address", ["", "zz", "aabbccddee", "aabbccddeeffaabb", "aabbccddeef\u0661", "-1"]
)
async def test_lease_without_a_mac_address_is_ignored(hass: HomeAssistant, mac_address: str) -> None:
    info = DhcpServiceInfo(ip="127.0.0.1", hostname="whatwatt-5c7f14", macaddress=mac_address)
    flow = await announce(hass, info)
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "not_supported")


# ---------------------------------------------------------------------------------------------- floods


async def test_flood_of_announcements_opens_16_connections(
    hass: HomeAssistant, tarpit: Tarpit, time_machine: TimeMachine
) -> None:
    flows = [
        hass.async_create_task(announce(hass, mdns(f"{number:012X}", port=tarpit.port)))
        for number in range(300)
    ]
    await time_machine.advance(5)
    assert tarpit.open == 16
    await time_machine.advance(30)
    assert {flow["type"] for flow in await asyncio.gather(*flows)} == {FlowResultType.ABORT}
    assert len(tarpit.requests) == 16
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN) == []


async def test_flood_of_readers_opens_16_dialogs(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    for number in range(100):
        whatwatt.device_id = f"{number:012X}"
        await announce(hass, announcement(whatwatt))
    assert len(hass.config_entries.flow.async_progress_by_handler(DOMAIN)) == 16
    assert len(whatwatt.requests) == 16


async def test_known_reader_is_followed_during_a_flood(
    hass: HomeAssistant, live: WhatwattSimulator, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, live)
    for number in range(20):
        whatwatt.device_id = f"{number:012X}"
        await announce(hass, announcement(whatwatt))
    await live.stop()
    await live.start(live=True)
    await announce(hass, announcement(live))
    await time_machine.advance(60)
    assert entry.data[CONF_HOST] == live.host
    assert entry.runtime_data.coordinator.data.is_streaming


@pytest.mark.parametrize("is_same", [True, False])
async def test_reader_is_found_at_its_address_during_a_flood(
    hass: HomeAssistant,
    live: WhatwattSimulator,
    tarpit: Tarpit,
    time_machine: TimeMachine,
    *,
    is_same: bool,
) -> None:
    """Its id is announced at dead addresses without end."""
    await tarpit.stop()
    entry = await set_up(hass, live)
    await live.stop()
    await time_machine.advance(30)
    await live.start(live.port, live=True)
    for number in range(40):
        await announce(hass, mdns(live.device_id, port=tarpit.port + (0 if is_same else number)))
        await time_machine.advance(5)
    assert entry.runtime_data.coordinator.data.is_streaming
    assert entry.runtime_data.coordinator.reader.stats.connects == 2


async def test_changed_password_is_asked_for_during_a_flood(
    hass: HomeAssistant, live: WhatwattSimulator, tarpit: Tarpit, time_machine: TimeMachine
) -> None:
    await tarpit.stop()
    await set_up(hass, live)
    live.login = DigestLogin("new")
    live.end_streams()
    for number in range(40):
        await announce(hass, mdns(live.device_id, port=tarpit.port + number))
        await time_machine.advance(5)
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["step_id"] == "reauth_confirm"


# ------------------------------------------------------------------------- what another device receives


async def test_announced_address_gets_nothing_but_a_get(
    hass: HomeAssistant, live: WhatwattSimulator, tarpit: Tarpit, time_machine: TimeMachine
) -> None:
    await set_up(hass, live)
    await live.stop()
    await time_machine.advance(10)
    await announce(hass, mdns(live.device_id, port=tarpit.port))
    await time_machine.advance(1)
    assert tarpit.open == 1
    button = entity_id(hass, "button", f"{live.device_id}_restart")
    with pytest.raises(HomeAssistantError):
        await hass.services.async_call("button", "press", {"entity_id": button}, blocking=True)
    await live.start(live.port)
    await hass.services.async_call("button", "press", {"entity_id": button}, blocking=True)
    assert live.requests[-1] == "POST /api/v1/reboot"
    assert all(request.startswith(b"GET /api/v1/system HTTP/1.1\r\n") for request in tarpit.requests)


@pytest.mark.parametrize("login", [None, DigestLogin("typed")], ids=["confirmed", "with a password"])
async def test_new_device_cannot_take_the_place_of_a_reader(
    hass: HomeAssistant, live: WhatwattSimulator, house: House, start: Start, login: DigestLogin | None
) -> None:
    """It is added by its owner, and claims then to be the reader."""
    live.login = DigestLogin("secret")
    entry = await set_up(hass, live)
    before = dict(entry.data)
    rogue = WhatwattSimulator(house, device_id="ECC9FF000000")
    rogue.login = login
    await start(rogue)
    flow = await announce(hass, announcement(rogue))
    rogue.device_id = live.device_id
    flow = await submit(hass, flow, **({} if login is None else {"password": "typed"}))
    assert (flow["type"], flow["reason"]) == (FlowResultType.ABORT, "already_configured")
    await hass.async_block_till_done()
    assert dict(entry.data) == before
    assert entry.runtime_data.coordinator.data.is_streaming
    await hass.config_entries.async_unload(entry.entry_id)


async def test_unencrypted_password_goes_to_the_confirmed_address_only(
    hass: HomeAssistant, live: WhatwattSimulator, house: House, start: Start, time_machine: TimeMachine
) -> None:
    """The address that was entered before belongs to another device now."""
    rogue = Rogue(house)
    rogue.login = BasicLogin("secret")
    await start(rogue)
    live.login = DigestLogin("secret")
    entry = await set_up(hass, live, **{CONF_ENTERED_HOST: rogue.host, CONF_AUTH_SCHEME: AuthScheme.DIGEST})
    live.login = BasicLogin("secret")
    live.end_streams()
    await time_machine.advance(60)
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    result = await submit(hass, flow, password="secret")
    assert (result["description_placeholders"] or {})["host"] == live.host
    await submit(hass, result)
    await hass.async_block_till_done()
    await wait_until(lambda: live.streams)
    await time_machine.advance(400)
    assert rogue.credentials
    assert not rogue.received_the_password
    assert (entry.data[CONF_HOST], entry.data[CONF_PASSWORD]) == (live.host, "secret")
    assert entry.runtime_data.coordinator.data.is_streaming


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_question_about_an_address_does_not_hide_a_new_password(
    hass: HomeAssistant,
    live: WhatwattSimulator,
    house: House,
    start: Start,
    time_machine: TimeMachine,
    *,
    is_loaded: bool,
) -> None:
    """Another device asks for the password unencrypted while the reader is off."""
    rogue = Rogue(house)
    rogue.login = BasicLogin("secret")
    await start(rogue)
    live.login = BasicLogin("secret")
    entry = await set_up(hass, live)
    if not is_loaded:
        await hass.config_entries.async_unload(entry.entry_id)
    await live.stop()
    if not is_loaded:
        await hass.config_entries.async_setup(entry.entry_id)
    await time_machine.advance(30)
    await announce(hass, announcement(rogue))
    await time_machine.advance(300)
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["step_id"] == "unencrypted"
    live.login = BasicLogin("new")
    await live.start(live.port, live=True)
    if not is_loaded:
        await hass.config_entries.async_reload(entry.entry_id)
    await time_machine.advance(400)
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["step_id"] == "reauth_confirm"
    assert not rogue.received_the_password


class AnyDigest(DigestLogin):
    """Asks for HTTP Digest, and accepts every response."""

    @override
    def check(self, authorization: str | None, method: str, target: str) -> str | None:
        return None if (authorization or "").startswith("Digest") else self.challenge()


async def test_password_is_not_sent_to_a_device_that_used_digest_first(
    hass: HomeAssistant, live: WhatwattSimulator, house: House, start: Start, time_machine: TimeMachine
) -> None:
    rogue = Rogue(house)
    rogue.login = AnyDigest("unknown")
    await start(rogue)
    live.login = BasicLogin("secret")
    entry = await set_up(hass, live)
    await live.stop()
    await announce(hass, announcement(rogue))
    await time_machine.advance(120)
    # Digest proves nothing about the reader.
    assert (entry.data[CONF_HOST], entry.data[CONF_AUTH_SCHEME]) == (rogue.host, AuthScheme.DIGEST)
    rogue.login = BasicLogin("secret")
    rogue.end_streams()
    await time_machine.advance(120)
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    result = await submit(hass, flow, password="secret")
    assert result["step_id"] == "unencrypted"
    assert (result["description_placeholders"] or {})["host"] == rogue.host
    assert not rogue.received_the_password


async def test_password_is_not_sent_to_an_entered_address_that_asks_for_less(
    hass: HomeAssistant, live: WhatwattSimulator, house: House, start: Start, time_machine: TimeMachine
) -> None:
    rogue = Rogue(house)
    rogue.login = BasicLogin("secret")
    await start(rogue)
    live.login = DigestLogin("secret")
    entry = await set_up(hass, live, **{CONF_ENTERED_HOST: rogue.host, CONF_AUTH_SCHEME: AuthScheme.DIGEST})
    await time_machine.advance(310)
    rogue.login = None
    await time_machine.advance(310)
    assert len(rogue.credentials) >= 2
    assert not rogue.received_the_password
    assert entry.runtime_data.coordinator.reader.stats.connects == 1, "the stream goes on"


# ------------------------------------------------------------------------------------------------- the log


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_log_of_an_attack_has_no_identities(
    hass: HomeAssistant,
    live: WhatwattSimulator,
    house: House,
    start: Start,
    time_machine: TimeMachine,
    *,
    caplog: pytest.LogCaptureFixture,
    level: int,
) -> None:
    caplog.set_level(level, OURS.name)
    rogue = Rogue(house)
    rogue.name = "Villa Kunterbunt"
    rogue.login = BasicLogin("secret")
    await start(rogue)
    live.name, live.login = "Casa Segreta", BasicLogin("secret")
    live.sub_meters = {"20000741": 5}
    entry = await set_up(hass, live, **{CONF_ENTERED_HOST: "127.0.0.1:9"})
    hass.config_entries.async_update_entry(entry, title="Casa Segreta")
    await time_machine.advance(30)
    await live.stop()
    await announce(hass, announcement(rogue))
    await time_machine.advance(300)
    rogue.login, rogue.device_id = None, "ECC9FF8A2B30"
    await announce(hass, mdns(live.device_id, port=rogue.port))
    await rogue.stop()
    await rogue.start(live.port)
    await time_machine.advance(300)
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    await hass.config_entries.async_reload(entry.entry_id)
    lines = [
        record.getMessage()
        for record in caplog.records
        # Home Assistant logs the title of an entry that cannot be set up, as for every integration.
        if record.name.startswith(OURS.name) and record.module != "config_entries"
    ]
    assert lines
    wifi = live.system()["wifi"]
    identities = [live.host, rogue.host, "127.0.0.1", wifi["ssid"], wifi["mac"], wifi["ip"], entry.entry_id]
    names = ["secret", "Segreta", "Kunterbunt", "20000741", "ecc9ff", "5c7f14"]
    pseudonyms.assert_absent("\n".join(lines), *identities, *names)
