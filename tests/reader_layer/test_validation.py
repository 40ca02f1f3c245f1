"""What is believed of registers, and what is not."""

import logging
import math

from hypothesis import given, strategies as st
import pytest

from custom_components.energy_sse.reader import (
    Measurement as M,
    RegisterGuard,
    RegisterLimits,
    Unit,
    limits_of_meter,
)

IMPORT, EXPORT, POWER = M.ACTIVE_ENERGY_IMPORT, M.ACTIVE_ENERGY_EXPORT, M.ACTIVE_POWER_IMPORT
UNITS = {IMPORT: Unit.WATT_HOUR, EXPORT: Unit.WATT_HOUR, POWER: Unit.WATT}
INTERVAL = 10.0


def through(guard: RegisterGuard[M], *values: float, register: M = IMPORT, start: float = 0.0) -> list[float]:
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
    guard = RegisterGuard(limits_of_meter(UNITS))
    assert through(guard, *values) == believed
    assert guard.dropped == {reason: len(values) - len(believed)}


def test_register_that_grows_as_a_house_can_use_is_believed_as_it_is() -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    # 80 kW for ten seconds at a time, and one rise for a whole hour.
    values = [0, 0, 222, 444, 444]
    assert through(guard, *values) == values
    assert guard.believable({IMPORT: 80_444}, 3650.0) == {IMPORT: 80_444}
    assert not guard.dropped


@pytest.mark.parametrize(
    ("unit", "kilo"),
    [(Unit.WATT_HOUR, 1000), (Unit.KILOWATT_HOUR, 1), (Unit.VAR_HOUR, 1000), (Unit.KILOVAR_HOUR, 1)],
)
@pytest.mark.parametrize(
    ("rise", "seconds", "is_believed"),
    [(199, 3540, True), (201, 3540, False), (3.3, 0, True), (3.4, 0, False), (4799, 86340, True)],
)
def test_register_rises_by_what_three_phases_of_290_ampere_can_bring_and_a_minute_more(
    unit: Unit, kilo: int, rise: float, seconds: float, *, is_believed: bool
) -> None:
    guard = RegisterGuard(limits_of_meter({IMPORT: unit}))
    guard.believable({IMPORT: 5 * kilo}, 0.0)
    rise *= kilo
    assert bool(guard.believable({IMPORT: 5 * kilo + rise}, seconds)) is is_believed


def test_new_meter_with_a_lower_register_is_believed_after_several_readings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    with caplog.at_level(logging.WARNING):
        assert through(guard, 5_000_000, 12, 12, 13, 13, 14, 15) == [5_000_000, 14, 15]
    assert caplog.text.count("Another meter is believed to be there now") == 1


def test_new_meter_with_a_higher_register_is_believed_after_many_readings() -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    values = [9_000_000 + n for n in range(25)]
    assert through(guard, 5000, *values) == [5000, *values[19:]]
    assert guard.believable({IMPORT: 20_000_000}, 270.0) == {}


def test_values_that_are_wrong_in_different_ways_never_add_up_to_a_meter() -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    assert through(guard, 5000, *[4000, 3000, 2000, 1000] * 5, 5001) == [5000, 5001]


def test_register_in_a_wrong_unit_is_shown_as_the_device_says_it() -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    # 7 kW of a meter whose Wh are taken for kWh: 19 kWh in ten seconds.
    values = [5_000_000 + n * 19_400 for n in range(60)]
    assert through(guard, *values) == [values[0], *values[20:]]


def test_zeros_come_with_a_new_meter_only() -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    guard.believable({IMPORT: 5000, EXPORT: 700}, 0)
    believed = [guard.believable({IMPORT: 12 + n, EXPORT: 0}, 10.0 + n * INTERVAL) for n in range(6)]
    assert believed[:4] == [{}] * 4
    assert believed[4:] == [{IMPORT: 16, EXPORT: 0}, {IMPORT: 17, EXPORT: 0}]


def test_each_register_stands_for_itself() -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    guard.believable({IMPORT: 5000, EXPORT: 700, POWER: 100}, 0)
    values = {IMPORT: 0, EXPORT: 701, POWER: -5}
    assert guard.believable(values, INTERVAL) == {EXPORT: 701, POWER: -5}


@pytest.mark.parametrize("wrong", [IMPORT, EXPORT])
def test_register_is_doubted_whatever_the_others_of_its_reading_say(wrong: M) -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    known = {IMPORT: 5000.0, EXPORT: 700.0}
    assert guard.believable(known, 0) == known
    right = {register: value for register, value in known.items() if register != wrong}
    assert guard.believable({**known, wrong: 9_000_000.0}, INTERVAL) == right
    assert guard.believable({**known, wrong: 3.0}, 2 * INTERVAL, is_repeated=True) == right
    assert guard.believable({IMPORT: 3.0, EXPORT: 3.0}, 3 * INTERVAL, is_repeated=True) == {}


