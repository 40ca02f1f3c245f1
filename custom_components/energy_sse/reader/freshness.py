"""Interval of the readings, and expiry of the last one."""

from collections import deque
from typing import Final

# Seconds. Below a minute a single lost telegram or a short reconnect would show; after five, a value is too
# old, unless the meter sends less often.
_MIN_LIMIT: Final = 60.0
_MAX_LIMIT: Final = 300.0

# Intervals of a meter that sends less often than that.
_SLOW_INTERVALS: Final = 1.5

# A limit of a few intervals tolerates one or two lost telegrams.
_INTERVALS: Final = 4
_PATIENT_PART: Final = 0.75
_REMEMBERED_GAPS: Final = 8


def max_gap(interval: float) -> float:
    """Return the longest time between two readings without a gap. All times are seconds.

    After this time without a reading, values are too old, and the energy since then is missing.
    """
    return max(min(max(_INTERVALS * interval, _MIN_LIMIT), _MAX_LIMIT), _SLOW_INTERVALS * interval)


class Freshness:
    """Interval of the readings, learned from their arrival. All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        """Start without a reading."""
        self.last: float | None = None
        """Time when the meter sent the last reading."""

        self.interval: float | None = None
        """The second-longest recent time between readings; None while it is unknown.

        One long time is an outage, two are the interval of the meter.
        """

        self._announced_interval: float | None = None
        self._gaps: deque[float] = deque(maxlen=_REMEMBERED_GAPS)

    def announce(self, interval: float | None) -> None:
        """Set the interval that the device sends, which is used until the interval is learned."""
        self._announced_interval = interval
        self._update_interval()

    @property
    def limit(self) -> float:
        """The age at which a reading is too old."""
        return max_gap(self.interval or 0.0)

    @property
    def idle_timeout(self) -> float:
        """Seconds without an event until the connection is checked, before the last reading expires."""
        return _PATIENT_PART * self.limit

    def note(self, at: float) -> None:
        """Note the time when the meter sent a reading."""
        if self.last is not None:
            self._gaps.append(at - self.last)
            self._update_interval()
        self.last = at

    def remaining(self, now: float) -> float:
        """Return the seconds until the last reading expires; 0 or less if it has expired."""
        return 0.0 if self.last is None else self.last + self.limit - now

    def _update_interval(self) -> None:
        gaps = sorted(self._gaps)
        # The first gap can be an outage. A time beyond every limit always is one.
        shortest = gaps[0] if len(gaps) > 1 else self._announced_interval or 0.0
        limit = max(_MAX_LIMIT, _SLOW_INTERVALS * shortest)
        while gaps and gaps[-1] > limit:
            gaps.pop()
        self.interval = gaps[-2:][0] if gaps else self._announced_interval
