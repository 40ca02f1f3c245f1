"""Register histories of one reader, without Home Assistant."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from custom_components.energy_sse import registers
from custom_components.energy_sse.histories import RegisterHistories
from custom_components.energy_sse.reader import HourlyRegister, Measurement as M, ReplacedRegister, Unit
from custom_components.energy_sse.wall_clock import Period

from .validated_reading import validated_reading

START = datetime(2026, 11, 10, 8, 0, 30, tzinfo=UTC)
HOUR = START.replace(second=0)

IMPORT, EXPORT = M.ACTIVE_ENERGY_IMPORT, M.ACTIVE_ENERGY_EXPORT
T1, T2 = M.ACTIVE_ENERGY_IMPORT_T1, M.ACTIVE_ENERGY_IMPORT_T2
UNITS = dict.fromkeys((IMPORT, EXPORT, T1, T2), Unit.KILOWATT_HOUR)


def test_update_reports_changed_boundaries() -> None:
    histories = RegisterHistories(UNITS)
    changes = []
    for minute in range(20):
        reading = validated_reading(
            START + timedelta(minutes=minute), 60.0, values={IMPORT: 5.0 + minute / 100}
        )
        update = histories.update(reading)
        assert (update.reading, update.histories) == (reading, histories)
        changes.append(update.boundaries_changed)
    assert [minute for minute, is_changed in enumerate(changes) if is_changed] == [15]
    assert histories.for_power_tariffs.boundaries == {HOUR + timedelta(minutes=15): pytest.approx(5140)}


def test_replacement_is_in_the_unit_of_the_history() -> None:
    histories = RegisterHistories(UNITS)
    histories.update(validated_reading(START, 60.0, values={IMPORT: 5.0}))
    replaced = {IMPORT: ReplacedRegister(5.0, 0.25, 180.0)}
    time = START + timedelta(minutes=5)
    histories.update(validated_reading(time, 60.0, values={IMPORT: 0.5}, replaced=replaced))
    (replacement,) = histories.by_register[IMPORT].replacements
    assert (replacement.last, replacement.first) == (5000, 250)
    assert replacement.since == time - timedelta(minutes=3)


@pytest.mark.parametrize(("register", "is_accepted"), [(5.5, True), (4.5, False)])
def test_repeated_record_of_an_hour_is_ignored(register: float, *, is_accepted: bool) -> None:
    """Ignore a record that is equal to the record of the previous hour."""
    histories = RegisterHistories(UNITS)
    histories.add_hourly(HourlyRegister(hour=HOUR - timedelta(hours=1), values={IMPORT: 4.5}))
    histories.add_hourly(HourlyRegister(hour=HOUR, values={IMPORT: register}))
    reading = validated_reading(START, 60.0, values={IMPORT: 5.6}, has_right_clock=True)
    assert histories.update(reading).boundaries_changed
    assert (HOUR in histories.by_register[IMPORT].boundaries) is is_accepted


def test_boundary_is_unknown_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the boundary unknown when the last reading before it was lost by an unexpected error."""
    histories = RegisterHistories(UNITS)
    for second in range(59, 1020, 60):
        reading = validated_reading(
            HOUR + timedelta(seconds=second), 60.0, values={IMPORT: 5.0 + second / 1000}
        )
        with monkeypatch.context() as patch:
            if second == 899:
                patch.setattr(registers, "start_of", None)
                with pytest.raises(TypeError):
                    histories.update(reading)
            else:
                histories.update(reading)
    assert histories.for_power_tariffs.boundaries == {}


# ------------------------------------------------------- import register, and the sum of the tariffs


def receive(histories: RegisterHistories, begin: int, end: int, *registers: M) -> None:
    """Receive registers every five minutes, between two hours. They grow by 1 kWh in an hour."""
    for number in range(12 * begin, 12 * end):
        values = dict.fromkeys(registers, 10.0 + number / 12)
        histories.update(validated_reading(START + number * timedelta(minutes=5), 300.0, values=values))


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(lambda n: {T1: 9.0 + n, T2: 7.0} if n % 2 else {IMPORT: 5.0 + n}, id="parts"),
        pytest.param(lambda n: {T1: 9.0 + n, T2: 7.0, IMPORT: 5.0}, id="no import"),
    ],
)
def test_power_tariffs_use_the_import_register(values: Callable[[int], dict[M, float]]) -> None:
    histories = RegisterHistories(UNITS)
    for n in range(12 * 30):
        time = START + n * timedelta(minutes=5)
        histories.update(validated_reading(time, 300.0, values=values(n)))
        assert histories.for_power_tariffs is histories.by_register[IMPORT]


def test_import_register_is_used_after_a_clock_correction() -> None:
    """Use the import register even if it does not change, and its times have been removed."""
    histories, time = RegisterHistories(UNITS), START
    for jump in (timedelta(), timedelta(hours=3), timedelta(hours=-3)):
        wrong_period = Period(START - timedelta(days=1), time) if jump else None
        time += jump
        for n in range(9):
            values = {T1: 9.0 + n, T2: 7.0} if n % 2 else {T1: 9.0 + n, T2: 7.0, IMPORT: 5.0}
            histories.update(validated_reading(time, 300.0, values=values, wrong_period=wrong_period))
            assert histories.for_power_tariffs is histories.by_register[IMPORT]
            time, wrong_period = time + timedelta(minutes=5), None


def test_own_register_replaces_the_sum_without_a_loss() -> None:
    histories = RegisterHistories(UNITS)
    receive(histories, 0, 3, T1, T2)
    known = histories.for_power_tariffs.boundaries.keys()
    receive(histories, 3, 5, T1, T2, IMPORT)
    assert known <= histories.for_power_tariffs.boundaries.keys()
    assert histories.for_power_tariffs is not histories.by_register[IMPORT]
    receive(histories, 5, 9, IMPORT)
    assert histories.for_power_tariffs is histories.by_register[IMPORT]


@pytest.mark.parametrize(("before", "after"), [([IMPORT], [T1, T2]), ([T1, T2], [IMPORT])])
def test_power_tariffs_use_other_registers_after_a_day(before: list[M], after: list[M]) -> None:
    histories = RegisterHistories(UNITS)
    receive(histories, 0, 60, *before)
    receive(histories, 60, 83, *after)
    assert max(histories.for_power_tariffs.boundaries) == HOUR + timedelta(hours=60)
    receive(histories, 83, 90, *after)
    assert max(histories.for_power_tariffs.boundaries) > HOUR + timedelta(hours=89)
