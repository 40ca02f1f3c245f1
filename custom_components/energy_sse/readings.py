"""What the meter has said: what can be believed of it, and what has changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from .reader import Freshness, Measurement, Reading, RegisterGuard, ScaleCheck, Unit

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


class Readings:
    """The values of one meter.

    All times are seconds of one monotonic clock.
    """

    def __init__(self, units: Mapping[Measurement, Unit]) -> None:
        """Start without having heard anything."""
        self.values: dict[Measurement, float] = {}
        self.freshness = Freshness()
        self.guard = RegisterGuard(units)
        self.scale_checks = {
            (power, register): ScaleCheck()
            for power, register in (
                (Measurement.ACTIVE_POWER_IMPORT, Measurement.ACTIVE_ENERGY_IMPORT),
                (Measurement.ACTIVE_POWER_EXPORT, Measurement.ACTIVE_ENERGY_EXPORT),
            )
        }
        self.scale_was_compared = False
        """Whether the last reading made a comparison of `scale_checks` complete."""

        self._units = units
        self._reported_at: dict[Measurement, float] = {}

    @callback
    def take(self, reading: Reading, now: float) -> Mapping[Measurement, float]:
        """Take in a reading. Returns what it tells that is to be written: empty when it tells nothing new."""
        true_at = now - reading.age
        if reading.age and self.freshness.last is not None and true_at <= self.freshness.last:
            # Repeated after a reconnect, and older than what is known.
            return {}
        self.freshness.heard(true_at)
        values = {**self.guard.believable(reading.values, true_at), **_clock_drifts(reading)}
        self._check_scale(values, true_at)
        report_before = true_at - _REPORT_WITHIN + (self.freshness.interval or 0)
        changed = {
            measurement: value
            for measurement, value in values.items()
            if self.values.get(measurement) != value or self._reported_at[measurement] <= report_before
        }
        self.values |= changed
        self._reported_at |= dict.fromkeys(changed, true_at)
        return changed

    def _check_scale(self, values: Mapping[Measurement, float], time: float) -> None:
        self.scale_was_compared = False
        for (power, register), check in self.scale_checks.items():
            if power in values and register in values:
                self.scale_was_compared |= check.heard(
                    power=values[power] * _TO_WATT[self._units[power]],
                    register=values[register] * _TO_WATT[self._units[register]],
                    time=time,
                )


def _clock_drifts(reading: Reading) -> dict[Measurement, float]:
    """Return by how many seconds the device's clocks are ahead, in the resolution that they have."""
    if reading.age:
        return {}
    drifts: dict[Measurement, float] = {}
    for measurement, time in (
        (Measurement.READER_CLOCK_DRIFT, reading.reader_time),
        (Measurement.METER_CLOCK_DRIFT, reading.meter_time),
    ):
        if time is not None:
            drifts[measurement] = _seconds_ahead(time)
    return drifts


def _seconds_ahead(time: datetime) -> float:
    now = dt_util.now() if time.tzinfo is None else dt_util.utcnow()
    return round((time - (now.replace(tzinfo=None) if time.tzinfo is None else now)).total_seconds())
