"""Checks of Home Assistant's wall clock, which can be wrong after a start, set, or ahead of a sleeping computer.

Imports nothing of Home Assistant. Times are aware.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

# Seconds. The clock was set, or the computer slept, when wall clock and event loop differ by more. A clock that
# differs from the reader's by less is right.
_TOLERANCE: Final = 60.0

# A wrong clock is corrected within a day. Otherwise, its older times are kept.
_MAX_DISTRUST: Final = timedelta(days=1)

_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


class Period(NamedTuple):
    """Times after `start`, up to and including `end`."""

    start: datetime
    end: datetime

    def has(self, time: datetime) -> bool:
        """Return whether a time is in the period."""
        return self.start < time <= self.end


class WallClock:
    """Compares the wall clock with the event loop's clock and with the reader's clock."""

    def __init__(self) -> None:
        """Start without a reading."""
        self.reader_error: float | None = None
        """Seconds by which the reader's clock is ahead; None while it is unknown."""

        self._since: datetime | None = None
        """First reading by the present clock."""

        self._last: datetime | None = None
        self._is_restored = False

    def update(self, time: datetime, elapsed: float | None, reader_error: float | None) -> Period | None:
        """Check the time of a reading. Return the period whose times were noted by a wrong clock, if any.

        `elapsed` are the seconds of the event loop since the last reading; None for the first one.
        """
        distrusted = None
        last, since, before = self._last, self._since, self.reader_error
        is_set = (
            last is not None
            and elapsed is not None
            and not self._is_restored
            and (abs((time - last).total_seconds() - elapsed) > _TOLERANCE)
        )
        if last is not None and since is not None and (is_set or self._is_restored):
            distrusted = self._distrusted(since, last, time, reader_error)
        if since is None or is_set or self._is_restored:
            self._since = time
        self._last, self._is_restored = time, False
        if reader_error is not None:
            self.reader_error = reader_error
        elif is_set or before is None:
            self.reader_error = None
        return distrusted

    def _distrusted(
        self, since: datetime, last: datetime, time: datetime, reader_error: float | None
    ) -> Period | None:
        was_right = self.reader_error is not None and abs(self.reader_error) <= _TOLERANCE
        if self._is_restored:
            if self.reader_error is not None and not was_right:
                return Period(max(since, last - _MAX_DISTRUST), last)
            if time < last and reader_error is not None and abs(reader_error) <= _TOLERANCE:
                return Period(time, _END_OF_TIME)
            return None
        return None if was_right else Period(max(since, last - _MAX_DISTRUST), last)

    @property
    def data(self) -> dict[str, Any]:
        """Data to store, as JSON can hold it."""
        return {
            "since": self._since and self._since.timestamp(),
            "last": self._last and self._last.timestamp(),
            "reader_error": self.reader_error,
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Restore stored data."""
        if data["since"] is not None and data["last"] is not None:
            self._since = datetime.fromtimestamp(data["since"], UTC)
            self._last = datetime.fromtimestamp(data["last"], UTC)
            self.reader_error = data["reader_error"]
            self._is_restored = True
