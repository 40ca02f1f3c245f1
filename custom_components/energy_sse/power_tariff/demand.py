"""The arithmetic of a power tariff: from the energy of intervals to what a month bills.

Knows neither Home Assistant nor a meter. Energies are Wh, powers are W. Times are aware; an interval belongs
to the day and the month in which it begins, by the wall clock of the time zone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Final, NamedTuple

from ..registers import HOUR

MONTHS: Final = frozenset(range(1, 13))

MIDNIGHT: Final = time(0)

_SATURDAY: Final = 5

# Part of the limit, and W: how far the expected demand has to fall below the limit again.
_BAND: Final = 0.05
_LEAST_BAND: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """How a grid company counts."""

    interval: timedelta = HOUR
    """An hour or a quarter of an hour."""

    peaks: int = 1
    """How many of the month's highest demands are averaged."""

    one_per_day: bool = False
    """Whether at most one of them is of the same day."""

    months: frozenset[int] = MONTHS
    weekdays_only: bool = False
    begin: time = MIDNIGHT
    """From when in a day intervals count: those that begin then or later."""

    end: time = MIDNIGHT
    """Until when they count. The same as `begin`: all day. Before `begin`: past midnight."""

    other_weight: float = 0.0
    """What all other intervals count, from 0 to 1."""

    def weight(self, start: datetime) -> float:
        """Return what an interval counts that begins at a local time."""
        is_counted = (
            start.month in self.months
            and not (self.weekdays_only and start.weekday() >= _SATURDAY)
            and self._is_in_hours(start.time())
        )
        return 1.0 if is_counted else self.other_weight

    def _is_in_hours(self, start: time) -> bool:
        if self.begin < self.end:
            return self.begin <= start < self.end
        return self.begin == self.end or start >= self.begin or start < self.end


class Point(NamedTuple):
    """What had been imported in all at a boundary between intervals."""

    time: datetime
    energy: float
    """Wh."""


class Interval(NamedTuple):
    """What was imported in an interval that has ended."""

    start: datetime
    energy: float
    """Wh. Of an interval that was missed, the mean over the gap: the least that its highest can have been."""

    is_missed: bool
    """Whether one of its ends is not known."""


def intervals_between(points: Iterable[Point], length: timedelta) -> Iterator[Interval]:
    """Yield the intervals between points in the order of time, all of them at boundaries.

    Where a total falls nothing can be said, and nothing counts.
    """
    for one, other in pairwise(points):
        number = (other.time - one.time) // length
        energy = max(other.energy - one.energy, 0.0) / number
        for index in range(number):
            yield Interval(one.time + index * length, energy, number > 1)


class Month(NamedTuple):
    """A month by the wall clock."""

    year: int
    month: int

    @classmethod
    def of(cls, local: datetime | date) -> Month:
        """Return the month of a local time."""
        return cls(local.year, local.month)

    @property
    def before(self) -> Month:
        """The month before it."""
        return Month(self.year - 1, 12) if self.month == 1 else Month(self.year, self.month - 1)

    def begin(self, zone: tzinfo) -> datetime:
        """Return its first moment in a time zone."""
        return datetime(self.year, self.month, 1, tzinfo=zone)


class Peak(NamedTuple):
    """One of the intervals that a month bills."""

    demand: float
    """W, as it counts."""

    start: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyPeak:
    """What a month bills, as far as it has come."""

    tariff: Tariff
    zone: tzinfo
    highest: Sequence[Peak]
    """The highest of every day, or of all intervals, in falling order."""

    missed: int
    """The number of intervals that nobody heard, of those that count."""

    @property
    def peaks(self) -> Sequence[Peak]:
        """The intervals that it is made of, the highest first."""
        return self.highest[: self.tariff.peaks]

    @property
    def demand(self) -> float | None:
        """W, the mean of the peaks; None as long as there is none."""
        return _mean([peak.demand for peak in self.peaks])

    def limit(self, start: datetime) -> float | None:
        """Return the demand up to which another interval of the month does not raise the bill, in W.

        None where there is no such limit: when nothing is billed yet, or when the interval does not count.
        """
        local = start.astimezone(self.zone)
        weight = self.tariff.weight(local)
        if not weight or not self.highest:
            return None
        return self._limit_of_one_that_counts(local.date()) / weight

    def _limit_of_one_that_counts(self, day: date) -> float:
        days = self.highest if self.tariff.one_per_day else ()
        today = next((p.demand for p in days if p.start.astimezone(self.zone).date() == day), None)
        if len(self.highest) >= self.tariff.peaks:
            # What replaces the peak of its own day has to be higher than that, too.
            return max(self.peaks[-1].demand, today or 0.0)
        if today is not None:
            return today
        # One peak more, and the mean is over one more.
        return _mean([peak.demand for peak in self.highest]) or 0.0


def monthly_peaks(tariff: Tariff, intervals: Iterable[Interval], zone: tzinfo) -> Mapping[Month, MonthlyPeak]:
    """Return what each month bills, of those that have intervals that count."""
    highest: dict[Month, dict[object, Peak]] = {}
    missed: dict[Month, int] = {}
    hours = tariff.interval / HOUR
    for interval in intervals:
        local = interval.start.astimezone(zone)
        weight = tariff.weight(local)
        if not weight:
            continue
        month = Month.of(local)
        peak = Peak(weight * interval.energy / hours, interval.start)
        peaks = highest.setdefault(month, {})
        key = local.date() if tariff.one_per_day else interval.start
        if key not in peaks or peak.demand > peaks[key].demand:
            peaks[key] = peak
        missed[month] = missed.get(month, 0) + interval.is_missed
    return {
        month: MonthlyPeak(
            tariff=tariff,
            zone=zone,
            # Of two that are equally high, the first.
            highest=sorted(peaks.values(), key=lambda peak: (-peak.demand, peak.start)),
            missed=missed[month],
        )
        for month, peaks in highest.items()
    }


def is_peak_expected(expected: float, limit: float | None, *, was: bool) -> bool:
    """Tell whether a demand will pass the limit; once it will, until it falls below a band."""
    if limit is None:
        return False
    return expected > (limit - max(_BAND * limit, _LEAST_BAND) if was else limit)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
