"""The CurrentlyOne: `/events` streams its identity, the readings, and the transitions of appliances.

Source: the vendor's "EventSource API" page, its open firmware and its own clients; payloads of firmware
2.0.25 and 2.8.9.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
import math
import re
from typing import Any, ClassVar, Final, override

from . import clock
from .base import (
    Announcement,
    Fields,
    Reader,
    measurement_names,
    parse_measurements,
)
from .client import DeviceClient
from .models import (
    ApplianceProfile,
    ApplianceState,
    Detection,
    Heartbeat,
    HourlyRegister,
    Inventory,
    Measurement as M,
    Message,
    Property as P,
    ReaderConnectionError,
    ReaderError,
    ReaderInfo,
    ReaderProtocolError,
    ReaderStatus,
    Reading,
    Reason,
    Transition,
    Unit,
)
from .payload import (
    get_id,
    get_integer,
    get_number,
    get_text,
    get_time,
    parse_fields,
    parse_object,
    parse_time,
)
from .sse import ServerSentEvent

# Seconds. The device sends a `ping` after 15 s without another event. Two may be lost.
_IDLE_TIMEOUT: Final = 45.0

# Seconds. `config` is the second event of every connection.
_IDENTIFY_TIMEOUT: Final = 15

# Seconds. The stream waits meanwhile.
_INVENTORY_TIMEOUT: Final = 5

# Seconds between two requests for the inventory, also over reconnects. Many requests can crash the device.
_INVENTORY_INTERVAL: Final = 60.0

# More appliances than any home has. A longer list is not accepted.
_MAX_APPLIANCES: Final = 100

# Seconds. The device repeats stored events without pauses, directly after `config`. In a slow network, the
# replay takes longer. It continues as long as the delay of each reading is shorter than the delays before.
_REPLAY_DURATION: Final = 30.0

# Seconds. Differences below the resolution of the device's times and their delay in the network are ignored.
_CLOCK_RESOLUTION: Final = 2.0

# Seconds. The device stores readings for a shorter time. A larger difference shows that its clock was set.
_CLOCK_JUMP: Final = 600.0

# Key → measurement. Active power W and L are import, P export; reactive power R is import, Q export; an h
# makes it energy; U is voltage, I current; b is the optical sensor.
FIELDS: Final[Fields] = {
    "W": (M.ACTIVE_POWER_IMPORT, Unit.WATT),
    "P": (M.ACTIVE_POWER_EXPORT, Unit.WATT),
    "L1": (M.ACTIVE_POWER_IMPORT_L1, Unit.WATT),
    "L2": (M.ACTIVE_POWER_IMPORT_L2, Unit.WATT),
    "L3": (M.ACTIVE_POWER_IMPORT_L3, Unit.WATT),
    "P1": (M.ACTIVE_POWER_EXPORT_L1, Unit.WATT),
    "P2": (M.ACTIVE_POWER_EXPORT_L2, Unit.WATT),
    "P3": (M.ACTIVE_POWER_EXPORT_L3, Unit.WATT),
    "R": (M.REACTIVE_POWER_IMPORT, Unit.VAR),
    "Q": (M.REACTIVE_POWER_EXPORT, Unit.VAR),
    "R1": (M.REACTIVE_POWER_IMPORT_L1, Unit.VAR),
    "R2": (M.REACTIVE_POWER_IMPORT_L2, Unit.VAR),
    "R3": (M.REACTIVE_POWER_IMPORT_L3, Unit.VAR),
    "Q1": (M.REACTIVE_POWER_EXPORT_L1, Unit.VAR),
    "Q2": (M.REACTIVE_POWER_EXPORT_L2, Unit.VAR),
    "Q3": (M.REACTIVE_POWER_EXPORT_L3, Unit.VAR),
    "Wh": (M.ACTIVE_ENERGY_IMPORT, Unit.WATT_HOUR),
    "Ph": (M.ACTIVE_ENERGY_EXPORT, Unit.WATT_HOUR),
    # The vendor's own discovery calls them Wh; by OBIS (3.8.0 and 4.8.0) they are varh.
    "Rh": (M.REACTIVE_ENERGY_IMPORT, Unit.VAR_HOUR),
    "Qh": (M.REACTIVE_ENERGY_EXPORT, Unit.VAR_HOUR),
    "U1": (M.VOLTAGE_L1, Unit.VOLT),
    "U2": (M.VOLTAGE_L2, Unit.VOLT),
    "U3": (M.VOLTAGE_L3, Unit.VOLT),
    "I1": (M.CURRENT_L1, Unit.AMPERE),
    "I2": (M.CURRENT_L2, Unit.AMPERE),
    "I3": (M.CURRENT_L3, Unit.AMPERE),
    "bW": (M.BLINK_POWER, Unit.WATT),
    "bWh": (M.BLINK_ENERGY, Unit.WATT_HOUR),
}

_NAMES: Final = measurement_names(FIELDS)

# Keys that only the optical sensor has.
_BLINK_NAMES: Final = {key: _NAMES[key] for key in ("bW", "bWh")}

# Seconds. With a broken clock, an age can exceed the range of dates.
_MAX_AGE: Final = 366.0 * 86400

# Keys of `hourly`.
_HOURLY_NAMES: Final = {key: _NAMES[key] for key in ("Wh", "Ph")}

# The time of an `hourly` is a second after the hour. A later one has the registers of that time, because the
# meter sent no data on the hour.
_HOURLY_WITHIN: Final = timedelta(minutes=1)

# The Wi-Fi MAC address, last byte first.
_DEVICE_ID: Final = re.compile(r"[0-9a-fA-F]{12}")

# The name that it announces ends with its id. After a conflict of names, mDNS adds a suffix such as "-2",
# " (2)" or " #2".
_ANNOUNCED_NAME: Final = "currentlyone_"
_ANNOUNCED_ID: Final = re.compile(r"([0-9a-f]{12})(?![0-9a-f])")

_JSON_EVENTS: Final = frozenset({"transition", "state", "hourly", "ping"})


class CurrentlyOneReader(Reader):
    """Client of a CurrentlyOne."""

    kind: ClassVar = "currentlyone"
    manufacturer: ClassVar = "Stopgap AB"
    model: ClassVar = "CurrentlyOne"
    fields: ClassVar = FIELDS
    # Keys of `config`.
    numbers: ClassVar = {("rssi",): P.SIGNAL_STRENGTH}
    texts: ClassVar = {("m",): P.MODE, ("area",): P.PRICE_AREA, ("rr",): P.RESTART_REASON}
    stream_path: ClassVar = "/events"
    stores_hours: ClassVar = True
    dhcp_hostnames: ClassVar = (_ANNOUNCED_NAME,)
    safe_keys: ClassVar = frozenset(
        ("autoFota", "bs", "cat", "crc", "m", "profileId", "pullup", "rr", "rssi", "source", "sources", "v")
    )
    protocol_words: ClassVar = frozenset(
        """
        config hourly progress ping state status transition area imps localIP mqtt remoteUrl txPwr actual algo
        dName delta detected from sName trigger device devices minPower power push states timeout toState
        transitions BLINK csBLINK csL1 csL2 csL3 csR1 csR2 csR3 dBLINK offline online fota restart autTX cloud
        crc disFota mode mqHost mqPass mqPort mqUser name pass pullup rts ssid telnet BROWN_OUT DEEPSLEEP
        EXT_CPU INTRUSION N/A OWDT POWERON RTCWDT_CPU RTCWDT_RTC RTCWDT_SYS SDIO SW SW_CPU TG0WDT_SYS
        TG1WDT_SYS TGWDT_CPU
        """.split()  # noqa: SIM905 (quotes around each word make it hard to read)
    )
    # The device does not escape names in `config`, so that a quote in a name breaks the JSON.
    recoverable_keys: ClassVar = ("id", "v", "m", "t")

    @override
    @classmethod
    def id_in_announcement(cls, announcement: Announcement) -> str | None:
        name = announcement.name.lower()
        if not name.startswith(_ANNOUNCED_NAME):
            return "" if announcement.type == "_currently._tcp.local." else None
        match = _ANNOUNCED_ID.match(name, len(_ANNOUNCED_NAME))
        return match[1] if match else ""

    @override
    @classmethod
    def ids_in_lease(cls, mac_address: str, hostname: str) -> Sequence[str]:
        return (bytes.fromhex(mac_address)[::-1].hex(),)

    @override
    @classmethod
    def short_id(cls, device_id: str) -> str:
        # The id is the MAC address in reverse byte order, so that the manufacturer's part is the last one.
        return device_id[:6]

    @override
    def __init__(self, http: DeviceClient) -> None:
        super().__init__(http)
        self._wants_inventory = False
        self._next_inventory_at = -math.inf
        self._listed: frozenset[str] | None = None
        """Appliances in the inventory of this connection; None without one."""

        self._unlisted: deque[str] = deque(maxlen=_MAX_APPLIANCES)
        """Reported appliances that are not in the inventory. Each causes one request for the inventory."""

    @override
    async def identify(self) -> ReaderInfo:
        try:
            async with asyncio.timeout(_IDENTIFY_TIMEOUT), aclosing(self.stream()) as messages:
                async for message in messages:
                    if isinstance(message, ReaderInfo):
                        return message
        except TimeoutError as error:
            raise ReaderConnectionError(Reason.NOT_IDENTIFIED) from error
        raise ReaderProtocolError(Reason.NOT_IDENTIFIED, "the stream ended")

    @override
    async def stream(self) -> AsyncGenerator[Message]:
        parser = EventParser()
        self._wants_inventory, self._listed = False, None
        async with aclosing(
            self._http.events(self.stream_path, idle_timeout=lambda: _IDLE_TIMEOUT)
        ) as events:
            async for event in events:
                if event is None:
                    raise ReaderConnectionError(Reason.STREAM_IDLE)
                for message in parser.parse(event):
                    # The inventory comes before the report of a new appliance, so that its name is known.
                    if self._is_inventory_due(message) and (inventory := await self._request_inventory()):
                        yield inventory
                    if isinstance(message, ReaderInfo):
                        self.stats.identity_event = self.stats.recent_events[-1]
                        self._wants_inventory = True
                    yield message

    def _is_inventory_due(self, message: Message) -> bool:
        """Return whether to request the inventory before a message is yielded.

        A report of an appliance that is not in the inventory causes a request.
        """
        if self._listed is not None and isinstance(message, (Transition, Detection)):
            appliance_id = message.appliance_id
            if appliance_id not in self._listed and appliance_id not in self._unlisted:
                self._unlisted.append(appliance_id)
                self._wants_inventory = True
        return self._wants_inventory and clock.now() >= self._next_inventory_at

    async def _request_inventory(self) -> Inventory | None:
        """Request the list of appliances. Return None after an error, or if the list is invalid."""
        self._wants_inventory = False
        self._next_inventory_at = clock.now() + _INVENTORY_INTERVAL
        try:
            async with asyncio.timeout(_INVENTORY_TIMEOUT):
                inventory = parse_inventory(await self._http.get_json("/api/v1/device"))
        except ReaderError, TimeoutError:
            return None
        if inventory is not None:
            self._listed = frozenset(appliance.id for appliance in inventory.appliances)
        return inventory


class EventParser:
    """Parser of the events of one connection, some of which depend on earlier events."""

    def __init__(self) -> None:
        """Initialize for a new connection."""
        self._config_clock: datetime | None = None
        """Clock of the device in `config`."""

        self._config_at = 0.0
        """Time by `clock.now()` at which `config` was received."""

        self._replay_ends_at = math.inf
        self._min_delay = math.inf
        """Smallest delay of the readings so far, in seconds."""

        self._mode: str | None = None

    def parse(self, event: ServerSentEvent) -> Iterator[Message]:
        """Yield the messages of one event.

        All events without data of the meter or of appliances are heartbeats: `ping`, `status`, `progress`,
        `log`, which is free text, and types that new firmware adds.
        """
        if event.type == "config":
            yield from self._parse_config(event.data)
            return
        payload = parse_object(event.data) or {} if event.type in _JSON_EVENTS else {}
        match event.type:
            case "transition":
                message: Message | None = self._parse_transition(payload)
            case "state":
                yield from self._parse_detections(payload)
                message = self._parse_state(payload)
            case "hourly":
                message = _parse_hourly(payload) or Heartbeat()
            case _:
                message = Heartbeat(time=get_time(payload, "sec"))
        if message is not None:
            yield message

    def _parse_config(self, data: str) -> Iterator[ReaderInfo | ReaderStatus]:
        payload: Mapping[str, Any] = parse_object(data) or parse_fields(
            data, CurrentlyOneReader.recoverable_keys
        )
        device_id = get_text(payload, "id")
        if device_id is None or not _DEVICE_ID.fullmatch(device_id):
            return
        device_clock = parse_time(get_text(payload, "t"))
        if self._replay_ends_at == math.inf:
            self._config_clock, self._config_at = device_clock, clock.now()
            self._replay_ends_at = self._config_at + _REPLAY_DURATION
        self._mode = get_text(payload, "m")
        yield ReaderInfo(
            kind=CurrentlyOneReader.kind,
            id=device_id.lower(),
            name=get_text(payload, "name") or "",
            mac_addresses=(bytes.fromhex(device_id)[::-1].hex(),),
            firmware=get_text(payload, "v"),
            clock=device_clock,
        )
        yield ReaderStatus(values=CurrentlyOneReader.parse_properties(payload))

    def _parse_state(self, payload: Mapping[str, Any]) -> Reading | None:
        source = get_text(payload, "m")
        # The optical sensor measures in addition to the meter's port, and its count is not the register.
        is_additional = source == "BLINK" and self._mode in ("HAN", "H+B")
        if source == "HAN":
            self._mode = self._mode or source
        values = parse_measurements(payload, _BLINK_NAMES if is_additional else _NAMES)
        if not values:
            return None
        time = get_time(payload, "sec")
        if (age := self._age_of_reading(time)) is None:
            return None
        return Reading(
            values=values,
            age=age,
            reader_time=time,
            meter_time=None if is_additional else parse_time(get_text(payload, "t")),
        )

    def _parse_transition(self, payload: Mapping[str, Any]) -> Transition | None:
        appliance_id = get_id(payload, "id")
        binary_state = get_text(payload, "bs")
        state = get_text(payload, "sName") or binary_state
        if appliance_id is None or state is None:
            return None
        time = get_time(payload, "sec")
        return Transition(
            appliance_id=appliance_id,
            name=get_text(payload, "dName"),
            state=state,
            is_on={"ON": True, "OFF": False}.get((binary_state or "").upper()),
            previous_state=get_text(payload, "from"),
            power=get_number(payload, "W"),
            energy=get_number(payload, "Wh"),
            category=get_text(payload, "cat"),
            time=time,
            age=self._age_of_report(time),
            may_be_replay=self._is_replaying,
        )

    def _parse_detections(self, payload: Mapping[str, Any]) -> Iterator[Detection]:
        detected = payload.get("detected")
        if not isinstance(detected, list):
            return
        time = get_time(payload, "sec")
        for entry in detected:
            if isinstance(entry, dict) and (appliance_id := get_id(entry, "id")):
                yield Detection(
                    appliance_id=appliance_id,
                    state_index=get_integer(entry, "to"),
                    energy=get_number(entry, "Wh"),
                    time=time,
                    age=self._age_of_report(time),
                    may_be_replay=self._is_replaying,
                )

    @property
    def _is_replaying(self) -> bool:
        return clock.now() < self._replay_ends_at

    def _delay(self, time: datetime | None) -> float | None:
        """Return by how many seconds a time is behind the device's clock; None if one of them is unknown.

        The device's clock is its time in `config`, plus the time since then.
        """
        if time is None or self._config_clock is None:
            return None
        return (self._config_clock - time).total_seconds() + clock.now() - self._config_at

    def _is_before_config(self, delay: float) -> bool:
        return delay > clock.now() - self._config_at

    def _age_of_reading(self, time: datetime | None) -> float | None:
        """Return the age of a reading in seconds, None if it is unknown. Update the end of the replay.

        The device repeats readings in the order of time, and faster than they were measured, so the delay of
        each one is shorter. All others have the same delay, also after a correction of the device's clock.
        """
        has_readings = self._min_delay < math.inf
        if (has_readings and not self._is_replaying) or (delay := self._delay(time)) is None:
            return 0.0
        if delay < -_CLOCK_JUMP and self._is_replaying:
            # The reading is from before the device's clock was set back. If it were accepted as a new one,
            # the registers would fall.
            return None
        if delay > self._min_delay + _CLOCK_JUMP:
            # The clock was set back after `config`, because the replay is in the order of time.
            self._replay_ends_at = -math.inf
        elif delay < self._min_delay - _CLOCK_RESOLUTION:
            self._min_delay = delay
            if self._is_before_config(delay):
                self._replay_ends_at = clock.now() + _REPLAY_DURATION
        return self._age(time)

    def _age_of_report(self, time: datetime | None) -> float | None:
        """Return the age of a report on an appliance in seconds.

        None during a replay if the time is unknown, or in the future because the clock was set back.
        """
        if self._is_replaying and ((delay := self._delay(time)) is None or delay < -_REPLAY_DURATION):
            return None
        return self._age(time)

    def _age(self, time: datetime | None) -> float:
        """Return the age of a repeated message in seconds; 0 for other messages."""
        if not self._is_replaying or (delay := self._delay(time)) is None:
            return 0.0
        return min(delay, _MAX_AGE) if self._is_before_config(delay) else 0.0


def _parse_hourly(payload: Mapping[str, Any]) -> HourlyRegister | None:
    time = get_time(payload, "sec")
    values = parse_measurements(payload, _HOURLY_NAMES)
    if time is None or not values:
        return None
    hour = time.replace(minute=0, second=0, microsecond=0)
    return HourlyRegister(hour=hour, values=values) if time - hour <= _HOURLY_WITHIN else None


def parse_inventory(payload: Mapping[str, Any]) -> Inventory | None:
    """Return the appliances of `/api/v1/device`, or None if it does not list them.

    The format is known from the device's own web page only.
    """
    devices = payload.get("devices")
    if not isinstance(devices, list) or len(devices) > _MAX_APPLIANCES:
        return None
    return Inventory(
        appliances=tuple(
            ApplianceProfile(
                id=appliance_id,
                name=get_text(device, "name"),
                category=get_text(device, "profileId"),
                states=tuple(_parse_states(device.get("states"))),
            )
            for device in devices
            if isinstance(device, dict) and (appliance_id := get_id(device, "id"))
        )
    )


def _parse_states(states: object) -> Iterator[ApplianceState]:
    # A detection contains the position of a state. So an invalid state keeps its position.
    for state in states if isinstance(states, list) else ():
        if not isinstance(state, dict):
            state = {}  # noqa: PLW2901 (all of it is unknown)
        status = state.get("status")
        yield ApplianceState(
            name=get_text(state, "name") or "",
            is_on=status if isinstance(status, bool) else None,
            power=get_number(state, "power"),
        )
