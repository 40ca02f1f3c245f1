"""Interval of the readings, and expiry of their values."""

from collections import deque
from collections.abc import Collection, Iterator, Set as AbstractSet
from copy import copy
from dataclasses import dataclass
import math
from typing import Final

# Seconds. With a shorter limit, one lost telegram or a short reconnect would make values unavailable. After
# five minutes, a value is outdated, unless the meter sends less often.
_MIN_LIMIT: Final = 60.0
_MAX_LIMIT: Final = 300.0

# Number of intervals after which a reading of a meter with an interval of more than 200 s is outdated.
_SLOW_INTERVALS: Final = 1.5

# Number of intervals after which any other reading is outdated, so that one or two telegrams can be lost.
_INTERVALS: Final = 4

# Fraction of the limit after which the connection is checked.
_IDLE_FRACTION: Final = 0.75

# Number of times between readings that are kept.
_MAX_INTERVALS: Final = 8

# Seconds between two registers until their interval is learned, because some meters send them once an hour.
_REGISTER_INTERVAL: Final = 3600.0


def max_gap(interval: float) -> float:
    """Return the longest time between two readings that is not a gap. All times are seconds.

    After this time without a reading, values are outdated, and the energy since then is missing.
    """
    return max(min(max(_INTERVALS * interval, _MIN_LIMIT), _MAX_LIMIT), _SLOW_INTERVALS * interval)


class Freshness:
    """Interval of the readings, learned from their arrival. All times are seconds of one monotonic clock."""

    def __init__(self, expected_interval: float = 0.0) -> None:
        """Start without a reading.

        Until `_MAX_INTERVALS` intervals are known, `interval` is at least `expected_interval`. The first
        interval of a value that is sent on the hour can be shorter than an hour.
        """
        self.last: float | None = None
        """Time when the meter sent the last reading."""

        self.interval: float | None = expected_interval or None
        """Second-longest recent time between readings; None while it is unknown.

        A single long time can be an outage. Two long times are the interval of the meter.
        """

        self._expected_interval = expected_interval
        self._announced_interval: float | None = None
        self._intervals: deque[float] = deque(maxlen=_MAX_INTERVALS)

    def announce(self, interval: float | None) -> None:
        """Set the interval that the device sends, which is used until the interval is learned."""
        self._announced_interval = interval
        self._update_interval()

    @property
    def limit(self) -> float:
        """Age at which a reading is outdated."""
        return max_gap(self.interval or 0.0)

    @property
    def idle_timeout(self) -> float:
        """Seconds without an event until the connection is checked, before the last reading expires."""
        return _IDLE_FRACTION * self.limit

    def record(self, at: float) -> None:
        """Record the time when the meter sent a reading."""
        if self.last is not None:
            self._intervals.append(at - self.last)
            self._update_interval()
        self.last = at

    def remaining(self, now: float) -> float:
        """Return the seconds until the last reading expires; 0 or less if it has expired."""
        return 0.0 if self.last is None else self.last + self.limit - now

    def copy(self, expected_interval: float | None = None) -> Freshness:
        """Return an independent copy, which can have another expected interval."""
        other = copy(self)
        other._intervals = self._intervals.copy()  # noqa: SLF001 (of the same class)
        if expected_interval is not None:
            other._expected_interval = expected_interval  # noqa: SLF001 (of the same class)
            other._update_interval()  # noqa: SLF001 (of the same class)
        return other

    def has_history_of(self, other: Freshness) -> bool:
        """Return whether the last readings of both were the same, as far as their times are kept."""
        return (
            self.last == other.last
            and len(self._intervals) == _MAX_INTERVALS
            and self._intervals == other._intervals
        )

    def _update_interval(self) -> None:
        intervals = sorted(self._intervals)
        # The first time between readings can be an outage. A time above the limit always is an outage.
        shortest = intervals[0] if len(intervals) > 1 else self._announced_interval or 0.0
        shortest = max(shortest, self._expected_interval)
        limit = max(_MAX_LIMIT, _SLOW_INTERVALS * shortest)
        while intervals and intervals[-1] > limit:
            intervals.pop()
        self.interval = intervals[-2:][0] if intervals else self._announced_interval
        if len(self._intervals) < _MAX_INTERVALS and self._expected_interval:
            self.interval = max(self.interval or 0.0, self._expected_interval)


