"""A third reader, made up: all that docs/adding-a-reader.md asks for, and what comes of it by itself."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from enum import StrEnum
import json
from typing import ClassVar, Final, cast, override

from aiohttp import web
from homeassistant.config_entries import SOURCE_USER, ConfigEntryState
from homeassistant.const import CONF_HOST
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr
import pytest

from custom_components.energy_sse import coordinator
from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import (
    Measurement as M,
    Message,
    Reader,
    ReaderConnectionError,
    ReaderInfo,
    ReaderKind,
    ReaderProtocolError,
    Reading,
    Unit,
    parse_object,
)
from custom_components.energy_sse.reader.base import Fields, measurement_names, parse_measurements, units_of
from custom_components.energy_sse.reader.identify import READERS
from custom_components.energy_sse.reader.payload import get_text

from .conftest import Start
from .home_assistant import entity_id, state_of
from .simulators.house import House
from .simulators.network import FaultyNetwork
from .simulators.server import Simulator
from .time_machine import TimeMachine
from .wait import wait_until

# ---------------------------------------------------------------------------------------- 1. its wire

FIELDS: Final[Fields] = {
    "in": (M.ACTIVE_POWER_IMPORT, Unit.WATT),
    "out": (M.ACTIVE_POWER_EXPORT, Unit.WATT),
    "total": (M.ACTIVE_ENERGY_IMPORT, Unit.KILOWATT_HOUR),
    "fed": (M.ACTIVE_ENERGY_EXPORT, Unit.KILOWATT_HOUR),
}


class Kind(StrEnum):
    """What `ReaderKind` would have one line more of."""

    WHATWATT = "whatwatt"
    CURRENTLYONE = "currentlyone"
    GRIDLET = "gridlet"


class GridletReader(Reader):
    """Talks to a Gridlet, which says who it is at `/me` and sends `meter` events at `/meter`."""

    kind: ClassVar = cast("ReaderKind", Kind.GRIDLET)
    manufacturer: ClassVar = "Gridlet Ltd"
    model: ClassVar = "Gridlet"
    units: ClassVar = units_of(FIELDS)

    @override
    async def identify(self) -> ReaderInfo:
        payload = await self._http.get_json("/me")
        device_id = get_text(payload, "gridlet")
        if device_id is None:
            raise ReaderProtocolError("the device does not say its id")
        return ReaderInfo(kind=self.kind, id=device_id, firmware=get_text(payload, "firmware"))

    @override
    async def stream(self) -> AsyncGenerator[Message]:
        yield await self.identify()
        async with aclosing(self._http.events("/meter", idle_timeout=lambda: 60)) as events:
            async for event in events:
                if event is None:
                    raise ReaderConnectionError("the stream is silent")
                if values := parse_measurements(parse_object(event.data) or {}, measurement_names(FIELDS)):
                    yield Reading(values=values)


# ------------------------------------------------------------------------------------ 2. its simulator


class GridletSimulator(Simulator):
    """A simulated Gridlet."""

    stream_path = "/meter"

    @override
    def routes(self) -> Iterable[web.RouteDef]:
        return web.get("/me", self._get_me), web.get("/meter", self._get_meter)

    @override
    async def send_reading(self) -> None:
        await self.broadcast(f"event: meter\ndata: {json.dumps(self.reading())}\n\n".encode())

    def reading(self) -> dict[str, float]:
        """Return the payload of a `meter` event."""
        house = self.house
        return {
            "in": round(max(house.net_power, 0)),
            "out": round(max(-house.net_power, 0)),
            "total": round(sum(house.active_import.values()) / 1000, 3),
            "fed": round(sum(house.active_export.values()) / 1000, 3),
        }

    async def _get_me(self, _request: web.Request) -> web.Response:
        return web.json_response({"gridlet": "GL-000042", "firmware": "7"})

    async def _get_meter(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await self.serve_stream(request, response)
        return response


# ------------------------------------------------------------------------- 3. where it has to be known


@pytest.fixture(autouse=True)
def _gridlets_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(Kind) == {*ReaderKind, "gridlet"}
    monkeypatch.setattr(coordinator, "ReaderKind", Kind)
    monkeypatch.setitem(cast("dict[ReaderKind, type[Reader]]", READERS), GridletReader.kind, GridletReader)


# -------------------------------------------------------------------------- what comes of it by itself


@pytest.fixture
async def gridlet(house: House, start: Start) -> GridletSimulator:
    """Return a simulated Gridlet."""
    reader = GridletSimulator(house, interval=10)
    await start(reader)
    return reader


async def test_third_reader_is_set_up_streams_and_comes_back(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, gridlet: GridletSimulator
) -> None:
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_HOST: gridlet.host})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    entry = result["result"]
    assert entry.title == "Gridlet GL-000"
    await wait_until(lambda: gridlet.streams)

    await gridlet.tick()
    await wait_until(lambda: entity_id(hass, "sensor", "GL-000042_active_energy_export"))
    await hass.async_block_till_done()
    reading = gridlet.reading()
    power = state_of(hass, "sensor", "GL-000042_active_power_net")
    assert float(power.state) == reading["in"] - reading["out"]
    energy = state_of(hass, "sensor", "GL-000042_active_energy_import")
    assert (float(energy.state), energy.attributes["unit_of_measurement"]) == (reading["total"], "kWh")
    assert entity_id(hass, "sensor", "GL-000042_voltage_l1") is None, "its wire has none"

    device = device_registry.async_get_device_by_identifier((DOMAIN, "GL-000042"), entry.entry_id)
    assert device is not None
    assert (device.manufacturer, device.model, device.sw_version) == ("Gridlet Ltd", "Gridlet", "7")

    # A connection that is lost is made again.
    gridlet.end_streams()
    await wait_until(lambda: gridlet.streams)
    await gridlet.tick()
    expected = gridlet.reading()["total"]
    await wait_until(
        lambda: float(state_of(hass, "sensor", "GL-000042_active_energy_import").state) == expected
    )

    assert await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED


async def ask_for_a_password(_client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reject a request, and close the connection."""
    challenge = 'WWW-Authenticate: Basic realm="x"'
    writer.write(f"HTTP/1.1 401 Unauthorized\r\n{challenge}\r\nContent-Length: 0\r\n\r\n".encode())
    await writer.drain()


async def test_third_reader_is_back_after_something_asked_for_a_password(
    hass: HomeAssistant, gridlet: GridletSimulator, time_machine: TimeMachine
) -> None:
    network = await FaultyNetwork(gridlet).start()
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={CONF_HOST: network.host}
    )
    entry = flow["result"]
    await wait_until(lambda: gridlet.streams)
    network.answer = ask_for_a_password
    await network.cut()
    await time_machine.advance(120)
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN) == []
    stats = entry.runtime_data.reader.stats
    connects = stats.connects
    network.answer = None
    await time_machine.advance(320)
    assert stats.connects > connects
    await hass.config_entries.async_unload(entry.entry_id)
    await network.stop()


async def test_the_other_readers_are_still_known(hass: HomeAssistant, whatwatt: Simulator) -> None:
    flow = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], {CONF_HOST: whatwatt.host})
    assert result["title"] == "whatwatt Go 5C7F14"
    assert await hass.config_entries.async_unload(result["result"].entry_id)
