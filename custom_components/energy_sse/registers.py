"""Register history: the meter's register at each boundary of a quarter-hour, where it is known.

The energy of an hour or a quarter-hour is the difference of two boundaries. The statistics and the power
tariff both read this history. Energies are Wh, powers are W, times are aware.

A *total* is the register plus the energy that replaced meters have counted, so totals never fall.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
import math
from typing import Any, Final, NamedTuple, Self

from .reader import MAX_ENERGY_PER_HOUR, ReplacedRegister, max_gap
from .validated_reading import ValidatedReading
from .wall_clock import Period

QUARTER: Final = timedelta(minutes=15)
HOUR: Final = timedelta(hours=1)

# Wh. Energy between two telegrams. A smaller error is accepted.
TELEGRAM_ENERGY: Final = 50.0

# Wh. Registers count whole Wh; smaller differences are rounding errors.
ROUNDING_ERROR: Final = 0.5

# Wh. The coarsest resolution of a register. Such a register rises in steps, however small the load is.
_COARSE_STEP: Final = 100.0

# Seconds. Readings that are further apart do not show the energy of quarter-hours.
_MAX_INTERVAL: Final = 900.0

# Seconds. After a gap, the last register before it counts for a boundary that follows within the interval of
# the readings, but not later than this.
_MAX_DELAY_AFTER_GAP: Final = 60.0

# Seconds. Registers with a longer interval are sent less often than the readings.
_RARE_INTERVAL: Final = 300.0

# Seconds. Default until the interval of such registers is known: meters send them once an hour.
_DEFAULT_REGISTER_INTERVAL: Final = 3900.0

# Seconds by which a telegram can be late. Without a gap, a tenth of the interval is added.
_JITTER: Final = 0.9

# Fraction. Two estimates of the same energy differ by less than this fraction, or by less than the energy of
# a telegram.
_MAX_DEVIATION: Final = 0.25

# Readers store 64 hours.
KEEP_HOURS: Final = timedelta(hours=72)
_MAX_HOURLY: Final = 200

# A meter is replaced every ten years. Invalid data must not fill the memory.
_MAX_REPLACEMENTS: Final = 20


type _Total = tuple[datetime, float]


class _Confirmation(NamedTuple):
    time: datetime
    is_repeated: bool


class Replacement(NamedTuple):
    """Meter replacement."""

    time: datetime
    """Time of its confirmation."""

    last: float
    """Last register of the old meter."""

    first: float
    """First register of the new meter."""

    since: datetime
    """First reading of the new meter."""


class Point(NamedTuple):
    """State of a meter at a reading."""

    time: datetime
    total: float
    """Total in Wh. It is estimated by power since the last change of the register, or without a register."""

    energy: float
    """Energy in Wh, integrated from the power between readings without gaps."""

    power: float
    gaps: int = 0
    """Number of gaps between readings so far."""

    def as_list(self) -> list[float]:
        """Return the data to store, which is JSON serializable."""
        return [self.time.timestamp(), self.total, self.energy, self.power]

    @classmethod
    def from_list(cls, data: Sequence[float]) -> Self:
        """Return a stored point."""
        time, total, energy, power = data
        return cls(from_timestamp(time), float(total), float(energy), float(power))


class RegisterHistory:
    """History of one register of one reader."""

    def __init__(self) -> None:
        """Start empty."""
        self.boundaries: dict[datetime, float] = {}
        """Known totals in Wh by time of the boundary."""

        self.received: set[datetime] = set()
        """Hours whose register was received in time, so that the recorder has it, too."""

        self.replacements: list[Replacement] = []
        self.last: Point | None = None
        """Last reading."""

        self._interval = 0.0
        self._changed: Point | None = None
        """Last change of the register."""

        self._confirmed: _Confirmation | None = None
        """Last reading with a register that was up to date."""

        self._is_continuous = False
        """True if power was received without gaps since the register changed."""

        self._register_intervals: deque[float] = deque(maxlen=8)
        self._estimates: dict[datetime, float] = {}
        """Totals by power at boundaries whose register was not received."""

        self._hourly = _HourlyRecords()

    @property
    def has_register(self) -> bool:
        """Return whether a register was ever received."""
        return self._changed is not None

    @property
    def received_at(self) -> datetime | None:
        """Return the time of the last register that was up to date. None while the register is zero."""
        if self._changed is None or self._changed.total <= 0:
            return None
        return (self._confirmed or self._changed).time

    @property
    def is_usable_for_power_tariffs(self) -> bool:
        """Return whether the meter sends a register that counts, at least once an hour."""
        return self.received_at is not None and self._register_interval <= _DEFAULT_REGISTER_INTERVAL

    def offset(self, time: datetime) -> float:
        """Return total minus register at a time."""
        if not self.replacements:
            return 0.0
        return sum(each.last - each.first for each in self.replacements if each.time <= time)

    def total(self, boundary: datetime) -> float | None:
        """Return the known or estimated total at a boundary, in Wh; None if there is neither."""
        return self.boundaries.get(boundary, self._estimates.get(boundary))

    # ---------------------------------------------------------------------------------------- readings

    def update(
        self,
        reading: ValidatedReading,
        register: float | None,
        power: float | None,
        replaced: ReplacedRegister | None = None,
    ) -> bool:
        """Update the history from a reading, whose register is in Wh and whose power is in W.

        `replaced` is the meter replacement that the reading confirms. Return whether boundaries have changed.
        """
        if 0 < reading.interval <= _MAX_INTERVAL:
            self._interval = reading.interval
        is_changed = reading.wrong_period is not None and self._remove(reading.wrong_period, reading.time)
        last, time = self.last, reading.time
        if last is not None and (time < last.time or reading.is_delayed):
            # The clock is behind the last reading, or the telegram was delayed. Only a meter replacement is
            # recorded.
            if register is not None and replaced is not None:
                self._record_replacement(register, replaced, last)
                self._confirmed = None
            return is_changed
        point = self._next_point(time, power)
        if last is not None and (boundary := start_of(last.time, QUARTER) + QUARTER) <= time:
            is_changed |= self._record_boundary(boundary, last, point)
        changed = self._changed
        if register is not None:
            is_changed |= self._update_register(register, replaced, point, is_repeated=reading.is_repeated)
        self.last = point if self._changed is changed else self._changed
        if is_changed:
            # A new boundary or a later register can show that hourly registers are possible.
            self._hourly.is_outdated = True
        return is_changed

    def _next_point(self, time: datetime, power: float | None) -> Point:
        """Return the point of a reading, with the total by power."""
        last, changed = self.last, self._changed
        energy, gaps = 0.0, 0
        if last is not None:
            energy, gaps = last.energy, last.gaps
            power = last.power if power is None else power
            if (time - last.time).total_seconds() <= max_gap(self._interval):
                energy += (last.power + power) / 2 * ((time - last.time) / HOUR)
            else:
                gaps += 1
                self._is_continuous = False
        total = energy if changed is None else changed.total + energy - changed.energy
        return Point(time, total, energy, power or 0.0, gaps)

    @property
    def _register_interval(self) -> float:
        """Second-longest of the last intervals in seconds, because the longest one can be an outage."""
        longest = sorted(self._register_intervals)[-2:]
        return longest[0] if longest else _DEFAULT_REGISTER_INTERVAL

    def _record_boundary(self, boundary: datetime, last: Point, point: Point) -> bool:
        """Record the total at the boundary between two readings. Return whether it is known.

        The last register before the boundary counts, as in the statistics, if it was received within the
        interval of the readings. Otherwise, the total is estimated by power.
        """
        changed, confirmed = self._changed, self._confirmed
        is_continuous = point.gaps == last.gaps
        max_delay = _JITTER + (
            1.1 * self._interval if is_continuous else min(self._interval, _MAX_DELAY_AFTER_GAP)
        )
        if changed and confirmed and boundary - confirmed.time <= timedelta(seconds=max_delay):
            if confirmed.is_repeated:
                # A register that the reader has stored on the hour is more exact.
                self.boundaries.setdefault(boundary, changed.total)
                return True
            self.boundaries[boundary] = changed.total
            if boundary.minute == 0:
                self.received.add(boundary)
            return True
        if is_continuous and (changed is None or self._is_continuous):
            share = (boundary - last.time) / (point.time - last.time)
            self._estimates[boundary] = last.total + share * (point.energy - last.energy)
        return False

    def _update_register(
        self, register: float, replaced: ReplacedRegister | None, point: Point, *, is_repeated: bool
    ) -> bool:
        changed, is_changed = self._changed, False
        if changed is not None and replaced is None:
            last = changed.total - self.offset(changed.time)
            if register < last - ROUNDING_ERROR:
                # The validation does not know the old meter, for example because a file was lost.
                replaced = ReplacedRegister(last, register, 0.0)
        total = register + self.offset(point.time)
        if replaced is not None:
            self._record_replacement(register, replaced, point)
        elif changed is None:
            rise = total - point.energy
            self._estimates = {time: each + rise for time, each in self._estimates.items()}
            self._set_changed(point, total)
        elif total > changed.total:
            self._interpolate(changed.total, point.time, total)
            is_changed = self._accept_estimates(changed, point, total)
            self._record_register_interval(changed, point)
            # The first register after a gap shows which hourly registers of the gap are possible.
            self._hourly.is_outdated |= not self._is_continuous
            self._set_changed(point, total)
        elif point.energy - changed.energy > TELEGRAM_ENERGY or (
            not self._is_continuous and (self._register_interval > _RARE_INTERVAL or point.power > 0)
        ):
            # The meter repeats an outdated register.
            return False
        else:
            # No energy was used. The next register can follow much later.
            is_changed = self._accept_estimates(changed, point, total)
        self._confirmed = _Confirmation(point.time, is_repeated)
        return is_changed

    def _set_changed(self, point: Point, total: float) -> None:
        self._changed, self._is_continuous = point._replace(total=total), True

    def _record_replacement(self, register: float, replaced: ReplacedRegister, point: Point) -> None:
        """Record a meter replacement, after which the register is the first change."""
        if self._changed is not None:
            since = point.time - timedelta(seconds=replaced.seconds)
            self.replacements.append(Replacement(point.time, replaced.last, replaced.first, since))
        if len(self.replacements) > _MAX_REPLACEMENTS:
            first, second, *rest = self.replacements
            self.replacements = [second._replace(last=second.last + first.last - first.first), *rest]
        self._set_changed(point, register + self.offset(point.time))

    def _interpolate(self, total: float, time: datetime, new_total: float) -> None:
        """Interpolate the total of a boundary between two registers that differ by much.

        Until now, the first register is the total of this boundary.
        """
        if self._confirmed is None or new_total - total <= TELEGRAM_ENERGY:
            return
        begin = self._confirmed.time
        boundary, duration = start_of(begin, QUARTER) + QUARTER, time - begin
        if (
            boundary <= time
            and duration.total_seconds() <= max_gap(self._interval)
            and self.boundaries.get(boundary) == total
        ):
            # Rounded down to whole Wh, as most meters count, so that the energy of an hour is not too high.
            interpolated = total + (boundary - begin) / duration * (new_total - total)
            self.boundaries[boundary] = max(total, float(math.floor(interpolated)))

    def _record_register_interval(self, old: Point, new: Point) -> None:
        seconds = (new.time - old.time).total_seconds()
        if self._is_continuous and (new.energy - old.energy > TELEGRAM_ENERGY or seconds <= _RARE_INTERVAL):
            self._register_intervals.append(seconds)

    def _accept_estimates(self, old: Point, new: Point, new_total: float) -> bool:
        """Scale the estimates between two registers, and accept the estimates that are certain enough.

        Return whether boundaries have changed.
        """
        times = [time for time in self._estimates if time > old.time]
        if not times:
            return False
        rise, energy = new_total - old.total, new.energy - old.energy
        received = old.time if self._confirmed is None else max(old.time, self._confirmed.time)
        longest = max(1.5 * self._register_interval, max_gap(self._interval))
        is_usual = (
            self._is_continuous
            and (energy > 0 or rise <= TELEGRAM_ENERGY)
            and (rise <= _COARSE_STEP or (new.time - received).total_seconds() <= longest)
        )
        is_changed = False
        for time in times:
            share = (self._estimates.pop(time) - old.total) / energy if energy else 0.0
            limit = min((total for each, total in self.boundaries.items() if each > time), default=new_total)
            total = min(old.total + min(max(share, 0.0), 1.0) * rise, limit)
            is_near = self._is_continuous and energy > 0 and new_total - total <= TELEGRAM_ENERGY
            (self.boundaries if is_usual or is_near else self._estimates)[time] = total
            is_changed |= is_usual or is_near
        return is_changed

    def record_gap(self) -> None:
        """Record that registers were missed, so that the last one does not count for the next boundary."""
        self._confirmed, self._is_continuous = None, False

    def _remove(self, period: Period, now: datetime) -> bool:
        """Remove the boundaries of a period in which the clock was wrong. Return whether there were any."""
        before = len(self.boundaries)
        self.boundaries = {time: total for time, total in self.boundaries.items() if not period.covers(time)}
        if self.last is not None and period.covers(self.last.time):
            self.last, self._confirmed, self._is_continuous = None, None, False
            self._changed = self._changed and self._changed._replace(time=now, energy=0.0)
        self._estimates = {time: total for time, total in self._estimates.items() if not period.covers(time)}
        self.received = {time for time in self.received if not period.covers(time)}
        self.replacements = [
            each._replace(time=now, since=now) if period.covers(each.time) else each
            for each in self.replacements
        ]
        return len(self.boundaries) != before

    # ------------------------------------------------------------------- registers stored by the reader

    def add_hourly(self, time: datetime, register: float) -> None:
        """Add a register that the reader has stored on the hour."""
        if register > 0:
            self._hourly.add(time, register)

    def accept_hourly(self, wrong: Period | None) -> bool:
        """Accept the stored registers that fit. Return whether boundaries have changed.

        `wrong` is the period whose registers the reader may have stored by a wrong clock; None without one.
        """
        last, confirmed = self.last, self._confirmed
        if last is None or confirmed is None or not self._hourly.is_outdated or confirmed.time != last.time:
            # Only a register of the same time shows which records are possible.
            return False
        totals = self._hourly.totals(last.time, self.replacements, wrong)
        if not totals:
            return False
        # A stored register corrects an estimate, but not a register that was received in time. The reader
        # may have stored it by a wrong clock.
        known = [
            (time, total)
            for time, total in sorted(self.boundaries.items())
            if time <= last.time
            and (time in self.received or abs(totals.get(time, total) - total) <= TELEGRAM_ENERGY)
        ]
        newer, is_changed = (last.time, last.total), False
        for time, total in sorted(totals.items(), reverse=True):
            while known and known[-1][0] >= time:
                popped = known.pop()
                newer = popped if popped[0] > time else newer
            if self._fits((time, total), known[-1] if known else None, newer):
                newer = time, total
                if time not in self.received and self.boundaries.get(time) != total:
                    self.boundaries[time], is_changed = total, True
                    self._estimates.pop(time, None)
                # The record is removed last, so that it is not lost after an unexpected error.
                self._hourly.remove(time)
        return is_changed

    def _fits(self, record: _Total, older: _Total | None, newer: _Total) -> bool:
        if not _is_possible(record, newer):
            return False
        if older is None:
            return True
        estimate = self._estimates.get(record[0], record[1])
        tolerance = max(TELEGRAM_ENERGY, _MAX_DEVIATION * (estimate - older[1]))
        return _is_possible(older, record) and abs(record[1] - estimate) <= tolerance

    # ----------------------------------------------------------------------------------------- storage

    def remove_oldest(self, keep: timedelta) -> None:
        """Keep the boundaries of a duration, and remove older ones.

        They are selected by their number, not by their time, because the clock can be wrong.
        """
        self.boundaries = dict(sorted(self.boundaries.items())[-(keep // QUARTER) :])
        self._estimates = dict(sorted(self._estimates.items())[-(KEEP_HOURS // QUARTER) :])
        self.received = set(sorted(self.received)[-(KEEP_HOURS // HOUR) :])

    def as_dict(self) -> dict[str, Any]:
        """Return the data to store, which is JSON serializable."""
        return {
            "boundaries": [
                [int(time.timestamp()), round(total, 1)] for time, total in self.boundaries.items()
            ],
            "estimates": [[int(time.timestamp()), total] for time, total in self._estimates.items()],
            "received": [int(time.timestamp()) for time in self.received],
            "replacements": [
                [each.time.timestamp(), each.last, each.first, each.since.timestamp()]
                for each in self.replacements
            ],
            "last": self.last and self.last.as_list(),
            "changed": self._changed and self._changed.as_list(),
            "confirmed": self._confirmed and [self._confirmed.time.timestamp(), self._confirmed.is_repeated],
            "is_continuous": self._is_continuous,
            "interval": self._interval,
            "register_intervals": list(self._register_intervals),
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Restore stored data. After an error, the history is not usable."""
        self.boundaries = {from_timestamp(time): float(total) for time, total in data["boundaries"]}
        self._estimates = {from_timestamp(time): float(total) for time, total in data.get("estimates", ())}
        self.received = {from_timestamp(time) for time in data["received"]}
        self.replacements = [
            Replacement(from_timestamp(time), float(last), float(first), from_timestamp(since))
            for time, last, first, since in data["replacements"]
        ]
        self.last, self._changed = (
            None if data[key] is None else Point.from_list(data[key]) for key in ("last", "changed")
        )
        if data["confirmed"] is not None:
            time, is_repeated = data["confirmed"]
            self._confirmed = _Confirmation(from_timestamp(time), bool(is_repeated))
        self._is_continuous = bool(data["is_continuous"])
        self._interval = float(data["interval"])
        self._register_intervals.extend(map(float, data["register_intervals"]))


