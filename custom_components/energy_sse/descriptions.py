"""Descriptions of the sensors, the same for all kinds of readers.

Sensors that most households do not need are disabled by default.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from homeassistant.components.sensor import SensorDeviceClass, SensorEntityDescription, SensorStateClass
from homeassistant.const import (
    SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
    EntityCategory,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfPower,
    UnitOfReactiveEnergy,
    UnitOfReactivePower,
    UnitOfTime,
    UnitOfVolume,
)

from .appliances import Appliance
from .const import PowerTariffKey, SubMeterKind
from .power_tariff.demand import MonthlyPeak
from .reader import HEADROOMS, Measurement as M, Property as P


@dataclass(frozen=True, kw_only=True)
class MeasurementDescription(SensorEntityDescription):
    """Description of a measurement. The reader defines its unit."""

    key: M
    part: str | None = None
    """Phase or tariff in the name."""


@dataclass(frozen=True, kw_only=True)
class PropertyDescription(SensorEntityDescription):
    """Description of a property of the reader."""

    key: P
    entity_category: EntityCategory | None = EntityCategory.DIAGNOSTIC
    protocol_values: Mapping[str, str] | None = None
    """Value of the protocol → option of the sensor, if the property is an enumeration."""


@dataclass(frozen=True, kw_only=True)
class _Quantity:
    """Physical quantity: common attributes of the descriptions of its measurements."""

    device_class: SensorDeviceClass | None
    state_class: SensorStateClass | None
    unit: str | None
    precision: int

    def describe(
        self,
        key: M,
        name: str,
        part: str | None = None,
        *,
        enabled: bool = True,
        category: EntityCategory | None = None,
    ) -> MeasurementDescription:
        """Return the description of a measurement."""
        return MeasurementDescription(
            key=key,
            translation_key=name,
            part=part,
            device_class=self.device_class,
            state_class=self.state_class,
            suggested_unit_of_measurement=self.unit,
            suggested_display_precision=self.precision,
            entity_registry_enabled_default=enabled,
            entity_category=category,
        )


_POWER: Final = _Quantity(
    device_class=SensorDeviceClass.POWER,
    state_class=SensorStateClass.MEASUREMENT,
    unit=UnitOfPower.WATT,
    precision=0,
)
_ENERGY: Final = _Quantity(
    device_class=SensorDeviceClass.ENERGY,
    state_class=SensorStateClass.TOTAL_INCREASING,
    unit=UnitOfEnergy.KILO_WATT_HOUR,
    precision=3,
)
_REACTIVE_POWER: Final = _Quantity(
    device_class=SensorDeviceClass.REACTIVE_POWER,
    state_class=SensorStateClass.MEASUREMENT,
    unit=UnitOfReactivePower.VOLT_AMPERE_REACTIVE,
    precision=0,
)
_REACTIVE_ENERGY: Final = _Quantity(
    device_class=SensorDeviceClass.REACTIVE_ENERGY,
    state_class=SensorStateClass.TOTAL_INCREASING,
    unit=UnitOfReactiveEnergy.KILO_VOLT_AMPERE_REACTIVE_HOUR,
    precision=3,
)
_VOLTAGE: Final = _Quantity(
    device_class=SensorDeviceClass.VOLTAGE,
    state_class=SensorStateClass.MEASUREMENT,
    unit=None,
    precision=1,
)
_CURRENT: Final = _Quantity(
    device_class=SensorDeviceClass.CURRENT,
    state_class=SensorStateClass.MEASUREMENT,
    unit=None,
    precision=2,
)
_POWER_FACTOR: Final = _Quantity(
    device_class=SensorDeviceClass.POWER_FACTOR,
    state_class=SensorStateClass.MEASUREMENT,
    unit=None,
    precision=2,
)
_OFFSET: Final = _Quantity(
    device_class=SensorDeviceClass.DURATION,
    state_class=SensorStateClass.MEASUREMENT,
    unit=UnitOfTime.SECONDS,
    precision=0,
)


def _describe_measurements() -> Iterable[MeasurementDescription]:
    yield _POWER.describe(M.ACTIVE_POWER_NET, "power_net")
    yield _POWER.describe(M.ACTIVE_POWER_NET_L1, "power_net_phase", "L1")
    yield _POWER.describe(M.ACTIVE_POWER_NET_L2, "power_net_phase", "L2")
    yield _POWER.describe(M.ACTIVE_POWER_NET_L3, "power_net_phase", "L3")
    yield _POWER.describe(M.ACTIVE_POWER_IMPORT, "power_import")
    yield _POWER.describe(M.ACTIVE_POWER_EXPORT, "power_export")
    yield _POWER.describe(M.ACTIVE_POWER_IMPORT_L1, "power_import_phase", "L1", enabled=False)
    yield _POWER.describe(M.ACTIVE_POWER_IMPORT_L2, "power_import_phase", "L2", enabled=False)
    yield _POWER.describe(M.ACTIVE_POWER_IMPORT_L3, "power_import_phase", "L3", enabled=False)
    yield _POWER.describe(M.ACTIVE_POWER_EXPORT_L1, "power_export_phase", "L1", enabled=False)
    yield _POWER.describe(M.ACTIVE_POWER_EXPORT_L2, "power_export_phase", "L2", enabled=False)
    yield _POWER.describe(M.ACTIVE_POWER_EXPORT_L3, "power_export_phase", "L3", enabled=False)
    # The meter resets a maximum at the end of the billing period, so it is not a total.
    yield _POWER.describe(M.MAXIMUM_DEMAND_IMPORT, "maximum_demand")
    yield _POWER.describe(M.MAXIMUM_DEMAND_IMPORT_T1, "maximum_demand_tariff", "1", enabled=False)
    yield _POWER.describe(M.MAXIMUM_DEMAND_IMPORT_T2, "maximum_demand_tariff", "2", enabled=False)
    yield _ENERGY.describe(M.ACTIVE_ENERGY_IMPORT, "energy_import")
    yield _ENERGY.describe(M.ACTIVE_ENERGY_IMPORT_T1, "energy_import_tariff", "1")
    yield _ENERGY.describe(M.ACTIVE_ENERGY_IMPORT_T2, "energy_import_tariff", "2")
    yield _ENERGY.describe(M.ACTIVE_ENERGY_EXPORT, "energy_export")
    yield _ENERGY.describe(M.ACTIVE_ENERGY_EXPORT_T1, "energy_export_tariff", "1")
    yield _ENERGY.describe(M.ACTIVE_ENERGY_EXPORT_T2, "energy_export_tariff", "2")
    yield MeasurementDescription(
        key=M.ACTIVE_TARIFF,
        translation_key="active_tariff",
        device_class=SensorDeviceClass.ENUM,
        options=["1", "2", "3", "4"],
    )
    yield _VOLTAGE.describe(M.VOLTAGE_L1, "voltage_phase", "L1")
    yield _VOLTAGE.describe(M.VOLTAGE_L2, "voltage_phase", "L2")
    yield _VOLTAGE.describe(M.VOLTAGE_L3, "voltage_phase", "L3")
    yield _CURRENT.describe(M.CURRENT_L1, "current_phase", "L1")
    yield _CURRENT.describe(M.CURRENT_L2, "current_phase", "L2")
    yield _CURRENT.describe(M.CURRENT_L3, "current_phase", "L3")
    # These exist only if the options contain the main fuse.
    yield _CURRENT.describe(M.HEADROOM_L1, "headroom_phase", "L1")
    yield _CURRENT.describe(M.HEADROOM_L2, "headroom_phase", "L2")
    yield _CURRENT.describe(M.HEADROOM_L3, "headroom_phase", "L3")
    yield _POWER_FACTOR.describe(M.POWER_FACTOR, "power_factor", enabled=False)
    for measurement, name, part in (
        (M.REACTIVE_POWER_IMPORT, "reactive_power_import", None),
        (M.REACTIVE_POWER_EXPORT, "reactive_power_export", None),
        (M.REACTIVE_POWER_IMPORT_L1, "reactive_power_import_phase", "L1"),
        (M.REACTIVE_POWER_IMPORT_L2, "reactive_power_import_phase", "L2"),
        (M.REACTIVE_POWER_IMPORT_L3, "reactive_power_import_phase", "L3"),
        (M.REACTIVE_POWER_EXPORT_L1, "reactive_power_export_phase", "L1"),
        (M.REACTIVE_POWER_EXPORT_L2, "reactive_power_export_phase", "L2"),
        (M.REACTIVE_POWER_EXPORT_L3, "reactive_power_export_phase", "L3"),
    ):
        yield _REACTIVE_POWER.describe(measurement, name, part, enabled=False)
    for measurement in (
        M.REACTIVE_ENERGY_IMPORT,
        M.REACTIVE_ENERGY_EXPORT,
        M.REACTIVE_ENERGY_IMPORTED_INDUCTIVE,
        M.REACTIVE_ENERGY_IMPORTED_CAPACITIVE,
        M.REACTIVE_ENERGY_EXPORTED_INDUCTIVE,
        M.REACTIVE_ENERGY_EXPORTED_CAPACITIVE,
    ):
        yield _REACTIVE_ENERGY.describe(measurement, measurement, enabled=False)
    yield _POWER.describe(M.BLINK_POWER, "blink_power", enabled=False)
    yield _ENERGY.describe(M.BLINK_ENERGY, "blink_energy", enabled=False)
    for measurement in (M.READER_CLOCK_OFFSET, M.METER_CLOCK_OFFSET):
        yield _OFFSET.describe(measurement, measurement, enabled=False, category=EntityCategory.DIAGNOSTIC)


# The sensors are added in this order.
MEASUREMENTS: Final[Mapping[M, MeasurementDescription]] = {
    each.key: each for each in _describe_measurements()
}


def _enumeration(key: P, *values: str, enabled: bool = True) -> PropertyDescription:
    """Return the description of an enumeration. `values` are its values in the protocol."""
    options = {value: value.lower().replace(" ", "_").replace("+", "_") for value in values}
    return PropertyDescription(
        key=key,
        translation_key=key,
        device_class=SensorDeviceClass.ENUM,
        options=list(options.values()),
        protocol_values=options,
        entity_registry_enabled_default=enabled,
    )


def _supply_voltage(key: P) -> PropertyDescription:
    return PropertyDescription(
        key=key,
        translation_key=key,
        device_class=SensorDeviceClass.VOLTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricPotential.VOLT,
        suggested_display_precision=2,
        entity_registry_enabled_default=False,
    )


PROPERTIES: Final[Mapping[P, PropertyDescription]] = {
    each.key: each
    for each in (
        _enumeration(
            P.METER_STATUS,
            "OK",
            "NO DATA",
            "NOT CONNECTED",
            "RECOGNITION",
            "KEY REQUIRED",
            "ENCRYPTION KEY",
            "NOT RECOGNIZED",
            "NO INIT",
        ),
        _enumeration(P.METER_INTERFACE, "NONE", "P1", "MBUS", "TTL", "MEP", enabled=False),
        PropertyDescription(
            key=P.REPORT_INTERVAL,
            translation_key=P.REPORT_INTERVAL,
            device_class=SensorDeviceClass.DURATION,
            state_class=SensorStateClass.MEASUREMENT,
            native_unit_of_measurement=UnitOfTime.SECONDS,
            suggested_display_precision=1,
            entity_registry_enabled_default=False,
        ),
        PropertyDescription(
            key=P.SIGNAL_STRENGTH,
            translation_key=P.SIGNAL_STRENGTH,
            device_class=SensorDeviceClass.SIGNAL_STRENGTH,
            state_class=SensorStateClass.MEASUREMENT,
            native_unit_of_measurement=SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
            suggested_display_precision=0,
            entity_registry_enabled_default=False,
        ),
        _supply_voltage(P.SUPPLY_VOLTAGE_USB),
        _supply_voltage(P.SUPPLY_VOLTAGE_MBUS),
        _supply_voltage(P.SUPPLY_VOLTAGE_P1),
        _supply_voltage(P.SUPPLY_VOLTAGE_BUFFER),
        _enumeration(P.LICENSE, "PLUS", "PRO", enabled=False),
        PropertyDescription(
            key=P.LAST_RESTART,
            translation_key=P.LAST_RESTART,
            device_class=SensorDeviceClass.UPTIME,
            entity_registry_enabled_default=False,
        ),
        PropertyDescription(
            key=P.RESTART_REASON, translation_key=P.RESTART_REASON, entity_registry_enabled_default=False
        ),
        _enumeration(P.MODE, "HAN", "H+B", "BLINK", enabled=False),
        PropertyDescription(
            key=P.PRICE_AREA, translation_key=P.PRICE_AREA, entity_registry_enabled_default=False
        ),
    )
}


def _sub_meter(
    kind: SubMeterKind, device_class: SensorDeviceClass | None = None, unit: str | None = None
) -> SensorEntityDescription:
    return SensorEntityDescription(
        key="sub_meter",
        translation_key=f"sub_meter_{kind}",
        device_class=device_class,
        # Statistics without a unit would prevent statistics with the unit of a kind that is chosen later.
        state_class=None if unit is None else SensorStateClass.TOTAL_INCREASING,
        native_unit_of_measurement=unit,
        suggested_display_precision=3,
    )


SUB_METERS: Final[Mapping[SubMeterKind, SensorEntityDescription]] = {
    SubMeterKind.NONE: _sub_meter(SubMeterKind.NONE),
    SubMeterKind.GAS: _sub_meter(SubMeterKind.GAS, SensorDeviceClass.GAS, UnitOfVolume.CUBIC_METERS),
    SubMeterKind.WATER: _sub_meter(SubMeterKind.WATER, SensorDeviceClass.WATER, UnitOfVolume.CUBIC_METERS),
    SubMeterKind.HEAT: _sub_meter(SubMeterKind.HEAT, SensorDeviceClass.ENERGY, UnitOfEnergy.KILO_WATT_HOUR),
}


@dataclass(frozen=True, kw_only=True)
class ApplianceDescription(SensorEntityDescription):
    """Description of a value of an appliance."""

    value_fn: Callable[[Appliance], float | str | datetime | None]
    attributes_fn: Callable[[Appliance], Mapping[str, Any] | None] = lambda _: None


def _run_attributes(appliance: Appliance) -> Mapping[str, Any] | None:
    """Return the duration and the energy of the last run."""
    if (run := appliance.last_run) is None:
        return None
    return {
        "minutes": round((run.end - run.start).total_seconds() / 60),
        "energy_kwh": None if run.energy is None else run.energy / 1000,
    }


APPLIANCES: Final = (
    ApplianceDescription(
        key="power",
        device_class=SensorDeviceClass.POWER,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_display_precision=0,
        value_fn=lambda appliance: appliance.power,
    ),
    ApplianceDescription(
        key="energy",
        device_class=SensorDeviceClass.ENERGY,
        state_class=SensorStateClass.TOTAL_INCREASING,
        native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
        suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        suggested_display_precision=3,
        value_fn=lambda appliance: appliance.energy,
    ),
    ApplianceDescription(
        key="last_run",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=lambda appliance: None if appliance.last_run is None else appliance.last_run.start,
        attributes_fn=_run_attributes,
    ),
)

# Sensor of appliances with more states than on and off.
APPLIANCE_STATE: Final = ApplianceDescription(key="state", value_fn=lambda appliance: appliance.state)


@dataclass(frozen=True, kw_only=True)
class PowerTariffDescription(SensorEntityDescription):
    """Description of one value of a power tariff."""

    month_fn: Callable[[MonthlyPeak], float | datetime] | None = None
    """Function that returns the value of a month; None for a power."""


def _demand(key: PowerTariffKey, state_class: SensorStateClass | None = None) -> PowerTariffDescription:
    return PowerTariffDescription(
        key=key,
        translation_key=key,
        device_class=SensorDeviceClass.POWER,
        state_class=state_class,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_unit_of_measurement=UnitOfPower.KILO_WATT,
        suggested_display_precision=2,
    )


def _cost(key: PowerTariffKey) -> PowerTariffDescription:
    return PowerTariffDescription(
        key=key,
        translation_key=key,
        device_class=SensorDeviceClass.MONETARY,
        suggested_display_precision=2,
        month_fn=lambda peak: round(peak.cost, 2),
    )


# In kW, as power tariffs are billed.
POWER_TARIFF: Final[Mapping[PowerTariffKey, PowerTariffDescription]] = {
    PowerTariffKey(each.key): each
    for each in (
        _demand(PowerTariffKey.DEMAND, SensorStateClass.MEASUREMENT),
        _demand(PowerTariffKey.EXPECTED_DEMAND),
        _demand(PowerTariffKey.PEAK_DEMAND, SensorStateClass.MEASUREMENT),
        _demand(PowerTariffKey.PREVIOUS_PEAK_DEMAND),
        _demand(PowerTariffKey.DEMAND_LIMIT),
        _demand(PowerTariffKey.AVAILABLE_POWER),
        PowerTariffDescription(
            key=PowerTariffKey.PEAK_TIME,
            translation_key=PowerTariffKey.PEAK_TIME,
            device_class=SensorDeviceClass.TIMESTAMP,
            entity_category=EntityCategory.DIAGNOSTIC,
            month_fn=lambda peak: peak.peaks[0].start,
        ),
        PowerTariffDescription(
            key=PowerTariffKey.MISSED_INTERVALS,
            translation_key=PowerTariffKey.MISSED_INTERVALS,
            state_class=SensorStateClass.MEASUREMENT,
            entity_category=EntityCategory.DIAGNOSTIC,
            month_fn=lambda peak: peak.missed,
        ),
        _cost(PowerTariffKey.PEAK_COST),
        _cost(PowerTariffKey.PREVIOUS_PEAK_COST),
    )
}


# Measurements that every meter has, even if they are zero.
_ALWAYS_SUPPORTED: Final = frozenset(
    {
        M.ACTIVE_POWER_IMPORT,
        M.ACTIVE_POWER_NET,
        M.ACTIVE_ENERGY_IMPORT,
        M.METER_CLOCK_OFFSET,
        M.READER_CLOCK_OFFSET,
    }
)

# Measurement → register that shows that the meter has it. The exported power is zero at night, but the
# register is not.
_SUPPORTED_BY: Final[Mapping[M, M]] = {M.ACTIVE_POWER_EXPORT: M.ACTIVE_ENERGY_EXPORT}

# Headroom → current. The headroom of a phase that is not connected is not zero.
_CURRENTS: Final = {headroom: current for headroom, (current, _) in HEADROOMS.items()}

# Volts. A phase that is not connected has 0 V, or about 36 V from the other phases.
_MIN_VOLTAGE: Final = 50
_VOLTAGES: Final = frozenset({M.VOLTAGE_L1, M.VOLTAGE_L2, M.VOLTAGE_L3})


def is_supported(measurement: M, values: Mapping[M, float]) -> bool:
    """Return whether the values show that the meter has a measurement.

    Old firmware sends zero for a measurement that the meter does not have. So a measurement that not every
    meter has gets its entity when its value is not zero for the first time.
    """
    if measurement in _ALWAYS_SUPPORTED:
        return True
    if measurement in _VOLTAGES:
        return values[measurement] >= _MIN_VOLTAGE
    if measurement in _CURRENTS:
        return bool(values.get(_CURRENTS[measurement]))
    return bool(values[measurement] or values.get(_SUPPORTED_BY.get(measurement, measurement)))