@dataclass(slots=True)
class _Group[K]:
    """Values that have always been received together."""

    keys: set[K]
    freshness: Freshness
    is_received: bool = True
    """True if the last reading contains them."""


class ValueExpiry[K]:
    """Expiry of each value, because some meters do not send all values in each reading.

    A value that is in every reading expires with the readings. The others have a freshness of their own, so
    that a value that is sent once an hour stays valid. A value never expires before the readings do. All
    times are seconds of one monotonic clock.
    """

    def __init__(self, readings: Freshness, registers: Collection[K]) -> None:
        """Start without a reading. The registers are expected once an hour until their interval is known."""
        self._readings = readings
        self._registers = frozenset(registers)
        self._regular: set[K] = set()
        """Values that expire with the readings, because each recent reading contained them.

        Registers, and values that a reading did not contain, are added after enough readings with them.
        """

        self._groups: list[_Group[K]] = []
        """All other values."""

    def record(self, keys: AbstractSet[K], at: float) -> None:
        """Record the values of a reading that the meter has sent at a time."""
        if self._readings.last is None:
            self._regular = set(keys) - self._registers
            self._groups = list(self._make_groups(set(keys) - self._regular, Freshness(), is_received=True))
        elif self._groups or keys != self._regular:
            self._regroup(keys)
        self._readings.record(at)
        for group in self._groups:
            if group.is_received:
                group.freshness.record(at)
        if self._groups:
            self._merge_groups()

    def outdated(self, now: float) -> set[K]:
        """Return the values that have expired."""
        outdated = set() if self._readings.remaining(now) > 0 else self._regular.copy()
        for group in self._groups:
            if self._remaining(group, now) <= 0:
                outdated |= group.keys
        return outdated

    def next_expiry(self, now: float) -> float:
        """Return the seconds until the next value expires that does not expire with the readings."""
        remaining = (self._remaining(group, now) for group in self._groups)
        return min((seconds for seconds in remaining if seconds > 0), default=math.inf)

    def _remaining(self, group: _Group[K], now: float) -> float:
        freshness = group.freshness
        return freshness.remaining(now) + max(self._readings.limit - freshness.limit, 0.0)

    def _merge_groups(self) -> None:
        """Merge groups that each recent reading contained into `_regular`, which makes readings faster."""
        for group in [each for each in self._groups if each.freshness.has_history_of(self._readings)]:
            self._groups.remove(group)
            self._regular |= group.keys

    def _regroup(self, keys: AbstractSet[K]) -> None:
        """Split the groups into the values that the reading contains and the values that it does not."""
        new = set(keys) - self._regular
        if missing := self._regular - keys:
            self._regular -= missing
            self._groups += self._make_groups(missing, self._readings, is_received=False)
        for group in list(self._groups):
            received = group.keys & new
            new -= received
            group.is_received = bool(received)
            if received and received != group.keys:
                rest = _Group(group.keys - received, group.freshness.copy(), is_received=False)
                self._groups.append(rest)
                group.keys = received
        self._groups += self._make_groups(new, Freshness(), is_received=True)

    def _make_groups(self, keys: set[K], before: Freshness, *, is_received: bool) -> Iterator[_Group[K]]:
        """Yield groups of the registers and of the other values, with their freshness so far."""
        if others := keys - self._registers:
            yield _Group(others, before.copy(), is_received)
        if registers := keys & self._registers:
            freshness = before.copy(_REGISTER_INTERVAL)
            yield _Group(registers, freshness, is_received)
