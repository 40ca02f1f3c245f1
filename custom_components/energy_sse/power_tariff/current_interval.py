"""Current interval of a power tariff: demand so far, expected demand and available power.

Energies are Wh, powers are W.
"""

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
import math
from typing import Any, Final

from ..registers import HOUR, Point, from_timestamp, start_of

# The expected demand follows from the mean power of the last minutes. This window is a fifth of the remaining
# time, so that a short load, such as a kettle, does not cause a peak.
_WINDOW_DIVISOR: Final = 5
_MIN_WINDOW: Final = timedelta(minutes=1)
_MAX_WINDOW: Final = timedelta(minutes=10)

# Minimum time between two points that are kept for the mean power.
_MIN_POINT_INTERVAL: Final = timedelta(seconds=5)

# In the last seconds, the energy of one telegram is a large part of the remaining energy, so that the
# available power would be wrong.
_MIN_REMAINING: Final = timedelta(seconds=30)

# The powers of two readings that are further apart do not show the energy between them.
_MAX_GAP: Final = timedelta(minutes=5)


class CurrentInterval:
    """Current interval of a power tariff."""

    def __init__(self, length: timedelta, max_power: float) -> None:
        """Start without a reading. `max_power` is the power in W that the main fuse allows."""
        self.start: datetime | None = None
        """Start of the interval; None before the first reading."""

        self._length = length
        self._max_power = max_power
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
            # The clock was corrected, so the readings before the correction are not used.
            self._points.clear()
            self._first = last = None
        if is_new or self._first is None:
            self.start, self._first = start, point
            self._lowest, self._highest = math.inf, -math.inf
        powers = [point.power]
        if last is not None and (point.gaps != last.gaps or point.time - last.time > _MAX_GAP):
            self._points.clear()
            if start <= last.time and point.total > last.total:
                # The power during a gap follows from the register.
                powers.append((point.total - last.total) / ((point.time - last.time) / HOUR))
        self._lowest, self._highest = min(self._lowest, *powers), max(self._highest, *powers)
        self._start_total, self._last = start_total, point
        if not self._points or point.time - self._points[-1].time >= _MIN_POINT_INTERVAL:
            self._points.append(point)
        while len(self._points) > 1 and point.time - self._points[1].time >= _MAX_WINDOW:
            self._points.popleft()
        return is_new

    @property
    def demand(self) -> float | None:
        """Mean power in W so far, within the range of the received powers; None before the first reading.

        If the start of the interval is unknown, the mean since the first reading counts.
        """
        if self._last is None or self._first is None or self.start is None:
            return None
        start, total = self.start, self._start_total
        if total is None:
            start, total = self._first.time, self._first.total
        hours = (self._last.time - start) / HOUR
        mean = (self._last.total - total) / hours if hours else self._last.power
        return min(max(mean, self._lowest), self._highest)

    @property
    def expected_demand(self) -> float | None:
        """Demand in W at the end if the recent mean power stays; None before the first reading."""
        demand, last = self.demand, self._last
        if demand is None or last is None:
            return None
        window = min(max(self._remaining / _WINDOW_DIVISOR, _MIN_WINDOW), _MAX_WINDOW)
        points = [last, *reversed(self._points)]
        point = next((each for each in points if last.time - each.time >= window), points[-1])
        hours = (last.time - point.time) / HOUR
        power = (last.energy - point.energy) / hours if hours else last.power
        remaining_fraction = self._remaining / self._length
        return demand * (1 - remaining_fraction) + power * remaining_fraction

    def available_power(self, limit: float) -> float | None:
        """Return the power in W that can be drawn until the end to stay below a limit in W.

        It is not more than `max_power`.

        None before the first reading, and in the last 30 seconds.
        """
        demand = self.demand
        if demand is None or self._remaining < _MIN_REMAINING:
            return None
        remaining_fraction = self._remaining / self._length
        return min(max(limit - demand * (1 - remaining_fraction), 0.0) / remaining_fraction, self._max_power)

    @property
    def _remaining(self) -> timedelta:
        assert self.start is not None
        assert self._last is not None
        return self.start + self._length - self._last.time

    # ----------------------------------------------------------------------------------------- storage

    def as_dict(self) -> dict[str, Any] | None:
        """Return the data to store, which is JSON serializable, or None before the first reading."""
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
