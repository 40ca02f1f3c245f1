"""Simulated CurrentlyOne, from the vendor's documentation and recorded payloads (`tests/samples/`)."""

from collections import deque
from collections.abc import Iterable
from datetime import timedelta, timezone
import json
from typing import Any, override
from zoneinfo import ZoneInfo

from aiohttp import web

from .house import PHASES, Change, House
from .server import Service, Simulator

STOCKHOLM = ZoneInfo("Europe/Stockholm")

# Swedish meters run on standard time all year.
METER_TIME = timezone(timedelta(hours=1))

PING_AFTER = 15.0


class UnchunkedResponse(web.StreamResponse):
    """A response without a length and without chunks, which ends with the connection."""

    _length_check = False


class CurrentlyOneSimulator(Simulator):
    """Reader with several clients, which receive the stored events at the connect."""

    kind = "currentlyone"
    stream_path = "/events"
    ids = ("b8b41879cf58", "c8b41879cf58")
    marker_key = "U1"

    def __init__(
        self,
        house: House,
        *,
        device_id: str | None = None,
        firmware: str = "2.8.9",
        mode: str = "HAN",
        interval: float = 10.0,
        name: str = "",
        has_inventory: bool = True,
    ) -> None:
        super().__init__(house, device_id=device_id, interval=interval, name=name)
        self.firmware = firmware
        self.mode = mode
        self.has_inventory = has_inventory
        self.meter_is_connected = True
        self.clock_error = timedelta()
        """Time by which the clock of the device is ahead."""

        self.sends_registers_hourly = False
        """True if only the first telegram of an hour contains the registers."""

        self.stores_readings = True
        """True if the device stores readings and hourly registers, and repeats them after a connect."""

        self._states: deque[bytes] = deque(maxlen=32)
        self._hourly: deque[bytes] = deque(maxlen=64)
        self._detected: dict[str, bytes] = {}
        self._idle_seconds = 0.0
        self._registers_sent_in = -1
        self._on_the_hour = self._registers

    @override
    @classmethod
    def service(cls, device_id: str, port: int) -> Service:
        name = f"CurrentlyOne_{device_id}"
        # The device probably announces the port of its telnet server.
        return Service("_currently._tcp.local.", name, name, 23 if port == 80 else port)

    @override
    def routes(self) -> Iterable[web.RouteDef]:
        return (
            web.get(self.stream_path, self._get_events),
            web.get("/api/v1/device", self._get_device),
        )

    @override
    async def advance(self, seconds: float) -> None:
        self._idle_seconds += seconds
        while (to_hour := min(self._to_hour(timedelta()), self._to_hour(self.clock_error))) <= seconds:
            await self._advance_house(to_hour)
            if self.house.clock.timestamp() % 3600 == 0:
                self._on_the_hour = self._registers
            # The device stores the registers when its own clock is on the hour.
            if self._now % 3600 == 0 and self.meter_is_connected and self.stores_readings:
                self._hourly.append(_event("hourly", self._hourly_register()))
                await self._send(self._hourly[-1])
            seconds -= to_hour
        await self._advance_house(seconds)
        if self._idle_seconds >= PING_AFTER and not self.meter_is_connected:
            await self.send_heartbeat()

    def _to_hour(self, clock_error: timedelta) -> float:
        """Return the seconds until a clock is on the hour."""
        return 3600 - (self.house.clock + clock_error).timestamp() % 3600

    async def _advance_house(self, seconds: float) -> None:
        for change in self.house.advance(seconds):
            await self.send_transition(change)

    @override
    async def send_reading(self) -> None:
        if not self.meter_is_connected:
            return
        hour = self._now // 3600
        has_registers = not self.sends_registers_hourly or hour != self._registers_sent_in
        self._registers_sent_in = hour
        self._states.append(self.encode(self.state(has_registers=has_registers)))
        await self._send(self._states[-1])

    @override
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.state())
        return payload

    @override
    def encode(self, payload: str) -> bytes:
        return _event("state", payload)

    @override
    async def send_everything(self) -> None:
        self.mode = "H+B"
        await self.tick()

    @override
    def set_register(self, watt_hours: float) -> None:
        self.overrides["Wh"] = int(watt_hours)

    @override
    def stop_meter(self) -> None:
        self.meter_is_connected = False

    @override
    def resume_meter(self) -> None:
        self.meter_is_connected = True

    @override
    def secrets(self) -> list[str]:
        mac_address = bytes.fromhex(self.device_id)[::-1]
        secrets = [*super().secrets(), "dLink2.4", "192.168.1.122", "casamia", "SE2"]
        for address in (mac_address, mac_address[::-1]):
            secrets += [address.hex(), address.hex(":"), address.hex("-")]
        for appliance in self.house.appliances:
            secrets += [appliance.id, *appliance.name.split()]
            secrets += [state.name for state in appliance.states if state.name != "off"]
        return secrets

    @override
    async def switch(self, appliance_id: str, state: str) -> None:
        await self.send_transition(self.house.switch(appliance_id, state))

    async def send_transition(self, change: Change) -> None:
        """Report a change as `transition`, and as `detected` in a `state`."""
        appliance, state = change.appliance, change.appliance.state
        local = change.time.astimezone(STOCKHOLM)
        transition = {
            "actual": state.power - change.left.power,
            "id": appliance.id,
            "bs": "ON" if state.is_on else "OFF",
            "W": state.power,
            "Wh": int(appliance.energy),
            "sec": int(change.time.timestamp()),
            "t": f"{local:%Y-%m-%dT%H:%M:%S%z}",
            "dName": appliance.name,
            "sName": state.name,
            "trigger": "",
            "algo": 0,
            "from": change.left.name,
            "delta": state.power - change.left.power,
            "cat": appliance.category,
        }
        await self._send(_event("transition", _dump(transition)))
        detected = {"id": appliance.id, "to": appliance.index, "algo": 0, "Wh": int(appliance.energy)}
        self._detected[appliance.id] = _event(
            "state",
            f'{{"m":"ALL","t":"{local:%Y-%m-%dT%H:%M:%S%z}","sec":{int(change.time.timestamp())},'
            f'"detected":[\t{_dump(detected)}]}}',
        )
        await self._send(self._detected[appliance.id])

    @override
    async def send_heartbeat(self) -> None:
        await self._send(_event("ping", f'{{"sec":{self._now}}}'))

    def forget(self) -> None:
        """Delete the stored events, as after a power failure."""
        for memory in (self._states, self._hourly, self._detected):
            memory.clear()

    @override
    async def announce_restart(self, reason: str = "") -> None:
        await self._send(_event("status", f"restart {reason}".rstrip()))
        self.end_streams()

    def config(self) -> str:
        """Return the payload of `config`. The device does not escape names."""
        local = (self.house.clock + self.clock_error).astimezone(STOCKHOLM)
        return (
            f'{{"id":"{self.device_id}","v":"{self.firmware}","m":"{self.mode}","area":"SE2",'
            f'"ssid":"dLink2.4","localIP":"192.168.1.122","mqtt":"","remoteUrl":"https://c1.casamia.example",'
            f'"name":"{self.name}","imps":1000,"crc":"verify","autoFota":"disabled","pullup":"internal",'
            f'"t":"{local:%Y-%m-%dT%H:%M:%S%z}","rr":"SW","rssi":-82,"txPwr":76}}'
        )

    def state(self, *, has_registers: bool = True) -> str:
        """Return the payload of a `state` event, with the keys in the order of the device."""
        house = self.house
        fields: dict[str, str | float] = {
            "m": '"HAN"',
            "W": round(max(house.net_power, 0)),
            "Wh": int(sum(house.active_import.values())),
            "t": f'"{house.clock.astimezone(METER_TIME):%Y-%m-%dT%H:%M:%S%z}"',
            "Ph": int(sum(house.active_export.values())),
            "Rh": int(house.reactive_import),
            "Qh": int(house.reactive_export),
            "P": round(max(-house.net_power, 0)),
            "R": round(max(sum(house.reactive_power), 0)),
            "Q": round(max(-sum(house.reactive_power), 0)),
        }
        for p in PHASES:
            fields |= {
                f"L{p + 1}": round(max(house.power[p], 0)),
                f"P{p + 1}": round(max(-house.power[p], 0)),
                f"R{p + 1}": round(max(house.reactive_power[p], 0)),
                f"Q{p + 1}": round(max(-house.reactive_power[p], 0)),
                f"I{p + 1}": f"{house.current(p):.3f}",
                f"U{p + 1}": f"{house.voltage[p]:.3f}",
            }
        if self.mode == "H+B":
            fields |= {"bW": fields["W"], "bWh": int(sum(house.active_import.values())) % 100_000}
        if self.sends_registers_hourly:
            fields |= self._on_the_hour
        if not has_registers:
            fields = {key: value for key, value in fields.items() if not key.endswith("h")}
        fields |= {**self.overrides, "sec": self._now}
        fields = {key: value for key, value in fields.items() if key not in self.missing_keys}
        return "{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + "}"

    def inventory(self) -> dict[str, Any]:
        """Return the response of `/api/v1/device`."""
        return {
            "devices": [
                {
                    "id": appliance.id,
                    "name": appliance.name,
                    "profileId": appliance.category,
                    "source": f"L{appliance.phase + 1}",
                    "states": [
                        {
                            "id": index,
                            "name": state.name,
                            "power": state.power,
                            "minPower": 0,
                            "timeout": 0,
                            "status": state.is_on,
                            "push": False,
                            "transitions": [],
                        }
                        for index, state in enumerate(appliance.states)
                    ],
                }
                for appliance in self.house.appliances
            ],
            "sources": ["W", "L1", "L2", "L3"],
        }

    @property
    def _now(self) -> int:
        return int((self.house.clock + self.clock_error).timestamp())

    def _hourly_register(self) -> str:
        """Return the registers on the hour, with the time of the next second."""
        second = self._now + 1
        return f'{{"sec":{second},"Wh":{self._registers["Wh"]},"Ph":{self._registers["Ph"]}}}'

    @property
    def _registers(self) -> dict[str, int]:
        registers = {"Wh": self.house.active_import, "Ph": self.house.active_export}
        return {key: int(sum(register.values())) for key, register in registers.items()}

    async def _send(self, data: bytes) -> None:
        self._idle_seconds = 0.0
        await self.broadcast(data)

    def _greeting(self) -> bytes:
        """Return the first events of a stream."""
        online, config = _event("status", "online"), _event("config", self.config())
        states = self._states if self.stores_readings else ()
        return b"".join((online, config, *self._hourly, *self._detected.values(), *states))

    async def _get_events(self, request: web.Request) -> web.StreamResponse:
        response = UnchunkedResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        response.force_close()
        await self.serve_stream(request, response, self._greeting)
        return response

    async def _get_device(self, _request: web.Request) -> web.Response:
        if not self.has_inventory:
            return web.Response(status=404)
        return web.json_response(self.inventory())


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\r\ndata: {data}\r\n\r\n".encode()


def _dump(payload: dict[str, Any]) -> str:
    return json.dumps(payload, separators=(",", ":"))
