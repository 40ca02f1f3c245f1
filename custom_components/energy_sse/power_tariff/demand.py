"""Calculation of the monthly peaks of a power tariff from the energy of intervals.

Energies are Wh, powers are W. Times are aware. An interval belongs to the day and the month in which it
begins, by the wall clock of the time zone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from ..registers import HOUR

MONTHS: Final = frozenset(range(1, 13))

MIDNIGHT: Final = time(0)

_SATURDAY: Final = 5

# Hysteresis: fraction of the limit, and W. A peak stays expected until the expected demand is below the limit
# by more than both.
_HYSTERESIS: Final = 0.05
_MIN_HYSTERESIS: Final = 100.0

# Fraction of the previous month's intervals. If more were missed, its peak is too uncertain for a limit.
_MAX_MISSED_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerTariff:
    """Rules of a grid company."""

    interval: timedelta = HOUR
    """An hour or a quarter of an hour."""

    peaks: int = 1
    """Number of the month's highest demands that are averaged."""

    one_per_day: bool = False
    """True if no two of them are of the same day."""

    months: frozenset[int] = MONTHS
    weekdays_only: bool = False
    days_off: frozenset[date] = frozenset()
    """Local days that have the weight `other_weight`."""

    begin: time = MIDNIGHT
    """Time of the first interval of a day that counts."""

    end: time = MIDNIGHT
    """Time from which intervals do not count. It can be after midnight. All count if it equals `begin`."""

    other_weight: float = 0.0
    """Weight of all other intervals, from 0 to 1."""

    min_limit: float = 0.0
    """Lowest limit: lower bound of the demand limit, in W. It does not change the monthly peak."""

    min_limit_share: float = 0.0
    """Lowest limit as a share of the previous month's peak, from 0 to 1."""

    price: float = 0.0
    """Price of a kW for a month, in the currency of Home Assistant; 0 if it is unknown."""

    def weight(self, start: datetime) -> float:
        """Return the weight of an interval that begins at a local time."""
        is_counted = (
            start.month in self.months
            and not (self.weekdays_only and start.weekday() >= _SATURDAY)
            and start.date() not in self.days_off
            and self._is_in_hours(start.time())
        )
        return 1.0 if is_counted else self.other_weight

    def _is_in_hours(self, start: time) -> bool:
        if self.begin < self.end:
            return self.begin <= start < self.end
        return self.begin == self.end or start >= self.begin or start < self.end


class Boundary(NamedTuple):
    """Energy imported until a boundary between intervals."""

    time: datetime
    energy: float
    """Wh."""


class Interval(NamedTuple):
    """Energy imported in an interval that has ended."""

    start: datetime
    energy: float
    """Wh. Missed intervals have the mean over the gap."""

    is_missed: bool
    """True if the energy at one of its ends is unknown."""


def intervals_between(boundaries: Iterable[Boundary], length: timedelta) -> Iterator[Interval]:
    """Yield the intervals between boundaries in the order of time.

    Intervals in which the total falls have no energy.
    """
    for before, after in pairwise(boundaries):
        number = (after.time - before.time) // length
        energy = max(after.energy - before.energy, 0.0) / number
        for index in range(number):
            yield Interval(before.time + index * length, energy, number > 1)


class Month(NamedTuple):
    """A month by the wall clock."""

    year: int
    month: int

    @classmethod
    def of(cls, local: datetime | date) -> Month:
        """Return the month of a local time."""
        return cls(local.year, local.month)

    @property
    def previous(self) -> Month:
        """The previous month."""
        return Month(self.year - 1, 12) if self.month == 1 else Month(self.year, self.month - 1)


class Peak(NamedTuple):
    """One of the highest intervals of a month."""

    demand: float
    """W, with the weight of the interval."""

    start: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyPeak:
    """Peaks of a month so far."""

    tariff: PowerTariff
    zone: tzinfo
    highest: Sequence[Peak]
    """Highest interval of each day, or all intervals, in descending order."""

    counted: int
    """Number of intervals that count."""

    missed: int
    """Number of the counted intervals that were missed."""

    @property
    def peaks(self) -> Sequence[Peak]:
        """Peaks that are averaged, the highest first."""
        return self.highest[: self.tariff.peaks]

    @property
    def demand(self) -> float | None:
        """Mean of the peaks in W; None before the first peak."""
        return _mean([peak.demand for peak in self.peaks])

    @property
    def cost(self) -> float:
        """Cost of the month so far."""
        return self.tariff.price * (self.demand or 0.0) / 1000

    def limit(self, start: datetime) -> float | None:
        """Return the demand in W up to which another interval does not raise the mean of the peaks.

        None before the first peak, and if the interval does not count.
        """
        local = start.astimezone(self.zone)
        weight = self.tariff.weight(local)
        if not weight or not self.highest:
            return None
        return self._weighted_limit(local.date()) / weight

    def _weighted_limit(self, day: date) -> float:
        days = self.highest if self.tariff.one_per_day else ()
        today = next((p.demand for p in days if p.start.astimezone(self.zone).date() == day), None)
        if len(self.highest) >= self.tariff.peaks:
            # An interval replaces the peak of its own day only if it is higher than that peak, too.
            return max(self.peaks[-1].demand, today or 0.0)
        if today is not None:
            return today
        # The interval is one more peak of the mean.
        return _mean([peak.demand for peak in self.highest]) or 0.0


