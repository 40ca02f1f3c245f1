"""Billed peaks of a year with outages, compared with the registers of the meter.

`scripts/measure tariff` simulates the year, and writes `docs/results/power-tariff.md`. Other runs simulate
five days, with the beginning of summer time and the end of a month.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import logging
from pathlib import Path
import random
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF, PowerTariffKey as K
from custom_components.energy_sse.power_tariff.demand import Interval, Month, PowerTariff
from custom_components.energy_sse.power_tariff.settings import get_tariff
from custom_components.energy_sse.reader import Measurement as M
from custom_components.energy_sse.registers import HOUR, QUARTER

from . import measured_tables
from .conftest import MakeTimeLapse
from .simulators.household import Household
from .test_demand import billed, counts
from .test_power_tariff import shown
from .time_lapse import TimeLapse

STOCKHOLM = ZoneInfo("Europe/Stockholm")

# Hours whose registers a reader stores.
STORED_HOURS = 64

# Readings that a reader replays after a connect.
REPLAYED = 32

# W. More than the house draws with all loads.
MAX_POWER = 18_000

# Wh. If the register rises by more between two readings, the register at a boundary is interpolated.
MAX_RISE = 50

# Interval of most meters.
TELEGRAM_ENERGY = timedelta(seconds=10)

# Options of version 2, which are migrated at each start.
TARIFFS = {
    # The mean of the three highest hours of different days. At night, half of the demand counts.
    "hours": {
        "enabled": True,
        "interval": "60",
        "peaks": 3,
        "one_per_day": True,
        "begin": "06:00",
        "end": "22:00",
        "other_weight": 50,
    },
    # The highest quarter-hour.
    "quarters": {"enabled": True, "interval": "15", "peaks": 1, "one_per_day": False},
}

# Time from the last telegram to the end of an interval: short for hours, which have to be right to 1 Wh, and
# nearly the interval of a meter for quarter-hours.
BEFORE_THE_END = {"hours": timedelta(seconds=0.25), "quarters": timedelta(seconds=9)}


def local(year: int, month: int, day: int, time: str) -> datetime:
    """Return a time in Sweden, in UTC."""
    return (
        datetime.fromisoformat(f"{year}-{month:02}-{day:02}T{time}").replace(tzinfo=STOCKHOLM).astimezone(UTC)
    )


def house_in_stockholm(clock: datetime) -> Household:
    """Return a house in Stockholm with a heat pump, a stove and a car."""
    return Household(clock=clock, zone=STOCKHOLM, latitude=59.3, longitude=18.1, solar_peak=4000.0)


# ----------------------------------------------------------------------------------------------- outages


class Outage(NamedTuple):
    """A time in which Home Assistant receives no readings."""

    start: datetime
    end: datetime
    kind: str


# Day, first and last hour, kind, shortest and longest duration in minutes.
EVERY_MONTH = (
    (2, 7, 9, "off", 3, 4),
    (5, 5, 20, "off", 200, 1200),
    (9, 5, 20, "disconnected", 120, 700),
    (13, 5, 20, "crashed", 60, 480),
    (16, 17, 18, "off", 2, 4),
    (19, 5, 20, "disconnected", 1500, 1600),
    (22, 5, 20, "off", 2400, 3000),
    (27, 12, 19, "crashed", 20, 40),
)

# Minutes at which they begin. A crash loses only the interval in which it happens.
BEGINS_AT = (8, 9, 22, 24, 37, 39, 53, 54)

ONCE = (
    # At the end of a month and of the year.
    Outage(local(2026, 12, 31, "21:47"), local(2027, 1, 1, "03:12"), "disconnected"),
    Outage(local(2027, 1, 31, "22:20"), local(2027, 2, 1, "02:31"), "off"),
    # At changes of summer time.
    Outage(local(2026, 10, 25, "01:20"), local(2026, 10, 25, "04:50"), "off"),
    Outage(local(2027, 3, 28, "01:20"), local(2027, 3, 28, "04:50"), "off"),
    Outage(local(2027, 10, 31, "01:20"), local(2027, 10, 31, "04:50"), "disconnected"),
    # Longer than the reader stores hours.
    Outage(local(2027, 7, 24, "09:20"), local(2027, 7, 28, "17:35"), "off"),
    Outage(local(2027, 5, 28, "18:20"), local(2027, 6, 1, "20:40"), "disconnected"),
)

# Time of the meter replacement, and the first register in Wh.
REPLACEMENT = local(2027, 2, 11, "10:38")
NEW_REGISTER = 17


def outages_in(month: Month) -> Iterator[Outage]:
    """Yield the outages that begin in a month."""
    chance = random.Random(f"{month.year}-{month.month}")
    yield from (outage for outage in ONCE if Month.of(outage.start.astimezone(STOCKHOLM)) == month)
    for day, earliest, latest, kind, shortest, longest in EVERY_MONTH:
        hour, minute = chance.randint(earliest, latest), chance.choice(BEGINS_AT)
        start = local(*month, day, f"{hour:02}:{minute:02}:{chance.randint(0, 59):02}")
        end = start + timedelta(minutes=chance.randint(shortest, longest), seconds=chance.randint(0, 59))
        if all(end < other.start or other.end < start for other in ONCE):
            yield Outage(start, end, kind)


def begin(month: Month) -> datetime:
    """Return the start of a month."""
    return datetime(*month, 1, tzinfo=STOCKHOLM)


def next_month(month: Month) -> Month:
    """Return the next month."""
    return Month.of(datetime(*month, 1) + timedelta(days=31))  # noqa: DTZ001 (days of the calendar)


# ------------------------------------------------------------------------------------------- the year


class Year:
    """A house with a power tariff."""

    def __init__(self, time_lapse: TimeLapse, tariff: PowerTariff) -> None:
        self.time_lapse = time_lapse
        self.tariff = tariff
        self.replayed: dict[datetime, int] = {}
        """Import register in each replayed reading."""

    async def run_until(self, end: datetime) -> None:
        """Advance to a time. The meter is replaced on the way."""
        time_lapse = self.time_lapse
        if time_lapse.now < REPLACEMENT <= end:
            await time_lapse.run_until(REPLACEMENT)
            old, _ = time_lapse.meter_registers
            # As if the new meter had counted all the time.
            for registers in (
                time_lapse.truth[M.ACTIVE_ENERGY_IMPORT],
                time_lapse.telegrams,
                time_lapse.sent,
                self.replayed,
            ):
                registers.update({time: value - old + NEW_REGISTER for time, value in registers.items()})
            time_lapse.reader.house.active_import = {1: float(NEW_REGISTER), 2: 0.0}
        await time_lapse.run_until(end)

    async def run_outage(self, outage: Outage) -> None:
        """Advance to the end of an outage."""
        time_lapse = self.time_lapse
        begin = {
            "off": time_lapse.stop,
            "crashed": time_lapse.crash,
            "disconnected": time_lapse.disconnect_reader,
        }
        await self.run_until(outage.start)
        await begin[outage.kind]()
        await self.run_until(outage.end)
        await (time_lapse.reconnect_reader() if outage.kind == "disconnected" else time_lapse.start())
        if time_lapse.reader.stores_readings:
            self.replayed |= dict(list(time_lapse.sent.items())[-REPLAYED:])

    async def run_month(self, end: datetime) -> None:
        """Advance to a time on the second of a month, with all outages before it."""
        begin = Month.of(self.time_lapse.now.astimezone(STOCKHOLM))
        for outage in sorted(outage for month in (begin, next_month(begin)) for outage in outages_in(month)):
            if self.time_lapse.now < outage.start and outage.end < end:
                await self.run_outage(outage)
        await self.run_until(end)

    def intervals(self, *, with_all_registers: bool) -> list[Interval]:
        """Return the intervals so far, by all registers of the meter or by the known registers."""
        length = self.tariff.interval
        truth = self.time_lapse.truth[M.ACTIVE_ENERGY_IMPORT]
        known = truth if with_all_registers else self._known()
        points = [(time, known[time]) for time in known if not time.timestamp() % length.total_seconds()]
        found = []
        for (start, before), (end, register) in pairwise(points):
            number = (end - start) // length
            energy = (register - before) / number
            found += [Interval(start + index * length, energy, number > 1) for index in range(number)]
        return found

    def _known(self) -> dict[datetime, int]:
        """Return the registers at quarter-hours that were received or that the reader has stored.

        If two readings around a quarter-hour differ by more than `MAX_RISE`, its register is interpolated.
        """
        truth, live = self.time_lapse.truth[M.ACTIVE_ENERGY_IMPORT], list(self.time_lapse.telegrams)
        telegrams = dict(sorted({**self.time_lapse.telegrams, **self.replayed}.items()))
        # The new meter is accepted with its fifth telegram.
        confirmed = REPLACEMENT + 4 * self.time_lapse.interval
        times = [time for time in telegrams if not REPLACEMENT <= time < confirmed]
        known = {}
        for boundary, register in truth.items():
            index = bisect_right(times, boundary)
            if index and boundary - times[index - 1] <= self.time_lapse.interval:
                time, known[boundary] = times[index - 1], telegrams[times[index - 1]]
                following = time + self.time_lapse.interval
                rise = telegrams.get(following, 0) - known[boundary]
                if rise > MAX_RISE:
                    known[boundary] += int((boundary - time) / (following - time) * rise)
            elif (
                self.time_lapse.reader.stores_readings
                and not boundary.minute
                and (later := bisect_right(live, boundary)) < len(live)
                and live[later] - boundary < STORED_HOURS * HOUR
            ):
                known[boundary] = register
        return known


async def check(year: Year, name: str, month: Month, key: K) -> tuple[str, ...]:
    """Compare the monthly peak with the meter. Return a row for the table."""
    state = shown(year.time_lapse, key)
    known, true = (year.intervals(with_all_registers=each) for each in (False, True))
    expected = billed(year.tariff, known, STOCKHOLM, month)
    by_the_meter = billed(year.tariff, true, STOCKHOLM, month)
    assert expected is not None
    assert by_the_meter is not None
    demand = float(state.state) * 1000
    # Registers are whole Wh, and demands are whole W.
    as_power = HOUR / year.tariff.interval
    assert demand == pytest.approx(expected, abs=1.5)
    missed = [
        each
        for each in known
        if each.is_missed
        and Month.of(local_start := each.start.astimezone(STOCKHOLM)) == month
        and counts(year.tariff, local_start)
    ]
    assert state.attributes["missed"] == len(missed)
    energies = {interval.start: interval.energy for interval in known}
    for interval in state.attributes["intervals"]:
        start = datetime.fromisoformat(interval["start"])
        energy = energies[start.astimezone(UTC)] * counts(year.tariff, start.astimezone(STOCKHOLM))
        assert interval["power"] * 1000 == pytest.approx(energy * as_power, abs=1.5)
    allowed = 1.5 if year.tariff.interval == HOUR else MAX_POWER * (TELEGRAM_ENERGY / QUARTER)
    assert demand < by_the_meter + allowed
    if not missed:
        assert demand > by_the_meter - allowed
    missed_time = sum((each.end - each.start for each in outages_in(month)), timedelta())
    return (
        f"{begin(month):%B %Y}",
        name,
        f"{missed_time / HOUR:.0f} h",
        str(len(missed)),
        f"{demand / 1000:.3f}",
        f"{by_the_meter / 1000:.3f}",
        f"{demand - by_the_meter:.1f}",
    )


@pytest.mark.slow("power_tariff/*", "registers.py", "histories.py", "wall_clock.py", "tests/time_lapse.py")
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("stores", [True, False], ids=["stored", "not-stored"])
@pytest.mark.parametrize("name", TARIFFS)
async def test_each_month_bills_the_energy_of_the_meter(
    make_time_lapse: MakeTimeLapse,
    tariff_table: Path | None,
    caplog: pytest.LogCaptureFixture,
    name: str,
    *,
    stores: bool,
) -> None:
    if tariff_table is not None:
        start, end = local(2026, 10, 31, "12:30"), local(2027, 11, 2, "04:00")
    else:
        start, end = local(2027, 3, 27, "09:30"), local(2027, 4, 1, "08:00")
    house = house_in_stockholm(start - timedelta(minutes=20))
    tariff = get_tariff(TARIFFS[name])
    async with make_time_lapse(None, house) as time_lapse:
        caplog.set_level(logging.WARNING, "custom_components.energy_sse")
        time_lapse.has_recorder = False
        time_lapse.reader.stores_readings = stores
        # Four telegrams in a quarter-hour, because more take too long.
        time_lapse.interval = timedelta(seconds=225)
        time_lapse.before_the_end = BEFORE_THE_END[name]
        time_lapse.truth_interval = QUARTER
        time_lapse.options = {CONF_POWER_TARIFF: TARIFFS[name]}
        await time_lapse.run_until(start)
        await time_lapse.start()
        year = Year(time_lapse, tariff)
        while time_lapse.now < end:
            month = Month.of(time_lapse.now.astimezone(STOCKHOLM))
            end_of_run = min(begin(next_month(month)).astimezone(UTC) + timedelta(hours=28), end)
            await year.run_month(end_of_run)
            is_over = Month.of(end_of_run.astimezone(STOCKHOLM)) != month
            row = await check(year, name, month, K.PREVIOUS_PEAK_DEMAND if is_over else K.PEAK_DEMAND)
            if tariff_table is not None and begin(month) >= start:
                # At once, so that an interrupted measurement can be continued.
                measured_tables.renew("tariff", (row[0], "yes" if stores else "no", *row[1:]), tariff_table)
            is_replaced = month == Month.of(REPLACEMENT)
            assert ("A meter was replaced" in caplog.text) == is_replaced
            caplog.clear()
