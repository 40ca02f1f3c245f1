"""Checks of Home Assistant's wall clock, which can be wrong after a start, or set at any time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

# Seconds. If wall clock and event loop differ by more, the clock was set, or the computer slept. A clock that
# differs from the reader's clock by less is right.
_TOLERANCE: Final = 60.0

# A wrong clock is expected to be corrected within a day. Older times are kept.
_MAX_WRONG_PERIOD: Final = timedelta(days=1)

# Seconds. A reader's clock that has advanced by more was set.
_MAX_SLEEP: Final = 86400.0

# Seconds. Delayed readings arrive together, within this time.
_MAX_DELAYED: Final = 10.0

_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


class Period(NamedTuple):
    """Period of time after `start`, up to and including `end`."""

    start: datetime
    end: datetime

    def covers(self, time: datetime) -> bool:
        """Return whether a time is in the period."""
        return self.start < time <= self.end


class WallClock:
    """Comparison of the wall clock with the event loop's clock and with the reader's clock."""

    def __init__(self) -> None:
        """Start without a reading."""
        self.reader_error: float | None = None
        """Seconds by which the reader's clock is ahead; None while it is unknown."""

        self.slept = 0.0
        """Seconds for which the event loop's clock stopped, for example while the computer slept."""

        self._since: datetime | None = None
        """Start of the period in which the wall clock can be wrong.

        It is the last reading by a right clock, or just before the first reading after the clock was set.
        """

        self._last: datetime | None = None
        """Wall clock time of the last reading."""

        self._last_received: float | None = None
        """Event loop time of the last reading; None after a restart."""

        self._last_error: float | None = None
        self._delayed_for: float | None = None
        """Seconds since the first delayed reading; None if the last reading was not delayed."""

    @property
    def is_delayed(self) -> bool:
        """Return whether the last reading was delayed, for example while the computer slept.

        Delayed readings arrive together, but a reader's clock that was set back stays behind.
        """
        return self._delayed_for is not None and self._delayed_for < _MAX_DELAYED

    def update(
        self, time: datetime, now: float, reader_error: float | None, age: float = 0.0
    ) -> Period | None:
        """Check the time of arrival of a reading. Return the period in which the clock was wrong, if any.

        `now` is the time of the event loop. `reader_error` is the number of seconds by which the reader's
        clock is ahead; None if it is unknown. `age` is the number of seconds since the meter sent the
        reading, which counts for that time.
        """
        if reader_error is not None:
            self.reader_error = reader_error
        last, since, last_error = self._last, self._since, self._last_error
        last_received, self._last_received = self._last_received, now
        begin = time - timedelta(seconds=age) - timedelta.resolution
        wrong_period = None
        if last is None or since is None:
            self._since = begin
        elif last_received is None:
            wrong_period = self._wrong_period_after_restart(since, last, time)
            if wrong_period is not None:
                self._since = begin
            elif _is_right(last_error) or not _is_same(last_error, self.reader_error):
                # Repeated readings can be as old as the last reading before the restart.
                self._since = min(time, last)
        else:
            passed, elapsed = (time - last).total_seconds(), now - last_received
            self._record_sleep(passed, elapsed, reader_error)
            self._record_delay(elapsed, reader_error)
            if abs(passed - elapsed) > _TOLERANCE and not _is_same(last_error, reader_error):
                if not _is_right(last_error):
                    wrong_period = Period(max(since, last - _MAX_WRONG_PERIOD), last)
                    self._since = begin
                # If the last time was right, `_since` is kept, because a boundary between the last right time
                # and the first wrong time is wrong, too.
                self.reader_error = reader_error
        if _is_right(self.reader_error):
            self._since = time
        self._last, self._last_error = time, self.reader_error
        return wrong_period

    def _record_sleep(self, passed: float, elapsed: float, reader_error: float | None) -> None:
        """Add the seconds that the wall clock or the reader's clock has advanced more than the event loop.

        The reader's clock is needed because the wall clock of a paused virtual machine also stops, until a
        time server corrects it.
        """
        by_reader = 0.0
        if reader_error is not None and self._last_error is not None:
            by_reader = passed + reader_error - self._last_error
        if by_reader > _MAX_SLEEP:
            # The reader's clock was set.
            by_reader = 0.0
        self.slept += max(passed, by_reader, elapsed) - elapsed

    def _record_delay(self, elapsed: float, reader_error: float | None) -> None:
        if reader_error is None or reader_error >= -_TOLERANCE:
            self._delayed_for = None
        elif _is_right(self._last_error):
            self._delayed_for = 0.0
        elif self._delayed_for is not None:
            self._delayed_for += elapsed

    def _wrong_period_after_restart(self, since: datetime, last: datetime, time: datetime) -> Period | None:
        old, new = self._last_error, self.reader_error
        if old is not None and new is not None and abs(new) < abs(old) - _TOLERANCE:
            return Period(max(since, last - _MAX_WRONG_PERIOD), last)
        is_recent = new is None and last - time <= _MAX_WRONG_PERIOD
        if time < last and (_is_right(new) or since <= time or is_recent):
            # The clock was ahead before the restart. If it is now behind by more than a day, it may be wrong
            # itself, and all times are kept.
            return Period(time, _END_OF_TIME)
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return the data to store, which is JSON serializable."""
        return {
            "since": self._since and self._since.timestamp(),
            "last": self._last and self._last.timestamp(),
            "reader_error": self._last_error,
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Restore stored data. If the data is invalid, an error is raised and nothing is changed."""
        if data["last"] is None:
            return
        since, last = (datetime.fromtimestamp(data[key], UTC) for key in ("since", "last"))
        error = data["reader_error"]
        self._last_error = None if error is None else float(error)
        self._since, self._last = since, last


def _is_right(error: float | None) -> bool:
    return error is not None and abs(error) <= _TOLERANCE


def _is_same(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= _TOLERANCE
