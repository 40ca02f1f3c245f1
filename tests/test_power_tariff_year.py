"""What each month of a house's year bills, against the meter's own registers.

`scripts/measure tariff` simulates the year, and writes `docs/results/power-tariff.md`. Otherwise it is five
days of it, with the beginning of summer time and the end of a month.
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

from custom_components.energy_sse.const import CONF_POWER_TARIFF, TariffKey as K
from custom_components.energy_sse.power_tariff.demand import Interval, Month, Tariff
from custom_components.energy_sse.power_tariff.settings import tariff_of
from custom_components.energy_sse.reader import Measurement as M
from custom_components.energy_sse.registers import HOUR, QUARTER

from . import measured_tables
from .conftest import MakeTimeLapse
from .simulators import House
from .test_demand import billed, counts
from .test_power_tariff import shown
from .time_lapse import TimeLapse

STOCKHOLM = ZoneInfo("Europe/Stockholm")

# Full hours that a reader remembers.
REMEMBERED = 64

# Readings that a reader repeats after a connect.
REPEATED = 32

# W. More than the house draws with everything on.
ALL_OF_IT = 18_000

# Between two telegrams of most meters.
TELEGRAM = timedelta(seconds=10)

TARIFFS = {
    # The mean of the three highest hours, each of another day; at night half of it counts.
    "hours": {
        "enabled": True,
        "interval": "60",
        "peaks": 3,
        "one_per_day": True,
        "begin": "06:00:00",
        "end": "22:00:00",
        "other_weight": 50,
    },
    # The highest quarter of an hour.
    "quarters": {"enabled": True, "interval": "15", "peaks": 1, "one_per_day": False},
}

# How long before the end of an hour its last telegram comes. For hours nearly nothing, so that they have to
# be right to 1 Wh, and for quarters nearly a telegram.
BEFORE_THE_END = {"hours": timedelta(seconds=0.25), "quarters": timedelta(seconds=9)}


def local(year: int, month: int, day: int, time: str) -> datetime:
    """Return a time in Sweden, in UTC."""
    return (
        datetime.fromisoformat(f"{year}-{month:02}-{day:02}T{time}").replace(tzinfo=STOCKHOLM).astimezone(UTC)
    )


class LivedInHouse(House):
    """A house with an electric heating, a stove, a sauna and a car: the same switching in every run."""

    def _measure(self) -> None:
        super()._measure()
        # Nothing is switched at full hours: every ten minutes, three minutes past.
        now = self.clock.astimezone(STOCKHOLM) - timedelta(minutes=3)
        chance = random.Random(f"{now:%m-%d %H} {now.minute // 10}")
        months_from_winter = min(now.month % 12, 12 - now.month % 12)
        load = max(0.0, 3500 - 700 * months_from_winter) * (chance.random() < 0.6)
        if now.hour in (7, 12, 17, 18):
            load += chance.choice((0, 1800, 3600))
        if now.weekday() in (2, 5) and now.hour == 20:
            load += 6000
        if random.Random(f"{now:%m-%d}").random() < 0.5 and now.hour in (23, 0, 1):
            load += 3700
        self.power[0] += load


# ----------------------------------------------------------------------------------------------- outages


class Outage(NamedTuple):
    """A time in which Home Assistant does not hear the meter."""

    start: datetime
    end: datetime
    kind: str


# Day, earliest and latest hour, kind, shortest and longest time in minutes.
EVERY_MONTH = (
    (2, 7, 9, "off", 3, 4),
    (5, 5, 20, "off", 200, 1200),
    (9, 5, 20, "deaf", 120, 700),
    (13, 5, 20, "crashed", 60, 480),
    (16, 17, 18, "off", 2, 4),
    (19, 5, 20, "deaf", 1500, 1600),
    (22, 5, 20, "off", 2400, 3000),
    (27, 12, 19, "crashed", 20, 40),
)

# The minutes at which they begin. The recorder writes every five minutes, and a crash must not cost more than
# the interval that it is in.
BEGINS_AT = (8, 9, 22, 24, 37, 39, 53, 54)

ONCE = (
    # Over the end of a month, and of the year.
    Outage(local(2026, 12, 31, "21:47"), local(2027, 1, 1, "03:12"), "deaf"),
    Outage(local(2027, 1, 31, "22:20"), local(2027, 2, 1, "02:31"), "off"),
    # Over changes of the clock.
    Outage(local(2026, 10, 25, "01:20"), local(2026, 10, 25, "04:50"), "off"),
    Outage(local(2027, 3, 28, "01:20"), local(2027, 3, 28, "04:50"), "off"),
    Outage(local(2027, 10, 31, "01:20"), local(2027, 10, 31, "04:50"), "deaf"),
    # For longer than the reader remembers.
    Outage(local(2027, 7, 24, "09:20"), local(2027, 7, 28, "17:35"), "off"),
    Outage(local(2027, 5, 28, "18:20"), local(2027, 6, 1, "20:40"), "deaf"),
)

# When the meter is exchanged, and what the new one begins with.
EXCHANGE = local(2027, 2, 11, "10:38")
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


def after(month: Month) -> Month:
    """Return the month after one."""
    return Month.of(datetime(*month, 1) + timedelta(days=31))  # noqa: DTZ001 (days of the calendar)


# --------------------------------------------------------------------------------------------- the life


class Life:
    """A house's time with a tariff."""

    def __init__(self, time_lapse: TimeLapse, tariff: Tariff) -> None:
        self.time_lapse = time_lapse
        self.tariff = tariff
        self.repeated: dict[datetime, int] = {}
        """The import in every telegram that the reader repeated."""

    async def run_until(self, end: datetime) -> None:
        """Live on, through the exchange of the meter."""
        time_lapse = self.time_lapse
        if time_lapse.now < EXCHANGE <= end:
            await time_lapse.run_until(EXCHANGE)
            old, _ = time_lapse.meter_registers
            # As if the new one had counted all the time.
            for registers in (
                time_lapse.truth[M.ACTIVE_ENERGY_IMPORT],
                time_lapse.telegrams,
                time_lapse.sent,
                self.repeated,
            ):
                registers.update({time: value - old + NEW_REGISTER for time, value in registers.items()})
            time_lapse.reader.house.active_import = {1: float(NEW_REGISTER), 2: 0.0}
        await time_lapse.run_until(end)

    async def live_through(self, outage: Outage) -> None:
        """Live until an outage, and through it."""
        time_lapse = self.time_lapse
        begin = {"off": time_lapse.stop, "crashed": time_lapse.crash, "deaf": time_lapse.disconnect_reader}
        await self.run_until(outage.start)
        await begin[outage.kind]()
        await self.run_until(outage.end)
        await (time_lapse.reconnect_reader() if outage.kind == "deaf" else time_lapse.start())
        if time_lapse.reader.stores_readings:
            self.repeated |= dict(list(time_lapse.sent.items())[-REPEATED:])

    async def live_through_month(self, end: datetime) -> None:
        """Live until a time on the second of a month, and through all outages before it."""
        begin = Month.of(self.time_lapse.now.astimezone(STOCKHOLM))
        for outage in sorted(outage for month in (begin, after(begin)) for outage in outages_in(month)):
            if self.time_lapse.now < outage.start and outage.end < end:
                await self.live_through(outage)
        await self.run_until(end)

    def intervals(self, *, with_all_registers: bool) -> list[Interval]:
        """Return the intervals so far, by all of the meter's registers or by those that somebody knows.

        What was between is not guessed.
        """
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
        """Return the registers at quarters of an hour, as they were heard, or remembered by the reader."""
        truth, live = self.time_lapse.truth[M.ACTIVE_ENERGY_IMPORT], list(self.time_lapse.telegrams)
        telegrams = dict(sorted({**self.time_lapse.telegrams, **self.repeated}.items()))
        # The fifth telegram confirms the new meter.
        confirmed = EXCHANGE + 4 * self.time_lapse.interval
        times = [time for time in telegrams if not EXCHANGE <= time < confirmed]
        known = {}
        for boundary, register in truth.items():
            index = bisect_right(times, boundary)
            if index and boundary - times[index - 1] <= self.time_lapse.interval:
                known[boundary] = telegrams[times[index - 1]]
            elif (
                self.time_lapse.reader.stores_readings
                and not boundary.minute
                and (later := bisect_right(live, boundary)) < len(live)
                and live[later] - boundary < REMEMBERED * HOUR
            ):
                known[boundary] = register
        return known


