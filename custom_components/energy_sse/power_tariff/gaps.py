"""Know when nobody listened to the meter, by the clock on the wall, which somebody may set.

Since the first reading it is known here; of the time before, the recorder has to tell. Knows no Home
Assistant.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..reader import Freshness, clock
from .boundaries import Gap

# Below it no pause between readings is a gap.
_SHORTEST_PAUSE: Final = timedelta(minutes=1)

# Somebody has set the clock when it has gone on by so much more or less than the time that has passed.
_CLOCK_TOLERANCE: Final = timedelta(minutes=1)


class Gaps:
    """The gaps between the readings of one meter."""

    def __init__(self, freshness: Freshness) -> None:
        """Start without having heard anything. `freshness` tells which pause between readings is none."""
        self.known: Sequence[Gap] = ()
        """Those that have ended."""

        self.first: datetime | None = None
        """The first reading, by the clock as it is now: since the start, or since somebody has set it."""

        self._freshness = freshness
        self._last: datetime | None = None
        self._last_heard_at = 0.0
        """The same by the clock that nobody sets."""

        self._settled_until: datetime | None = None
        """Until when all gaps are known. What was between that and the first reading, the recorder tells."""

    def note_next(self, now: datetime) -> bool:
        """Note a reading if it follows the last one at once. Returns whether it does."""
        if self._last is None or not self._last <= now <= self._last + _SHORTEST_PAUSE:
            return False
        self._last, self._last_heard_at = now, clock.now()
        return True

    def note(self, now: datetime) -> bool:
        """Note a reading. Returns whether others before it were missed."""
        is_set = self.is_clock_set(now)
        last, self._last, self._last_heard_at = self._last, now, clock.now()
        if last is None or is_set:
            self._begin(now, is_set=is_set)
            return True
        if now - last <= max(_SHORTEST_PAUSE, self.pause):
            return False
        self.known = [*self.known, Gap(last + self.interval, now)]
        return True

    def _begin(self, now: datetime, *, is_set: bool) -> None:
        # What was noted by another clock tells nothing of the time before. The recorder does.
        self.first = now
        if self._settled_until is not None and self._settled_until > now:
            self._settled_until = None
        self.known = [
            Gap(gap.start, now) if gap.has(now) else gap
            for gap in self.known
            # What is yet to come has not been missed.
            if gap.start < now or not is_set
        ]

    def is_clock_set(self, now: datetime) -> bool:
        """Tell whether somebody has set the clock since the last reading."""
        if self._last is None:
            return False
        passed = timedelta(seconds=clock.now() - self._last_heard_at)
        return abs(now - self._last - passed) > _CLOCK_TOLERANCE

    def until(self, now: datetime) -> Sequence[Gap]:
        """Return those that are known, with the one in which it is now."""
        if self._last is None or now - self._last <= self.pause:
            return self.known
        return [*self.known, Gap(self._last + self.interval, now)]

    def unheard(self, begin: datetime, now: datetime) -> Gap | None:
        """Return the time since `begin` of which only the recorder can tell when somebody listened."""
        since, until = max(self._settled_until or begin, begin), self.first or now
        return Gap(since, until) if since < until else None

    def settle(self, gaps: Sequence[Gap]) -> None:
        """Replace those that are known by what has been found out for good, up to the last reading."""
        self.known, self._settled_until = gaps, self._last

    def forget(self, begin: datetime) -> None:
        """Forget those of before a time."""
        self.known = [gap for gap in self.known if gap.end > begin]

    @property
    def pause(self) -> timedelta:
        """The longest pause between readings that is none."""
        return timedelta(seconds=self._freshness.limit)

    @property
    def interval(self) -> timedelta:
        """The usual interval of the readings."""
        return timedelta(seconds=self._freshness.interval or 0)

    # ---------------------------------------------------------------------------------------- memory

    @property
    def memory(self) -> dict[str, Any]:
        """What to recall after a restart, as JSON can hold it."""
        until = self._settled_until
        if until is not None and self.first is not None and until >= self.first:
            until = self._last
        return {
            "heard_until": until and until.timestamp(),
            "gaps": [(gap.start.timestamp(), gap.end.timestamp()) for gap in self.known],
        }

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Take up what was known before a restart."""
        if memory.get("heard_until"):
            self._settled_until = datetime.fromtimestamp(memory["heard_until"], UTC)
        self.known = [
            Gap(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))
            for start, end in memory.get("gaps", ())
        ]
