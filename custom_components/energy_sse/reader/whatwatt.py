"""The whatwatt Go: `/api/v1/system` says who it is, `/api/v1/live` streams the meter's readings.

Source: the vendor's documentation (documentation.whatwatt.ch, pages "Real-time Streaming" and "System"), and
payloads of firmware 1.x and 2.x.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
import re
from typing import Any, ClassVar, Final, override

from .base import Fields, Reader, measurements_in, units_of
from .exceptions import ReaderProtocolError
from .messages import Measurement as M, Message, ReaderInfo, ReaderKind, Reading, Unit
from .payload import get_object, get_text, parse_object

# Seconds. The stream has no sign of life of its own, and the slowest meter seen sends every 20 s.
_SILENCE_LIMIT: Final = 300

# Wire key → what it is. `P` is active power, `E` active energy, `_In` import, `_Out` export.
_FIELDS: Final[Fields] = {
    "P_In": (M.ACTIVE_POWER_IMPORT, Unit.KILOWATT),
    "P_Out": (M.ACTIVE_POWER_EXPORT, Unit.KILOWATT),
    "P_P1_In": (M.ACTIVE_POWER_IMPORT_L1, Unit.KILOWATT),
    "P_P2_In": (M.ACTIVE_POWER_IMPORT_L2, Unit.KILOWATT),
    "P_P3_In": (M.ACTIVE_POWER_IMPORT_L3, Unit.KILOWATT),
    "P_P1_Out": (M.ACTIVE_POWER_EXPORT_L1, Unit.KILOWATT),
    "P_P2_Out": (M.ACTIVE_POWER_EXPORT_L2, Unit.KILOWATT),
    "P_P3_Out": (M.ACTIVE_POWER_EXPORT_L3, Unit.KILOWATT),
    "E_In": (M.ACTIVE_ENERGY_IMPORT, Unit.KILOWATT_HOUR),
    "E_In_T1": (M.ACTIVE_ENERGY_IMPORT_T1, Unit.KILOWATT_HOUR),
    "E_In_T2": (M.ACTIVE_ENERGY_IMPORT_T2, Unit.KILOWATT_HOUR),
    "E_Out": (M.ACTIVE_ENERGY_EXPORT, Unit.KILOWATT_HOUR),
    "E_Out_T1": (M.ACTIVE_ENERGY_EXPORT_T1, Unit.KILOWATT_HOUR),
    "E_Out_T2": (M.ACTIVE_ENERGY_EXPORT_T2, Unit.KILOWATT_HOUR),
    "V_P1": (M.VOLTAGE_L1, Unit.VOLT),
    "V_P2": (M.VOLTAGE_L2, Unit.VOLT),
    "V_P3": (M.VOLTAGE_L3, Unit.VOLT),
    "I_P1": (M.CURRENT_L1, Unit.AMPERE),
    "I_P2": (M.CURRENT_L2, Unit.AMPERE),
    "I_P3": (M.CURRENT_L3, Unit.AMPERE),
    "T": (M.ACTIVE_TARIFF, Unit.NONE),
}


# The Wi-Fi MAC address; in upper case by the documentation.
_DEVICE_ID: Final = re.compile(r"[0-9A-Fa-f]{12}")


class WhatwattReader(Reader):
    """Talks to a whatwatt Go."""

    kind: ClassVar = ReaderKind.WHATWATT
    manufacturer: ClassVar = "whatwatt AG"
    model: ClassVar = "whatwatt Go"
    units: ClassVar = units_of(_FIELDS)

    @override
    async def identify(self) -> ReaderInfo:
        return parse_system(await self._http.get_json("/api/v1/system"))

    @override
    async def stream(self) -> AsyncGenerator[Message]:
        # The stream itself does not say whose it is.
        yield await self.identify()
        async with aclosing(self._http.events("/api/v1/live", silence_limit=_SILENCE_LIMIT)) as events:
            async for event in events:
                if event.type == "live" and (reading := parse_live(event.data)):
                    yield reading


def parse_system(payload: Mapping[str, Any]) -> ReaderInfo:
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
        ),
        firmware=get_text(device, "firmware"),
        hardware=get_text(device, "model"),
    )


def parse_live(data: str) -> Reading | None:
    """Read the payload of a `live` event; None when there is no reading in it."""
    payload = parse_object(data)
    if payload is None:
        return None
    values = measurements_in(payload, _FIELDS)
    if values.get(M.ACTIVE_TARIFF) == 0:
        # "Unknown", by the documentation.
        del values[M.ACTIVE_TARIFF]
    return Reading(values=values) if values else None
