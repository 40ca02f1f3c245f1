"""Messages and errors of the readers, in terms of metering that do not depend on a protocol.

The texts of errors are logged, so they contain neither secrets nor identities.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Measurement(StrEnum):
    """Quantity that a meter measures, by its OBIS name. The values are parts of unique ids.

    `import` is taken from the grid, `export` is fed into it. The unit of each is in `Reader.units`.
    """

    ACTIVE_POWER_IMPORT = "active_power_import"
    ACTIVE_POWER_EXPORT = "active_power_export"
    ACTIVE_POWER_NET = "active_power_net"
    """Import minus export. It is computed, unless the protocol has it instead of the other two."""

    ACTIVE_POWER_NET_L1 = "active_power_net_l1"
    """For all phases: import minus export. It is computed."""

    ACTIVE_POWER_NET_L2 = "active_power_net_l2"
    ACTIVE_POWER_NET_L3 = "active_power_net_l3"
    ACTIVE_POWER_IMPORT_L1 = "active_power_import_l1"
    ACTIVE_POWER_IMPORT_L2 = "active_power_import_l2"
    ACTIVE_POWER_IMPORT_L3 = "active_power_import_l3"
    ACTIVE_POWER_EXPORT_L1 = "active_power_export_l1"
    ACTIVE_POWER_EXPORT_L2 = "active_power_export_l2"
    ACTIVE_POWER_EXPORT_L3 = "active_power_export_l3"

    ACTIVE_ENERGY_IMPORT = "active_energy_import"
    ACTIVE_ENERGY_IMPORT_T1 = "active_energy_import_t1"
    ACTIVE_ENERGY_IMPORT_T2 = "active_energy_import_t2"
    ACTIVE_ENERGY_EXPORT = "active_energy_export"
    ACTIVE_ENERGY_EXPORT_T1 = "active_energy_export_t1"
    ACTIVE_ENERGY_EXPORT_T2 = "active_energy_export_t2"

    VOLTAGE_L1 = "voltage_l1"
    VOLTAGE_L2 = "voltage_l2"
    VOLTAGE_L3 = "voltage_l3"
    CURRENT_L1 = "current_l1"
    CURRENT_L2 = "current_l2"
    CURRENT_L3 = "current_l3"
    HEADROOM_L1 = "headroom_l1"
    """For all phases: main fuse minus current, which is negative while the phase exports. It is computed."""

    HEADROOM_L2 = "headroom_l2"
    HEADROOM_L3 = "headroom_l3"

    ACTIVE_TARIFF = "active_tariff"
    POWER_FACTOR = "power_factor"

    MAXIMUM_DEMAND_IMPORT = "maximum_demand_import"
    """Highest power of the billing period (OBIS 1.6.0). It is reset when a new period begins."""

    MAXIMUM_DEMAND_IMPORT_T1 = "maximum_demand_import_t1"
    MAXIMUM_DEMAND_IMPORT_T2 = "maximum_demand_import_t2"

    REACTIVE_POWER_IMPORT = "reactive_power_import"
    REACTIVE_POWER_EXPORT = "reactive_power_export"
    REACTIVE_POWER_IMPORT_L1 = "reactive_power_import_l1"
    REACTIVE_POWER_IMPORT_L2 = "reactive_power_import_l2"
    REACTIVE_POWER_IMPORT_L3 = "reactive_power_import_l3"
    REACTIVE_POWER_EXPORT_L1 = "reactive_power_export_l1"
    REACTIVE_POWER_EXPORT_L2 = "reactive_power_export_l2"
    REACTIVE_POWER_EXPORT_L3 = "reactive_power_export_l3"

    REACTIVE_ENERGY_IMPORT = "reactive_energy_import"
    REACTIVE_ENERGY_EXPORT = "reactive_energy_export"
    REACTIVE_ENERGY_IMPORTED_INDUCTIVE = "reactive_energy_imported_inductive"
    REACTIVE_ENERGY_IMPORTED_CAPACITIVE = "reactive_energy_imported_capacitive"
    REACTIVE_ENERGY_EXPORTED_INDUCTIVE = "reactive_energy_exported_inductive"
    REACTIVE_ENERGY_EXPORTED_CAPACITIVE = "reactive_energy_exported_capacitive"

    BLINK_POWER = "blink_power"
    """Power by the optical sensor on the meter's pulse light, in addition to the meter's port."""

    BLINK_ENERGY = "blink_energy"
    """Energy by the optical sensor. It is not the meter's register."""

    METER_CLOCK_OFFSET = "meter_clock_drift"
    """Seconds by which the meter's clock is ahead of the local clock."""

    READER_CLOCK_OFFSET = "reader_clock_drift"
    """Seconds by which the reader's clock is ahead of the local clock."""


