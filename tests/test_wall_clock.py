"""Periods in which the wall clock was wrong."""

from datetime import UTC, datetime, timedelta
import json

import pytest

from custom_components.energy_sse.wall_clock import Period, WallClock

START = datetime(2026, 1, 12, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Clock(WallClock):
    """A wall clock beside the clock of an event loop, in seconds."""

    now = 0.0


def update(clock: Clock, minutes: float, elapsed: float | None, error: float | None) -> Period | None:
    """Update the clock from a reading. All times are minutes, the error of the reader's clock is seconds."""
    clock.now += 60 * (elapsed or 0.0)
    return clock.update(START + minutes * MINUTE, clock.now, error)


def restored(clock: Clock) -> Clock:
    """Return a clock with the stored data of another one."""
    other = Clock()
    other.restore(json.loads(json.dumps(clock.as_dict(), allow_nan=False)))
    return other


def started(error: float | None) -> Clock:
    """Return a clock with readings at minutes 0 and 5."""
    clock = Clock()
    assert update(clock, 0, None, error) is None
    assert update(clock, 5, 5, error) is None
    return clock


def wrong_period(period: Period | None, *minutes: float) -> list[float]:
    """Return the minutes that are in a period."""
    assert period is not None
    return [each for each in minutes if period.covers(START + each * MINUTE)]


def test_period_has_its_end_and_not_its_start() -> None:
    assert wrong_period(Period(START, START + MINUTE), 0, 0.5, 1, 1.5) == [0.5, 1]


@pytest.mark.parametrize("error", [None, 0.0, 3600.0])
@pytest.mark.parametrize("seconds", [-59, 0, 59])
def test_small_differences_are_accepted(seconds: float, error: float | None) -> None:
    """Accept a clock that differs from the event loop by less than a minute."""
    assert update(started(error), 10 + seconds / 60, 5, error) is None


@pytest.mark.parametrize("minutes", [-60, -2, 12, 60, 20_000_000])
def test_times_are_kept_when_a_right_clock_is_set(minutes: float) -> None:
    """Keep the times of a clock that agreed with the reader's clock, to any time it is set."""
    assert update(started(0.0), minutes, 5, 60.0 * minutes) is None


@pytest.mark.parametrize("minutes", [-60, -2, 12, 60])
@pytest.mark.parametrize("error", [3600.0, None])
def test_times_are_rejected_when_a_wrong_clock_is_set(minutes: float, error: float | None) -> None:
    """Reject all times since the start."""
    assert wrong_period(update(started(error), minutes, 5, 0.0), -1, 0, 3, 5, 6) == [0, 3, 5]


def test_times_of_at_most_a_day_are_rejected() -> None:
    clock = Clock()
    update(clock, 0, None, 3600.0)
    update(clock, 3000, 3000, 3600.0)
    end = START + 3000 * MINUTE
    assert update(clock, 3065, 5, 0.0) == Period(end - timedelta(days=1), end)


def test_single_reading_of_a_wrong_clock_is_rejected() -> None:
    clock = Clock()
    update(clock, 0, None, None)
    assert wrong_period(update(clock, -20_000_000, 0.1, None), 0) == [0]
    assert wrong_period(update(clock, 60, 0.1, None), -20_000_000) == [-20_000_000]


def test_times_since_the_clock_was_right_are_rejected() -> None:
    """Reject only the times since a fast clock has differed by a minute, when it is corrected."""
    clock = Clock()
    for minutes in range(0, 481, 5):
        # One minute fast in two hours.
        update(clock, minutes * (1 + 1 / 120), 5 if minutes else None, -minutes / 2)
    period = update(clock, 485, 5, 0.0)
    assert wrong_period(period, 0, 60, 120, 130, 480, 485) == [130, 480]


def test_times_are_kept_when_the_computer_slept() -> None:
    """Keep the times before and after a sleep, in which the event loop's clock stands still."""
    clock = started(0.0)
    assert update(clock, 485, 1, 0.0) is None
    assert update(clock, 490, 5, 0.0) is None


@pytest.mark.parametrize("is_restarted", [False, True])
def test_times_of_a_clock_that_was_set_wrong_are_rejected(*, is_restarted: bool) -> None:
    """Reject only the times since a clock was set wrong, also by a restart, when it is corrected."""
    clock, elapsed = started(0.0), 5 if not is_restarted else None
    if is_restarted:
        clock = restored(clock)
    assert update(clock, 70, elapsed, -3600.0) is None
    assert update(clock, 75, 5, -3600.0) is None
    assert wrong_period(update(clock, 20, 5, 0.0), 0, 5, 71, 75, 76) == [71, 75]


def test_reader_clock_is_unknown_after_the_clock_was_set() -> None:
    """Know the error of the reader's clock again when the reader has sent its time."""
    clock = started(0.0)
    update(clock, 70, 5, None)
    assert clock.reader_error is None
    update(clock, 75, 5, -3600.0)
    assert clock.reader_error == -3600.0


@pytest.mark.parametrize(
    ("error", "minutes", "error_after"),
    [
        (None, 500, None),
        (0.0, 500, 0.0),
        # Years behind.
        (0.0, -1e6, None),
        (0.0, -1e6, 6e7),
        # Behind, by the reader's clock.
        (0.0, 3, 600.0),
    ],
)
def test_times_are_kept_after_a_restart(
    error: float | None, minutes: float, error_after: float | None
) -> None:
    """Keep the times before a restart, whose duration is unknown, and of a clock that is behind after it."""
    clock = restored(started(error))
    assert update(clock, minutes, None, error_after) is None
    assert update(clock, minutes + 5, 5, error_after) is None


@pytest.mark.parametrize(
    ("minutes", "error", "later"),
    [(2, 0.0, [3, 5, 1e6]), (2, None, [3, 5, 1e6]), (-60, None, [0, 3, 5, 1e6])],
)
def test_times_after_now_are_rejected_after_a_restart(
    minutes: float, error: float | None, later: list[float]
) -> None:
    """Reject all later times when a restart shows that the clock was ahead."""
    assert wrong_period(update(restored(started(None)), minutes, None, error), 0, 3, 5, 1e6) == later


def test_times_of_years_ahead_are_rejected() -> None:
    """Reject the times of a clock that was years ahead between two restarts."""
    clock = restored(started(None))
    update(clock, 1e6, None, None)
    update(clock, 1e6 + 5, 5, None)
    assert wrong_period(update(restored(clock), 10, None, None), 0, 5, 1e6, 1e6 + 5) == [1e6, 1e6 + 5]


def test_times_are_kept_after_the_clock_was_years_behind() -> None:
    """Keep the times from before a restart, after which the clock was years behind and then corrected."""
    clock = restored(started(0.0))
    assert update(clock, -1e6, None, 6e7) is None
    assert update(clock, -1e6 + 5, 5, 6e7) is None
    assert wrong_period(update(clock, 15, 5, 0.0), 0, 3, 5, 10) == []


def test_small_difference_after_a_restart_is_accepted() -> None:
    assert update(restored(started(100.0)), 10, None, 50.0) is None


@pytest.mark.parametrize(
    ("minutes", "error", "is_rejected"),
    [(-5000, 0.0, True), (-1400, None, True), (-2000, None, False), (-5000, None, False)],
)
def test_times_are_rejected_if_clock_is_behind_after_restart(
    minutes: float, error: float | None, *, is_rejected: bool
) -> None:
    """Reject earlier times if the reader's clock shows that the clock is right, or within a day."""
    period = update(restored(started(None)), minutes, None, error)
    assert (period is not None) is is_rejected


@pytest.mark.parametrize(
    ("minutes", "error_before", "error", "slept"),
    [
        pytest.param(65, None, None, 55, id="without a reader's clock"),
        pytest.param(65, 0.0, 0.0, 55, id="with a reader's clock"),
        pytest.param(10, 0.0, 3300.0, 55, id="wall clock that stood still"),
        pytest.param(10, 0.0, 90_000.0, 0, id="reader's clock that was set"),
    ],
)
def test_sleep_of_the_computer_is_recorded(
    minutes: float, error_before: float | None, error: float | None, slept: float
) -> None:
    """Record the minutes for which the event loop's clock stood still."""
    clock = started(error_before)
    update(clock, minutes, 5, error)
    assert clock.slept == 60 * slept


def test_readings_of_ten_seconds_are_delayed() -> None:
    clock = started(0.0)
    delayed = []
    for seconds, passed, error in ((5, 5, -30.0), (10, 5, -600.0), (19, 9, -591.0), (20, 1, -590.0)):
        update(clock, 5 + seconds / 60, passed / 60, error)
        delayed.append(clock.is_delayed)
    assert delayed == [False, True, True, False]


def test_stored_data_is_restored() -> None:
    clock = started(12.0)
    assert restored(clock).as_dict() == clock.as_dict()
    assert restored(Clock()).as_dict() == Clock().as_dict()
    assert update(restored(Clock()), 0, None, 0.0) is None
