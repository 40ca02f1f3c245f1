"""What a reader can say, in the terms of metering, whatever its wire calls them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Measurement(StrEnum):
    """A quantity that a meter measures. `import` is taken from the grid, `export` fed into it."""

    ACTIVE_POWER_IMPORT = "active_power_import"
    ACTIVE_POWER_EXPORT = "active_power_export"
    ACTIVE_POWER_NET = "active_power_net"
    """Import minus export; the one value that is computed."""

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

    ACTIVE_TARIFF = "active_tariff"
    POWER_FACTOR = "power_factor"

    MAXIMUM_DEMAND_IMPORT = "maximum_demand_import"
    """The highest power of the billing period; it falls back when a new one begins."""

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
    """Of the optical sensor on the meter's blinking light, beside its port."""

    BLINK_ENERGY = "blink_energy"

    METER_CLOCK_OFFSET = "meter_clock_drift"
    """Seconds by which the meter's clock is ahead of this machine's."""

    READER_CLOCK_OFFSET = "reader_clock_drift"
    """Seconds by which the reader's clock is ahead of this machine's."""


class Property(StrEnum):
    """Something that a reader says of itself."""

    METER_STATUS = "meter_status"
    METER_INTERFACE = "meter_interface"
    REPORT_INTERVAL = "report_interval"
    SIGNAL_STRENGTH = "signal_strength"
    SUPPLY_VOLTAGE_USB = "supply_voltage_usb"
    SUPPLY_VOLTAGE_MBUS = "supply_voltage_mbus"
    SUPPLY_VOLTAGE_P1 = "supply_voltage_p1"
    SUPPLY_VOLTAGE_BUFFER = "supply_voltage_buffer"
    LICENCE = "licence"
    LAST_RESTART = "last_restart"
    RESTART_REASON = "restart_reason"
    MODE = "mode"
    PRICE_AREA = "price_area"
    CLOUD_WHATWATT = "cloud_whatwatt"
    CLOUD_MYSTROM = "cloud_mystrom"
    CLOUD_SOLAR_MANAGER = "cloud_solar_manager"
    CLOUD_MQTT = "cloud_mqtt"
    CLOUD_STROMKONTO = "cloud_stromkonto"


class Unit(StrEnum):
    """A unit of the wire. The values are the symbols that Home Assistant uses too."""

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
    """A hash is sent from which the password can only be guessed (RFC 7616)."""

    def is_weaker_than(self, other: AuthScheme) -> bool:
        """Return whether another device can imitate a device with this scheme more easily."""
        order = list(AuthScheme)
        return order.index(self) < order.index(other)


class ReaderKind(StrEnum):
    """The devices that are supported."""

    WHATWATT = "whatwatt"
    CURRENTLYONE = "currentlyone"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderInfo:
    """Who a reader is. The first message of every connection."""

    kind: ReaderKind
    id: str
    """The device's own, unique and for life."""

    name: str = ""
    """What its owner calls it; empty when never set."""

    mac_addresses: tuple[str, ...] = ()
    firmware: str | None = None
    hardware: str | None = None
    clock: datetime | None = None
    """The device's clock when it said this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStatus:
    """How a reader is: all that it says of itself now. What it does not say is not known."""

    values: Mapping[Property, str | float | bool | datetime]
    """Volts, dBm and seconds; texts as the device writes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One telegram of the meter: what it holds and nothing else. An absent measurement is not zero."""

    values: Mapping[Measurement, float]
    """In the units of the reader's `units`."""

    age: float = 0.0
    """Seconds since the meter sent it, by the device's own clock: more than 0 when the device repeats, after
    a connect, what it sent before."""

    reader_time: datetime | None = None
    """The reader's clock at that moment; without a zone it is the local time of the place."""

    meter_time: datetime | None = None
    """The meter's clock at that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyRegister:
    """The registers at a full hour. The reader remembers some, and repeats them after every connect."""

    hour: datetime
    """By the reader's clock."""

    values: Mapping[Measurement, float]
    """In the units of the reader's `units`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubMeterReading:
    """The register of a sub-meter, for gas, water or heat, that the electricity meter relays.

    The wire says neither what it counts nor in which unit.
    """

    meter_id: str
    value: float | None = None
    """None when the meter is known and has said nothing yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplianceState:
    """One of the states that an appliance can be in."""

    name: str
    is_on: bool | None = None
    power: float | None = None
    """W, as its owner or the device's learning has set it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplianceProfile:
    """An appliance in the device's inventory."""

    id: str
    name: str | None = None
    category: str | None = None
    states: tuple[ApplianceState, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All appliances that the device knows."""

    appliances: tuple[ApplianceProfile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A report that an appliance is in a state; it may have been in that state before."""

    appliance_id: str
    state: str
    """The name of the state, as its owner wrote it."""

    name: str | None = None
    """The appliance's name."""

    is_on: bool | None = None
    previous_state: str | None = None
    power: float | None = None
    """W."""

    energy: float | None = None
    """Wh, cumulative."""

    category: str | None = None
    time: datetime | None = None
    """By the device's clock."""

    age: float | None = 0.0
    """Seconds since it happened, by the device's own clock; more than 0 when it was before the connection.
    None where nobody can tell."""

    may_be_replay: bool = False
    """Whether it came with the connection, so that the device may be repeating it whatever its clock says."""

    @property
    def is_change(self) -> bool:
        """Whether the device itself calls this a new state."""
        return self.state != self.previous_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """The last state that the device detected of an appliance, and the energy it has used."""

    appliance_id: str
    state_index: int | None = None
    """Position in the appliance's own list of states; neither on nor off by itself."""

    energy: float | None = None
    """Wh, cumulative."""

    time: datetime | None = None
    """By the device's clock."""

    age: float | None = 0.0
    """Seconds since it happened, by the device's own clock; more than 0 when it was before the connection.
    None where nobody can tell."""

    may_be_replay: bool = False
    """Whether it came with the connection, so that the device may be repeating it whatever its clock says."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life of the device that says nothing about the meter."""

    time: datetime | None = None
    """The device's clock at that moment."""


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
