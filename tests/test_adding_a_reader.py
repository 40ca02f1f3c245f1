"""A third kind of reader, as docs/adding-a-reader.md describes."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime
import json
import re
from typing import Any, ClassVar, Final, cast, override

from aiohttp import web
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
import pytest

from custom_components.energy_sse import config_flow
from custom_components.energy_sse.const import CONF_POWER_TARIFF, DOMAIN
from custom_components.energy_sse.reader import (
    READERS,
    Announcement,
    Measurement as M,
    Message,
    Property as P,
    Reader,
    ReaderConnectionError,
    ReaderInfo,
    ReaderProtocolError,
    ReaderStatus,
    Reading,
    Reason,
    Unit,
    parse_object,
)
from custom_components.energy_sse.reader.base import (
    Fields,
    KeyPath,
    measurement_names,
    parse_measurements,
)
from custom_components.energy_sse.reader.payload import get_text, parse_time

from .conftest import Start
from .dialogs import discover, enter_host, outcome, submit
from .home_assistant import announcement, entity_id, set_up, state_of, tick
from .simulators import SIMULATORS
from .simulators.house import House
from .simulators.network import FaultyNetwork
from .simulators.server import Service, Simulator
from .time_machine import TimeMachine
from .wait import wait_until

# ------------------------------------------------------------------------------------- 1. its class

# Key of a `meter` event → measurement. Power has a sign.
FIELDS: Final[Fields] = {
    "power": (M.ACTIVE_POWER_NET, Unit.WATT),
    "total": (M.ACTIVE_ENERGY_IMPORT, Unit.KILOWATT_HOUR),
    "fed": (M.ACTIVE_ENERGY_EXPORT, Unit.KILOWATT_HOUR),
}
NAMES: Final = measurement_names(FIELDS)

# Keys of `/me` → property.
NUMBERS: Final[Mapping[KeyPath, P]] = {("wifi", "rssi"): P.SIGNAL_STRENGTH}
TEXTS: Final[Mapping[KeyPath, P]] = {("meter",): P.METER_STATUS}

# Value of `meter` → value of *Meter status*.
METER_STATUSES: Final = {"fine": "OK", "locked": "KEY REQUIRED"}

DEVICE_ID: Final = re.compile(r"GL-\d{6}")


class GridletReader(Reader):
    """Connection to a Gridlet, which sends its identity at `/me`, and `meter` events at `/meter`."""

    kind: ClassVar = "gridlet"
    manufacturer: ClassVar = "Gridlet Ltd"
    model: ClassVar = "Gridlet"
    fields: ClassVar = FIELDS
    numbers: ClassVar = NUMBERS
    texts: ClassVar = TEXTS
    stream_path: ClassVar = "/meter"
    identity_path: ClassVar = "/me"
    key_missing_statuses: ClassVar = frozenset({"KEY REQUIRED"})
    dhcp_hostnames: ClassVar = ("gridlet-",)
    safe_keys: ClassVar = frozenset({"firmware", "meter"})
    protocol_words: ClassVar = frozenset({"firmware", "gridlet", "meter", *METER_STATUSES})

    @override
    @classmethod
    def parse_properties(cls, payload: Mapping[str, Any]) -> dict[P, str | float | bool | datetime]:
        values = super().parse_properties(payload)
        if (status := values.get(P.METER_STATUS)) is not None:
            values[P.METER_STATUS] = METER_STATUSES.get(str(status), status)
        return values

    @override
    @classmethod
    def id_in_announcement(cls, announcement: Announcement) -> str | None:
        if announcement.type != "_gridlet._tcp.local.":
            return None
        return announcement.name if DEVICE_ID.fullmatch(announcement.name) else ""

    @override
    async def identify(self) -> ReaderInfo:
        return parse_identity(await self._http.get_json(self.identity_path))

    @override
    async def stream(self) -> AsyncGenerator[Message]:
        me = await self._http.get_json(self.identity_path)
        yield parse_identity(me)
        yield ReaderStatus(values=self.parse_properties(me))
        async with aclosing(self._http.events(self.stream_path, idle_timeout=lambda: 60)) as events:
            async for event in events:
                if event is None:
                    raise ReaderConnectionError(Reason.STREAM_IDLE)
                payload = parse_object(event.data) or {}
                if values := parse_measurements(payload, NAMES):
                    yield Reading(values=values, reader_time=parse_time(get_text(payload, "time")))


def parse_identity(payload: Mapping[str, Any]) -> ReaderInfo:
    """Return the identity in `/me`. Raises ReaderProtocolError if it is not that of a Gridlet."""
    device_id = get_text(payload, "gridlet")
    if device_id is None or not DEVICE_ID.fullmatch(device_id):
        raise ReaderProtocolError(Reason.INVALID_RESPONSE, "no id of a Gridlet")
    return ReaderInfo(kind=GridletReader.kind, id=device_id, firmware=get_text(payload, "firmware"))


# --------------------------------------------------------------------------------- 2. its simulator


class GridletSimulator(Simulator):
    """A simulated Gridlet."""

    kind = "gridlet"
    stream_path = "/meter"
    ids = ("GL-000042", "GL-000043")
    marker_key = "power"
    meter_status = "fine"

    @override
    @classmethod
    def service(cls, device_id: str, port: int) -> Service:
        return Service("_gridlet._tcp.local.", device_id, f"gridlet-{device_id}", port)

    @override
    def routes(self) -> Iterable[web.RouteDef]:
        return web.get("/me", self._get_me), web.get(self.stream_path, self._get_meter)

    @override
    def payload(self) -> dict[str, Any]:
        house = self.house
        payload = {
            "power": round(house.net_power),
            "total": round(sum(house.active_import.values()) / 1000, 3),
            "fed": round(sum(house.active_export.values()) / 1000, 3),
            "time": house.clock.isoformat(),
        } | self.overrides
        return {key: value for key, value in payload.items() if key not in self.missing_keys}

    @override
    def encode(self, payload: str) -> bytes:
        return f"event: meter\ndata: {payload}\n\n".encode()

    @override
    async def send_reading(self) -> None:
        if self.meter_status == "fine":
            await self.broadcast(self.encode(json.dumps(self.payload())))

    @override
    def set_register(self, watt_hours: float) -> None:
        self.overrides["total"] = round(watt_hours / 1000, 3)

    @override
    def stop_meter(self) -> None:
        self.meter_status = "locked"

    @override
    def resume_meter(self) -> None:
        self.meter_status = "fine"

    async def _get_me(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"gridlet": self.device_id, "firmware": "7", "meter": self.meter_status, "wifi": {"rssi": -60}}
        )

    async def _get_meter(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await self.serve_stream(request, response)
        return response


# ---------------------------------------------------------------------------------- 3. the registries


@pytest.fixture(autouse=True)
def _gridlets_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, GridletReader.kind, GridletReader)
    simulators = cast("dict[str, type[Simulator]]", SIMULATORS)
    monkeypatch.setitem(simulators, GridletSimulator.kind, GridletSimulator)


# ------------------------------------------------------------------------------------ what follows


@pytest.fixture
async def gridlet(house: House, start: Start) -> GridletSimulator:
    """Return a simulated Gridlet."""
    return await start(GridletSimulator(house))


def shown(hass: HomeAssistant, key: str) -> float:
    """Return the state of a sensor as a number."""
    return float(state_of(hass, "sensor", f"GL-000042_{key}").state)


async def test_third_reader_is_added_by_its_address(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, gridlet: GridletSimulator
) -> None:
    flow = await enter_host(hass, gridlet.host)
    assert outcome(flow) == "create_entry"
    entry = flow["result"]
    assert entry.title == "Gridlet 000042"
    await wait_until(lambda: gridlet.streams)
    await tick(hass, gridlet)
    reading = gridlet.payload()
    assert shown(hass, "active_power_net") == reading["power"] < 0
    assert (shown(hass, "active_power_import"), shown(hass, "active_power_export")) == (0, -reading["power"])
    energy = state_of(hass, "sensor", "GL-000042_active_energy_import")
    assert (float(energy.state), energy.attributes["unit_of_measurement"]) == (reading["total"], "kWh")
    assert entity_id(hass, "sensor", "GL-000042_voltage_l1") is None

    device = device_registry.async_get_device_by_identifier((DOMAIN, "GL-000042"), entry.entry_id)
    assert device is not None
    assert (device.manufacturer, device.model, device.sw_version) == ("Gridlet Ltd", "Gridlet", "7")
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED


async def test_third_reader_is_found_by_mdns(hass: HomeAssistant, gridlet: GridletSimulator) -> None:
    flow = await discover(hass, announcement(gridlet))
    assert outcome(flow) == "form discovery_confirm"
    flow = await submit(hass, flow)
    assert (flow["title"], flow["result"].unique_id) == ("Gridlet 000042", gridlet.device_id)
    assert await hass.config_entries.async_unload(flow["result"].entry_id)


async def test_third_reader_is_found_by_its_lease(
    hass: HomeAssistant, gridlet: GridletSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_flow, "_HTTP_PORT", gridlet.port)
    lease = DhcpServiceInfo(ip="127.0.0.1", hostname="gridlet-gl-000042", macaddress="00005e005301")
    assert outcome(await discover(hass, lease)) == "form discovery_confirm"


@pytest.mark.parametrize(
    ("is_locked", "issues", "status"), [(False, [], "ok"), (True, ["meter_key_required"], "key_required")]
)
async def test_third_reader_shows_its_status(
    *,
    hass: HomeAssistant,
    gridlet: GridletSimulator,
    issue_registry: ir.IssueRegistry,
    is_locked: bool,
    issues: list[str],
    status: str,
) -> None:
    if is_locked:
        gridlet.stop_meter()
    entry = await set_up(hass, gridlet)
    await hass.async_block_till_done()
    found = [each.translation_key for each in issue_registry.issues.values() if each.domain == DOMAIN]
    assert found == issues
    assert state_of(hass, "sensor", "GL-000042_meter_status").state == status
    assert await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("key", ["power", "total", "fed"])
async def test_third_reader_can_lack_a_measurement(
    hass: HomeAssistant, gridlet: GridletSimulator, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Set the reader up with a power tariff."""

    class Lacking(GridletReader):
        fields: ClassVar = {name: field for name, field in FIELDS.items() if name != key}

    monkeypatch.setitem(READERS, GridletReader.kind, Lacking)
    gridlet.missing_keys = {key}
    entry = await set_up(hass, gridlet, options={CONF_POWER_TARIFF: {"enabled": True}})
    await gridlet.tick()
    found = "active_energy_import" if key == "power" else "active_power_net"
    await wait_until(lambda: entity_id(hass, "sensor", f"GL-000042_{found}"))
    await hass.async_block_till_done()
    assert await hass.config_entries.async_unload(entry.entry_id)


async def ask_for_a_password(_client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reject a request, and close the connection."""
    challenge = 'WWW-Authenticate: Basic realm="x"'
    writer.write(f"HTTP/1.1 401 Unauthorized\r\n{challenge}\r\nContent-Length: 0\r\n\r\n".encode())
    await writer.drain()


async def test_third_reader_reconnects_after_a_401(
    hass: HomeAssistant, gridlet: GridletSimulator, time_machine: TimeMachine
) -> None:
    network = await FaultyNetwork(gridlet).start()
    entry = (await enter_host(hass, network.host))["result"]
    await wait_until(lambda: gridlet.streams)
    network.respond = ask_for_a_password
    await network.cut()
    await time_machine.advance(120)
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN) == []
    stats = entry.runtime_data.coordinator.reader.stats
    connects = stats.connects
    network.respond = None
    await time_machine.advance(320)
    assert stats.connects > connects
    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()
    await network.stop()
