"""Find the boundaries of intervals at which the total is known, and the total there.

The recorder has a total at nearly every boundary, but not all are true: while nobody listens, it repeats the
last one, and the first interval after that gets all that was imported meanwhile. Knows no Home Assistant.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
import math
from operator import attrgetter
from typing import Final, NamedTuple

from ..reader.messages import Unit
from ..reader.registers import LARGEST_RISE_PER_HOUR
from .demand import HOUR, QUARTER, Point, start_of

# Wh in an hour. What is more, no house imports.
LARGEST_RISE: Final = LARGEST_RISE_PER_HOUR[Unit.WATT_HOUR]

# Wh. Registers count whole Wh; what is less is the noise of sums of binary fractions.
_TOLERANCE: Final = 0.5


_time_of: Final = attrgetter("time")


class Gap(NamedTuple):
    """A time in which nobody listened. At a boundary strictly inside, the total is not known."""

    start: datetime
    end: datetime

    def has(self, time: datetime) -> bool:
        """Tell whether a time is strictly inside."""
        return self.start < time < self.end


class Total(NamedTuple):
    """What the recorder has at a boundary."""

    time: datetime
    register: float
    """Wh."""

    energy: float
    """Wh. The running total: a difference of two is what was imported between."""


class Exchange(NamedTuple):
    """Another meter, or the same one with another register."""

    time: datetime
    energy: float
    """Wh. What the recorder takes for imported, and was not."""


def exchange(time: datetime, before: float, after: float) -> Exchange:
    """Return what the recorder makes of a register that has become another one, both in Wh.

    It takes a fall by a tenth or more for a new beginning at zero.
    """
    starts_anew = after < 0.9 * before
    return Exchange(time, after if starts_anew else after - before)


def boundaries_between(start: datetime, end: datetime, length: timedelta) -> Iterator[datetime]:
    """Yield the boundaries of intervals strictly between two times."""
    time = start_of(start, length) + length
    while time < end:
        yield time
        time += length


def merged(gaps: Iterable[Gap]) -> list[Gap]:
    """Return gaps in their order, and what overlaps as one."""
    result: list[Gap] = []
    for gap in sorted(gaps):
        if result and gap.start < result[-1].end:
            result[-1] = Gap(result[-1].start, max(gap.end, result[-1].end))
        else:
            result.append(gap)
    return result


def is_in_a_gap(time: datetime, gaps: Sequence[Gap]) -> bool:
    """Tell whether a time is strictly inside of one of some gaps, which are in order and do not overlap."""
    index = bisect_left(gaps, (time,)) - 1
    return index >= 0 and gaps[index].has(time)


def possible(totals: Sequence[Total], registers: Mapping[datetime, float]) -> list[Total]:
    """Return the totals that the meter can have had, by the registers that its reader remembers.

    Where Home Assistant has more, it heard that later, by a clock that was behind.
    """
    return [total for total in totals if total.register <= registers.get(total.time, math.inf) + _TOLERANCE]


def without_filled(
    gaps: Iterable[Gap], totals: Sequence[Total], registers: Mapping[datetime, float]
) -> list[Gap]:
    """Return gaps, cut where the totals of full hours have been filled in since.

    `registers` are those that the reader remembers, by full hour. An hour was filled where the recorder has
    the reader's register. Where the reader does not remember that far, it was filled where the total rises
    inside the gap, and from there on: a total that is only repeated does not.
    """
    cut: list[Gap] = []
    for gap in gaps:
        start = gap.start
        for known in _filled_in(gap, totals, registers):
            cut.append(Gap(start, known))
            start = known
        cut.append(Gap(start, gap.end))
    return [gap for gap in cut if any(boundaries_between(gap.start, gap.end, QUARTER))]


def _filled_in(gap: Gap, totals: Sequence[Total], registers: Mapping[datetime, float]) -> Iterator[datetime]:
    is_remembered = any(gap.has(full_hour) for full_hour in registers)
    is_filled = False
    # Those strictly inside, with the one before them: months have hours by the thousand.
    first, end = bisect_right(totals, gap.start, key=_time_of), bisect_left(totals, gap.end, key=_time_of)
    for before, total in pairwise(totals[max(first - 1, 0) : end]):
        if is_remembered:
            register = registers.get(total.time)
            is_filled = register is not None and abs(register - total.register) <= _TOLERANCE
        elif before.time >= gap.start and total.energy - before.energy > _TOLERANCE:
            is_filled = True
        if is_filled:
            yield total.time


def gaps_of_quiet_hours(hours: Sequence[Total], lively: frozenset[datetime], until: datetime) -> list[Gap]:
    """Return the gaps in a history of which nothing is left but its hours, up to a time.

    In an hour that somebody heard, the power has changed. Of the hours beside a quiet one it is not known
    how much of them was heard. Before the first lively one nobody recorded the power, so nothing can be told.
    """
    first = min(lively, default=until)
    starts = [total.time for total in hours if first < total.time < until]
    return merged(Gap(start - HOUR, min(start + 2 * HOUR, until)) for start in starts if start not in lively)


def known_points(totals: Iterable[Total], gaps: Sequence[Gap], exchanges: Sequence[Exchange]) -> list[Point]:
    """Return the totals that are known, without what the recorder took for imported in an exchange.

    Where a user has put an exchange right already, it stays as it is.
    """
    known = [total for total in totals if not is_in_a_gap(total.time, gaps)]
    points = [Point(total.time, total.energy) for total in known[:1]]
    for one, other in pairwise(known):
        energy = other.energy - one.energy
        for each in exchanges:
            if one.time <= each.time < other.time and _is_in(each, energy):
                energy -= each.energy
        if energy > LARGEST_RISE * ((other.time - one.time) / HOUR):
            # Another meter, of whose exchange nobody has told.
            energy = 0.0
        points.append(Point(other.time, points[-1].energy + energy))
    return points


def _is_in(exchange: Exchange, energy: float) -> bool:
    """Tell whether an energy has what the recorder took for imported."""
    return 0 < exchange.energy <= energy or (exchange.energy < 0 and energy < 0)


def with_quarters(hours: Sequence[Total], quarters: Mapping[datetime, float]) -> list[Total]:
    """Return totals of full hours with those remembered of the quarters between them.

    `quarters` are running totals in Wh as they were once read, full hours included. They have to continue
    the hours' totals of today on both sides, by the same offset: where a user has corrected the sum in
    between, nobody knows which quarter it was.
    """
    offsets = {total.time: total.energy - quarters[total.time] for total in hours if total.time in quarters}
    totals = list(hours)
    for time, energy in quarters.items():
        hour = start_of(time, HOUR)
        around = [offsets[full_hour] for full_hour in (hour, hour + HOUR) if full_hour in offsets]
        if time != hour and around and max(around) - min(around) <= _TOLERANCE:
            totals.append(Total(time, math.nan, energy + around[0]))
    return sorted(totals, key=lambda total: total.time)
