"""Validation of values: bounds, and registers that only grow."""

import logging
import math

from hypothesis import given, strategies as st
import pytest

from custom_components.energy_sse.reader import (
    Measurement as M,
    RegisterLimits,
    RegisterValidator,
    Unit,
    get_bounds,
    get_meter_limits,
)

IMPORT, EXPORT, POWER = M.ACTIVE_ENERGY_IMPORT, M.ACTIVE_ENERGY_EXPORT, M.ACTIVE_POWER_IMPORT
UNITS = {IMPORT: Unit.WATT_HOUR, EXPORT: Unit.WATT_HOUR, POWER: Unit.WATT}
INTERVAL = 10.0


def through(
    validator: RegisterValidator[M],
    *values: float,
    register: M = IMPORT,
    start: float = 0.0,
    interval: float = INTERVAL,
) -> list[float]:
    """Return the accepted values of consecutive readings."""
    readings = (validator.validate({register: value}, start + n * interval) for n, value in enumerate(values))
    return [reading[register] for reading in readings if reading]


@pytest.mark.parametrize(
    ("values", "accepted", "reason"),
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
def test_impossible_value_is_rejected_and_counted(
    values: list[float], accepted: list[float], reason: str
) -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    assert through(validator, *values) == accepted
    assert validator.rejected == {reason: len(values) - len(accepted)}


def test_possible_rise_is_accepted() -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    # A finer resolution, 80 kW for ten seconds at a time, and one rise for a whole hour.
    values = [4300, 4345, 5000, 5000, 5222, 5444, 5444]
    assert through(validator, *values) == values
    assert validator.validate({IMPORT: 85_444}, 3650.0) == {IMPORT: 85_444}
    assert not validator.rejected


@pytest.mark.parametrize(
    ("unit", "kilo"),
    [(Unit.WATT_HOUR, 1000), (Unit.KILOWATT_HOUR, 1), (Unit.VAR_HOUR, 1000), (Unit.KILOVAR_HOUR, 1)],
)
@pytest.mark.parametrize(
    ("rise", "seconds", "is_accepted"),
    [(199, 3540, True), (201, 3540, False), (3.3, 0, True), (3.4, 0, False), (4799, 86340, True)],
)
def test_rise_is_limited_by_a_household_supply(
    unit: Unit, kilo: int, rise: float, seconds: float, *, is_accepted: bool
) -> None:
    validator = RegisterValidator(get_meter_limits({IMPORT: unit}))
    validator.validate({IMPORT: 5 * kilo}, 0.0)
    rise *= kilo
    assert bool(validator.validate({IMPORT: 5 * kilo + rise}, seconds)) is is_accepted


LOWER = (5_000_000, 12)
HIGHER = (5_000_000, 9_000_000)


@pytest.mark.parametrize(
    ("registers", "interval", "readings"),
    [
        (LOWER, 1, 181),
        (LOWER, 10, 19),
        (LOWER, 60, 5),
        (HIGHER, 1, 301),
        (HIGHER, 10, 31),
        (HIGHER, 60, 20),
    ],
)
def test_replacement_is_accepted_after_enough_readings_and_time(
    registers: tuple[int, int], interval: float, readings: int, caplog: pytest.LogCaptureFixture
) -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    old, first = registers
    values = [first + n // 3 for n in range(readings + 2)]
    with caplog.at_level(logging.WARNING):
        accepted = through(validator, old, *values, interval=interval)
    assert accepted == [old, *values[readings - 1 :]]
    assert caplog.text.count("A meter was replaced") == 1


@pytest.mark.parametrize(("old", "first"), [LOWER, HIGHER])
def test_replacement_has_the_last_and_the_first_register(old: int, first: int) -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    replaced = []
    for n in range(40):
        validator.validate({IMPORT: old if n == 0 else first + n, EXPORT: 700}, n * INTERVAL)
        replaced += (
            [(n, {key: each[:2] for key, each in validator.replaced.items()})] if validator.replaced else []
        )
    assert replaced == [(19 if first < old else 31, {IMPORT: (old, first + 1)})]


@pytest.mark.parametrize("second", [900_000, 90_000_000])
def test_replacement_begins_with_the_second_meter(second: int) -> None:
    """Count nothing between a provisional meter and the meter that replaces it within the proof."""
    validator = RegisterValidator(get_meter_limits(UNITS))
    values = [5_000_000, 12, 12, 13, *[second + n for n in range(60)]]
    replaced = []
    for n, value in enumerate(values):
        validator.validate({IMPORT: value}, n * INTERVAL)
        replaced += [validator.replaced[IMPORT][:2]] if validator.replaced else []
    assert replaced == [(5_000_000, second)]
    # The limit of the rise still counts.
    assert through(validator, second + 9_000_000, start=700.0) == []


@pytest.mark.parametrize(
    ("hours", "rise", "is_replaced"),
    [(1, 22_000, False), (24, 60_000, False), (24, 4_700_000, False), (1, 250_000, True)],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_large_step_of_a_repeated_register_is_energy(
    hours: int, rise: int, *, is_replaced: bool, restarts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Accept a step that a meter can have counted since the register changed: it is not another meter."""
    validator = RegisterValidator(get_meter_limits(UNITS))
    if restarts:
        validator.restore(IMPORT, 5_000_001, -math.inf)
    values = [*[5_000_001] * 360 * hours, *[5_000_001 + rise] * (40 if is_replaced else 7)]
    replaced = False
    for n, value in enumerate(values):
        validator.validate({IMPORT: value}, n * INTERVAL)
        replaced |= bool(validator.replaced)
    assert validator.registers == {IMPORT: values[-1]}
    assert replaced is is_replaced
    assert ("A meter was replaced" in caplog.text) is is_replaced


@pytest.mark.parametrize(
    ("unit", "rise", "is_replaced"),
    [
        (Unit.WATT_HOUR, 45_000, False),
        (Unit.WATT_HOUR, 1_000_000, False),
        (Unit.WATT_HOUR, 1_000_001, True),
        (Unit.KILOWATT_HOUR, 1000, False),
        (Unit.KILOWATT_HOUR, 1001, True),
        (Unit.WATT_HOUR, -4000, True),
    ],
)
def test_large_rise_during_a_restart_is_a_replacement(unit: Unit, rise: float, *, is_replaced: bool) -> None:
    validator = RegisterValidator(get_meter_limits({IMPORT: unit}))
    validator.restore(IMPORT, 5000, 0.0)
    new = 5000 + rise
    readings = 19 if rise < 0 else 7
    assert through(validator, *[new] * readings) == [new]
    replaced = {key: each[:2] for key, each in validator.replaced.items()}
    assert replaced == ({IMPORT: (5000, new)} if is_replaced else {})


def test_first_zero_is_accepted_after_enough_readings() -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    assert through(validator, *[0] * 5, register=EXPORT, interval=60) == [0]
    assert not validator.replaced
    assert through(validator, 0, 1, register=EXPORT, start=300) == [0, 1]


def test_first_zero_of_a_sub_meter_is_accepted_at_once() -> None:
    assert gas_meter().validate({"1": 0.0}, 0.0) == {"1": 0.0}


@pytest.mark.parametrize(
    ("unit", "last", "values"),
    [
        (Unit.WATT_HOUR, 12_345, [12_340, 12_300, 12_000]),
        (Unit.KILOWATT_HOUR, 12.345, [12.34, 12.3, 12.0]),
        (Unit.VAR_HOUR, 12_345, [12_340]),
        (Unit.KILOVAR_HOUR, 12.345, [12.34]),
    ],
)
def test_coarser_resolution_keeps_the_last_value(unit: Unit, last: float, values: list[float]) -> None:
    validator = RegisterValidator(get_meter_limits({IMPORT: unit}))
    validator.validate({IMPORT: last}, 0.0)
    for number, value in enumerate(values):
        start = 10_000.0 * number + INTERVAL
        assert through(validator, *[value] * 40, start=start) == [last] * 40
    assert not validator.rejected
    assert validator.registers == {IMPORT: last}


@pytest.mark.parametrize(
    ("last", "value"), [(12_345, 12_341), (12_345, 12_330), (12_345, 12_200), (12_345, 10_000), (345, 0)]
)
def test_lower_register_of_another_meter_is_not_rounding(last: float, value: float) -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    assert through(validator, last, value) == [last]
    assert sum(validator.rejected.values()) == 1


@pytest.mark.parametrize(
    ("unit", "low", "high"),
    [
        (Unit.WATT, -200_000, 200_000),
        (Unit.KILOWATT, -200, 200),
        (Unit.VAR, -200_000, 200_000),
        (Unit.KILOVAR, -200, 200),
        (Unit.AMPERE, -290, 290),
        (Unit.VOLT, 0, 500),
        (Unit.WATT_HOUR, None, 52.6e9),
        (Unit.KILOWATT_HOUR, None, 52.6e6),
        (Unit.VAR_HOUR, None, 52.6e9),
        (Unit.KILOVAR_HOUR, None, 52.6e6),
    ],
)
def test_values_beyond_a_household_supply_are_out_of_bounds(
    unit: Unit, low: float | None, high: float
) -> None:
    """Test the bounds. The validator rejects negative registers, and counts them."""
    assert get_bounds({IMPORT: unit}) == {IMPORT: (-math.inf if low is None else low, high)}


@pytest.mark.parametrize("unit", [Unit.NONE, Unit.SECOND])
def test_units_without_a_household_limit_have_no_bounds(unit: Unit) -> None:
    assert get_bounds({IMPORT: unit}) == {IMPORT: (-math.inf, math.inf)}


OTHER_UNIT = [5_000_000 + n * 19_400 for n in range(60)]


@pytest.mark.parametrize(
    ("values", "accepted"),
    [
        # Different wrong values, each of which differs from 5000 in a coarser resolution.
        ([5000, *[4111, 3111, 2111, 1111] * 20, 5001], [5000, 5001]),
        # 7 kW in Wh instead of kWh: 19 kWh in ten seconds.
        (OTHER_UNIT, [OTHER_UNIT[0], *OTHER_UNIT[31:]]),
        # A value of the old meter restarts the confirmation of a replacement.
        ([5000, *[12] * 18, 5001, *[13] * 19], [5000, 5001, 13]),
        # The first zero can be missing data.
        ([0, 5000], [5000]),
        ([0] * 19, [0]),
    ],
)
def test_replacement_needs_a_series_of_similar_values(values: list[float], accepted: list[float]) -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    assert through(validator, *values) == accepted
    assert (validator.rejected.total() == 0) == (values[0] == 0)


def test_zero_is_accepted_only_with_a_new_meter() -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    validator.validate({IMPORT: 5000, EXPORT: 700}, 0)
    accepted = [validator.validate({IMPORT: 12 + n, EXPORT: 0}, 10.0 + n * INTERVAL) for n in range(20)]
    assert accepted[:18] == [{}] * 18
    assert accepted[18:] == [{IMPORT: 30, EXPORT: 0}, {IMPORT: 31, EXPORT: 0}]


def test_each_register_is_validated_for_itself() -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    validator.validate({IMPORT: 5000, EXPORT: 700, POWER: 100}, 0)
    values = {IMPORT: 0, EXPORT: 701, POWER: -5}
    assert validator.validate(values, INTERVAL) == {EXPORT: 701, POWER: -5}


@pytest.mark.parametrize("wrong", [IMPORT, EXPORT])
def test_register_is_rejected_despite_valid_others(wrong: M) -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    known = {IMPORT: 5000.0, EXPORT: 700.0}
    assert validator.validate(known, 0) == known
    right = {register: value for register, value in known.items() if register != wrong}
    assert validator.validate({**known, wrong: 9_000_000.0}, INTERVAL) == right
    assert validator.validate({**known, wrong: 3.0}, 2 * INTERVAL, is_repeated=True) == right
    assert validator.validate({IMPORT: 3.0, EXPORT: 3.0}, 3 * INTERVAL, is_repeated=True) == {}


@pytest.mark.parametrize("old", [4900.0, 4_900_000.0, 0.0])
def test_repeated_readings_are_not_a_replacement(old: float) -> None:
    """Drop the earlier registers that a reader repeats after a restart, also those of another meter."""
    validator = RegisterValidator(get_meter_limits(UNITS))
    validator.restore(IMPORT, 5000, 1000.0)
    repeated = [validator.validate({IMPORT: old + n}, n * INTERVAL, is_repeated=True) for n in range(32)]
    assert not any(repeated)
    assert not validator.rejected
    assert not validator.replaced
    assert through(validator, 5001, start=1000 + INTERVAL) == [5001]


def test_registers_are_restored() -> None:
    before = RegisterValidator(get_meter_limits(UNITS))
    before.validate({IMPORT: 5000, POWER: 100}, 0)
    after = RegisterValidator(get_meter_limits(UNITS))
    for measurement, value in {**before.registers, POWER: 100}.items():
        after.restore(measurement, value, 1000.0)
    assert after.registers == {IMPORT: 5000}
    assert through(after, 0, 1_000_000_000, 5100, start=2000.0) == [5100]


def test_large_rise_during_a_restart_is_accepted_late(
    caplog: pytest.LogCaptureFixture,
) -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    validator.restore(IMPORT, 5000, 0.0)
    assert not validator.last_received
    with caplog.at_level(logging.WARNING):
        assert through(validator, *[50_000] * 6, 50_001, 50_002) == [50_001, 50_002]
    assert not caplog.messages
    assert validator.last_received == {IMPORT: 7 * INTERVAL}
    # From now on, the times are by the clock of this process.
    assert not through(validator, *[100_000] * 30, start=8 * INTERVAL)


def test_large_rise_needs_five_readings_and_a_minute() -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    validator.restore(IMPORT, 5000, 0.0)
    assert through(validator, *[50_000] * 60, interval=1) == []
    assert through(validator, 50_000, start=60) == [50_000]
    validator = RegisterValidator(get_meter_limits(UNITS))
    validator.restore(IMPORT, 5000, 0.0)
    assert through(validator, *[50_000] * 5, interval=60) == [50_000]


def test_equal_register_after_a_restart_is_accepted(caplog: pytest.LogCaptureFixture) -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    validator.restore(IMPORT, 5000, 0.0)
    assert through(validator, 5000) == [5000]
    assert validator.last_received == {IMPORT: 0.0}
    assert not through(validator, *[100_000] * 30, start=INTERVAL)


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e6))))
def test_register_falls_only_to_repeated_values(readings: list[tuple[float, float]]) -> None:
    validator = RegisterValidator(get_meter_limits(UNITS))
    time, last, lower = 0.0, 0.0, 0
    for value, wait in readings:
        time += wait
        for accepted in validator.validate({IMPORT: value}, time).values():
            assert accepted >= last or lower >= 4
            last, lower = accepted, 0
        lower += value < last


# ------------------------------------------------------------------- values repeated for an hour

HOUR = 3600.0


def gas_meter() -> RegisterValidator[str]:
    """Return the validator of a gas meter that is read once an hour."""
    return RegisterValidator(
        {"1": RegisterLimits(rise_per_hour=25, max_repeat_age=HOUR)}, label="a sub-meter"
    )


def accepted_values(validator: RegisterValidator[str], value: float, begin: float, end: float) -> list[float]:
    """Return the accepted values if the same value is sent repeatedly."""
    times = (begin + n * INTERVAL for n in range(int((end - begin) / INTERVAL)))
    return [value for time in times if validator.validate({"1": value}, time)]


def test_hourly_meter_can_rise_by_an_hour_at_once() -> None:
    validator = gas_meter()
    for hour in range(4):
        assert accepted_values(validator, 1234.5 + 24.0 * hour, hour * HOUR, (hour + 1) * HOUR)
    assert accepted_values(validator, 1234.5 + 24.0 * 5 + 26.0, 4 * HOUR, 4 * HOUR + 600) == []
    assert set(validator.rejected) == {"higher than possible"}


def test_wrong_value_that_is_repeated_is_rejected() -> None:
    validator = gas_meter()
    for begin, wrong in ((HOUR, 0.0), (3 * HOUR, 12.0), (5 * HOUR, 99_999.0)):
        assert accepted_values(validator, 1234.5, begin - HOUR, begin)
        assert accepted_values(validator, wrong, begin, begin + HOUR) == []
    assert validator.registers == {"1": 1234.5}


def test_new_meter_is_accepted_with_its_second_value(caplog: pytest.LogCaptureFixture) -> None:
    validator = gas_meter()
    assert accepted_values(validator, 1234.5, 0, HOUR)
    assert accepted_values(validator, 0.2, HOUR, 2 * HOUR) == []
    with caplog.at_level(logging.WARNING):
        assert accepted_values(validator, 0.5, 2 * HOUR, 3 * HOUR)
    assert caplog.messages == ["A meter was replaced: the register of a sub-meter has a new start value"]


def test_register_without_a_time_can_rise_by_any_energy() -> None:
    validator = gas_meter()
    validator.restore("1", 1234.5, -math.inf)
    assert accepted_values(validator, 0.0, 0, HOUR) == []
    assert accepted_values(validator, 99_999.0, HOUR, HOUR + 20)
