"""Interval of the readings, and expiry of the last reading."""

from collections import deque
from typing import Final

# Seconds. With a shorter limit, one lost telegram or a short reconnect would make values unavailable. After
# five minutes, a value is outdated, unless the meter sends less often.
_MIN_LIMIT: Final = 60.0
_MAX_LIMIT: Final = 300.0

# Number of intervals after which a reading of such a slow meter is outdated.
_SLOW_INTERVALS: Final = 1.5

# Number of intervals after which any other reading is outdated, so that one or two telegrams can be lost.
_INTERVALS: Final = 4

# Part of the limit after which the connection is checked.
_IDLE_PART: Final = 0.75

# Number of times between readings that are kept.
_MAX_INTERVALS: Final = 8


def max_gap(interval: float) -> float:
    """Return the longest time between two readings that is not a gap. All times are seconds.

    After this time without a reading, values are outdated, and the energy since then is missing.
    """
    return max(min(max(_INTERVALS * interval, _MIN_LIMIT), _MAX_LIMIT), _SLOW_INTERVALS * interval)


class Freshness:
    """Interval of the readings, learned from their arrival. All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        """Start without a reading."""
        self.last: float | None = None
        """Time when the meter sent the last reading."""

        self.interval: float | None = None
        """Second-longest recent time between readings; None while it is unknown.

        A single long time can be an outage. Two long times are the interval of the meter.
        """

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
        return _IDLE_PART * self.limit

    def note(self, at: float) -> None:
        """Note the time when the meter sent a reading."""
        if self.last is not None:
            self._intervals.append(at - self.last)
            self._update_interval()
        self.last = at

    def remaining(self, now: float) -> float:
        """Return the seconds until the last reading expires; 0 or less if it has expired."""
        return 0.0 if self.last is None else self.last + self.limit - now

    def _update_interval(self) -> None:
        intervals = sorted(self._intervals)
        # The first time between readings can be an outage. A time above the limit always is an outage.
        shortest = intervals[0] if len(intervals) > 1 else self._announced_interval or 0.0
        limit = max(_MAX_LIMIT, _SLOW_INTERVALS * shortest)
        while intervals and intervals[-1] > limit:
            intervals.pop()
        self.interval = intervals[-2:][0] if intervals else self._announced_interval
