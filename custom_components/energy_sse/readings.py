"""What the meter has said: what can be believed of it, and what has changed."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from .reader import Freshness, Measurement, Reading, RegisterValidator, Unit, is_possible, limits_of_meter
from .registers import Sample
from .store import RegisterTimestamps
from .wall_clock import Period, WallClock

# Seconds. An unchanged value is written again before its `last_reported` gets older than this: automations
# and helpers tell a steady value from a silent sensor by it.
_REPORT_WITHIN: Final = 60

# Units of power and energy, in W and Wh.
_WATTS: Final[Mapping[Unit, float]] = {
    Unit.WATT: 1.0,
    Unit.KILOWATT: 1000.0,
    Unit.WATT_HOUR: 1.0,
    Unit.KILOWATT_HOUR: 1000.0,
}

# Seconds. The registers that a reader stores on the hour count while its clock is right to within a telegram,
# or this.
_CLOCK_TOLERANCE: Final = 10.0

# Seconds. A clock can be wrong for a moment after a start, until a time server has corrected it.
_CLOCK_IS_WRONG_AFTER: Final = 600.0


class Validated(NamedTuple):
    """A reading after the validation."""

    changed: Mapping[Measurement, float]
    """Values to write: those that have changed, or that were not written for a minute."""

    values: Mapping[Measurement, float]
    """All values that were accepted."""

    replaced: Mapping[Measurement, tuple[float, float, float]]
    """Meter replacements that this reading confirms: see `RegisterValidator.replaced`."""

    time: datetime
    """Wall clock time of the reading."""

    distrusted: Period | None
    """Period whose times were noted by a wrong wall clock."""

    is_repeated: bool
    """True for a reading that the reader repeats after a connect."""


class Readings:
    """The values of one meter.

    All times are seconds of one monotonic clock. What is remembered has those of the wall clock, which goes
    on over a restart.
    """

    def __init__(self, units: Mapping[Measurement, Unit], freshness: Freshness) -> None:
        """Start without a reading."""
        self.values: dict[Measurement, float] = {}
        self.freshness = freshness
        self.guard = RegisterValidator(limits_of_meter(units))
        self.wall_clock = WallClock()

        self._units = units
        self._timestamps = RegisterTimestamps(self.guard)
        self._reported_at: dict[Measurement, float] = {}
        self._last: float | None = None
        """Arrival of the last reading."""

        self._clock_is_wrong_since: float | None = None

    @callback
    def update(self, reading: Reading, now: float) -> Validated | None:
        """Update the values from a reading. Return None for one that is older than what is known."""
        true_at = now - reading.age
        if reading.age and self.freshness.last is not None and true_at <= self.freshness.last:
            return None
        self.freshness.note(true_at)
        arrived, clock_offsets = dt_util.utcnow(), _clock_offsets(reading)
        elapsed, self._last = None if self._last is None else now - self._last, now
        reader_error = clock_offsets.get(Measurement.READER_CLOCK_OFFSET)
        if reading.age and reading.reader_time is not None:
            # The reader's clock, as it was when the connection began.
            reader_error = _seconds_ahead(reading.reader_time + timedelta(seconds=reading.age))
        distrusted = self.wall_clock.update(arrived, elapsed, reader_error, reading.age)
        possible = {
            measurement: value
            for measurement, value in reading.values.items()
            if is_possible(value, self._units[measurement])
        }
        # The net power follows from the others.
        if impossible := reading.values.keys() - possible.keys() - {Measurement.ACTIVE_POWER_NET}:
            self.guard.dropped["beyond a household supply"] += len(impossible)
        values = self.guard.validate(possible, true_at + self.wall_clock.slept, is_repeated=reading.age > 0)
        values.update(clock_offsets)
        report_before = true_at - _REPORT_WITHIN + (self.freshness.interval or 0)
        changed = {
            measurement: value
            for measurement, value in values.items()
            if self.values.get(measurement) != value or self._reported_at[measurement] <= report_before
        }
        self.values |= changed
        self._reported_at |= dict.fromkeys(changed, true_at)
        return Validated(
            changed,
            values,
            dict(self.guard.replaced),
            arrived - timedelta(seconds=reading.age),
            distrusted,
            reading.age > 0,
        )

    def sample(self, validated: Validated, register: Measurement, power: Measurement) -> Sample:
        """Return the part of a reading that a register history needs, in Wh and W."""
        register_value, power_value = (validated.values.get(each) for each in (register, power))
        replaced = validated.replaced.get(register)
        return Sample(
            time=validated.time,
            interval=self.freshness.interval or 0.0,
            distrusted=validated.distrusted,
            has_right_clock=self.has_right_clock,
            is_delayed=self.wall_clock.is_delayed,
            register=None if register_value is None else self.in_wh(register, register_value),
            replaced=None
            if replaced is None
            else (self.in_wh(register, replaced[0]), self.in_wh(register, replaced[1]), replaced[2]),
            power=None if power_value is None else power_value * _WATTS[self._units[power]],
            is_repeated=validated.is_repeated,
        )

    def in_wh(self, measurement: Measurement, value: float) -> float:
        """Return the value of a register in Wh."""
        return value * _WATTS[self._units[measurement]]

    @callback
    def update_reader_clock(self, time: datetime | None) -> None:
        """Compare the reader's clock, as it is when a connection begins. None when it is unknown."""
        self.wall_clock.reader_error = None if time is None else _seconds_ahead(time)

    @property
    def has_right_clock(self) -> bool:
        """Return whether the reader's clock is right to within a telegram."""
        error = self.wall_clock.reader_error
        return error is not None and abs(error) <= max(self.freshness.interval or 0.0, _CLOCK_TOLERANCE)

    def is_clock_wrong(self, now: float) -> bool:
        """Return whether the reader's clock has been wrong for so long that nothing will correct it."""
        if self.has_right_clock or self.wall_clock.reader_error is None:
            self._clock_is_wrong_since = None
        elif self._clock_is_wrong_since is None:
            self._clock_is_wrong_since = now
        since = self._clock_is_wrong_since
        return since is not None and now - since >= _CLOCK_IS_WRONG_AFTER

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return the data to store, as JSON can hold it."""
        return {
            "registers": dict(self.guard.registers),
            "received_at": self._timestamps.as_dict(now + self.wall_clock.slept),
        }

    def restore(self, data: Mapping[str, Any], now: float) -> None:
        """Restore stored data."""
        for key in data["registers"].keys() & set(Measurement):
            received_at = data["received_at"].get(key)
            self._timestamps.restore(Measurement(key), data["registers"][key], received_at, now)


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


class RegisterUpdate(NamedTuple):
    """A valid reading, after the register histories were updated."""

    reading: Validated
    boundaries_changed: bool