class _HourlyRecords:
    """Registers that the reader has stored on the hour, until the history accepts them."""

    def __init__(self) -> None:
        self.is_outdated = False
        """True if the records have to be checked, because they or the boundaries have changed."""

        self._registers: dict[datetime, float] = {}

    def add(self, time: datetime, register: float) -> None:
        """Add a register in Wh. If there are too many, remove the record that was added first."""
        self.remove(time)
        self._registers[time] = register
        self.is_outdated = True
        if len(self._registers) > _MAX_HOURLY:
            # Not the oldest one, because times of a wrong clock can be in the future.
            self.remove(next(iter(self._registers)))

    def remove(self, time: datetime) -> None:
        """Remove the record of a time, if there is one."""
        self._registers.pop(time, None)

    def totals(
        self, now: datetime, replacements: Sequence[Replacement], wrong: Period | None
    ) -> dict[datetime, float]:
        """Return the totals of the last days, and remove older and wrong records."""
        self.is_outdated = False
        self._registers = {
            time: register
            for time, register in self._registers.items()
            if abs(time - now) < KEEP_HOURS and not (wrong and wrong.covers(time))
        }
        return {
            time: register + sum(each.last - each.first for each in replacements if each.since <= time)
            for time, register in self._registers.items()
            if time <= now
            # The energy that an old meter has counted after its last reading is not part of the totals.
            and not any(time < each.since and register > each.last + ROUNDING_ERROR for each in replacements)
        }


def start_of(time: datetime, length: timedelta) -> datetime:
    """Return the start of the interval that contains a time. An hour is a multiple of its length."""
    minutes = length // timedelta(minutes=1)
    return time.replace(minute=time.minute // minutes * minutes, second=0, microsecond=0)


def _is_possible(older: _Total, newer: _Total) -> bool:
    """Return whether a meter can count from one total to another."""
    max_rise = MAX_ENERGY_PER_HOUR * ((newer[0] - older[0]) / HOUR) + TELEGRAM_ENERGY
    return -ROUNDING_ERROR <= newer[1] - older[1] <= max_rise


def from_timestamp(timestamp: float) -> datetime:
    """Return a time in UTC."""
    return datetime.fromtimestamp(timestamp, UTC)