async def check(life: Life, name: str, month: Month, key: K) -> tuple[str, ...]:
    """Hold what is billed against the meter. Returns a row for the table."""
    state = shown(life.time_lapse, key)
    known, true = (life.intervals(with_all_registers=each) for each in (False, True))
    expected = billed(life.tariff, known, STOCKHOLM, month)
    by_the_meter = billed(life.tariff, true, STOCKHOLM, month)
    assert expected is not None
    assert by_the_meter is not None
    demand = float(state.state) * 1000
    # Registers are whole Wh, and demands are shown as whole W.
    as_power = HOUR / life.tariff.interval
    assert demand == pytest.approx(expected, abs=1.5)
    missed = [
        each
        for each in known
        if each.is_missed
        and Month.of(local_start := each.start.astimezone(STOCKHOLM)) == month
        and counts(life.tariff, local_start)
    ]
    assert state.attributes["missed"] == len(missed)
    energies = {interval.start: interval.energy for interval in known}
    for interval in state.attributes["intervals"]:
        start = datetime.fromisoformat(interval["start"])
        energy = energies[start.astimezone(UTC)] * counts(life.tariff, start.astimezone(STOCKHOLM))
        assert interval["power"] * 1000 == pytest.approx(energy * as_power, abs=1.5)
    allowed = 1.5 if life.tariff.interval == HOUR else ALL_OF_IT * (TELEGRAM / QUARTER)
    assert demand < by_the_meter + allowed
    if not missed:
        assert demand > by_the_meter - allowed
    not_heard = sum((each.end - each.start for each in outages_in(month)), timedelta())
    return (
        f"{month.begin(STOCKHOLM):%B %Y}",
        name,
        f"{not_heard / HOUR:.0f} h",
        str(len(missed)),
        f"{demand / 1000:.3f}",
        f"{by_the_meter / 1000:.3f}",
        f"{demand - by_the_meter:.1f}",
    )


