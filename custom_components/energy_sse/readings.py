"""What the meter has said: what can be believed of it, and what has changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from .memory import RegisterMemory
from .reader import Freshness, Measurement, Reading, RegisterGuard, ScaleCheck, Unit, limits_of_meter

# Seconds. An unchanged value is written again before its `last_reported` gets older than this: automations
# and helpers tell a steady value from a silent sensor by it.
_REPORT_WITHIN: Final = 60

# Of the wire's units, in those that power and energy are compared in.
_TO_WATT: Final[Mapping[Unit, float]] = {
    Unit.WATT: 1.0,
    Unit.KILOWATT: 1000.0,
    Unit.WATT_HOUR: 1.0,
    Unit.KILOWATT_HOUR: 1000.0,
}


# Register → the power that it counts.
_POWER_OF: Final[Mapping[Measurement, Measurement]] = {
    Measurement.ACTIVE_ENERGY_IMPORT: Measurement.ACTIVE_POWER_IMPORT,
    Measurement.ACTIVE_ENERGY_EXPORT: Measurement.ACTIVE_POWER_EXPORT,
}


class News(NamedTuple):
    """What is new in a reading."""

    changed: Mapping[Measurement, float]
    """What is to be written; empty when it tells nothing new."""

    compared: Sequence[Measurement]
    """Registers whose scale has been compared with their power's, once more."""


class Readings:
    """The values of one meter.

    All times are seconds of one monotonic clock. What is remembered has those of the wall clock, which goes
    on over a restart.
    """

    def __init__(self, units: Mapping[Measurement, Unit], freshness: Freshness) -> None:
        """Start without having heard anything."""
        self.values: dict[Measurement, float] = {}
        self.freshness = freshness
        self.guard = RegisterGuard(limits_of_meter(units))
        self.scale_checks = {register: ScaleCheck() for register in _POWER_OF}

        self._units = units
        self._memory = RegisterMemory(self.guard)
        self._reported_at: dict[Measurement, float] = {}

    @callback
    def take(self, reading: Reading, now: float) -> News:
        """Take in a reading. Returns what is new in it."""
        true_at = now - reading.age
        if reading.age and self.freshness.last is not None and true_at <= self.freshness.last:
            # Repeated after a reconnect, and older than what is known.
            return News({}, ())
        self.freshness.note(true_at)
        values = self.guard.believable(reading.values, true_at, is_repeated=reading.age > 0)
        values.update(_clock_offsets(reading))
        compared = self._compare_scales(values, true_at)
        report_before = true_at - _REPORT_WITHIN + (self.freshness.interval or 0)
        changed = {
            measurement: value
            for measurement, value in values.items()
            if self.values.get(measurement) != value or self._reported_at[measurement] <= report_before
        }
        self.values |= changed
        self._reported_at |= dict.fromkeys(changed, true_at)
        return News(changed, compared)

    def memory(self, now: float) -> dict[str, Any]:
        """Return what `recall` wants after a restart: the registers, and when each was heard."""
        heard_at = self._memory.heard_at(now)
        return {
            "registers": self.guard.registers,
            "heard_at": heard_at,
            # Older versions know one time for all.
            "registers_at": max(heard_at.values(), default=0.0),
        }

    def recall(self, memory: Mapping[str, Any], now: float) -> None:
        """Know again what was stored before a restart, by this version or an older one."""
        heard_at = memory.get("heard_at", {})
        for key in memory["registers"].keys() & set(Measurement):
            at = heard_at.get(key, memory.get("registers_at"))
            self._memory.recall(Measurement(key), memory["registers"][key], at, now)

    def _compare_scales(self, values: Mapping[Measurement, float], time: float) -> list[Measurement]:
        """Hold registers against their powers. Returns those of which a comparison is complete."""
        return [
            register
            for register, power in _POWER_OF.items()
            if power in values
            and register in values
            and self.scale_checks[register].take(
                power=values[power] * _TO_WATT[self._units[power]],
                register=values[register] * _TO_WATT[self._units[register]],
                time=time,
            )
        ]


def _clock_offsets(reading: Reading) -> dict[Measurement, float]:
    """Return by how many seconds the device's clocks are ahead, in the resolution that they have."""
    if reading.age:
        return {}
    offsets: dict[Measurement, float] = {}
    for measurement, time in (
        (Measurement.READER_CLOCK_OFFSET, reading.reader_time),
        (Measurement.METER_CLOCK_OFFSET, reading.meter_time),
    ):
        if time is not None:
            offsets[measurement] = _seconds_ahead(time)
    return offsets


def _seconds_ahead(time: datetime) -> float:
    now = dt_util.now() if time.tzinfo is None else dt_util.utcnow()
    return round((time - (now.replace(tzinfo=None) if time.tzinfo is None else now)).total_seconds())