class Property(StrEnum):
    """Quantity or state of the reader itself. The values are parts of unique ids."""

    METER_STATUS = "meter_status"
    """Text; state of the reception from the meter. All kinds of readers use the words of the whatwatt."""

    METER_INTERFACE = "meter_interface"
    """Text; the port of the meter that the reader uses."""

    REPORT_INTERVAL = "report_interval"
    """Seconds between two telegrams of the meter."""

    SIGNAL_STRENGTH = "signal_strength"
    """dBm (Wi-Fi)."""

    SUPPLY_VOLTAGE_USB = "supply_voltage_usb"
    """For all supply voltages: V."""

    SUPPLY_VOLTAGE_MBUS = "supply_voltage_mbus"
    SUPPLY_VOLTAGE_P1 = "supply_voltage_p1"
    SUPPLY_VOLTAGE_BUFFER = "supply_voltage_buffer"
    LICENSE = "licence"  # in unique ids
    """Text; the license that the owner has bought."""

    LAST_RESTART = "last_restart"
    """Time, aware."""

    RESTART_REASON = "restart_reason"
    MODE = "mode"
    """Text; the sources of the readings."""

    PRICE_AREA = "price_area"
    CLOUD_WHATWATT = "cloud_whatwatt"
    """For all clouds: True if the reader is connected to the service; missing if it is not enabled."""

    CLOUD_MYSTROM = "cloud_mystrom"
    CLOUD_SOLAR_MANAGER = "cloud_solar_manager"
    CLOUD_MQTT = "cloud_mqtt"
    CLOUD_STROMKONTO = "cloud_stromkonto"


class Unit(StrEnum):
    """Unit of a protocol. The values are the symbols of Home Assistant."""

    NONE = ""
    WATT = "W"
    KILOWATT = "kW"
    WATT_HOUR = "Wh"
    KILOWATT_HOUR = "kWh"
    VOLT = "V"
    AMPERE = "A"
    VAR = "var"
    KILOVAR = "kvar"
    VAR_HOUR = "varh"
    KILOVAR_HOUR = "kvarh"
    SECOND = "s"