@pytest.mark.slow("power_tariff/*", "registers.py", "wall_clock.py", "tests/time_lapse.py")
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("stores", [True, False], ids=["stored", "not-stored"])
@pytest.mark.parametrize("name", TARIFFS)
async def test_every_month_bills_what_the_meter_has_counted(
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
    house = LivedInHouse(clock=start - timedelta(minutes=20), appliances=[], solar_peak=4000.0)
    tariff = tariff_of(TARIFFS[name])
    assert tariff is not None
    async with make_time_lapse(None, house) as time_lapse:
        caplog.set_level(logging.WARNING, "custom_components.energy_sse")
        time_lapse.has_recorder = False
        time_lapse.reader.stores_readings = stores
        # Four in a quarter of an hour: as many as the machine has patience for.
        time_lapse.interval = timedelta(seconds=225)
        time_lapse.before_the_end = BEFORE_THE_END[name]
        time_lapse.truth_interval = QUARTER
        time_lapse.options = {CONF_POWER_TARIFF: TARIFFS[name]}
        await time_lapse.run_until(start)
        await time_lapse.start()
        life = Life(time_lapse, tariff)
        while time_lapse.now < end:
            month = Month.of(time_lapse.now.astimezone(STOCKHOLM))
            look = min(after(month).begin(STOCKHOLM).astimezone(UTC) + timedelta(hours=28), end)
            await life.live_through_month(look)
            is_over = Month.of(look.astimezone(STOCKHOLM)) != month
            row = await check(life, name, month, K.PREVIOUS_PEAK_DEMAND if is_over else K.PEAK_DEMAND)
            if tariff_table is not None and month.begin(STOCKHOLM) >= start:
                # At once: who has lived through a month need not live through it again.
                measured_tables.renew("tariff", (row[0], "yes" if stores else "no", *row[1:]), tariff_table)
            is_exchanged = month == Month.of(EXCHANGE)
            assert ("A meter was replaced" in caplog.text) == is_exchanged
            caplog.clear()
