"""Limits of the registers of sub-meters and appliances, and of the number of these devices."""

from collections import deque
from collections.abc import Mapping
from typing import Final

from .const import SubMeterKind
from .reader import RegisterLimits

# Seconds. An electricity meter asks the others once an hour (gas by DSMR 4) or more often, and passes their
# last answer on in between. A CurrentlyOne repeats its last detections after every connect.
_REPEATS_FOR: Final = 3600.0

SUB_METER_LIMITS: Final[Mapping[SubMeterKind, RegisterLimits]] = {
    # Nobody has said what it counts, so that nothing is too much.
    SubMeterKind.NONE: RegisterLimits(max_repeat_age=_REPEATS_FOR),
    # m³. The largest flow of a G16 (EN 1359), 250 kW: a house of many flats. A home has a G4 (6) or G6 (10).
    SubMeterKind.GAS: RegisterLimits(rise_per_hour=25.0, max_repeat_age=_REPEATS_FOR),
    # m³. The overload flow of a meter with Q3 = 16 (ISO 4064), for as many flats. A home has 3.1 or 5.
    SubMeterKind.WATER: RegisterLimits(rise_per_hour=20.0, max_repeat_age=_REPEATS_FOR),
    # kWh. A flow of 2.5 m³/h that is cooled down by 70 K (EN 1434). A home has 1.5 m³/h or less.
    SubMeterKind.HEAT: RegisterLimits(rise_per_hour=200.0, max_repeat_age=_REPEATS_FOR),
}

# Wh. Nothing in a home takes more than the largest charger for alternating current: three phases of 63 A.
APPLIANCE_LIMITS: Final = RegisterLimits(rise_per_hour=43_500.0, max_repeat_age=_REPEATS_FOR)


class Places:
    """Places for devices that a reader reports: garbage must fill neither the memory nor the registries.

    Some are for all devices, the others only for those that are reported again. A real device is reported
    again, and garbage is mostly different each time.
    """

    def __init__(self, for_all: int, total: int) -> None:
        """Start with these numbers of places."""
        self._for_all = for_all
        self._total = total
        self._reported: deque[str] = deque(maxlen=total)

    def has_place(self, device_id: str, taken: int) -> bool:
        """Return whether there is a place for a new device that is reported, while others are taken."""
        if taken < self._for_all:
            return True
        if device_id in self._reported:
            return taken < self._total
        self._reported.append(device_id)
        return False
