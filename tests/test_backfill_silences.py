"""At which full hours nobody heard a register."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, strategies as st
import pytest

from custom_components.energy_sse.backfill.plan import HOUR, Row, Series
from custom_components.energy_sse.backfill.recorder import NearestReadings
from custom_components.energy_sse.backfill.silences import Evidence, ReadingTimes, Silence, unheard_runs

BEGIN = datetime(2026, 11, 10, tzinfo=UTC)


def hour(number: float) -> datetime:
    return BEGIN + number * HOUR


def heard_at(*hours: float) -> ReadingTimes:
    """Return the times of a register that this run of Home Assistant has heard."""
    reading_times = ReadingTimes()
    for number in hours:
        reading_times.note(hour(number))
    return reading_times


def silence_at_hour_two(
    times: ReadingTimes,
    *,
    recorded: tuple[float | None, float | None] = (None, None),
    row: float | None = None,
    known: Silence | None = None,
) -> Silence | None:
    """Return the silence around a full hour at which the reader says 1000 Wh.

    `recorded` are the states around it, `row` is what the recorder has for the hour that ends there. The
    meter speaks every six minutes, and a pause of twelve is none.
    """
    rows = [] if row is None else [Row(hour(1), row, row)]
    evidence = Evidence(
        times=times,
        registers={hour(2): 1000.0},
        series=Series(rows=rows, is_whole=True, latest=None, compiled_until=hour(3), watt_hour=1.0),
        nearest_readings={hour(2): NearestReadings(*(None if t is None else hour(t) for t in recorded))},
        pause=timedelta(minutes=12),
        interval=timedelta(minutes=6),
    )
    return evidence.silence_at(hour(2), known)


@given(st.lists(st.integers(1, 7200), min_size=1, max_size=30))
def test_every_moment_is_heard_or_within_one_silence(gaps: list[int]) -> None:
    reading_times, time = ReadingTimes(), BEGIN
    reading_times.note(time)
    times = [time]
    for gap in gaps:
        times.append(times[-1] + timedelta(seconds=gap))
        assert reading_times.note(times[-1]) == (gap > 60)
    for before, following in pairwise(times):
        expected = Silence(before, following) if following - before > timedelta(minutes=1) else None
        assert reading_times.silence_at(before + (following - before) / 2) == expected


def test_silences_of_long_ago_are_forgotten() -> None:
    reading_times = ReadingTimes()
    for n in range(0, 24 * 30, 2):
        reading_times.note(hour(n))
    assert reading_times.silence_at(hour(1)) is None
    assert reading_times.silence_at(hour(24 * 30 - 3)) is not None


def test_runs_go_on_to_the_end_of_their_silence() -> None:
    long, short = Silence(hour(0), hour(4)), Silence(hour(5), hour(6) + HOUR / 2)
    silences = {hour(6): short, hour(2): long, hour(1): long}
    assert list(unheard_runs(silences)) == [(hour(1), hour(2), hour(3), hour(4)), (hour(6),)]


def test_what_was_heard_in_this_run_was_not_missed() -> None:
    times = heard_at(*(n / 10 for n in range(31)))
    assert silence_at_hour_two(times, recorded=(2, 2.1), row=1000.0) is None


@pytest.mark.parametrize("recorded", [(0.1, 2.9), (1.9, 2.1), (None, None)])
def test_what_this_run_has_not_heard_counts_before_what_the_database_has(
    recorded: tuple[float | None, float | None],
) -> None:
    assert silence_at_hour_two(heard_at(0, 1.5, 2.5, 3), recorded=recorded, row=900.0) == (
        hour(1.5),
        hour(2.5),
    )


def test_silence_that_is_known_stays_though_its_states_are_purged() -> None:
    known = Silence(hour(1.2), hour(2.7))
    assert silence_at_hour_two(heard_at(2.7, 3), row=900.0, known=known) == known
    assert silence_at_hour_two(heard_at(0, 1.5, 2.5, 3), recorded=(0.5, 2.9), known=known) == known


@pytest.mark.parametrize(("after", "end"), [(None, 2.7), (2.2, 2.2), (2.9, 2.7)])
def test_states_tell_of_the_time_before_this_run(after: float | None, end: float) -> None:
    silence = silence_at_hour_two(heard_at(2.7, 3), recorded=(1.2, after), row=1000.0)
    assert silence == (hour(1.2), hour(end))


def test_rows_tell_where_states_are_purged() -> None:
    assert silence_at_hour_two(heard_at(2.7, 3), recorded=(None, 2.5), row=900.0) is None
    assert silence_at_hour_two(heard_at(2.7, 3), recorded=(None, 2.5)) is not None


@pytest.mark.parametrize(("row", "is_missed"), [(1000.0, False), (999.6, False), (999.0, True)])
def test_register_that_stands_still_was_heard_though_it_was_not_written_again(
    row: float, *, is_missed: bool
) -> None:
    times = heard_at(*(n / 10 for n in range(31)))
    silence = silence_at_hour_two(times, recorded=(0.5, 2.9), row=row)
    assert (silence is not None) == is_missed


@pytest.mark.parametrize(
    ("before", "after", "is_missed"),
    [
        pytest.param(1.85, 2.04, False, id="a pause that is none"),
        pytest.param(1.91, 2.9, False, id="before the next one was due"),
        pytest.param(1.89, 2.9, True, id="after it"),
    ],
)
def test_hour_is_missed_when_a_reading_was_due_before_its_end(
    before: float, after: float, *, is_missed: bool
) -> None:
    assert (silence_at_hour_two(heard_at(0, before, after, 3), row=900.0) is not None) == is_missed
    assert (silence_at_hour_two(heard_at(2.95, 3), recorded=(before, after), row=900.0) is not None) == (
        is_missed
    )