def test_what_is_repeated_from_before_a_restart_is_no_other_meter_however_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    guard.remember(IMPORT, 5000, 1000.0)
    repeated = (guard.believable({IMPORT: 4900 + n}, n * INTERVAL, is_repeated=True) for n in range(32))
    assert not any(repeated)
    assert not guard.dropped
    assert through(guard, 5001, start=1000 + INTERVAL) == [5001]
    assert not caplog.messages


def test_what_was_known_before_a_restart_is_known_after_it() -> None:
    before = RegisterGuard(limits_of_meter(UNITS))
    before.believable({IMPORT: 5000, POWER: 100}, 0)
    after = RegisterGuard(limits_of_meter(UNITS))
    for measurement, value in {**before.registers, POWER: 100}.items():
        after.remember(measurement, value, 1000.0)
    assert after.registers == {IMPORT: 5000}
    assert through(after, 0, 1_000_000_000, 5100, start=2000.0) == [5100]


def test_register_that_rose_too_far_for_a_clock_that_may_be_wrong_is_believed_after_some_readings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    guard.remember(IMPORT, 5000, 0.0)
    assert not guard.heard_at
    with caplog.at_level(logging.WARNING):
        assert through(guard, *[50_000] * 4, 50_001, 50_002) == [50_001, 50_002]
    assert not caplog.messages
    assert guard.heard_at == {IMPORT: 5 * INTERVAL}
    # From now on the clock is the own one.
    assert not through(guard, *[100_000] * 19, start=6 * INTERVAL)


def test_register_that_did_not_rise_during_a_restart_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    guard.remember(IMPORT, 5000, 0.0)
    assert through(guard, 5000) == [5000]
    assert guard.heard_at == {IMPORT: 0.0}
    assert not through(guard, *[100_000] * 19, start=INTERVAL)


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e6))))
def test_register_falls_only_to_what_has_repeated(readings: list[tuple[float, float]]) -> None:
    guard = RegisterGuard(limits_of_meter(UNITS))
    time, last, lower = 0.0, 0.0, 0
    for value, wait in readings:
        time += wait
        for believed in guard.believable({IMPORT: value}, time).values():
            assert believed >= last or lower >= 4
            last, lower = believed, 0
        lower += value < last


# ------------------------------------------------------------------- what is told again for an hour

HOUR = 3600.0


def gas_meter() -> RegisterGuard[str]:
    """Return the guard of a gas meter that is asked once an hour."""
    return RegisterGuard({"1": RegisterLimits(rise_per_hour=25, repeats_for=HOUR)}, called="a sub-meter")


def heard(guard: RegisterGuard[str], value: float, begin: float, end: float) -> list[float]:
    """Return what is believed of a value that is told again and again."""
    times = (begin + n * INTERVAL for n in range(int((end - begin) / INTERVAL)))
    return [value for time in times if guard.believable({"1": value}, time)]


def test_meter_that_is_asked_once_an_hour_may_rise_at_once_by_what_an_hour_allows() -> None:
    guard = gas_meter()
    for hour in range(4):
        assert heard(guard, 1234.5 + 24.0 * hour, hour * HOUR, (hour + 1) * HOUR)
    assert heard(guard, 1234.5 + 24.0 * 5 + 26.0, 4 * HOUR, 4 * HOUR + 600) == []
    assert set(guard.dropped) == {"higher than possible"}


def test_wrong_answer_that_is_told_until_the_meter_is_asked_again_is_not_believed() -> None:
    guard = gas_meter()
    for begin, wrong in ((HOUR, 0.0), (3 * HOUR, 12.0), (5 * HOUR, 99_999.0)):
        assert heard(guard, 1234.5, begin - HOUR, begin)
        assert heard(guard, wrong, begin, begin + HOUR) == []
    assert guard.registers == {"1": 1234.5}


def test_new_meter_is_believed_when_it_has_been_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    guard = gas_meter()
    assert heard(guard, 1234.5, 0, HOUR)
    assert heard(guard, 0.2, HOUR, 2 * HOUR) == []
    with caplog.at_level(logging.WARNING):
        assert heard(guard, 0.5, 2 * HOUR, 3 * HOUR)
    assert caplog.messages == ["Another meter is believed to be there now: a sub-meter starts anew"]


def test_register_without_a_time_may_have_risen_by_anything_and_not_fallen() -> None:
    guard = gas_meter()
    guard.remember("1", 1234.5, -math.inf)
    assert heard(guard, 0.0, 0, HOUR) == []
    assert heard(guard, 99_999.0, HOUR, HOUR + 20)
