"""Sub-meters for gas, water and heat, whose registers the electricity meter relays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
import math
from typing import Any, Final

from .const import SubMeterKind
from .reader import (
    MAX_REPEAT_AGE,
    DeviceLimit,
    Freshness,
    RegisterLimits,
    RegisterValidator,
    SubMeterReading,
)
from .readings import RegisterTimestamps

# More sub-meters than any electricity meter relays.
_MAX_AT_FIRST_REPORT: Final = 16
_MAX_SUB_METERS: Final = 64

# Seconds between two registers until their interval is learned. Some meters of water and heat send one a day.
_INTERVAL: Final = 86400.0

SUB_METER_LIMITS: Final[Mapping[SubMeterKind, RegisterLimits]] = {
    # The unit is unknown, so there is no limit.
    SubMeterKind.NONE: RegisterLimits(max_repeat_age=MAX_REPEAT_AGE),
    # m³/h. The largest flow of a G16 (EN 1359), 250 kW, for many apartments. A home has 6 (G4) or 10 (G6).
    SubMeterKind.GAS: RegisterLimits(rise_per_hour=25.0, max_repeat_age=MAX_REPEAT_AGE),
    # m³/h. The overload flow of a meter with Q3 = 16 (ISO 4064), for many apartments. A home has 3.1 or 5.
    SubMeterKind.WATER: RegisterLimits(rise_per_hour=20.0, max_repeat_age=MAX_REPEAT_AGE),
    # kWh per hour. A flow of 2.5 m³/h that is cooled by 70 K (EN 1434). A home has 1.5 m³/h or less.
    SubMeterKind.HEAT: RegisterLimits(rise_per_hour=200.0, max_repeat_age=MAX_REPEAT_AGE),
}


@dataclass(slots=True)
class _LastRegister:
    """Last register of a sub-meter, which the electricity meter repeats until it receives the next one."""

    freshness: Freshness
    value: float | None = None
    time: datetime | None = None

    def update(self, reading: SubMeterReading, now: float) -> None:
        """Update from a reading with a value."""
        freshness, before, time = self.freshness, self.time, reading.time
        if time is None:
            freshness.record(now)
        elif freshness.last is None:
            freshness.record(now - reading.age)
        elif (time, reading.value) != (before, self.value):
            # Later ages are not used, because all of them are wrong if the time zone of a clock is wrong.
            if before is not None and time > before:
                freshness.last = now - (time - before).total_seconds()
            freshness.record(now)
        self.value, self.time = reading.value, time


class SubMeters:
    """Sub-meters of one reader. All times are seconds of the event loop's clock."""

    def __init__(self, known: Iterable[str], kinds: Mapping[str, str]) -> None:
        """Start with the ids of the sub-meters that have a device, and the kinds that the user has chosen."""
        self.known = dict.fromkeys(known)
        """Ids of all sub-meters, in the order of their first report."""

        self.values: dict[str, float | None] = {}
        """Registers received since the start, in the unit of the sub-meter; None while it has sent no value.
        """

        self.outdated: set[str] = set()
        """Ids of the sub-meters whose last register has expired."""

        self.validator = RegisterValidator[str]({}, label="a sub-meter")
        self._last: dict[str, _LastRegister] = {}
        self._kinds = kinds
        self._limit = DeviceLimit(_MAX_AT_FIRST_REPORT, _MAX_SUB_METERS)
        self._timestamps = RegisterTimestamps(self.validator)

    def kind(self, meter_id: str) -> SubMeterKind:
        """Return the kind of a sub-meter that the user has chosen."""
        kind = self._kinds.get(meter_id, SubMeterKind.NONE)
        return SubMeterKind(kind) if kind in SubMeterKind else SubMeterKind.NONE

    def update(self, reading: SubMeterReading, now: float) -> bool:
        """Update a sub-meter from a reading. Return whether its value has changed, or is valid again."""
        meter_id, value = reading.meter_id, reading.value
        if meter_id in self.values:
            if value is None:
                return False
        elif meter_id not in self.known:
            # No register is negative.
            count = len({*self.known, *self.values})
            if (value or 0) < 0 or not self._limit.accept(meter_id, count):
                return False
        if value is not None:
            self._add_register(meter_id)
            if not self.validator.validate({meter_id: value}, now):
                return False
        is_changed = value is not None and self.values.get(meter_id) != value
        self.values[meter_id] = value
        return (value is not None and self._update_freshness(reading, now)) or is_changed

    def _update_freshness(self, reading: SubMeterReading, now: float) -> bool:
        """Update the expiry from a reading with a value. Return whether an outdated value is valid again."""
        meter_id = reading.meter_id
        if (last := self._last.get(meter_id)) is None:
            last = self._last[meter_id] = _LastRegister(Freshness(_INTERVAL))
        last.update(reading, now)
        if last.freshness.remaining(now) <= 0:
            self.outdated.add(meter_id)
        elif meter_id in self.outdated:
            self.outdated.remove(meter_id)
            return True
        return False

    def update_outdated(self, now: float) -> set[str]:
        """Update which values have expired. Return the ids of the sub-meters that have just expired."""
        outdated = {each for each, last in self._last.items() if last.freshness.remaining(now) <= 0}
        new = outdated - self.outdated
        self.outdated |= new
        return new

    def next_expiry(self, now: float) -> float:
        """Return the seconds until the next value expires; infinite if no value does."""
        remaining = (each.freshness.remaining(now) for each in self._last.values())
        return min((seconds for seconds in remaining if seconds > 0), default=math.inf)

    def remove(self, meter_id: str) -> bool:
        """Remove a sub-meter. Return False if it was reported since the start."""
        if meter_id in self.values:
            return False
        self.known.pop(meter_id, None)
        return True

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return the data to store, which is JSON serializable."""
        return {"registers": dict(self.validator.registers), "received_at": self._timestamps.as_dict(now)}

    def restore(self, data: Mapping[str, Any], now: float) -> None:
        """Restore stored data."""
        for meter_id, value in data["registers"].items():
            self._add_register(meter_id)
            self._timestamps.restore(meter_id, value, data["received_at"].get(meter_id), now)

    def _add_register(self, meter_id: str) -> None:
        self.validator.add_register(meter_id, SUB_METER_LIMITS[self.kind(meter_id)])
