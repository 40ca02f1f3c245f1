"""At which boundaries the total is known, and the interval that runs, for any series of readings."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
import math
import random

from hypothesis import assume, given, strategies as st
import pytest

from custom_components.energy_sse.power_tariff.boundaries import (
    Exchange,
    Gap,
    Total,
    exchange,
    gaps_of_quiet_hours,
    known_points,
    merged,
    with_quarters,
    without_filled,
)
from custom_components.energy_sse.power_tariff.demand import HOUR, QUARTER, Interval, intervals_between
from custom_components.energy_sse.power_tariff.running import RunningInterval

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)

hourly_energies = st.lists(st.integers(0, 9000), min_size=3, max_size=30)
outages = st.lists(st.tuples(st.integers(0, 1800), st.integers(1, 600)), max_size=5)


def hour(number: int) -> datetime:
    return MIDNIGHT + number * HOUR


@given(
    energies=hourly_energies,
    missing=outages,
    remembered_from=st.integers(0, 30),
    is_filled=st.booleans(),
    is_still_remembered=st.booleans(),
)
def test_no_hour_is_guessed_and_no_energy_is_lost(
    energies: list[int],
    missing: list[tuple[int, int]],
    remembered_from: int,
    *,
    is_filled: bool,
    is_still_remembered: bool,
) -> None:
    truth = [1000.0]
    for energy in energies:
        truth.append(truth[-1] + energy)
    gaps = merged(
        Gap(MIDNIGHT + timedelta(minutes=start), MIDNIGHT + timedelta(minutes=start + lasts))
        for start, lasts in missing
    )
    # Nothing is heard at these, and the reader remembers some of them.
    unheard = {n for n in range(len(truth)) if any(gap.has(hour(n)) for gap in gaps)}
    remembered = {n for n in unheard if n >= remembered_from}
    totals: list[Total] = []
    for number, register in enumerate(truth):
        is_known = number not in unheard or (is_filled and number in remembered)
        value = register if is_known else totals[-1].energy if totals else 0.0
        totals.append(Total(hour(number), value, value))
    registers = {hour(n): truth[n] for n in remembered} if is_still_remembered else {}

    found = list(intervals_between(known_points(totals, without_filled(gaps, totals, registers), []), HOUR))

    known = [n for n in range(len(truth)) if n not in unheard or (is_filled and n in remembered)]
    expected = {
        hour(start + index): Interval(
            hour(start + index), (truth[end] - truth[start]) / (end - start), end - start > 1
        )
        for start, end in pairwise(known)
        for index in range(end - start)
    }
    if is_still_remembered or not is_filled:
        assert [interval.start for interval in found] == list(expected)
        for interval in found:
            assert interval.energy == pytest.approx(expected[interval.start].energy)
            # Where nothing was imported, it does not matter who knows the register.
            assert interval.is_missed <= expected[interval.start].is_missed
    else:
        # A total that does not rise does not tell that it is known.
        for interval in found:
            if not interval.is_missed:
                assert interval.energy == energies[(interval.start - MIDNIGHT) // HOUR]


@given(
    hourly_energies,
    st.integers(0, 29),
    st.integers(0, 2_000_000),
    st.integers(0, 2_000_000),
)
def test_exchange_of_the_meter_takes_off_what_the_recorder_makes_of_it(
    energies: list[int], number: int, before: int, after: int
) -> None:
    # Otherwise it might have been put right already.
    assume(abs(before - after) > 9000)
    number %= len(energies)
    found = exchange(hour(number) + timedelta(minutes=20), float(before), float(after))
    total, totals = 5000.0, [Total(MIDNIGHT, math.nan, 5000.0)]
    for index, energy in enumerate(energies):
        # As Home Assistant does for a sensor that only rises: a fall by a tenth is a new beginning at zero.
        jump = (after if after < 0.9 * before else after - before) if index == number else 0
        total += energy + jump
        totals.append(Total(hour(index + 1), math.nan, total))
    points = known_points(totals, [], [found])
    assert [other.energy - one.energy for one, other in pairwise(points)] == pytest.approx(energies)


@pytest.mark.parametrize("imported", [1000.0, 0.0])
@pytest.mark.parametrize("energy", [50_000.0, -50.0])
def test_exchange_that_its_owner_has_put_right_is_not_taken_off_again(energy: float, imported: float) -> None:
    totals = [Total(hour(number), math.nan, imported * number) for number in range(4)]
    points = known_points(totals, [], [Exchange(hour(1) + QUARTER, energy)])
    assert [point.energy for point in points] == [0, imported, 2 * imported, 3 * imported]


def test_sum_that_jumps_by_more_than_a_house_imports_counts_nothing() -> None:
    totals = [Total(hour(number), math.nan, total) for number, total in enumerate((0, 1000, 9e6, 9.001e6))]
    assert [point.energy for point in known_points(totals, [], [])] == [0, 1000, 1000, 2000]


def test_hour_in_which_the_power_stood_still_was_not_heard() -> None:
    hours = [Total(hour(number), 0.0, 0.0) for number in range(8)]
    lively = frozenset(hour(number) for number in (0, 1, 2, 4, 5, 6, 7))
    assert gaps_of_quiet_hours(hours, lively, hour(8)) == [Gap(hour(2), hour(5))]


def test_hours_before_the_power_was_recorded_are_not_taken_for_missed() -> None:
    hours = [Total(hour(number), 0.0, 0.0) for number in range(8)]
    lively = frozenset(hour(number) for number in (5, 7))
    assert gaps_of_quiet_hours(hours, lively, hour(8)) == [Gap(hour(5), hour(8))]
    assert gaps_of_quiet_hours(hours, frozenset(), hour(8)) == []


@given(correction=st.integers(-5_000_000, 5_000_000), is_between=st.booleans())
def test_quarters_follow_a_sum_that_is_corrected_but_not_one_that_is_corrected_between_them(
    correction: int, *, is_between: bool
) -> None:
    quarters = {MIDNIGHT + index * QUARTER: 250.0 * index for index in range(9)}
    hours = [
        Total(hour(number), math.nan, 1000.0 * number + correction * (number > 0 or not is_between))
        for number in range(3)
    ]
    found = {total.time: total.energy for total in with_quarters(hours, quarters)}
    first = [MIDNIGHT + index * QUARTER for index in (1, 2, 3)]
    assert all((time in found) == (not is_between or not correction) for time in first)
    assert {time: energy for time, energy in found.items() if time > hour(1)} == {
        time: pytest.approx(energy + correction) for time, energy in quarters.items() if time > hour(1)
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("length", [HOUR, QUARTER])
def test_interval_that_was_heard_is_the_difference_of_the_registers_at_its_ends(
    length: timedelta, seed: int
) -> None:
    chance = random.Random(seed)
    running = RunningInterval(length)
    time, energy = MIDNIGHT + timedelta(minutes=52), 0.0
    last: dict[datetime, float] = {}
    number = 0
    for index in range(300):
        seconds, power = chance.randint(1, 50), chance.randint(0, 15_000)
        time += timedelta(seconds=seconds)
        energy += power * seconds / 3600
        # Registers are whole Wh, and mostly rise in none of many readings.
        register = 40_000.0 + math.floor(energy)
        _, ended = running.take(time, float(power), register, is_missed=not index)
        if ended is not None:
            number += 1
            boundaries = (ended.start, ended.start + length)
            start, end = (max(at for at in last if at < boundary) for boundary in boundaries)
            assert ended.energy == pytest.approx(last[end] - last[start])
        last[time] = register
        outlook = running.outlook
        assert outlook is not None
        assert timedelta() <= outlook.elapsed <= length
        assert outlook.energy >= 0
    assert number >= 1


def test_interval_of_which_the_recorder_knows_the_beginning_was_heard_from_there() -> None:
    running = RunningInterval(QUARTER)
    minute = timedelta(minutes=1)
    running.take(MIDNIGHT + 5 * minute, 6000.0, 41_000.0, is_missed=True)
    running.take(MIDNIGHT + 10 * minute, 6000.0, 41_500.0, is_missed=False)

    def energy() -> float:
        assert running.outlook is not None
        return running.outlook.energy

    assert energy() == 1000, "as much before it was heard as since"
    running.know_start(MIDNIGHT + QUARTER, 40_000.0)
    assert energy() == 1000
    running.know_start(MIDNIGHT, 40_800.0)
    assert energy() == 700
    running.know_start(MIDNIGHT, 40_000.0)
    assert energy() == 700, "it is known already"
    _, ended = running.take(MIDNIGHT + 16 * minute, 6000.0, 42_100.0, is_missed=False)
    assert ended == Interval(MIDNIGHT, 700.0, is_missed=False)
    assert energy() == 600


@pytest.mark.parametrize("register", [12.0, 41_499.0, 900_000.0])
def test_another_meter_adds_nothing_to_the_interval_that_runs(register: float) -> None:
    running = RunningInterval(QUARTER)
    minute = timedelta(minutes=1)
    running.take(MIDNIGHT + minute, 6000.0, 41_000.0, is_missed=False)
    running.take(MIDNIGHT + 2 * minute, 6000.0, 41_500.0, is_missed=False)
    found, _ = running.take(MIDNIGHT + 3 * minute, 6000.0, register, is_missed=False)
    assert found == exchange(MIDNIGHT + 3 * minute, 41_500.0, register)
    assert running.outlook is not None
    assert running.outlook.energy == pytest.approx(500 * 3 / 2), (
        "as much in the first minute as in the others"
    )


def test_register_that_comes_once_an_hour_leaves_the_end_of_an_interval_to_the_power() -> None:
    running = RunningInterval(QUARTER)
    for minutes, register in ((5, None), (13, 41_000.0), (17, None)):
        running.take(MIDNIGHT + timedelta(minutes=minutes), 6000.0, register, is_missed=False)
    assert running.outlook is not None
    assert running.outlook.energy == pytest.approx(200), "two of four minutes"


@given(st.lists(st.integers(0, 15_000), min_size=30, max_size=200))
def test_interval_without_registers_is_power_over_time(powers: list[int]) -> None:
    running = RunningInterval(QUARTER)
    time, truth = MIDNIGHT, [0.0]
    for index, power in enumerate(powers):
        running.take(time, float(power), None, is_missed=False)
        truth.append(truth[-1] + (powers[max(index - 1, 0)] + power) / 2 / 360 * bool(index))
        time += timedelta(seconds=10)
    outlook = running.outlook
    assert outlook is not None
    # 90 of them in a quarter of an hour.
    since = (len(powers) - 1) // 90 * 90
    assert outlook.energy == pytest.approx(truth[-1] - truth[since + 1])


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 15_000)), min_size=3, max_size=60), st.data())
def test_restart_in_the_middle_of_an_interval_goes_on_with_it(
    readings: list[tuple[int, int]], data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, len(readings) - 1))
    whole, first, second = (RunningInterval(HOUR) for _ in range(3))
    time, register = MIDNIGHT, 40_000.0
    for index, (seconds, power) in enumerate(readings):
        time += timedelta(seconds=seconds)
        register += power // 100
        if index == at:
            assert first.memory is not None
            second.recall(first.memory)
        whole.take(time, float(power), register, is_missed=False)
        (first if index < at else second).take(time, float(power), register, is_missed=index == at)
    assert whole.outlook == second.outlook
