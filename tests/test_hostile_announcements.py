"""Announcements of devices that are not the reader, and bursts of announcements."""

import asyncio
from collections.abc import AsyncGenerator
from ipaddress import ip_address
import logging
from typing import override

from homeassistant.const import CONF_HOST, CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
import pytest

from custom_components.energy_sse.const import CONF_AUTH_SCHEME, CONF_ENTERED_HOST, DOMAIN
from custom_components.energy_sse.reader import AuthScheme

from . import pseudonyms
from .conftest import Start
from .dialogs import discover, outcome, steps_in_progress, submit
from .home_assistant import announcement, entity_id, set_up
from .logs import OURS
from .simulators import House, WhatwattSimulator
from .simulators.digest import BasicAuth, DigestAuth
from .test_authentication import Rogue, rogue
from .time_machine import TimeMachine
from .wait import wait_until

__all__ = ["rogue"]


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
async def live(house: House, start: Start) -> WhatwattSimulator:
    """Return a whatwatt without a password that sends readings."""
    return await start(WhatwattSimulator(house), live=True)


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


@pytest.mark.parametrize(
    "device_id",
    [
        *(None, b"ECC9FF5C7F14", ["x"], 5, "unknown", "x" * 10_000, "\x00"),
        *("ECC9FF5C7F14\n", "ECC9FF5C7F1\u0661", "\u202e<b>"),
    ],
    ids=lambda device_id: repr(device_id)[:20],
)
async def test_device_is_asked_when_the_announced_id_is_invalid(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, device_id: object
) -> None:
    name = "whatwatt go \x00\u202e[Click](http://evil.example)" + "x" * 10_000
    flow = await discover(hass, mdns(device_id, port=whatwatt.port, name=name, type=b"\xff", other=None))
    assert outcome(flow) == "form discovery_confirm"
    assert flow["description_placeholders"] == {
        "name": "whatwatt Go 5C7F14",
        "host": whatwatt.host,
    }


# ---------------------------------------------------------------------------------------------- bursts


async def test_burst_of_announcements_opens_16_connections(
    hass: HomeAssistant, tarpit: Tarpit, time_machine: TimeMachine
) -> None:
    flows = [
        hass.async_create_task(discover(hass, mdns(f"{number:012X}", port=tarpit.port)))
        for number in range(300)
    ]
    await time_machine.advance(5)
    assert tarpit.open == 16
    await time_machine.advance(30)
    assert {flow["type"] for flow in await asyncio.gather(*flows)} == {"abort"}
    assert len(tarpit.requests) == 16
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN) == []


