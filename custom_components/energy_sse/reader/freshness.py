"""How long a reading stays true."""

from collections import deque
from typing import Final

# Seconds. Below a minute a single lost telegram or a short reconnect would show; after five, a number that
# nobody confirmed is no longer the present.
_MIN_LIMIT: Final = 60.0
_MAX_LIMIT: Final = 300.0

# Intervals of a meter that sends less often than that.
_SLOW_INTERVALS: Final = 1.5

# A limit of a few intervals forgives a telegram or two that the meter or the air lost.
_INTERVALS: Final = 4
_PATIENT_PART: Final = 0.75
_REMEMBERED_GAPS: Final = 8


class Freshness:
    """Learns the interval of readings from their arrival, and how long to believe the last one.

    All times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        """Start without having heard anything."""
        self.last: float | None = None
        """When the last reading was true."""

        self.announced_interval: float | None = None
        """What the device says of it, which counts until it has been learned."""

        self._gaps: deque[float] = deque(maxlen=_REMEMBERED_GAPS)

    @property
    def interval(self) -> float | None:
        """The second-longest recent gap between readings, in seconds; None while nothing is known of it.

        One long gap is an outage, two are how this meter speaks. A gap beyond every limit is an outage,
        however often it happens.
        """
        longest_limit = self._longest_limit
        longest = sorted(gap for gap in self._gaps if gap <= longest_limit)[-2:]
        return longest[0] if longest else self.announced_interval

    @property
    def limit(self) -> float:
        """The age at which a reading is too old."""
        return min(max(_INTERVALS * (self.interval or 0.0), _MIN_LIMIT), self._longest_limit)

    @property
    def _longest_limit(self) -> float:
        # The first gap can be an outage.
        interval = min(self._gaps) if len(self._gaps) > 1 else self.announced_interval or 0.0
        return max(_MAX_LIMIT, _SLOW_INTERVALS * interval)

    @property
    def idle_timeout(self) -> float:
        """How long to listen in silence before asking what is wrong: early enough to be back in time."""
        return _PATIENT_PART * self.limit

    def note(self, at: float) -> None:
        """Note a reading and when it was true."""
        if self.last is not None:
            self._gaps.append(at - self.last)
        self.last = at

    def remaining(self, now: float) -> float:
        """Return for how long the last reading can still be believed; not positive when it cannot."""
        return 0.0 if self.last is None else self.last + self.limit - now
