"""Which rows of the long-term statistics belong into the hours that nobody heard.

Knows the recorder's arithmetic, but not the recorder: a row holds the register at the end of its hour
(`state`) and a running total (`sum`), and an hour's energy is the difference of two sums. As long as the
meter is the same, `sum - state` is one number along the whole series, here called the offset. So the right
row of an hour follows from the register at its end alone, and the hours around it stay what they are.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from .reader import Unit
from .reader.registers import LARGEST_RISE_PER_HOUR

HOUR: Final = timedelta(hours=1)

# A reader remembers 64 hours. What lies further back is decided.
_REMEMBERED: Final = timedelta(days=4)

# No pause that is shorter makes a reading too old, whatever the meter's interval.
_SHORTEST_SILENCE: Final = timedelta(minutes=1)

# Wh. Registers count whole Wh; what is less is the noise of sums of binary fractions.
_TOLERANCE: Final = 0.5

# Wh. What is more is another meter.
_LARGEST_RISE: Final = LARGEST_RISE_PER_HOUR[Unit.WATT_HOUR]


class Silence(NamedTuple):
    """A time without readings, from the last one before to the first one after."""

    start: datetime
    end: datetime


class Hearing:
    """Remembers when one register was heard, since this run of Home Assistant began."""

    def __init__(self) -> None:
        """Start without having heard anything."""
        self.since: datetime | None = None
        self.last: datetime | None = None
        self._silences: list[Silence] = []

    def heard(self, at: datetime) -> bool:
        """Note that the register was heard. Returns whether that ends a silence."""
        last, self.last = self.last, at
        if last is None:
            self.since = at
            return True
        if at - last <= _SHORTEST_SILENCE:
            return False
        self._silences.append(Silence(last, at))
        while self._silences[0].end < at - _REMEMBERED:
            del self._silences[0]
        return True

    def silence_at(self, time: datetime) -> Silence | None:
        """Return the silence around a time between `since` and `last`; None when it was heard there."""
        index = bisect_right(self._silences, time, key=lambda silence: silence.start) - 1
        if index >= 0 and time <= self._silences[index].end:
            return self._silences[index]
        return None


@dataclass(frozen=True, slots=True)
class Row:
    """What the recorder keeps of an hour, or of five minutes."""

    start: datetime
    state: float
    """The register at the end."""

    sum: float

    @property
    def hour_end(self) -> datetime:
        """The end of an hour's row."""
        return self.start + HOUR

    @property
    def offset(self) -> float:
        """What the recorder adds to the register."""
        return self.sum - self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What the recorder has of one register, in the unit that its statistics are stored in."""

    rows: Sequence[Row]
    """Its last hours, oldest first."""

    is_whole: bool
    """Whether there is nothing before `rows`."""

    latest: Row | None
    """Its last five minutes, which the next five build upon."""

    compiled_until: datetime
    """The end of the last five minutes that the recorder has compiled. It will not come back to them."""

    watt_hour: float
    """One Wh in the stored unit."""

    @property
    def tolerance(self) -> float:
        """The difference below which two numbers are the same."""
        return _TOLERANCE * self.watt_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write."""

    rows: Sequence[Row] = ()
    """Each replaces the row of its hour, or is new."""

    raise_from: datetime | None = None
    """The first own hour of a series that gets a history before it."""

    raise_by: float = 0.0
    """By how much all its sums have to be raised, so that they continue those of the history."""


class TooEarlyError(Exception):
    """The recorder has yet to compile what the plan depends on."""


class NoFitError(Exception):
    """The registers and the rows around them do not tell the same story."""


def unheard_runs(silences: Mapping[datetime, Silence]) -> Iterator[tuple[datetime, ...]]:
    """Yield the full hours of each silence one after the other, from the first whose register is known.

    `silences` is by full hour whose register is known.
    """
    first_known: dict[Silence, datetime] = {}
    for full_hour in sorted(silences):
        first_known.setdefault(silences[full_hour], full_hour)
    for silence, first in first_known.items():
        yield tuple(first + number * HOUR for number in range((silence.end - first) // HOUR + 1))


def plan_rows(
    full_hours: Sequence[datetime], registers: Mapping[datetime, float], now: float, series: Series
) -> Plan:
    """Return what to write for the hours that end at some full hours, all of the same silence.

    `registers` are by full hour, and `now` is the register as it was last heard, all in the stored unit.
    Raises TooEarlyError or NoFitError.
    """
    first, last = full_hours[0], full_hours[-1]
    if series.latest is None or series.compiled_until < last:
        # A row that is there before the recorder's own would make it drop this hour, of all sensors.
        raise TooEarlyError
    known = {end: registers[end] for end in full_hours if end in registers}
    before = next((row for row in reversed(series.rows) if row.hour_end < first), None)
    inside = {row.hour_end: row for row in series.rows if first <= row.hour_end <= last}
    after = next((row for row in series.rows if row.hour_end > last), None)
    if before is None and not series.is_whole:
        raise NoFitError("there is nothing before them to continue")

    witnesses = [row for row in (before, *inside.values(), after, series.latest) if row is not None]
    if any(abs(one.offset - other.offset) > series.tolerance for one, other in pairwise(witnesses)):
        raise NoFitError("the sums before and after them do not continue each other")
    offset = series.latest.offset
    _check_growth(
        {
            **({} if before is None else {before.hour_end: before.state}),
            **known,
            **({} if after is None else {after.hour_end: after.state}),
        },
        now,
        series,
    )
    if any(end in known and row.state > known[end] + series.tolerance for end, row in inside.items()):
        raise NoFitError("a register is lower than what was heard before")

    raise_from = None
    raise_by = 0.0
    own_begin = min((row.start for row in inside.values()), default=last)
    begin = min(known)
    if before is None and begin <= own_begin:
        # The first hour of a history is the first of which both ends are known. Its change is its own sum.
        raise_from = own_begin
        raise_by = -known.pop(begin) - offset
        if abs(raise_by) <= series.tolerance:
            raise_from, raise_by = None, 0.0
        offset += raise_by

    rows = []
    register = None
    for end in full_hours:
        row = inside.get(end)
        register = known.get(end, register)
        if register is None or (row is None and end not in known):
            continue
        if row is None or register - row.state > series.tolerance:
            rows.append(Row(end - HOUR, register, register + offset))
    return Plan(rows=tuple(rows), raise_from=raise_from, raise_by=raise_by)


def _check_growth(states: Mapping[datetime, float], now: float, series: Series) -> None:
    """Raise NoFitError unless a register goes through some states as registers do."""
    for (one_end, one), (other_end, other) in pairwise(states.items()):
        if other < one - series.tolerance:
            raise NoFitError("the register falls")
        if other - one > _LARGEST_RISE * series.watt_hour * ((other_end - one_end) / HOUR):
            raise NoFitError("the register rises faster than a house connection allows")
    if now < max(states.values()) - series.tolerance:
        raise NoFitError("the register has fallen since")
