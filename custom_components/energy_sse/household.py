"""Which of the measurements in a reading a household really has."""

from collections.abc import Mapping
from typing import Final

from .reader import Measurement as M

# Every meter has these, also when they are zero for the moment.
_ALWAYS: Final = frozenset(
    {
        M.ACTIVE_POWER_IMPORT,
        M.ACTIVE_POWER_NET,
        M.ACTIVE_ENERGY_IMPORT,
        M.METER_CLOCK_OFFSET,
        M.READER_CLOCK_OFFSET,
    }
)

# Power is exported only while the sun shines, but a register that ever counted tells at night too.
_SHOWN_BY: Final[Mapping[M, M]] = {M.ACTIVE_POWER_EXPORT: M.ACTIVE_ENERGY_EXPORT}

# Volts. A phase that is not connected reads 0, or picks up some 36 V from its neighbours.
_UNCONNECTED_BELOW: Final = 50
_VOLTAGES: Final = frozenset({M.VOLTAGE_L1, M.VOLTAGE_L2, M.VOLTAGE_L3})


def has_measurement(measurement: M, values: Mapping[M, float]) -> bool:
    """Tell whether a reading shows that the household has a measurement.

    Firmware that knows no absent key fills with zeros, so a zero proves nothing: whatever not every meter has
    is there once its value was seen to be something else.
    """
    if measurement in _ALWAYS:
        return True
    if measurement in _VOLTAGES:
        return values[measurement] >= _UNCONNECTED_BELOW
    shown_by = _SHOWN_BY.get(measurement, measurement)
    return bool(values[measurement] or values.get(shown_by))
