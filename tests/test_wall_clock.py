"""Checks of the wall clock, with the times of readings alone."""

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
    """Return a clock restored from what another one stores."""
    other = Clock()
    other.restore(json.loads(json.dumps(clock.as_dict(), allow_nan=False)))
    return other


def started(error: float | None) -> Clock:
    """Return a clock with readings at minutes 0 and 5."""
    clock = Clock()
    assert update(clock, 0, None, error) is None
    assert update(clock, 5, 5, error) is None
    return clock


def distrusted(period: Period | None, *minutes: float) -> list[float]:
    """Return the minutes that are in a period."""
    assert period is not None
    return [each for each in minutes if period.has(START + each * MINUTE)]


def test_period_has_its_end_and_not_its_start() -> None:
    """Include the last wrong time, and exclude the first one."""
    period = Period(START, START + MINUTE)
    assert [period.has(START + minutes * MINUTE) for minutes in (0, 0.5, 1, 1.5)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("error", [None, 0.0, 3600.0])
@pytest.mark.parametrize("seconds", [-59, 0, 59])
def test_small_differences_are_accepted(seconds: float, error: float | None) -> None:
    """Accept a clock that differs from the event loop by less than a minute."""
    assert update(started(error), 10 + seconds / 60, 5, error) is None


@pytest.mark.parametrize("minutes", [-60, -2, 12, 60, 20_000_000])
def test_right_clock_that_is_set_is_not_distrusted(minutes: float) -> None:
    """Keep the times of a clock that agreed with the reader's, wherever it is set."""
    assert update(started(0.0), minutes, 5, 60.0 * minutes) is None


@pytest.mark.parametrize("minutes", [-60, -2, 12, 60])
@pytest.mark.parametrize("error", [3600.0, None])
def test_wrong_clock_that_is_set_is_distrusted(minutes: float, error: float | None) -> None:
    """Distrust all times since the start when a wrong clock is set."""
    assert distrusted(update(started(error), minutes, 5, 0.0), -1, 0, 3, 5, 6) == [0, 3, 5]


def test_times_of_a_day_are_distrusted() -> None:
    """Distrust no more than a day."""
    clock = Clock()
    update(clock, 0, None, 3600.0)
    update(clock, 3000, 3000, 3600.0)
    end = START + 3000 * MINUTE
    assert update(clock, 3065, 5, 0.0) == Period(end - timedelta(days=1), end)


def test_single_reading_of_a_wrong_clock_is_distrusted() -> None:
    """Distrust the first reading of all when the clock is corrected right after it."""
    clock = Clock()
    update(clock, 0, None, None)
    assert distrusted(update(clock, -20_000_000, 0.1, None), 0) == [0]
    assert distrusted(update(clock, 60, 0.1, None), -20_000_000) == [-20_000_000]


def test_times_since_the_clock_was_right_are_distrusted() -> None:
    """Distrust only the times since a clock that runs fast has differed, when it is corrected."""
    clock = Clock()
    for minutes in range(0, 481, 5):
        # One minute fast in two hours.
        update(clock, minutes * (1 + 1 / 120), 5 if minutes else None, -minutes / 2)
    period = update(clock, 485, 5, 0.0)
    assert distrusted(period, 0, 60, 120, 130, 480, 485) == [130, 480]


def test_sleep_is_not_distrusted_when_the_clock_is_right() -> None:
    """Keep the times before and after a sleep, in which the event loop's clock stands still."""
    clock = started(0.0)
    assert update(clock, 485, 1, 0.0) is None
    assert update(clock, 490, 5, 0.0) is None


def test_set_clock_is_distrusted_from_then_on() -> None:
    """Distrust only the times of a clock that was set wrong, when it is corrected."""
    clock = started(0.0)
    assert update(clock, 70, 5, -3600.0) is None
    assert update(clock, 75, 5, -3600.0) is None
    assert distrusted(update(clock, 20, 5, 0.0), 0, 5, 71, 75, 76) == [71, 75]


def test_unknown_reader_clock_is_forgotten_when_set() -> None:
    """Know nothing of the reader's clock after the wall clock was set, until the reader sends its time."""
    clock = started(0.0)
    update(clock, 70, 5, None)
    assert clock.reader_error is None
    update(clock, 75, 5, -3600.0)
    assert clock.reader_error == -3600.0


@pytest.mark.parametrize("error", [None, 0.0])
def test_restart_is_not_distrusted(error: float | None) -> None:
    """Keep the times before a restart, whose duration is unknown."""
    clock = restored(started(error))
    assert update(clock, 500, None, error) is None
    assert update(clock, 505, 5, error) is None


def test_times_after_now_are_distrusted_after_a_restart() -> None:
    """Distrust all later times when a restart shows that the clock was ahead."""
    assert distrusted(update(restored(started(None)), 2, None, 0.0), 0, 2, 3, 5, 1e6) == [3, 5, 1e6]


@pytest.mark.parametrize(("minutes", "later"), [(2, [3, 5, 1e6]), (-60, [0, 3, 5, 1e6])])
def test_clock_set_back_by_a_restart_is_distrusted(minutes: float, later: list[float]) -> None:
    """Distrust all later times when the clock is behind them after a restart, without a reader's clock."""
    assert distrusted(update(restored(started(None)), minutes, None, None), 0, 3, 5, 1e6) == later


def test_years_ahead_of_a_restart_are_distrusted() -> None:
    """Distrust the times of a clock that was years ahead between two restarts."""
    clock = restored(started(None))
    update(clock, 1e6, None, None)
    update(clock, 1e6 + 5, 5, None)
    assert distrusted(update(restored(clock), 10, None, None), 0, 5, 1e6, 1e6 + 5) == [1e6, 1e6 + 5]


@pytest.mark.parametrize("error", [None, 6e7])
def test_years_behind_after_a_restart_change_nothing(error: float | None) -> None:
    """Keep all times when the clock is years behind after a restart."""
    assert update(restored(started(0.0)), -1e6, None, error) is None


def test_clock_behind_the_reader_changes_nothing() -> None:
    """Keep all times after a restart when the reader's clock shows that the clock is behind now."""
    assert update(restored(started(0.0)), 3, None, 600.0) is None


def test_wrong_clock_after_a_restart_is_distrusted() -> None:
    """Distrust only the times since a restart when a clock was wrong after it."""
    clock = restored(started(0.0))
    assert update(clock, 66, None, -3600.0) is None
    assert update(clock, 70, 4, -3600.0) is None
    assert distrusted(update(clock, 11, 1, 0.0), 0, 5, 67, 70, 71) == [67, 70]


def test_clock_behind_after_a_restart_leaves_times() -> None:
    """Distrust nothing from before a restart, after which the clock was years behind."""
    clock = restored(started(0.0))
    assert update(clock, -1e6, None, 6e7) is None
    assert update(clock, -1e6 + 5, 5, 6e7) is None
    assert distrusted(update(clock, 15, 5, 0.0), 0, 3, 5, 10) == []


def test_data_is_restored() -> None:
    """Store the same data that was restored."""
    clock = started(12.0)
    assert restored(clock).as_dict() == clock.as_dict()
    assert restored(Clock()).as_dict() == Clock().as_dict()
    assert update(restored(Clock()), 0, None, 0.0) is None
