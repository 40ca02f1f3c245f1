"""The whatwatt Go: `/api/v1/system` says who and how it is, `/api/v1/live` streams the meter's readings.

Source: the vendor's documentation (documentation.whatwatt.ch, pages "Real-time Streaming" and "System"), and
payloads of firmware 1.x and 2.x.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
import re
from typing import Any, ClassVar, Final, override

from . import clock
from .base import Fields, Poll, Reader, measurement_names, parse_measurements, units_of
from .exceptions import ReaderAuthenticationError, ReaderConnectionError, ReaderError, ReaderProtocolError
from .models import (
    Measurement as M,
    Message,
    Property as P,
    ReaderInfo,
    ReaderKind,
    ReaderStatus,
    Reading,
    SubMeterReading,
    Unit,
)
from .payload import get_id, get_number, get_object, get_text, is_number, parse_object

# Seconds. A device that lives on the meter's power shuts down when it is asked much.
_STATUS_INTERVAL: Final = 300

# Wire key → what it is. P is active power, rP reactive power, E active energy, rE reactive energy, P_P the
# maximum demand, V voltage, I current; In is import, Out export.
FIELDS: Final[Fields] = {
    "P_In": (M.ACTIVE_POWER_IMPORT, Unit.KILOWATT),
    "P_Out": (M.ACTIVE_POWER_EXPORT, Unit.KILOWATT),
    "P_P1_In": (M.ACTIVE_POWER_IMPORT_L1, Unit.KILOWATT),
    "P_P2_In": (M.ACTIVE_POWER_IMPORT_L2, Unit.KILOWATT),
    "P_P3_In": (M.ACTIVE_POWER_IMPORT_L3, Unit.KILOWATT),
    "P_P1_Out": (M.ACTIVE_POWER_EXPORT_L1, Unit.KILOWATT),
    "P_P2_Out": (M.ACTIVE_POWER_EXPORT_L2, Unit.KILOWATT),
    "P_P3_Out": (M.ACTIVE_POWER_EXPORT_L3, Unit.KILOWATT),
    "P_P_In": (M.MAXIMUM_DEMAND_IMPORT, Unit.KILOWATT),
    "P_P_In_T1": (M.MAXIMUM_DEMAND_IMPORT_T1, Unit.KILOWATT),
    "P_P_In_T2": (M.MAXIMUM_DEMAND_IMPORT_T2, Unit.KILOWATT),
    "rP_In": (M.REACTIVE_POWER_IMPORT, Unit.KILOVAR),
    "rP_Out": (M.REACTIVE_POWER_EXPORT, Unit.KILOVAR),
    "rP_P1_In": (M.REACTIVE_POWER_IMPORT_L1, Unit.KILOVAR),
    "rP_P2_In": (M.REACTIVE_POWER_IMPORT_L2, Unit.KILOVAR),
    "rP_P3_In": (M.REACTIVE_POWER_IMPORT_L3, Unit.KILOVAR),
    "rP_P1_Out": (M.REACTIVE_POWER_EXPORT_L1, Unit.KILOVAR),
    "rP_P2_Out": (M.REACTIVE_POWER_EXPORT_L2, Unit.KILOVAR),
    "rP_P3_Out": (M.REACTIVE_POWER_EXPORT_L3, Unit.KILOVAR),
    "PF": (M.POWER_FACTOR, Unit.NONE),
    "E_In": (M.ACTIVE_ENERGY_IMPORT, Unit.KILOWATT_HOUR),
    "E_In_T1": (M.ACTIVE_ENERGY_IMPORT_T1, Unit.KILOWATT_HOUR),
    "E_In_T2": (M.ACTIVE_ENERGY_IMPORT_T2, Unit.KILOWATT_HOUR),
    "E_Out": (M.ACTIVE_ENERGY_EXPORT, Unit.KILOWATT_HOUR),
    "E_Out_T1": (M.ACTIVE_ENERGY_EXPORT_T1, Unit.KILOWATT_HOUR),
    "E_Out_T2": (M.ACTIVE_ENERGY_EXPORT_T2, Unit.KILOWATT_HOUR),
    "rE_In": (M.REACTIVE_ENERGY_IMPORT, Unit.KILOVAR_HOUR),
    "rE_Out": (M.REACTIVE_ENERGY_EXPORT, Unit.KILOVAR_HOUR),
    # The vendor's pages disagree on the numbers of the quadrants; the words are clear.
    "rEii": (M.REACTIVE_ENERGY_IMPORTED_INDUCTIVE, Unit.KILOVAR_HOUR),
    "rEic": (M.REACTIVE_ENERGY_IMPORTED_CAPACITIVE, Unit.KILOVAR_HOUR),
    "rEei": (M.REACTIVE_ENERGY_EXPORTED_INDUCTIVE, Unit.KILOVAR_HOUR),
    "rEec": (M.REACTIVE_ENERGY_EXPORTED_CAPACITIVE, Unit.KILOVAR_HOUR),
    "V_P1": (M.VOLTAGE_L1, Unit.VOLT),
    "V_P2": (M.VOLTAGE_L2, Unit.VOLT),
    "V_P3": (M.VOLTAGE_L3, Unit.VOLT),
    "I_P1": (M.CURRENT_L1, Unit.AMPERE),
    "I_P2": (M.CURRENT_L2, Unit.AMPERE),
    "I_P3": (M.CURRENT_L3, Unit.AMPERE),
    "T": (M.ACTIVE_TARIFF, Unit.NONE),
}
_NAMES: Final = measurement_names(FIELDS)

# Where in `/report` each value is → the key that `live` has for it.
_REPORT_KEYS: Final[Mapping[tuple[str, ...], str]] = {
    ("tariff",): "T",
    ("power_factor",): "PF",
    **{
        ("instantaneous_power", kind, sign, where): f"{key}_{phase}{direction}"
        for kind, key in (("active", "P"), ("reactive", "rP"))
        for sign, direction in (("positive", "In"), ("negative", "Out"))
        for where, phase in (("total", ""), ("l1", "P1_"), ("l2", "P2_"), ("l3", "P3_"))
    },
    **{
        ("energy", kind, sign, where): f"{key}_{direction}{tariff}"
        for kind, key in (("active", "E"), ("reactive", "rE"))
        for sign, direction in (("positive", "In"), ("negative", "Out"))
        for where, tariff in (("total", ""), ("t1", "_T1"), ("t2", "_T2"))
    },
    **{
        (quantity, f"l{phase}"): f"{key}_P{phase}"
        for quantity, key in (("voltage", "V"), ("current", "I"))
        for phase in (1, 2, 3)
    },
}

# Where in `/system` each property is: numbers, words, and services with their own way of saying yes.
NUMBERS: Final[Mapping[tuple[str, ...], P]] = {
    ("meter", "report_interval"): P.REPORT_INTERVAL,
    ("wifi", "rssi"): P.SIGNAL_STRENGTH,
    ("device", "plug", "v_usb"): P.SUPPLY_VOLTAGE_USB,
    ("device", "plug", "v_mbus"): P.SUPPLY_VOLTAGE_MBUS,
    ("device", "plug", "v_p1"): P.SUPPLY_VOLTAGE_P1,
    ("device", "plug", "v_scap"): P.SUPPLY_VOLTAGE_BUFFER,
}
TEXTS: Final[Mapping[tuple[str, ...], P]] = {
    ("meter", "status"): P.METER_STATUS,
    ("meter", "interface"): P.METER_INTERFACE,
    ("device", "license", "type"): P.LICENCE,
}
CLOUDS: Final[Mapping[str, P]] = {
    "whatwatt": P.CLOUD_WHATWATT,
    "mystrom": P.CLOUD_MYSTROM,
    "solar_manager": P.CLOUD_SOLAR_MANAGER,
    "mqtc": P.CLOUD_MQTT,
    "stromkonto": P.CLOUD_STROMKONTO,
}

# Seconds; more is a fault, and some is beyond what a date can hold.
_LONGEST_UPTIME: Final = 50 * 365 * 86400

# The meter's values are what the meter says only while this is its status.
_METER_IS_HEARD: Final = "OK"

# The Wi-Fi MAC address; in upper case by the documentation.
_DEVICE_ID: Final = re.compile(r"[0-9A-Fa-f]{12}")

_MAC_ADDRESS: Final = re.compile(r"([0-9A-Fa-f]{2}[:-]?){5}[0-9A-Fa-f]{2}")


class WhatwattReader(Reader):
    """Talks to a whatwatt Go."""

    kind: ClassVar = ReaderKind.WHATWATT
    manufacturer: ClassVar = "whatwatt AG"
    model: ClassVar = "whatwatt Go"
    units: ClassVar = units_of(FIELDS)
    can_have_password: ClassVar = True
    serves_one_stream: ClassVar = True

    _report_id: float | None = None
    """Of the last report. It changes with every reading."""

    @override
    async def identify(self) -> ReaderInfo:
        self._http.reset_auth()
        return parse_identity(await self._http.get_json("/api/v1/system"))

    async def restart(self) -> None:
        """Restart the device, which is away for up to a minute then. Raises a ReaderError."""
        await self._http.post("/api/v1/reboot")

    @override
    async def stream(self) -> AsyncGenerator[Message]:
        self._http.reset_auth()
        # The stream itself says neither whose it is nor how the meter is.
        system = await self._http.get_json("/api/v1/system")
        yield parse_identity(system)
        yield self._read_status(system)
        ask_at = clock.now() + _STATUS_INTERVAL
        async with aclosing(
            self._http.events("/api/v1/live", idle_timeout=lambda: self.freshness.idle_timeout)
        ) as events:
            async for event in events:
                if event is None:
                    # Silence may be the meter's or the connection's.
                    status = self._read_status(await self._http.get_json("/api/v1/system"))
                    yield status
                    if status.values.get(P.METER_STATUS) == _METER_IS_HEARD:
                        raise ReaderConnectionError("the stream is silent though the meter is not")
                    continue
                if event.type == "live":
                    for message in parse_live(event.data):
                        yield message
                if clock.now() >= ask_at:
                    ask_at = clock.now() + _STATUS_INTERVAL
                    if status_now := await self._ask_status():
                        yield status_now

    @override
    async def poll(self) -> Poll | None:
        """Ask for `/report`, which a device with a licence answers, to any number of clients."""
        try:
            payload = await self._http.get_json("/api/v1/report")
        except ReaderProtocolError:
            # "License required", with status 404.
            return None
        report = get_object(payload, "report")
        report_id, self._report_id = self._report_id, get_number(report, "id")
        messages = []
        # The last report is served on when the meter has gone silent.
        is_heard = get_text(get_object(payload, "meter"), "status") == _METER_IS_HEARD
        if is_heard and self._report_id != report_id and (values := parse_report(report)):
            messages.append(Reading(values=values))
        return Poll(messages=tuple(messages), interval=get_number(report, "interval") or 0.0)

    async def _ask_status(self) -> ReaderStatus | None:
        """Ask how the reader is, by the way: when it does not answer, the stream matters more."""
        try:
            return self._read_status(await self._http.get_json("/api/v1/system"))
        except ReaderAuthenticationError:
            # A password was set meanwhile.
            raise
        except ReaderError:
            return None

    def _read_status(self, system: Mapping[str, Any]) -> ReaderStatus:
        status = parse_status(system)
        interval = status.values.get(P.REPORT_INTERVAL)
        self.freshness.announced_interval = interval if is_number(interval) else None
        return status


def parse_identity(payload: Mapping[str, Any]) -> ReaderInfo:
    """Read who a whatwatt is from its `/system`, in which every key but the id may be missing.

    Raises ReaderProtocolError when it is no whatwatt's.
    """
    device = get_object(payload, "device")
    device_id = get_text(device, "id")
    if device_id is None or not _DEVICE_ID.fullmatch(device_id):
        raise ReaderProtocolError("the device does not say its id")
    return ReaderInfo(
        kind=ReaderKind.WHATWATT,
        id=device_id.upper(),
        name=get_text(device, "name") or "",
        mac_addresses=tuple(
            address
            for interface in ("wifi", "ethernet")
            if (address := get_text(get_object(payload, interface), "mac"))
            and _MAC_ADDRESS.fullmatch(address)
        ),
        firmware=get_text(device, "firmware"),
        hardware=get_text(device, "model"),
    )


def parse_status(payload: Mapping[str, Any]) -> ReaderStatus:
    """Read how a whatwatt is from its `/system`, in which every key may be missing."""
    values: dict[P, str | float | bool | datetime] = {}
    for (*path, key), number_property in NUMBERS.items():
        if (number := get_number(_inner(payload, path), key)) is not None:
            values[number_property] = number
    for (*path, key), text_property in TEXTS.items():
        if (text := get_text(_inner(payload, path), key)) is not None:
            values[text_property] = text
    clouds = get_object(payload, "clouds")
    for name, cloud_property in CLOUDS.items():
        cloud = get_object(clouds, name)
        if cloud.get("enabled") is True:
            values[cloud_property] = cloud.get("connected") is True or cloud.get("status") == "CONNECTED"
    uptime = get_number(get_object(payload, "device"), "time_since_boot")
    if uptime is not None and 0 <= uptime < _LONGEST_UPTIME:
        values[P.LAST_RESTART] = datetime.now(UTC) - timedelta(seconds=uptime)
    return ReaderStatus(values=values)


def parse_live(data: str) -> Iterator[Message]:
    """Yield the reading in the payload of a `live` event, and those of the sub-meters that it relays."""
    payload = parse_object(data)
    if payload is None:
        return
    values = _measurements_in(payload)
    if values:
        yield Reading(values=values, reader_time=_local_time(payload))
    volumes = payload.get("Vol")
    for entry in volumes if isinstance(volumes, list) else ():
        if isinstance(entry, dict) and (meter_id := get_id(entry, "M_ID")):
            yield SubMeterReading(meter_id=meter_id, value=get_number(entry, "Cum"))


def parse_report(report: Mapping[str, Any]) -> dict[M, float]:
    """Return the measurements in the `report` object of a `/report`, in which every key may be missing."""
    return _measurements_in(
        {key: _inner(report, path).get(name) for (*path, name), key in _REPORT_KEYS.items()}
    )


def _measurements_in(payload: Mapping[str, Any]) -> dict[M, float]:
    values = parse_measurements(payload, _NAMES)
    tariff = values.get(M.ACTIVE_TARIFF)
    if tariff == 0 or type(tariff) is float:
        # Zero is "unknown", by the documentation.
        del values[M.ACTIVE_TARIFF]
        if tariff and tariff.is_integer():
            values[M.ACTIVE_TARIFF] = int(tariff)
    return values


def _inner(payload: Mapping[str, Any], path: list[str]) -> Mapping[str, Any]:
    for key in path:
        payload = get_object(payload, key)
    return payload


def _local_time(payload: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(f"{payload.get('Date')}T{payload.get('Time')}")
    except ValueError:
        return None
