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


class Unit(StrEnum):
    """A unit of the wire. The values are the symbols that Home Assistant uses too."""

    NONE = ""
    WATT = "W"
    KILOWATT = "kW"
    WATT_HOUR = "Wh"
    KILOWATT_HOUR = "kWh"
    VOLT = "V"
    AMPERE = "A"


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
class Reading:
    """One telegram of the meter: what it holds and nothing else. An absent measurement is not zero."""

    values: Mapping[Measurement, float]
    """In the units of the reader's `units`."""

    age: float = 0.0
    """Seconds since the meter sent it, by the device's own clock: more than 0 when the device repeats, after
    a connect, what it sent before."""


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

    replayed: bool = False
    """Whether it is from before the connection."""

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


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life of the device that says nothing about the meter."""


type Message = ReaderInfo | Reading | Transition | Detection | Heartbeat
