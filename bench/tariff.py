"""The power tariff: what its option adds to a reading and to the database, and what counting costs."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time
from typing import Any, Final
from unittest.mock import patch

from homeassistant.components.recorder.db_schema import StatisticsMeta, StatisticsShortTerm
from homeassistant.components.recorder.models import StatisticData, StatisticMeanType, StatisticMetaData
from homeassistant.components.recorder.statistics import async_import_statistics
from homeassistant.components.sensor import ATTR_STATE_CLASS
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import get_instance, session_scope
from homeassistant.util import dt as dt_util

from custom_components.energy_sse.backfill import Room, async_enter
from custom_components.energy_sse.const import CONF_POWER_TARIFF, DOMAIN
from custom_components.energy_sse.power_tariff.counting import Question, count
from custom_components.energy_sse.power_tariff.demand import HOUR, QUARTER, Tariff
from custom_components.energy_sse.reader import Measurement, ReaderKind
from tests.readers import CurrentlyOneSimulator, House, WhatwattSimulator
from tests.time_machine import TimeMachine
from tests.waiting import until

from . import database
from .harness import measure
from .home import add_reader, home_assistant, run
from .measure import Effort, Result, alone, table
from .reading import KINDS, Home, bench_readings

TARIFF: Final[Mapping[str, Any]] = {CONF_POWER_TARIFF: {"enabled": True, "interval": "60"}}

WAYS: Final[Mapping[str, Mapping[str, Any]]] = {"without": {}, "with": TARIFF}

SIMULATORS: Final = {ReaderKind.WHATWATT: WhatwattSimulator, ReaderKind.CURRENTLYONE: CurrentlyOneSimulator}

# kW, in all hours of the past. The evening's house draws half of it.
POWER: Final = 4

ENERGY: Final = "sensor.energy_import"

INTERVALS: Final = {"an hour": HOUR, "a quarter of an hour": QUARTER}

# Of which the recorder keeps five minutes, and two months with a margin.
FIVE_MINUTES, HOURS = timedelta(days=10), timedelta(days=65)


def started(way: str) -> Home:
    """Return a Home Assistant with a recorder that is ready for readings."""
    home = Home(recorder=True, options=WAYS[way])
    home.run(home.start())
    home.run(home.tap())
    return home


def main() -> None:
    """Measure a reading with the option and without it."""
    bench_readings(f"{__package__}.tariff", WAYS, started, lambda home, _way, events: home.feed(events))


async def fill(hass: HomeAssistant, energy: str, now: datetime) -> None:
    """Let the statistics of an energy have as much as they keep."""
    metadata = StatisticMetaData(
        mean_type=StatisticMeanType.NONE,
        has_sum=True,
        name=None,
        source="recorder",
        statistic_id=energy,
        unit_class="energy",
        unit_of_measurement="kWh",
    )
    hours = [
        StatisticData(start=now - HOURS + index * HOUR, state=POWER * index, sum=POWER * index)
        for index in range(HOURS // HOUR)
    ]
    async_import_statistics(hass, metadata, hours)
    await get_instance(hass).async_block_till_done()

    def add_five_minutes() -> None:
        step = timedelta(minutes=5)
        with session_scope(hass=hass) as session:
            metadata_id = session.query(StatisticsMeta.id).filter_by(statistic_id=energy).scalar()
            for index in range(FIVE_MINUTES // step):
                total = POWER * (HOURS / HOUR - 1 - index / 12)
                start = (now - (index + 1) * step).timestamp()
                session.add(
                    StatisticsShortTerm(
                        metadata_id=metadata_id, start_ts=start, created_ts=start, state=total, sum=total
                    )
                )

    await get_instance(hass).async_add_executor_job(add_five_minutes)


def seconds_of(hass: HomeAssistant, room: Room, question: Question) -> float:
    """Return the seconds of CPU that counting takes in this thread."""
    began = thread_time()
    answer = count(hass, room, ENERGY, None, question)
    assert len(answer.bills) >= 2, "two months are counted"  # noqa: PLR2004 (two months)
    return thread_time() - began


async def counting(folder: Path, interval: timedelta) -> Result:
    """Return what it takes to count two months anew."""
    async with home_assistant(folder, recorder=True) as hass:
        now = dt_util.utcnow().replace(minute=0, second=0, microsecond=0)
        await fill(hass, ENERGY, now)
        room = await async_enter(hass)
        assert room is not None
        known = POWER * HOURS / HOUR * 1000
        question = Question(
            tariff=Tariff(interval=interval, peaks=3, one_per_day=True),
            zone=dt_util.get_default_time_zone(),
            begin=now - HOURS,
            now=now,
            unheard=None,
            pause=timedelta(minutes=1),
            interval=timedelta(seconds=10),
            gaps=(),
            exchanges=(),
            registers={},
            quarters={
                now - index * QUARTER: known - POWER * 250 * index for index in range(HOURS // QUARTER)
            },
            ended=None,
        )
        run_in_thread = get_instance(hass).async_add_executor_job
        # The first one fills caches.
        taken = [await run_in_thread(seconds_of, hass, room, question) for _ in range(21)]
        return Result(taken[1:])


def count_months(interval: timedelta) -> Result:
    """Run it in this process."""
    with TemporaryDirectory() as folder:
        return run(counting(Path(folder), interval))


async def hour(kind: ReaderKind, interval: int, options: Mapping[str, Any], folder: Path) -> database.Written:
    """Let a reader stream for an hour of an evening, in a month that has peaks."""
    async with AsyncExitStack() as stack:
        hass = await stack.enter_async_context(home_assistant(folder, recorder=True))
        machine = TimeMachine(hass.loop)
        began, moved = hass.loop.time(), dt_util.utcnow()
        # Demand goes by the time of day, which has to pass with the event loop's.
        now = lambda: moved + timedelta(seconds=hass.loop.time() - began)  # noqa: E731 (a clock)
        stack.enter_context(patch.object(dt_util, "utcnow", now))
        simulator = SIMULATORS[kind](House(clock=moved.replace(hour=20), solar_peak=0.0))
        await simulator.start()
        stack.push_async_callback(simulator.stop)
        entry = await add_reader(hass, simulator.host)
        await until(lambda: simulator.streams)
        # In ten minutes every appliance has been on, and all that this house has is found.
        for _ in range(60):
            await simulator.tick(10)
            await machine.let_pass(10)
        unique_id = entry.runtime_data.registry.unique_id(Measurement.ACTIVE_ENERGY_IMPORT)
        energy = er.async_get(hass).async_get_entity_id("sensor", DOMAIN, unique_id)
        assert energy is not None
        await fill(hass, energy, moved.replace(minute=0, second=0, microsecond=0))
        hass.config_entries.async_update_entry(entry, options={**entry.options, **options})
        await hass.config_entries.async_reload(entry.entry_id)
        await until(lambda: simulator.streams)
        await machine.let_pass(5)
        before, _ = await database.count(hass, folder)
        for _ in range(3600 // interval):
            await simulator.tick(interval)
            await machine.let_pass(interval)
        after, _ = await database.count(hass, folder)
        sensors = [state for state in hass.states.async_all() if ATTR_STATE_CLASS in state.attributes]
        return database.Written(after - before, 0, len(sensors) * database.STATISTICS_ROWS)


def rows_of_an_hour(kind: ReaderKind, interval: int, options: Mapping[str, Any]) -> database.Written:
    """Run it in this process."""
    with TemporaryDirectory() as folder:
        return run(hour(kind, interval, options, Path(folder)))


def percent(with_it: float, without: float) -> str:
    """Return what is added, as it is to be seen first."""
    return f"**{(with_it / without - 1) * 100:+.1f} %**"


def report(effort: Effort) -> str:
    """Measure and tell."""
    seconds = measure(f"{__package__}.tariff", effort, loops=500, rounds=15)
    readings = [
        (
            title,
            percent(seconds[f"{kind} with"].median, seconds[f"{kind} without"].median),
            seconds[f"{kind} with"].text(1e6, 1),
            seconds[f"{kind} without"].text(1e6, 1),
        )
        for kind, title in KINDS.items()
    ]
    written = []
    for kind in effort.choose(tuple(ReaderKind), (ReaderKind.CURRENTLYONE,)):
        for interval in effort.choose((1, 10), (10,)):
            found = {way: alone(rows_of_an_hour, kind, interval, options) for way, options in WAYS.items()}
            rows, statistics = (
                [getattr(found[way], name) for way in ("with", "without")] for name in ("rows", "statistics")
            )
            written.append(
                (
                    kind,
                    f"{interval} s",
                    percent(*rows),
                    *(f"{number:,}" for number in rows),
                    *(f"{number:,}" for number in statistics),
                )
            )
    counted = {title: alone(count_months, interval) for title, interval in INTERVALS.items()}
    return (
        "A reading, as [above](#one-reading-into-home-assistant), but with a recorder:\n\n"
        + table(("reading", "added", "µs of CPU with it", "without it"), readings)
        + "\nRows of states in an hour by default entities and options, and of statistics beside them:\n\n"
        + table(
            ("reader", "a reading every", "added", "rows with it", "without it", "statistics", "without it"),
            written,
        )
        + "\nCounting two months anew when an interval has ended, in a thread of the recorder:\n\n"
        + table(
            ("interval", "ms of CPU"),
            [(title, result.text(1e3, 0)) for title, result in counted.items()],
        )
    )


if __name__ == "__main__":
    main()