async def test_burst_of_readers_opens_16_dialogs(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    for number in range(100):
        whatwatt.device_id = f"{number:012X}"
        await discover(hass, announcement(whatwatt))
    assert len(hass.config_entries.flow.async_progress_by_handler(DOMAIN)) == 16
    assert len(whatwatt.requests) == 16


async def test_known_reader_is_followed_during_a_burst(
    hass: HomeAssistant, live: WhatwattSimulator, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, live)
    for number in range(20):
        whatwatt.device_id = f"{number:012X}"
        await discover(hass, announcement(whatwatt))
    await live.stop()
    await live.start(live=True)
    await discover(hass, announcement(live))
    await time_machine.advance(60)
    assert entry.data[CONF_HOST] == live.host
    assert entry.runtime_data.coordinator.data.is_streaming


async def test_reader_is_found_at_its_address_during_a_burst(
    hass: HomeAssistant, live: WhatwattSimulator, tarpit: Tarpit, time_machine: TimeMachine
) -> None:
    """Announce the id of the reader at addresses without a device."""
    await tarpit.stop()
    entry = await set_up(hass, live)
    await live.stop()
    await time_machine.advance(30)
    await live.start(live.port, live=True)
    for number in range(40):
        await discover(hass, mdns(live.device_id, port=tarpit.port + number))
        await time_machine.advance(5)
    assert entry.runtime_data.coordinator.data.is_streaming
    assert entry.runtime_data.coordinator.reader.stats.connects == 2


async def test_changed_password_is_asked_for_during_a_burst(
    hass: HomeAssistant, live: WhatwattSimulator, tarpit: Tarpit, time_machine: TimeMachine
) -> None:
    await tarpit.stop()
    await set_up(hass, live)
    live.auth = DigestAuth("new")
    live.end_streams()
    for number in range(40):
        await discover(hass, mdns(live.device_id, port=tarpit.port + number))
        await time_machine.advance(5)
    assert steps_in_progress(hass) == ["reauth_confirm"]


# ------------------------------------------------------------------------- what another device receives


async def test_announced_address_gets_nothing_but_a_get(
    hass: HomeAssistant, live: WhatwattSimulator, tarpit: Tarpit, time_machine: TimeMachine
) -> None:
    await set_up(hass, live)
    await live.stop()
    await time_machine.advance(10)
    await discover(hass, mdns(live.device_id, port=tarpit.port))
    await time_machine.advance(1)
    assert tarpit.open == 1
    button = entity_id(hass, "button", f"{live.device_id}_restart")
    with pytest.raises(HomeAssistantError):
        await hass.services.async_call("button", "press", {"entity_id": button}, blocking=True)
    await live.start(live.port)
    await hass.services.async_call("button", "press", {"entity_id": button}, blocking=True)
    assert live.requests[-1] == "POST /api/v1/reboot"
    assert all(request.startswith(b"GET /api/v1/system HTTP/1.1\r\n") for request in tarpit.requests)


@pytest.mark.parametrize("auth", [None, DigestAuth("typed")], ids=["confirmed", "with a password"])
async def test_new_device_cannot_replace_a_reader(
    hass: HomeAssistant, live: WhatwattSimulator, house: House, start: Start, auth: DigestAuth | None
) -> None:
    """The owner adds the device, which has the id of the reader then."""
    live.auth = DigestAuth("secret")
    entry = await set_up(hass, live)
    before = dict(entry.data)
    rogue = WhatwattSimulator(house, device_id="ECC9FF000000")
    rogue.auth = auth
    await start(rogue)
    flow = await discover(hass, announcement(rogue))
    rogue.device_id = live.device_id
    flow = await submit(hass, flow, **({} if auth is None else {"password": "typed"}))
    assert outcome(flow) == "abort already_configured"
    await hass.async_block_till_done()
    assert dict(entry.data) == before
    assert entry.runtime_data.coordinator.data.is_streaming
    await hass.config_entries.async_unload(entry.entry_id)


async def test_unencrypted_password_goes_to_the_confirmed_address_only(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue, time_machine: TimeMachine
) -> None:
    """The address that was entered before belongs to another device now."""
    live.auth = DigestAuth("secret")
    entry = await set_up(hass, live, **{CONF_ENTERED_HOST: rogue.host, CONF_AUTH_SCHEME: AuthScheme.DIGEST})
    live.auth = BasicAuth("secret")
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
    assert not rogue.has_password
    assert (entry.data[CONF_HOST], entry.data[CONF_PASSWORD]) == (live.host, "secret")
    assert entry.runtime_data.coordinator.data.is_streaming


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_new_password_is_requested_beside_an_open_confirmation(
    hass: HomeAssistant,
    live: WhatwattSimulator,
    rogue: Rogue,
    time_machine: TimeMachine,
    *,
    is_loaded: bool,
) -> None:
    """Another device asks for the password unencrypted while the reader is off."""
    live.auth = BasicAuth("secret")
    entry = await set_up(hass, live)
    if not is_loaded:
        await hass.config_entries.async_unload(entry.entry_id)
    await live.stop()
    if not is_loaded:
        await hass.config_entries.async_setup(entry.entry_id)
    await time_machine.advance(30)
    await discover(hass, announcement(rogue))
    await time_machine.advance(300)
    assert steps_in_progress(hass) == ["unencrypted"]
    live.auth = BasicAuth("new")
    await live.start(live.port, live=True)
    if not is_loaded:
        await hass.config_entries.async_reload(entry.entry_id)
    await time_machine.advance(400)
    assert steps_in_progress(hass) == ["reauth_confirm"]
    assert not rogue.has_password


class AnyDigest(DigestAuth):
    """Asks for HTTP Digest, and accepts every response."""

    @override
    def check(self, authorization: str | None, method: str, target: str) -> str | None:
        return None if (authorization or "").startswith("Digest") else self.challenge()


async def test_password_is_not_sent_to_a_device_that_used_digest_first(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue, time_machine: TimeMachine
) -> None:
    rogue.auth = AnyDigest("unknown")
    live.auth = BasicAuth("secret")
    entry = await set_up(hass, live)
    await live.stop()
    await discover(hass, announcement(rogue))
    await time_machine.advance(120)
    # Digest proves nothing about the reader.
    assert (entry.data[CONF_HOST], entry.data[CONF_AUTH_SCHEME]) == (rogue.host, AuthScheme.DIGEST)
    rogue.auth = BasicAuth("secret")
    rogue.end_streams()
    await time_machine.advance(120)
    (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    result = await submit(hass, flow, password="secret")
    assert result["step_id"] == "unencrypted"
    assert (result["description_placeholders"] or {})["host"] == rogue.host
    assert not rogue.has_password


async def test_password_is_not_sent_to_a_weaker_entered_address(
    hass: HomeAssistant, live: WhatwattSimulator, rogue: Rogue, time_machine: TimeMachine
) -> None:
    live.auth = DigestAuth("secret")
    entry = await set_up(hass, live, **{CONF_ENTERED_HOST: rogue.host, CONF_AUTH_SCHEME: AuthScheme.DIGEST})
    await time_machine.advance(310)
    rogue.auth = None
    await time_machine.advance(310)
    assert len(rogue.credentials) >= 2
    assert not rogue.has_password
    assert entry.runtime_data.coordinator.reader.stats.connects == 1


# ------------------------------------------------------------------------------------------------- the log


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_log_of_an_attack_has_no_identities(
    hass: HomeAssistant,
    live: WhatwattSimulator,
    rogue: Rogue,
    time_machine: TimeMachine,
    *,
    caplog: pytest.LogCaptureFixture,
    level: int,
) -> None:
    caplog.set_level(level, OURS.name)
    rogue.name = "Villa Kunterbunt"
    live.name, live.auth = "Casa Segreta", BasicAuth("secret")
    live.sub_meters = {"20000741": 5}
    entry = await set_up(hass, live, **{CONF_ENTERED_HOST: "127.0.0.1:9"})
    hass.config_entries.async_update_entry(entry, title="Casa Segreta")
    await time_machine.advance(30)
    await live.stop()
    await discover(hass, announcement(rogue))
    await time_machine.advance(300)
    rogue.auth, rogue.device_id = None, "ECC9FF8A2B30"
    await discover(hass, mdns(live.device_id, port=rogue.port))
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