class AuthScheme(StrEnum):
    """Authentication scheme of a device. The weakest comes first."""

    NONE = "none"
    BASIC = "basic"
    """The password is sent unencrypted (RFC 7617). whatwatt firmware before 1.10 requires it."""

    DIGEST = "digest"
    """A hash is sent from which the password can be found only by trying passwords (RFC 7616)."""

    def is_weaker_than(self, other: AuthScheme) -> bool:
        """Return whether this scheme protects less against a device that imitates the reader."""
        order = list(AuthScheme)
        return order.index(self) < order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderInfo:
    """Identity of a reader. Every connection sends it before the first reading."""

    kind: str
    """`Reader.kind` of its class."""

    id: str
    """Unique id, which never changes."""

    name: str = ""
    """Name that the owner has given the device, or an empty text."""

    mac_addresses: tuple[str, ...] = ()
    firmware: str | None = None
    hardware: str | None = None
    clock: datetime | None = None
    """Clock of the device when it sent this message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStatus:
    """All properties of a reader. Missing properties are unknown."""

    values: Mapping[Property, str | float | bool | datetime]
    """Numbers in the units of `Property`; texts as the device sends them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Measurements of one telegram of the meter. A measurement that is missing is not zero."""

    values: Mapping[Measurement, float]
    """In the units of the reader's `units`."""

    age: float = 0.0
    """Seconds since the meter sent it, by the device's own clock. It is above 0 if the device repeats the
    telegram after a connect."""

    reader_time: datetime | None = None
    """Clock of the reader at that moment; local time if it has no zone."""

    meter_time: datetime | None = None
    """Clock of the meter at that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyRegister:
    """Registers on the hour. The reader stores some of them, and repeats them after every connect."""

    hour: datetime
    """Time of the registers, by the reader's clock."""

    values: Mapping[Measurement, float]
    """In the units of the reader's `units`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubMeterReading:
    """Register of a sub-meter, for gas, water or heat, that the electricity meter relays.

    The protocol contains neither the quantity nor the unit.
    """

    meter_id: str
    value: float | None = None
    """None if the sub-meter is connected and has not sent a register yet."""

    time: datetime | None = None
    """Time of the register, by a clock of the meter; None if the protocol does not contain it."""

    age: float = 0.0
    """Seconds since that time, by the clocks of the meter and of the reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplianceState:
    """State that an appliance can have."""

    name: str
    is_on: bool | None = None
    power: float | None = None
    """W, as the owner entered it, or as the device learned it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplianceProfile:
    """Appliance in the inventory of a device."""

    id: str
    name: str | None = None
    category: str | None = None
    states: tuple[ApplianceState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Complete list of the appliances that the device knows."""

    appliances: tuple[ApplianceProfile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplianceReport:
    """Report on an appliance."""

    appliance_id: str
    energy: float | None = None
    """Wh, cumulative."""

    time: datetime | None = None
    """Time of the report, by the device's clock."""

    age: float | None = 0.0
    """Seconds since the report, by the device's own clock. It is above 0 for a report from before the
    connection, and None if it is unknown."""

    may_be_replay: bool = False
    """True if it arrived soon after the connect, so that it can be a replay regardless of its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(ApplianceReport):
    """Report of the state of an appliance, which can be the state that it had before."""

    state: str
    """Name of the state, as the owner entered it."""

    name: str | None = None
    """Name of the appliance."""

    is_on: bool | None = None
    previous_state: str | None = None
    power: float | None = None
    """W."""

    category: str | None = None

    @property
    def is_change(self) -> bool:
        """True if the device reports this as a new state."""
        return self.state != self.previous_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection(ApplianceReport):
    """Last state of an appliance that the device has detected, and the energy that it has used."""

    state_index: int | None = None
    """Position in the list of states of the appliance's profile."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Message that shows only that the device is online."""

    time: datetime | None = None
    """Clock of the device at that moment."""


type Message = (
    ReaderInfo
    | ReaderStatus
    | Reading
    | HourlyRegister
    | SubMeterReading
    | Inventory
    | Transition
    | Detection
    | Heartbeat
)


class Reason(StrEnum):
    """Reason of an error. The values are translation keys."""

    ANOTHER_DEVICE = "another_device"
    CONNECTION_CLOSED = "connection_closed"
    CONNECTION_FAILED = "connection_failed"
    CONNECTION_REFUSED = "connection_refused"
    CREDENTIALS_REJECTED = "credentials_rejected"
    HOST_UNKNOWN = "host_unknown"
    HOST_UNREACHABLE = "host_unreachable"
    HTTP_STATUS = "http_status"
    """The detail is the status."""

    INVALID_RESPONSE = "invalid_response"
    NO_RESPONSE = "no_response"
    NOT_A_READER = "not_a_reader"
    NOT_IDENTIFIED = "not_identified"
    STREAM_CONTENDED = "stream_contended"
    """Another client takes the stream."""

    STREAM_ENDED = "stream_ended"
    STREAM_IDLE = "stream_idle"
    UNEXPECTED_ERROR = "unexpected_error"
    WEAKER_AUTHENTICATION = "weaker_authentication"


class ReaderError(Exception):
    """Error of a reader. Its subclasses differ in how to handle them."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        """Create the error. The detail is logged, so it must not contain identities."""
        text = reason.replace("_", " ")
        super().__init__(f"{text}: {detail}" if detail else text)
        self.reason = reason
        self.detail = detail


class ReaderConnectionError(ReaderError):
    """The device cannot be reached, or fails temporarily: try again."""

    def __init__(self, reason: Reason, detail: str = "", *, retry_after: float = 0.0) -> None:
        """Create the error. `retry_after` is the seconds until the device accepts requests again."""
        super().__init__(reason, detail)
        self.retry_after = retry_after


class ReaderStreamEndedError(ReaderConnectionError):
    """The device ended an event stream: try again.

    It was restarted, or it serves one stream and another client has opened it.
    """


class ReaderAuthenticationError(ReaderError):
    """The device requires credentials, or rejects the given ones: ask the user."""


class ReaderAuthDowngradeError(ReaderAuthenticationError):
    """The device asks for a weaker authentication scheme than before: ask the user.

    It can be another device that imitates the reader to get the password, or to send false values.
    """

    def __init__(self, scheme: AuthScheme) -> None:
        """Create the error. `scheme` is the scheme that the device accepts."""
        super().__init__(Reason.WEAKER_AUTHENTICATION)
        self.scheme = scheme


class ReaderProtocolError(ReaderError):
    """The response is not valid for this kind of reader: ask the user, or try again after an update."""


class ReaderMismatchError(ReaderProtocolError):
    """Another reader responds at the address: ask the user."""

    def __init__(self, found: str | None) -> None:
        """Create the error. `found` is the name of the other reader, or None if it requires credentials.

        The text does not contain the name, because it is logged.
        """
        super().__init__(Reason.ANOTHER_DEVICE)
        self.found = found
