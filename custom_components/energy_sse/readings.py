"""Validated readings of the meter, and their changes."""

from collections.abc import Mapping
from datetime import datetime, timedelta
import math
from typing import Any, Final

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from .reader import (
    ComputedValues,
    Freshness,
    Measurement,
    Reading,
    RegisterValidator,
    Unit,
    ValueExpiry,
    get_bounds,
    get_meter_limits,
    is_number,
)
from .supply import Supply
from .validated_reading import ValidatedReading
from .wall_clock import WallClock

# Seconds. An unchanged value is written again before its `last_reported` gets older than this. From its age,
# automations and helpers distinguish a steady value from a sensor without data.
_REPORT_WITHIN: Final = 60

# Seconds. Largest error of a reader's clock with which its hourly registers are used. If the interval of the
# meter is longer, the error must be less than that interval.
_CLOCK_TOLERANCE: Final = 10.0

# Seconds. After a start, a clock can be wrong until a time server has corrected it.
_CLOCK_WRONG_AFTER: Final = 600.0

# Values that count as registers: the meter can send them rarely, and they stay valid in between.
_MAXIMUM_DEMANDS: Final = frozenset(
    {
        Measurement.MAXIMUM_DEMAND_IMPORT,
        Measurement.MAXIMUM_DEMAND_IMPORT_T1,
        Measurement.MAXIMUM_DEMAND_IMPORT_T2,
    }
)


