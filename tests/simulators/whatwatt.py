"""Simulated whatwatt Go, from the vendor's documentation and recorded payloads (`tests/samples/`)."""

import argparse
import asyncio
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
import json
from typing import Any, Self, override

from aiohttp import web

from .digest import BasicAuth, DigestAuth
from .house import PHASES, House
from .server import Handler, Service, Simulator


class Firmware(StrEnum):
    """Versions of the firmware, which differ in their keys and in the authentication."""

    BASIC = "1.2.0"
    """HTTP Basic. All keys, with 0 for values that the meter does not send."""

    FILLING = "1.10.0"
    """HTTP Digest. All keys."""

    SPARSE = "2.8.2"
    """HTTP Digest. Only the keys of values that the meter sends."""


class WhatwattSimulator(Simulator):
    """Reader with one client at a time. Another client ends the stream of the first one."""

    kind = "whatwatt"
    stream_path = "/api/v1/live"
    ids = ("ECC9FF5C7F14", "ECC9FF8A2B30")
    marker_key = "V_P1"

    def __init__(
        self,
        house: House,
        *,
        device_id: str | None = None,
        password: str | None = None,
        firmware: Firmware = Firmware.SPARSE,
        license_type: str | None = None,
        interval: float = 5.0,
        name: str = "",
    ) -> None:
        super().__init__(house, device_id=device_id, interval=interval, name=name)
        self.firmware = firmware
        self.license_type = license_type
        self.meter_status = "OK"
        self.clouds = {"whatwatt": False, "solar_manager": False, "mqtc": False, "stromkonto": False}
        """Cloud services, and whether each is enabled."""

        self.has_internet = True
        self.sub_meters: dict[str, float | None] = {}
        """Registers of the sub-meters by their id."""

        self.sub_meters_read_at: datetime | None = None
        """Time of the registers of the sub-meters; None for that of each reading."""

        self.uptime = 338_352.0
        self.report_id = 72
        self.auth: DigestAuth | BasicAuth | None = None
        if password is not None:
            self.auth = (BasicAuth if firmware is Firmware.BASIC else DigestAuth)(password)

    @override
    @classmethod
    def service(cls, device_id: str, port: int) -> Service:
        name, hostname = f"whatwatt Go {device_id[-6:]} WebUI", f"whatwatt-{device_id[-6:]}"
        return Service("_http._tcp.local.", name, hostname, port, {"id": device_id, "type": "100"})

    @override
    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--password", help="password of the device")
        parser.add_argument(
            "--firmware",
            type=Firmware,
            choices=Firmware,
            default=Firmware.SPARSE,
            help="default: %(default)s",
        )
        parser.add_argument("--license-type", help="PLUS or PRO")

    @property
    @override
    def password(self) -> str | None:
        return None if self.auth is None else self.auth.password

    @override
    def routes(self) -> Iterable[web.RouteDef]:
        return (
            web.get("/api/v1/system", self._get_system),
            web.get("/api/v1/report", self._get_report),
            web.get(self.stream_path, self._get_live),
            web.post("/api/v1/reboot", self._post_reboot),
        )

    @override
    async def respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if "Origin" in request.headers:
            return web.Response(status=404)
        if self.auth is not None:
            authorization = request.headers.get("Authorization")
            challenge = self.auth.check(authorization, request.method, request.path_qs)
            if challenge is not None:
                return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        return await handler(request)

    @override
    async def advance(self, seconds: float) -> None:
        await super().advance(seconds)
        self.uptime += seconds
        self.report_id += 1

    @override
    async def send_reading(self) -> None:
        if self.meter_status == "OK":
            await self.broadcast(self.encode(_dump(self.live())))

    @override
    def payload(self) -> dict[str, Any]:
        return self.live()

    @override
    def encode(self, payload: str) -> bytes:
        return f"event: live\ndata: {payload}\n\n".encode()

    @override
    async def send_everything(self) -> None:
        # Old firmware sends the demand of the tariffs, and only new firmware sends the rest.
        for firmware in (Firmware.FILLING, Firmware.SPARSE):
            self.firmware = firmware
            await self.tick()

    @override
    def set_register(self, watt_hours: float) -> None:
        self.overrides["E_In"] = _kilo(watt_hours)

    @override
    def stop_meter(self) -> None:
        self.meter_status = "NO DATA"

    @override
    def resume_meter(self) -> None:
        self.meter_status = "OK"

    @override
    def reboot(self) -> None:
        self.uptime = 0
        if isinstance(self.auth, DigestAuth):
            self.auth.delete_nonces()

    @override
    def neighbor(self, house: House) -> Self:
        neighbor = super().neighbor(house)
        neighbor.auth = self.auth
        return neighbor

    @override
    def secrets(self) -> list[str]:
        mac_address = bytes.fromhex(self.device_id)
        system = self.system()
        return [
            *super().secrets(),
            *(mac_address.hex(separator) for separator in (":", "-")),
            self.device_id.lower(),
            *([self.password] if self.password else []),
            *self.sub_meters,
            self.report()["system"]["boot_id"],
            *(system["wifi"][key] for key in ("bssid", "mac", "ip", "gateway", "mask")),
            f'"{system["wifi"]["ssid"]}"',
            system["ethernet"]["mac"],
            *(system["meter"][key] for key in ("id", "type")),
        ]

    async def _get_live(self, request: web.Request) -> web.StreamResponse:
        self.end_streams()
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        await self.serve_stream(request, response)
        return response

    async def _get_system(self, _request: web.Request) -> web.Response:
        return web.json_response(self.system())

    async def _post_reboot(self, _request: web.Request) -> web.Response:
        self.reboot()
        asyncio.get_running_loop().call_soon(self.end_streams)
        return web.Response(status=204)

    async def _get_report(self, _request: web.Request) -> web.Response:
        if self.license_type is None:
            return web.Response(status=404, text="License required")
        return web.json_response(self.report())

    def live(self) -> dict[str, Any]:
        """Return the payload of a `live` event, with the keys in the order of the device."""
        house = self.house
        power, reactive = house.power, house.reactive_power
        payload: dict[str, Any] = {
            "P_In": _kilo(max(house.net_power, 0)),
            "P_Out": _kilo(max(-house.net_power, 0)),
            **{f"P_P{p + 1}_In": _kilo(max(power[p], 0)) for p in PHASES},
            **{f"P_P{p + 1}_Out": _kilo(max(-power[p], 0)) for p in PHASES},
        }
        if self.firmware is not Firmware.SPARSE:
            demand = house.maximum_demand
            payload["P_P_In"] = _kilo(max(demand.values()))
            payload |= {f"P_P_In_T{tariff}": _kilo(power) for tariff, power in demand.items()}
        payload |= {
            "rP_In": _kilo(max(sum(reactive), 0)),
            "rP_Out": _kilo(max(-sum(reactive), 0)),
            **(self._reactive_phases() if self.firmware is Firmware.SPARSE else {}),
            "PF": _number(house.power_factor, 2) if self.firmware is Firmware.SPARSE else 0,
            **{f"I_P{p + 1}": _number(house.current(p), 2) for p in PHASES},
            **{f"V_P{p + 1}": _number(house.voltage[p], 1) for p in PHASES},
        }
        payload |= {
            "E_In": _kilo(sum(house.active_import.values())),
            "E_In_T1": _kilo(house.active_import[1]),
            "E_In_T2": _kilo(house.active_import[2]),
            "E_Out": _kilo(sum(house.active_export.values())),
            "E_Out_T1": _kilo(house.active_export[1]),
            "E_Out_T2": _kilo(house.active_export[2]),
            "rE_In": _kilo(house.reactive_import),
            "rE_Out": _kilo(house.reactive_export),
        }
        if self.firmware is Firmware.SPARSE:
            # The quadrants of this house while it imports and while it exports.
            payload |= {"rEii": 0, "rEic": payload["rE_In"], "rEei": 0, "rEec": payload["rE_Out"]}
            payload["T"] = house.tariff
        local = house.clock.astimezone(self.house.zone)
        if self.sub_meters:
            read_at = (self.sub_meters_read_at or house.clock).astimezone(self.house.zone)
            payload["Vol"] = [
                {"Bus": bus, "M_ID": meter_id}
                | ({} if count is None else {"DT": f"{read_at:%Y-%m-%dT%H:%M:%S}", "Cum": count})
                for bus, (meter_id, count) in enumerate(self.sub_meters.items(), 1)
            ]
        payload |= {
            "Date": f"{local:%Y-%m-%d}",
            "Time": f"{local:%H:%M:%S}",
            "Uptime": _number(self.uptime / 3600, 2),
        }
        payload |= self.overrides
        return {key: value for key, value in payload.items() if key not in self.missing_keys}

    def _reactive_phases(self) -> dict[str, float]:
        reactive = self.house.reactive_power
        return {
            **{f"rP_P{p + 1}_In": _kilo(max(reactive[p], 0)) for p in PHASES},
            **{f"rP_P{p + 1}_Out": _kilo(max(-reactive[p], 0)) for p in PHASES},
        }

    def system(self) -> dict[str, Any]:
        """Return the response of `/api/v1/system`."""
        local = self.house.clock.astimezone(self.house.zone)
        date, time = f"{local:%Y-%m-%d}", f"{local:%H:%M:%S}"
        device: dict[str, Any] = {
            "name": self.name,
            "id": self.device_id,
            "model": "WW_Go_1.3",
            "firmware": self.firmware,
            "upgrade_capable": True,
            "date": date,
            "time": time,
            "time_since_boot": int(self.uptime),
            "plug": {"v_usb": 5.16, "v_mbus": 13.94, "v_p1": 2.83, "v_scap": 4.87},
        }
        system: dict[str, Any] = {
            "device": device,
            "clouds": {
                **{
                    name: {"enabled": on, "connected": on and self.has_internet}
                    for name, on in self.clouds.items()
                },
                "mystrom": {"enabled": False, "status": "DISABLED"},
            },
            "meter": {
                "status": self.meter_status,
                "interface": "MBUS",
                "id": "12345678",
                "manufacturer": "Landis+Gyr",
                "type": "LGZ1030784855204",
                "model": "",
                "protocol": "DLMS",
                "report_interval": self.interval,
                "tariff": self.house.tariff,
                "date": date,
                "time": time,
            },
            "wifi": {
                "ssid": "home",
                "bssid": "DC15C84FBAB6",
                "channel": 13,
                "rssi": -57,
                "signal": 74,
                "mac": self.device_id,
                "ip": "192.168.99.114",
                "mask": "255.255.255.0",
                "gateway": "192.168.99.1",
                "status": "OK",
                "mode": "STA",
            },
        }
        if self.firmware is not Firmware.BASIC:
            device["build"] = "11b8102-68dfd692"
            system["ethernet"] = {"mac": f"{int(self.device_id, 16) + 3:012X}", "status": "Down"}
            if self.license_type is not None:
                device["license"] = {"type": self.license_type, "activation_date": "2025-09-24T11:05:41Z"}
        return system

    def report(self) -> dict[str, Any]:
        """Return the response of `/api/v1/report`."""
        live = self.live()

        def phases(key: str) -> dict[str, Any]:
            return {f"l{p + 1}": live[key.format(p + 1)] for p in PHASES}

        def tariffs(key: str) -> dict[str, Any]:
            return {"total": live[key], "t1": live[f"{key}_T1"], "t2": live[f"{key}_T2"]}

        now = self.house.clock
        local = now.astimezone(self.house.zone)
        times = {
            # It ends with Z, although it is local time.
            "date_time": f"{local:%Y-%m-%dT%H:%M:%S}Z",
            "date_time_local": local.isoformat(timespec="seconds"),
            "date_time_utc": f"{now:%Y-%m-%dT%H:%M:%S}Z",
        }
        return {
            "report": {
                "id": self.report_id,
                "interval": self.interval,
                "tariff": self.house.tariff,
                **times,
                "instantaneous_power": {
                    "active": {
                        "positive": {"total": live["P_In"], **phases("P_P{}_In")},
                        "negative": {"total": live["P_Out"], **phases("P_P{}_Out")},
                    },
                    "reactive": {
                        "positive": {"total": live["rP_In"]},
                        "negative": {"total": live["rP_Out"]},
                    },
                },
                "voltage": phases("V_P{}"),
                "current": phases("I_P{}"),
                "energy": {"active": {"positive": tariffs("E_In"), "negative": tariffs("E_Out")}},
                "conv_factor": 1,
            },
            "meter": {"status": self.meter_status, "interface": "MBUS", "protocol": "DLMS", "id": "12345678"},
            "system": {
                "id": self.device_id,
                **times,
                "boot_id": "7CDC08FD",
                "time_since_boot": int(self.uptime),
            },
        }


def _kilo(value: float) -> float:
    """Return W as kW, or Wh as kWh, in the meter's resolution."""
    return _number(value / 1000, 3)


def _number(value: float, digits: int) -> float:
    """Return a number in the format of the device, without a fraction of zero."""
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def _dump(payload: dict[str, Any]) -> str:
    return json.dumps(payload, separators=(",", ":"))
