"""The whatwatt Go: `/api/v1/system` has its identity and status, `/api/v1/live` streams the readings.

Source: the vendor's documentation (documentation.whatwatt.ch, pages "Real-time Streaming" and "System"), and
payloads of firmware 1.x and 2.x.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
import re
from typing import Any, ClassVar, Final, override

from . import clock
from .base import (
    Announcement,
    Fields,
    KeyPath,
    Poll,
    Reader,
    measurement_names,
    parse_measurements,
)
from .models import (
    Measurement as M,
    Message,
    Property as P,
    ReaderAuthenticationError,
    ReaderConnectionError,
    ReaderError,
    ReaderInfo,
    ReaderProtocolError,
    ReaderStatus,
    Reading,
    Reason,
    SubMeterReading,
    Unit,
)
from .payload import (
    get_id,
    get_nested,
    get_number,
    get_object,
    get_text,
    is_number,
    parse_object,
    parse_time,
)

# Seconds. A device that is powered by the meter can shut down because of many requests.
_STATUS_INTERVAL: Final = 300

# Seconds between two polls of the status. With longer ones, the device would count as offline.
_POLL_INTERVAL: Final = 30.0

# Key → measurement. P is active power, rP reactive power, E active energy, rE reactive energy, P_P the
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

# Path in `/report` → key of the same value in `live`.
_REPORT_KEYS: Final[Mapping[KeyPath, str]] = {
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

# Object of a cloud in `/system` → property.
CLOUDS: Final[Mapping[str, P]] = {
    "whatwatt": P.CLOUD_WHATWATT,
    "mystrom": P.CLOUD_MYSTROM,
    "solar_manager": P.CLOUD_SOLAR_MANAGER,
    "mqtc": P.CLOUD_MQTT,
    "stromkonto": P.CLOUD_STROMKONTO,
}

# Seconds. A longer time is an error, and can exceed the range of dates.
_MAX_UPTIME: Final = 50 * 365 * 86400

# Status of a meter whose readings the device receives. Values are outdated with any other status.
_METER_OK: Final = "OK"

# The Wi-Fi MAC address, in upper case by the documentation.
_DEVICE_ID: Final = re.compile(r"[0-9A-Fa-f]{12}")

_MAC_ADDRESS: Final = re.compile(r"([0-9A-Fa-f]{2}[:-]?){5}[0-9A-Fa-f]{2}")

# The Ethernet address of a device follows its Wi-Fi address at this distance.
_ETHERNET_OFFSET: Final = 3


class WhatwattReader(Reader):
    """Client of a whatwatt Go."""

    kind: ClassVar = "whatwatt"
    manufacturer: ClassVar = "whatwatt AG"
    model: ClassVar = "whatwatt Go"
    fields: ClassVar = FIELDS
    # Paths in `/system`.
    numbers: ClassVar = {
        ("meter", "report_interval"): P.REPORT_INTERVAL,
        ("wifi", "rssi"): P.SIGNAL_STRENGTH,
        ("device", "plug", "v_usb"): P.SUPPLY_VOLTAGE_USB,
        ("device", "plug", "v_mbus"): P.SUPPLY_VOLTAGE_MBUS,
        ("device", "plug", "v_p1"): P.SUPPLY_VOLTAGE_P1,
        ("device", "plug", "v_scap"): P.SUPPLY_VOLTAGE_BUFFER,
    }
    texts: ClassVar = {
        ("meter", "status"): P.METER_STATUS,
        ("meter", "interface"): P.METER_INTERFACE,
        ("device", "license", "type"): P.LICENSE,
    }
    stream_path: ClassVar = "/api/v1/live"
    identity_path: ClassVar = "/api/v1/system"
    key_missing_statuses: ClassVar = frozenset({"KEY REQUIRED", "ENCRYPTION KEY"})
    can_have_password: ClassVar = True
    serves_one_stream: ClassVar = True
    dhcp_hostnames: ClassVar = ("whatwatt",)
    safe_keys: ClassVar = frozenset(
        (
            *("build", "firmware", "ht", "interface", "manufacturer", "mode", "model", "prefix", "protocol"),
            *("protocol_version", "state", "status", "type", "vendor"),
        )
    )
    protocol_words: ClassVar = frozenset(
        """
        live Date Time Uptime activation_date active auth_en auth_mode berry boot_id bssid channel clouds
        connected conv_factor country current date_time date_time_local date_time_utc device enabled enc_en
        energy ethernet execution_status gateway group_cipher installed instantaneous_power interval
        last_reboot license logical_name mask meter meter_id mqtc mystrom negative owner pairwise_cipher plug
        positive power_factor reactive registered report report_interval sd_card services signal size
        solar_manager speed stromkonto system tariff time_since_boot total upgrade_capable v_mbus v_scap v_usb
        voltage volume whatwatt wifi
        """.split()  # noqa: SIM905 (quotes around each word make it hard to read)
    ) | {
        "NO DATA",
        "NOT CONNECTED",
        "RECOGNITION",
        "KEY REQUIRED",
        "ENCRYPTION KEY",
        "NOT RECOGNIZED",
        "NO INIT",
    }

    _serves_report = True
    """False if the device has rejected a request for the values since the last connection."""

    _report_id: float | None = None
    """Number of the last report. It changes with every reading."""

    @override
    @classmethod
    def id_in_announcement(cls, announcement: Announcement) -> str | None:
        if not announcement.name.lower().startswith("whatwatt go"):
            return None
        device_id = str(announcement.properties.get("id"))
        return device_id.upper() if _DEVICE_ID.fullmatch(device_id) else ""

    @override
    @classmethod
    def ids_in_lease(cls, mac_address: str, hostname: str) -> Sequence[str]:
        # The id in the host name shows which of the two interfaces has the lease.
        ids = [f"{int(mac_address, 16) - offset:012X}" for offset in (0, _ETHERNET_OFFSET)]
        return sorted(ids, key=lambda each: not hostname.endswith(cls.short_id(each).lower()))

    @override
    async def identify(self) -> ReaderInfo:
        self._http.reset_auth()
        return parse_identity(await self._http.get_json(self.identity_path))

    async def restart(self) -> None:
        """Restart the device, which takes up to a minute. Raises a ReaderError."""
        await self._http.post("/api/v1/reboot")

    @override
    async def stream(self) -> AsyncGenerator[Message]:
        self._http.reset_auth()
        self._serves_report = True
        # The stream contains neither the identity nor the status.
        system = await self._http.get_json(self.identity_path)
        yield parse_identity(system)
        yield self._process_status(system)
        next_status_at = clock.now() + _STATUS_INTERVAL
        async with aclosing(
            self._http.events(self.stream_path, idle_timeout=lambda: self.freshness.idle_timeout)
        ) as events:
            async for event in events:
                if event is None:
                    # Either the meter sends nothing, or the connection is broken.
                    status = self._process_status(await self._http.get_json(self.identity_path))
                    yield status
                    if status.values.get(P.METER_STATUS) == _METER_OK:
                        raise ReaderConnectionError(Reason.STREAM_IDLE)
                    continue
                if event.type == "live":
                    for message in parse_live(event.data):
                        yield message
                if clock.now() >= next_status_at:
                    next_status_at = clock.now() + _STATUS_INTERVAL
                    if new_status := await self._request_status():
                        yield new_status

    @override
    async def poll(self) -> Poll | None:
        """Request `/report`, which a device with a license serves to any number of clients, or the status."""
        payload = await self._request_report()
        report = get_object(payload, "report")
        report_id, self._report_id = self._report_id, get_number(report, "id")
        # After the meter has stopped, the device still serves the last report.
        is_current = get_text(get_object(payload, "meter"), "status") == _METER_OK
        values = parse_report(report) if is_current and self._report_id != report_id else {}
        interval = (get_number(report, "interval") or 0.0) if is_current else _POLL_INTERVAL
        if values:
            return Poll(Reading(values=values), interval)
        return Poll(self._process_status(await self._http.get_json(self.identity_path)), interval)

    async def _request_report(self) -> Mapping[str, Any]:
        """Request `/report`. Return {} without a license. Do not request it again in this connection."""
        if self._serves_report:
            try:
                return await self._http.get_json("/api/v1/report")
            except ReaderProtocolError:
                # "License required", with status 404.
                self._serves_report = False
        return {}

    async def _request_status(self) -> ReaderStatus | None:
        """Request the status. Return None after an error, because the stream is more important."""
        try:
            return self._process_status(await self._http.get_json(self.identity_path))
        except ReaderAuthenticationError:
            # The owner has set a password since the stream was opened.
            raise
        except ReaderError:
            return None

    def _process_status(self, system: Mapping[str, Any]) -> ReaderStatus:
        """Return the status in `/system`, and use its interval for the freshness."""
        status = parse_status(system)
        interval = status.values.get(P.REPORT_INTERVAL)
        self.freshness.announce(interval if is_number(interval) else None)
        return status


def parse_identity(payload: Mapping[str, Any]) -> ReaderInfo:
    """Return the identity in `/system`, in which every key but the id may be missing.

    Raises ReaderProtocolError if it does not contain the id of a whatwatt.
    """
    device = get_object(payload, "device")
    device_id = get_text(device, "id")
    if device_id is None or not _DEVICE_ID.fullmatch(device_id):
        raise ReaderProtocolError(Reason.INVALID_RESPONSE, "no id of a whatwatt")
    return ReaderInfo(
        kind=WhatwattReader.kind,
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
    """Return the properties in `/system`, in which every key may be missing."""
    values = WhatwattReader.parse_properties(payload)
    clouds = get_object(payload, "clouds")
    for name, cloud_property in CLOUDS.items():
        cloud = get_object(clouds, name)
        if cloud.get("enabled") is True:
            values[cloud_property] = cloud.get("connected") is True or cloud.get("status") == "CONNECTED"
    uptime = get_number(get_object(payload, "device"), "time_since_boot")
    if uptime is not None and 0 <= uptime < _MAX_UPTIME:
        values[P.LAST_RESTART] = datetime.now(UTC) - timedelta(seconds=uptime)
    return ReaderStatus(values=values)


def parse_live(data: str) -> Iterator[Message]:
    """Yield the reading and the sub-meter readings in the payload of a `live` event."""
    payload = parse_object(data)
    if payload is None:
        return
    values = _parse_values(payload)
    local_time = parse_time(f"{payload.get('Date')}T{payload.get('Time')}", is_local=True)
    if values:
        yield Reading(values=values, reader_time=local_time)
    volumes = payload.get("Vol")
    for entry in volumes if isinstance(volumes, list) else ():
        if isinstance(entry, dict) and (meter_id := get_id(entry, "M_ID")):
            time = _without_zone(parse_time(get_text(entry, "DT"), is_local=True))
            yield SubMeterReading(
                meter_id=meter_id,
                value=get_number(entry, "Cum"),
                time=time,
                age=_age(time, _without_zone(local_time)),
            )


def _without_zone(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=None)


def _age(time: datetime | None, now: datetime | None) -> float:
    """Return the seconds since a time; 0 if it is unknown or in the future."""
    return 0.0 if time is None or now is None else max((now - time).total_seconds(), 0.0)


def parse_report(report: Mapping[str, Any]) -> dict[M, float]:
    """Return the measurements in the `report` object of a `/report`, in which every key may be missing."""
    return _parse_values(
        {key: get_nested(report, path).get(name) for (*path, name), key in _REPORT_KEYS.items()}
    )


def _parse_values(payload: Mapping[str, Any]) -> dict[M, float]:
    values = parse_measurements(payload, _NAMES)
    tariff = values.get(M.ACTIVE_TARIFF)
    if tariff == 0 or type(tariff) is float:
        # Zero means "unknown", by the documentation.
        del values[M.ACTIVE_TARIFF]
        if tariff and tariff.is_integer():
            values[M.ACTIVE_TARIFF] = int(tariff)
    return values
