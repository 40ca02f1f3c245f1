"""The CurrentlyOne: `/events` streams who it is, the meter's readings and the transitions of appliances.

Source: the vendor's "EventSource API" page, its open firmware and its own clients; payloads of firmware
2.0.25 and 2.8.9.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from datetime import datetime
import re
from typing import Any, ClassVar, Final, override

from .base import Fields, Reader, measurements_in, units_of
from .exceptions import ReaderConnectionError, ReaderProtocolError
from .messages import (
    Detection,
    Heartbeat,
    Measurement as M,
    Message,
    ReaderInfo,
    ReaderKind,
    Reading,
    Transition,
    Unit,
)
from .payload import get_number, get_text, get_time, parse_object
from .sse import ServerSentEvent

# Seconds. A `ping` comes after 15 s of silence; three may be lost.
_SILENCE_LIMIT: Final = 60

# Seconds. `config` is the second event of every connection.
_IDENTIFY_TIMEOUT: Final = 15

# Wire key → what it is. L is import, P export (also the totals W and P), U voltage, I current.
_FIELDS: Final[Fields] = {
    "W": (M.ACTIVE_POWER_IMPORT, Unit.WATT),
    "P": (M.ACTIVE_POWER_EXPORT, Unit.WATT),
    "L1": (M.ACTIVE_POWER_IMPORT_L1, Unit.WATT),
    "L2": (M.ACTIVE_POWER_IMPORT_L2, Unit.WATT),
    "L3": (M.ACTIVE_POWER_IMPORT_L3, Unit.WATT),
    "P1": (M.ACTIVE_POWER_EXPORT_L1, Unit.WATT),
    "P2": (M.ACTIVE_POWER_EXPORT_L2, Unit.WATT),
    "P3": (M.ACTIVE_POWER_EXPORT_L3, Unit.WATT),
    "Wh": (M.ACTIVE_ENERGY_IMPORT, Unit.WATT_HOUR),
    "Ph": (M.ACTIVE_ENERGY_EXPORT, Unit.WATT_HOUR),
    "U1": (M.VOLTAGE_L1, Unit.VOLT),
    "U2": (M.VOLTAGE_L2, Unit.VOLT),
    "U3": (M.VOLTAGE_L3, Unit.VOLT),
    "I1": (M.CURRENT_L1, Unit.AMPERE),
    "I2": (M.CURRENT_L2, Unit.AMPERE),
    "I3": (M.CURRENT_L3, Unit.AMPERE),
}

# The Wi-Fi MAC address, last byte first.
_DEVICE_ID: Final = re.compile(r"[0-9a-fA-F]{12}")

# Names go into `config` unescaped, so a quote in one breaks the JSON; these keys still tell themselves.
_BROKEN_CONFIG: Final = re.compile(r'"(id|v|m|t)"\s*:\s*"([^"\\]*)"')


class CurrentlyOneReader(Reader):
    """Talks to a CurrentlyOne."""

    kind: ClassVar = ReaderKind.CURRENTLYONE
    manufacturer: ClassVar = "Stopgap AB"
    model: ClassVar = "Currently One"
    units: ClassVar = units_of(_FIELDS)

    @override
    async def identify(self) -> ReaderInfo:
        try:
            async with asyncio.timeout(_IDENTIFY_TIMEOUT), aclosing(self.stream()) as messages:
                async for message in messages:
                    if isinstance(message, ReaderInfo):
                        return message
        except TimeoutError as error:
            raise ReaderConnectionError("the device does not say who it is") from error
        raise ReaderProtocolError("the stream ended before the device said who it is")

    @override
    async def stream(self) -> AsyncGenerator[Message]:
        interpreter = EventInterpreter()
        async with aclosing(self._http.events("/events", silence_limit=_SILENCE_LIMIT)) as events:
            async for event in events:
                for message in interpreter.messages_in(event):
                    yield message


class EventInterpreter:
    """Understands the events of one connection, some of which depend on earlier ones."""

    def __init__(self) -> None:
        """Start at the beginning of a connection."""
        self._clock: datetime | None = None
        self._mode: str | None = None

    def messages_in(self, event: ServerSentEvent) -> Iterator[Message]:
        """Yield what one event says.

        All that is no news of meter or appliances only says that the device is alive: `ping`, which is made
        for it, `status`, `progress`, `log`, which is free text, and whatever new firmware adds.
        """
        match event.type:
            case "config":
                if info := self._read_config(event.data):
                    yield info
            case "transition":
                if transition := self._read_transition(parse_object(event.data) or {}):
                    yield transition
            case "state":
                payload = parse_object(event.data) or {}
                yield from _read_detections(payload)
                if reading := self._read_state(payload):
                    yield reading
            case _:
                yield Heartbeat()

    def _read_config(self, data: str) -> ReaderInfo | None:
        payload: Mapping[str, Any] = parse_object(data) or dict(_BROKEN_CONFIG.findall(data))
        device_id = get_text(payload, "id")
        if device_id is None or not _DEVICE_ID.fullmatch(device_id):
            return None
        self._clock = _parse_clock(get_text(payload, "t"))
        self._mode = get_text(payload, "m")
        return ReaderInfo(
            kind=ReaderKind.CURRENTLYONE,
            id=device_id.lower(),
            name=get_text(payload, "name") or "",
            mac_addresses=(bytes.fromhex(device_id)[::-1].hex(),),
            firmware=get_text(payload, "v"),
            clock=self._clock,
        )

    def _read_state(self, payload: Mapping[str, Any]) -> Reading | None:
        source = get_text(payload, "m")
        if source == "BLINK" and self._mode in ("HAN", "H+B"):
            # The meter's blinking, beside its port, is a coarser opinion: its count is not the register.
            return None
        if source == "HAN":
            self._mode = self._mode or source
        values = measurements_in(payload, _FIELDS)
        if not values:
            return None
        return Reading(values=values, age=self._age_at_connect(get_time(payload, "sec")))

    def _read_transition(self, payload: Mapping[str, Any]) -> Transition | None:
        appliance_id = get_text(payload, "id")
        binary_state = get_text(payload, "bs")
        state = get_text(payload, "sName") or binary_state
        if appliance_id is None or state is None:
            return None
        time = get_time(payload, "sec")
        return Transition(
            appliance_id=appliance_id,
            name=get_text(payload, "dName"),
            state=state,
            is_on={"ON": True, "OFF": False}.get(binary_state or ""),
            previous_state=get_text(payload, "from"),
            power=get_number(payload, "W"),
            energy=get_number(payload, "Wh"),
            category=get_text(payload, "cat"),
            time=time,
            replayed=self._age_at_connect(time) > 0,
        )

    def _age_at_connect(self, time: datetime | None) -> float:
        """Return how many seconds before the connection something happened; 0 when it happened since."""
        if time is None or self._clock is None:
            return 0.0
        return max((self._clock - time).total_seconds(), 0.0)


def _read_detections(payload: Mapping[str, Any]) -> Iterator[Detection]:
    detected = payload.get("detected")
    if not isinstance(detected, list):
        return
    time = get_time(payload, "sec")
    for entry in detected:
        if isinstance(entry, dict) and (appliance_id := get_text(entry, "id")):
            index = entry.get("to")
            yield Detection(
                appliance_id=appliance_id,
                state_index=index if type(index) is int else None,
                energy=get_number(entry, "Wh"),
                time=time,
            )


def _parse_clock(text: str | None) -> datetime | None:
    """Read ISO 8601 with a numeric offset, such as 2025-04-11T09:48:05+0200."""
    try:
        clock = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return clock if clock.tzinfo is not None else None
