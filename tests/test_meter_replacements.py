"""Hours of the Energy dashboard after meter replacements."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import pytest

from .conftest import MakeTimeLapse
from .test_backfill import at, run_past_hours
from .time_lapse import HOUR, REGISTERS, TimeLapse

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "statistics.py", "registers.py", "histories.py", "reader/validation.py", "tests/time_lapse.py"
    ),
]

# Wh. Energy between two telegrams, at each replacement and at each end of an hour.
TELEGRAMS: Final = 150


class Meter(NamedTuple):
    """A new meter: its time, and its registers in Wh. None keeps a register."""

    time: str
    active_import: int | None
    active_export: int | None


METERS: Final[dict[str, Sequence[Meter]]] = {
    "lower": [Meter("07:05:20", 5, 3)],
    "zero": [Meter("07:05:20", 0, 0)],
    "lower by a twentieth": [Meter("07:05:20", 10_000_000, 1_800_000)],
    "higher": [Meter("07:05:20", 90_000_000, 70_000_000)],
    "export only": [Meter("07:05:20", None, 7)],
    "across the hour": [Meter("07:57:20", 5, 3)],
    "lower, higher": [Meter("07:05:20", 5, 3), Meter("07:35:20", 60_000_000, 50_000_000)],
    "higher, lower": [Meter("07:05:20", 60_000_000, 50_000_000), Meter("07:35:20", 5, 3)],
    "lower, lower": [Meter("07:05:20", 5_000_000, 500_000), Meter("07:35:20", 5, 3)],
    "higher, higher": [Meter("07:05:20", 50_000_000, 20_000_000), Meter("07:35:20", 99_000_000, 50_000_000)],
    "higher, back": [Meter("07:05:20", 50_000_000, 20_000_000), Meter("07:35:20", 10_526_500, 1_896_500)],
    "lower, back": [Meter("07:05:20", 50_000, 20_000), Meter("07:35:20", 10_526_500, 1_896_500)],
}


@pytest.fixture
async def time_lapse(make_time_lapse: MakeTimeLapse) -> AsyncGenerator[TimeLapse]:
    """Return a home with a telegram every half a minute."""
    async with make_time_lapse(None) as time_lapse:
        time_lapse.interval = timedelta(seconds=30)
        yield time_lapse


def replace_meter(time_lapse: TimeLapse, meter: Meter) -> list[int]:
    """Replace the meter now. Return the change of each register."""
    house, before = time_lapse.reader.house, time_lapse.meter_registers
    if meter.active_import is not None:
        house.active_import = {1: float(meter.active_import), 2: 0.0}
    if meter.active_export is not None:
        house.active_export = {1: float(meter.active_export), 2: 0.0}
    return [new - old for new, old in zip(time_lapse.meter_registers, before, strict=True)]


@pytest.mark.parametrize("meters", METERS.values(), ids=METERS)
async def test_hours_show_no_energy_of_a_replacement(time_lapse: TimeLapse, meters: Sequence[Meter]) -> None:
    await time_lapse.start()
    changes: list[tuple[datetime, list[int]]] = []
    for meter in meters:
        await time_lapse.run_until(at(meter.time))
        changes.append((time_lapse.now, replace_meter(time_lapse, meter)))
    await run_past_hours(time_lapse, 2)
    for index, register in enumerate(REGISTERS):
        hours, truth = await time_lapse.hours(register), time_lapse.truth[register]
        for hour in (at("06:00:00"), at("07:00:00"), at("08:00:00")):
            end = hour + HOUR
            used = truth[end] - truth[hour] - sum(each[index] for time, each in changes if hour < time <= end)
            assert hours[hour].change == pytest.approx(used, abs=TELEGRAMS), (register, hour)
