"""The current interval: its demand so far, and the expected demand and the available power that follow.

Energies are Wh, powers are W.
"""

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
import math
from typing import Any, Final

from ..registers import HOUR, Point, from_timestamp, start_of

# The expected demand follows from the mean power of the last minutes: a fifth of those that are left, so that
# a kettle is not a peak.
_PART_OF_THE_REST: Final = 5
_MIN_WINDOW: Final = timedelta(minutes=1)
_MAX_WINDOW: Final = timedelta(minutes=10)

# Between two points that are stored for the mean power.
_MIN_STEP: Final = timedelta(seconds=5)

# The energy of a telegram is most of what is left, so that the result is useless.
_NO_AVAILABLE_POWER: Final = timedelta(seconds=30)

# The powers of two readings that are further apart do not show what was used between them.
_MAX_STEP: Final = timedelta(minutes=5)


class CurrentInterval:
    """Current interval of a power tariff."""

    def __init__(self, length: timedelta, supply: float) -> None:
        """Start without a reading. The supply carries a power in W."""
        self.start: datetime | None = None
        """Start of the interval; None before the first reading."""

        self._length = length
        self._supply = supply
        self._start_total: float | None = None
        """Total at the start; None while it is unknown."""

        self._first: Point | None = None
        """First reading of the interval."""

        self._last: Point | None = None
        self._lowest = math.inf
        self._highest = -math.inf
        self._points: deque[Point] = deque()
        """Readings of the last minutes."""

    def update(self, point: Point, start_total: float | None) -> bool:
        """Update the interval from a reading. Return whether a new interval has begun.

        `start_total` is the total at the start of the interval of the reading; None while it is unknown.
        """
        start, last = start_of(point.time, self._length), self._last
        is_new = start != self.start
        if last is not None and (point.time < last.time or point.energy < last.energy):
            # The clock was corrected, and what was noted before is removed.
            self._points.clear()
            self._first = last = None
        if is_new or self._first is None:
            self.start, self._first = start, point
            self._lowest, self._highest = math.inf, -math.inf
        powers = [point.power]
        if last is not None and (point.gaps != last.gaps or point.time - last.time > _MAX_STEP):
            self._points.clear()
            if start <= last.time and point.total > last.total:
                # The power during a gap follows from the register.
                powers.append((point.total - last.total) / ((point.time - last.time) / HOUR))
        self._lowest, self._highest = min(self._lowest, *powers), max(self._highest, *powers)
        self._start_total, self._last = start_total, point
        if not self._points or point.time - self._points[-1].time >= _MIN_STEP:
            self._points.append(point)
        while len(self._points) > 1 and point.time - self._points[1].time >= _MAX_WINDOW:
            self._points.popleft()
        return is_new

    @property
    def demand(self) -> float | None:
        """Mean power so far, within the powers that were received; None before the first reading.

        An unknown part at the start counts as the known part.
        """
        if self._last is None or self._first is None or self.start is None:
            return None
        begin, total = self.start, self._start_total
        if total is None:
            begin, total = self._first.time, self._first.total
        lasted = (self._last.time - begin) / HOUR
        mean = (self._last.total - total) / lasted if lasted else self._last.power
        return min(max(mean, self._lowest), self._highest)

    @property
    def expected(self) -> float | None:
        """Demand at the end, if the mean power of the last minutes stays; None before the first reading."""
        demand, last = self.demand, self._last
        if demand is None or last is None:
            return None
        window = min(max(self._rest / _PART_OF_THE_REST, _MIN_WINDOW), _MAX_WINDOW)
        points = [last, *reversed(self._points)]
        point = next((each for each in points if last.time - each.time >= window), points[-1])
        lasted = (last.time - point.time) / HOUR
        power = (last.energy - point.energy) / lasted if lasted else last.power
        part = self._rest / self._length
        return demand * (1 - part) + power * part

    def available(self, limit: float) -> float | None:
        """Power that can be drawn until the end to stay below a limit, as far as the supply carries it.

        None before the first reading, and in the last 30 seconds.
        """
        demand = self.demand
        if demand is None or self._rest < _NO_AVAILABLE_POWER:
            return None
        part = self._rest / self._length
        return min(max(limit - demand * (1 - part), 0.0) / part, self._supply)

    @property
    def _rest(self) -> timedelta:
        assert self.start is not None
        assert self._last is not None
        return self.start + self._length - self._last.time

    # ----------------------------------------------------------------------------------------- storage

    def as_dict(self) -> dict[str, Any] | None:
        """Return the data to store, as JSON can hold it. None before the first reading."""
        if self._first is None or self.start is None:
            return None
        return {
            "start": self.start.timestamp(),
            "first": self._first.as_list(),
            "lowest": self._lowest,
            "highest": self._highest,
        }

    def restore(self, data: Mapping[str, Any], last: Point | None) -> None:
        """Restore stored data, with the last reading before a restart."""
        start = from_timestamp(data["start"])
        if last is None or start != start_of(last.time, self._length):
            return
        first = Point.from_list(data["first"])
        self._lowest, self._highest = float(data["lowest"]), float(data["highest"])
        self.start, self._first, self._last = start, first, last