def monthly_peaks(
    tariff: PowerTariff, intervals: Iterable[Interval], zone: tzinfo
) -> Mapping[Month, MonthlyPeak]:
    """Return the peaks of each month that has intervals that count.

    The intervals are in the order of time. The demand of missed intervals is a lower bound.
    """
    highest: dict[Month, dict[object, Peak]] = {}
    counted: dict[Month, int] = {}
    missed: dict[Month, int] = {}
    for interval, local, demand in _demands(tariff, intervals, zone):
        month = Month.of(local)
        peak = Peak(demand, interval.start)
        peaks = highest.setdefault(month, {})
        key = local.date() if tariff.one_per_day else interval.start
        if key not in peaks or peak.demand > peaks[key].demand:
            peaks[key] = peak
        counted[month] = counted.get(month, 0) + 1
        missed[month] = missed.get(month, 0) + interval.is_missed
    return {
        month: MonthlyPeak(
            tariff=tariff,
            zone=zone,
            # Of two equal peaks, the earlier one comes first, because the intervals are in the order of time.
            highest=sorted(peaks.values(), key=lambda peak: peak.demand, reverse=True),
            counted=counted[month],
            missed=missed[month],
        )
        for month, peaks in highest.items()
    }


def _demands(
    tariff: PowerTariff, intervals: Iterable[Interval], zone: tzinfo
) -> Iterator[tuple[Interval, datetime, float]]:
    """Yield the intervals that count, with their local start and their demand in W.

    The energy of a gap can have been used in any of its missed intervals. So all of them have the lowest
    weight of the gap. Their demand is 0 if the gap has intervals of two months or, with one peak per day, of
    two days.
    """
    hours = tariff.interval / HOUR
    # Adjoining gaps with the same mean are treated as one gap. The demand is then also a lower bound.
    for (is_missed, energy), group in groupby(intervals, lambda each: (each.is_missed, each.energy)):
        weighted = [
            (interval, local := interval.start.astimezone(zone), tariff.weight(local)) for interval in group
        ]
        lowest = 1.0
        if is_missed:
            periods = {local.date() if tariff.one_per_day else Month.of(local) for _, local, _ in weighted}
            lowest = min(weight for _, _, weight in weighted) if len(periods) == 1 else 0.0
        for interval, local, weight in weighted:
            if weight:
                yield interval, local, min(weight, lowest) * energy / hours


def demand_limit(tariff: PowerTariff, peaks: Mapping[Month, MonthlyPeak], local: datetime) -> float | None:
    """Return the demand limit in W of an interval that begins at a local time.

    It is at least the lowest limit of the tariff. None if the interval does not count, and without a lowest
    limit before the first peak of the month.
    """
    weight = tariff.weight(local)
    if not weight:
        return None
    month = Month.of(local)
    minimum = _min_limit(tariff, peaks.get(month.previous)) / weight
    limit = peaks[month].limit(local) if month in peaks else None
    return max(limit or 0.0, minimum) if minimum else limit


def _min_limit(tariff: PowerTariff, previous: MonthlyPeak | None) -> float:
    """Return the lowest limit in W for weight 1.

    The share is not used if more than half of the previous month's intervals were missed.
    """
    if previous is None or previous.missed > previous.counted * _MAX_MISSED_SHARE:
        return tariff.min_limit
    return max(tariff.min_limit, tariff.min_limit_share * (previous.demand or 0.0))


def is_peak_expected(expected: float, limit: float | None, *, was_expected: bool) -> bool:
    """Return whether the expected demand exceeds the limit. `was_expected` applies the hysteresis.

    `expected` and `limit` are in W. Without a limit, no peak is expected.
    """
    if limit is None:
        return False
    return expected > (limit - max(_HYSTERESIS * limit, _MIN_HYSTERESIS) if was_expected else limit)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
