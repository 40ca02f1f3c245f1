"""Register histories of one reader, without Home Assistant."""

from datetime import UTC, datetime, timedelta

import pytest

from custom_components.energy_sse.histories import RegisterHistories
from custom_components.energy_sse.reader import HourlyRegister, Measurement as M, ReplacedRegister, Unit

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
    assert histories.billed.boundaries == {HOUR + timedelta(minutes=15): pytest.approx(5140)}


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
