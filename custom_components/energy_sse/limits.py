"""Limits of the registers of sub-meters and appliances, and of the number of these devices."""

from collections import deque
from collections.abc import Mapping
from typing import Final

from .const import SubMeterKind
from .reader import RegisterLimits

# Seconds. An electricity meter reads the others once an hour (gas by DSMR 4) or more often, and repeats the
# last value in between. A CurrentlyOne repeats its last detections after every connect.
_MAX_REPEAT_AGE: Final = 3600.0

SUB_METER_LIMITS: Final[Mapping[SubMeterKind, RegisterLimits]] = {
    # The unit is unknown, so there is no limit.
    SubMeterKind.NONE: RegisterLimits(max_repeat_age=_MAX_REPEAT_AGE),
    # m³. The largest flow of a G16 (EN 1359), 250 kW: a house of many flats. A home has a G4 (6) or G6 (10).
    SubMeterKind.GAS: RegisterLimits(rise_per_hour=25.0, max_repeat_age=_MAX_REPEAT_AGE),
    # m³. The overload flow of a meter with Q3 = 16 (ISO 4064), for as many flats. A home has 3.1 or 5.
    SubMeterKind.WATER: RegisterLimits(rise_per_hour=20.0, max_repeat_age=_MAX_REPEAT_AGE),
    # kWh. A flow of 2.5 m³/h that is cooled down by 70 K (EN 1434). A home has 1.5 m³/h or less.
    SubMeterKind.HEAT: RegisterLimits(rise_per_hour=200.0, max_repeat_age=_MAX_REPEAT_AGE),
}

# Wh. The largest AC charger of a home: three phases of 63 A.
APPLIANCE_LIMITS: Final = RegisterLimits(rise_per_hour=43_500.0, max_repeat_age=_MAX_REPEAT_AGE)


class DeviceLimit:
    """Limit of the number of devices, so that invalid data fills neither memory nor registries.

    Above a first number, a device is accepted at its second report, because invalid ids rarely repeat.
    """

    def __init__(self, at_first_report: int, total: int) -> None:
        """Set the number of devices that are accepted at once, and the number of all."""
        self._at_first_report = at_first_report
        self._total = total
        self._reported: deque[str] = deque(maxlen=total)

    def accepts(self, device_id: str, count: int) -> bool:
        """Return whether a reported device is accepted, besides `count` others."""
        if count < self._at_first_report:
            return True
        if device_id in self._reported:
            return count < self._total
        self._reported.append(device_id)
        return False
