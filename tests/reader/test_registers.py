"""What is believed of registers, and what is not."""

import logging

from hypothesis import given, strategies as st
import pytest

from custom_components.energy_sse.reader import Measurement as M, RegisterGuard, Unit

IMPORT, EXPORT, POWER = M.ACTIVE_ENERGY_IMPORT, M.ACTIVE_ENERGY_EXPORT, M.ACTIVE_POWER_IMPORT
UNITS = {IMPORT: Unit.WATT_HOUR, EXPORT: Unit.WATT_HOUR, POWER: Unit.WATT}
INTERVAL = 10.0


def through(guard: RegisterGuard, *values: float, register: M = IMPORT, start: float = 0.0) -> list[float]:
    """Return what is believed of values that come one after the other."""
    readings = (guard.believable({register: value}, start + n * INTERVAL) for n, value in enumerate(values))
    return [reading[register] for reading in readings if reading]


@pytest.mark.parametrize(
    ("values", "believed", "reason"),
    [
        ([5000, 0, 5001], [5000, 5001], "zero"),
        ([5000, -1, 5001], [5000, 5001], "negative"),
        ([-5, 5000], [5000], "negative"),
        ([5000, 4999, 5001], [5000, 5001], "lower"),
        ([5000, 3, 5001], [5000, 5001], "lower"),
        ([5000, 5_000_000, 5001], [5000, 5001], "higher than possible"),
        ([5000, 0, 0, 0, 0, 0, 0, 0, 5001], [5000, 5001], "zero"),
    ],
)
def test_value_that_cannot_be_is_dropped_and_counted(
    values: list[float], believed: list[float], reason: str
) -> None:
    guard = RegisterGuard(UNITS)
    assert through(guard, *values) == believed
    assert guard.dropped == {reason: len(values) - len(believed)}


def test_register_that_grows_as_a_house_can_use_is_believed_as_it_is() -> None:
    guard = RegisterGuard(UNITS)
    # 80 kW for ten seconds at a time, and one rise for a whole hour.
    values = [0, 0, 222, 444, 444]
    assert through(guard, *values) == values
    assert guard.believable({IMPORT: 80_444}, 3650.0) == {IMPORT: 80_444}
    assert not guard.dropped


def test_new_meter_with_a_lower_register_is_believed_after_several_readings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = RegisterGuard(UNITS)
    with caplog.at_level(logging.WARNING):
        assert through(guard, 5_000_000, 12, 12, 13, 13, 14, 15) == [5_000_000, 14, 15]
    assert caplog.text.count("Another meter is believed to be there now") == 1


def test_new_meter_with_a_higher_register_is_believed_after_many_readings() -> None:
    guard = RegisterGuard(UNITS)
    values = [9_000_000 + n for n in range(25)]
    assert through(guard, 5000, *values) == [5000, *values[19:]]
    assert guard.believable({IMPORT: 20_000_000}, 270.0) == {}


def test_values_that_are_wrong_in_different_ways_never_add_up_to_a_meter() -> None:
    guard = RegisterGuard(UNITS)
    assert through(guard, 5000, *[4000, 3000, 2000, 1000] * 5, 5001) == [5000, 5001]


def test_register_in_a_wrong_unit_is_shown_as_the_device_says_it() -> None:
    guard = RegisterGuard(UNITS)
    # 7 kW of a meter whose Wh are taken for kWh: 19 kWh in ten seconds.
    values = [5_000_000 + n * 19_400 for n in range(60)]
    assert through(guard, *values) == [values[0], *values[20:]]


def test_zeros_come_with_a_new_meter_only() -> None:
    guard = RegisterGuard(UNITS)
    guard.believable({IMPORT: 5000, EXPORT: 700}, 0)
    believed = [guard.believable({IMPORT: 12 + n, EXPORT: 0}, 10.0 + n * INTERVAL) for n in range(6)]
    assert believed[:4] == [{}] * 4
    assert believed[4:] == [{IMPORT: 16, EXPORT: 0}, {IMPORT: 17, EXPORT: 0}]


def test_each_register_stands_for_itself() -> None:
    guard = RegisterGuard(UNITS)
    guard.believable({IMPORT: 5000, EXPORT: 700, POWER: 100}, 0)
    values = {IMPORT: 0, EXPORT: 701, POWER: -5}
    assert guard.believable(values, INTERVAL) == {EXPORT: 701, POWER: -5}


def test_what_was_known_before_a_restart_is_known_after_it() -> None:
    before = RegisterGuard(UNITS)
    before.believable({IMPORT: 5000, POWER: 100}, 0)
    after = RegisterGuard(UNITS)
    after.remember({**before.registers, POWER: 100}, 1000.0)
    assert after.registers == {IMPORT: 5000}
    assert through(after, 0, 1_000_000_000, 5100, start=2000.0) == [5100]


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e6))))
def test_register_falls_only_to_what_has_repeated(readings: list[tuple[float, float]]) -> None:
    guard = RegisterGuard(UNITS)
    time, last, lower = 0.0, 0.0, 0
    for value, wait in readings:
        time += wait
        for believed in guard.believable({IMPORT: value}, time).values():
            assert believed >= last or lower >= 4
            last, lower = believed, 0
        lower += value < last