class Readings:
    """Validated values of one meter.

    All times are seconds of the event loop's clock. Stored times are those of the wall clock, which continues
    during a restart.
    """

    def __init__(
        self, units: Mapping[Measurement, Unit], freshness: Freshness, supply: Supply | None = None
    ) -> None:
        """Start without a reading."""
        limits = get_meter_limits(units)
        self.values: dict[Measurement, float] = {}
        """Last values that have not expired."""

        self.freshness = freshness
        self.validator = RegisterValidator(limits)
        self.wall_clock = WallClock()
        self.computed = ComputedValues(units, *(supply or Supply()))

        self._expiry = ValueExpiry(freshness, limits.keys() | _MAXIMUM_DEMANDS)
        self._first_at = 0.0
        """Time of the first reading."""

        self._bounds = get_bounds(units)
        self._timestamps = RegisterTimestamps(self.validator)
        self._reported_at: dict[Measurement, float] = {}
        self._clock_wrong_since: float | None = None

    @callback
    def update(self, reading: Reading, now: float) -> ValidatedReading | None:
        """Update the values from a reading. Return None if it is older than the last one."""
        measured_at, is_repeated = now - reading.age, reading.age > 0
        if is_repeated and self.freshness.last is not None and measured_at <= self.freshness.last:
            return None
        received, clock_offsets = dt_util.utcnow(), _clock_offsets(reading)
        reader_error = clock_offsets.get(Measurement.READER_CLOCK_OFFSET)
        if is_repeated and reading.reader_time is not None:
            # The present time by the clock that the reader had when the connection began.
            reader_error = _seconds_ahead(reading.reader_time + timedelta(seconds=reading.age))
        wrong_period = self.wall_clock.update(received, now, reader_error, reading.age)
        values = self.validator.validate(
            self._remove_impossible(reading), measured_at + self.wall_clock.slept, is_repeated=is_repeated
        )
        values.update(clock_offsets)
        self._expiry.record(values.keys(), measured_at)
        if not self._reported_at:
            self._first_at = measured_at
        self.computed.add(values, self.values, self._is_missing)
        return ValidatedReading(
            values=values,
            changed=self._update_values(values, measured_at),
            replaced=dict(self.validator.replaced),
            time=received - timedelta(seconds=reading.age),
            received_at=now,
            interval=self.freshness.interval or 0.0,
            wrong_period=wrong_period,
            is_repeated=is_repeated,
            is_delayed=self.wall_clock.is_delayed,
            has_right_clock=self.has_right_clock,
        )

    def _remove_impossible(self, reading: Reading) -> Mapping[Measurement, float]:
        """Return the values of a reading without impossible ones, and count these."""
        values, bounds, last = reading.values, self._bounds, self.values
        impossible = {
            each
            for each, value in values.items()
            if last.get(each) != value and not bounds[each][0] <= value <= bounds[each][1]
        }
        if not impossible:
            return values
        computed = set()
        if Measurement.ACTIVE_POWER_NET in impossible:
            # Import and export follow from a power that has a sign.
            computed = {Measurement.ACTIVE_POWER_IMPORT, Measurement.ACTIVE_POWER_EXPORT}
        self.validator.rejected["beyond a household supply"] += len(impossible - computed)
        impossible |= computed
        return {each: value for each, value in values.items() if each not in impossible}

    def _is_missing(self, measurement: Measurement) -> bool:
        """Return whether the meter does not have a measurement, because it was not received for a while."""
        if measurement not in self._bounds:
            return True
        assert self.freshness.last is not None
        has_settled = self.freshness.last - self._first_at >= self.freshness.limit
        return has_settled and measurement not in self._reported_at

    def _update_values(
        self, values: Mapping[Measurement, float], measured_at: float
    ) -> dict[Measurement, float]:
        """Update the values, and return those to write."""
        last, reported_at = self.values, self._reported_at
        report_before = measured_at - _REPORT_WITHIN + (self.freshness.interval or 0)
        changed = {
            measurement: value
            for measurement, value in values.items()
            if last.get(measurement) != value or reported_at[measurement] <= report_before
        }
        last |= changed
        reported_at |= dict.fromkeys(changed, measured_at)
        return changed

    @callback
    def remove_outdated(self, now: float) -> set[Measurement]:
        """Remove the values that have expired, and return their measurements."""
        outdated = self._expiry.outdated(now)
        outdated = {*outdated, *self.computed.get_dependent(outdated)} & self.values.keys()
        for measurement in outdated:
            del self.values[measurement]
        return outdated

    def next_expiry(self, now: float) -> float:
        """Return the seconds until the next value expires that does not expire with the readings."""
        return self._expiry.next_expiry(now)

    @callback
    def update_reader_clock(self, time: datetime | None) -> None:
        """Compare the reader's clock at the start of a connection. `time` is None if it is unknown."""
        self.wall_clock.reader_error = None if time is None else _seconds_ahead(time)

    @property
    def has_right_clock(self) -> bool:
        """Return whether the reader's clock is wrong by at most ten seconds or the interval of the meter."""
        error = self.wall_clock.reader_error
        return error is not None and abs(error) <= max(self.freshness.interval or 0.0, _CLOCK_TOLERANCE)

    def check_reader_clock(self, now: float) -> bool:
        """Update since when the reader's clock is wrong.

        Return whether this is too long for a correction by a time server.
        """
        if self.has_right_clock or self.wall_clock.reader_error is None:
            self._clock_wrong_since = None
        elif self._clock_wrong_since is None:
            self._clock_wrong_since = now
        since = self._clock_wrong_since
        return since is not None and now - since >= _CLOCK_WRONG_AFTER

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return the registers and the times at which they were received, JSON serializable."""
        received_at = self._timestamps.as_dict(now + self.wall_clock.slept)
        return {"registers": dict(self.validator.registers), "received_at": received_at}

    def restore(self, data: Mapping[str, Any], now: float) -> None:
        """Restore stored registers. Impossible values are ignored."""
        for key in data["registers"].keys() & set(Measurement):
            register, value = Measurement(key), data["registers"][key]
            low, high = self._bounds.get(register, (math.inf, -math.inf))
            if is_number(value) and low <= value <= high:
                self._timestamps.restore(register, value, data["received_at"].get(key), now)


class RegisterTimestamps[K: str]:
    """Wall clock times at which the registers of a validator were last received.

    A register that was not received since the last restart keeps its time.
    """

    def __init__(self, validator: RegisterValidator[K]) -> None:
        """Start without restored times."""
        self._validator = validator
        self._restored: dict[K, float] = {}

    def as_dict(self, now: float) -> dict[K, float]:
        """Return the times in seconds since 1970. `now` is by the clock of the validator."""
        started_at = _started_at(now)
        return self._restored | {
            key: started_at + time for key, time in self._validator.last_received.items()
        }

    def restore(self, register: K, value: object, received_at: object, now: float) -> None:
        """Restore a register of the validator, and its time. The time can be unknown."""
        time = None
        if is_number(received_at):
            self._restored[register] = received_at
            time = received_at - _started_at(now)
        self._validator.restore(register, value, time)


def _started_at(now: float) -> float:
    """Return the wall clock time, in seconds since 1970, at which a clock that shows `now` was zero."""
    return dt_util.utcnow().timestamp() - now


def _clock_offsets(reading: Reading) -> dict[Measurement, float]:
    """Return by how many seconds the device's clocks are ahead, in whole seconds as the device sends them."""
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
