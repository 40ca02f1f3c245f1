"""Find out at which full hours nobody heard a register, from what was heard and what the recorder has."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from .plan import HOUR, Series
from .recorder import NearestReadings

# A reader remembers 64 hours. What lies further back is decided.
_REMEMBERED: Final = timedelta(days=4)

# No pause that is shorter makes a reading too old, whatever the meter's interval.
_SHORTEST_SILENCE: Final = timedelta(minutes=1)

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


class Silence(NamedTuple):
    """A time without readings, from the last one before to the first one after."""

    start: datetime
    end: datetime


class ReadingTimes:
    """Remembers when one register was heard, since this run of Home Assistant began."""

    def __init__(self) -> None:
        """Start without having heard anything."""
        self.since: datetime | None = None
        self.last: datetime | None = None
        self._silences: list[Silence] = []

    def note(self, at: datetime) -> bool:
        """Note that the register was heard. Returns whether that ends a silence."""
        last, self.last = self.last, at
        if last is None or at < last - _SHORTEST_SILENCE:
            # What was noted by a clock that was ahead has yet to come.
            self.since = at
            self._silences.clear()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What tells whether one register was heard at full hours."""

    times: ReadingTimes
    registers: Mapping[datetime, float]
    """What the reader remembers, by full hour, in the stored unit."""

    series: Series
    nearest_readings: Mapping[datetime, NearestReadings]
    """When states around full hours were recorded."""

    pause: timedelta
    """The longest pause between readings that is none."""

    interval: timedelta
    """The usual interval of the readings."""

    def silence_at(self, full_hour: datetime, known: Silence | None) -> Silence | None:
        """Return the silence in which nobody heard a full hour, or the database has not kept it.

        It was heard when nothing was missed before the full hour, whatever came after: the recorder's row is
        as good as any. A silence that is known stays one, for states may be purged meanwhile.
        """
        told = (known, self.times.silence_at(full_hour), self._recorded_silence(full_hour))
        return next((each for each in told if each is not None and self._is_missed(full_hour, each)), None)

    def _is_missed(self, full_hour: datetime, silence: Silence) -> bool:
        return silence.end - silence.start > self.pause and full_hour - silence.start > self.interval

    def _recorded_silence(self, full_hour: datetime) -> Silence | None:
        """Return the silence around a full hour by the states of the database.

        They tell of the time before this run of Home Assistant has heard anything, and what was heard and
        could not be written. None when it was heard, and when nobody knows.
        """
        since, last = self.times.since, self.times.last
        assert since is not None
        assert last is not None
        before, after = self.nearest_readings[full_hour]
        is_older = full_hour < since
        row = next((row for row in self.series.rows if row.hour_end == full_hour), None)
        if row is not None:
            # States are purged, rows are not. And a register that stands still is not written again.
            is_same = abs(row.state - self.registers[full_hour]) <= self.series.tolerance
            if before is None or (is_same and not is_older):
                return None
        end = since if is_older else last
        return Silence(before or _NO_TIME, end if after is None else min(after, end))


def unheard_runs(silences: Mapping[datetime, Silence]) -> Iterator[tuple[datetime, ...]]:
    """Yield the full hours of each silence in turn, from the first one whose register is known.

    `silences` is by full hour whose register is known.
    """
    first_known: dict[Silence, datetime] = {}
    for full_hour in sorted(silences):
        first_known.setdefault(silences[full_hour], full_hour)
    for silence, first in first_known.items():
        yield tuple(first + number * HOUR for number in range((silence.end - first) // HOUR + 1))
