"""Power tariff: the cost that it adds to a reading and to the database, and the cost of the bills."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, Final
from unittest.mock import patch

from homeassistant.components.sensor import ATTR_STATE_CLASS
from homeassistant.util import dt as dt_util

from custom_components.energy_sse.power_tariff.demand import Tariff
from custom_components.energy_sse.power_tariff.tracker import _calculate_peaks
from custom_components.energy_sse.reader import READERS, Measurement
from custom_components.energy_sse.registers import HOUR, QUARTER
from tests.simulators import SIMULATORS, House
from tests.time_machine import TimeMachine
from tests.wait import wait_until

from . import database
from .harness import measure
from .home import Home, add_reader, add_tariff, home_assistant, run
from .measure import Effort, Result, alone, table
from .reading import KINDS, bench_readings

TARIFF: Final[Mapping[str, Any]] = {"interval": "60"}

WAYS: Final[Mapping[str, Mapping[str, Any] | None]] = {"without": None, "with": TARIFF}

INTERVALS: Final = {"an hour": HOUR, "a quarter-hour": QUARTER}

# Between two readings, as most meters send them.
INTERVAL: Final = timedelta(seconds=10)

# As long as the register history is stored: two months and a margin.
MONTHS: Final = timedelta(days=66)

# Wh in a quarter-hour. The simulated house draws about half as much in the evening.
ENERGY: Final = 1000.0


def started(way: str) -> Home:
    """Return a Home Assistant with a recorder that is ready for readings."""
    home = Home(recorder=True, tariff=WAYS[way])
    home.run(home.start())
    return home


def main() -> None:
    """Measure a reading with the tariff and without it."""
    bench_readings(f"{__package__}.tariff", WAYS, started)


def calculate_bills(interval: timedelta) -> Result:
    """Measure the CPU seconds that the bills of two months cost."""
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    boundaries = {now - index * QUARTER: -ENERGY * index for index in range(MONTHS // QUARTER)}
    tariff = Tariff(interval=interval, peaks=3, one_per_day=True)
    zone = dt_util.get_time_zone("Europe/Stockholm")
    assert zone is not None
    seconds = []
    # The first calculation fills caches.
    for _ in range(21):
        began = process_time()
        monthly_peaks = _calculate_peaks(boundaries, tariff, now, zone)
        seconds.append(process_time() - began)
        assert len(monthly_peaks) == 3, "two months and a part of the month before are calculated"  # noqa: PLR2004
    return Result(seconds[1:])


async def hour(kind: str, tariff: Mapping[str, Any] | None, folder: Path) -> database.Written:
    """Let a reader stream for an hour of an evening, in a month that has a peak."""
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
        await wait_until(lambda: simulator.streams)
        # In ten minutes every appliance has been on, and all that this house has is found.
        for _ in range(60):
            await simulator.tick(10)
            await machine.advance(10)
        # An hour that has ended is a peak of the month, so that there is a limit.
        hour = dt_util.utcnow().replace(minute=0, second=0, microsecond=0)
        history = entry.runtime_data.coordinator.histories.by_register[Measurement.ACTIVE_ENERGY_IMPORT]
        assert history.last is not None
        total = history.last.total
        history.boundaries |= {hour - HOUR: total - 4 * ENERGY, hour: total}
        if tariff is None:
            await hass.config_entries.async_reload(entry.entry_id)
        else:
            await add_tariff(hass, entry, tariff)
        await wait_until(lambda: simulator.streams)
        await machine.advance(5)
        before, _ = await database.count(hass, folder)
        for _ in range(HOUR // INTERVAL):
            await simulator.tick(INTERVAL.total_seconds())
            await machine.advance(INTERVAL.total_seconds())
        after, _ = await database.count(hass, folder)
        sensors = [state for state in hass.states.async_all() if ATTR_STATE_CLASS in state.attributes]
        return database.Written(after - before, 0, len(sensors) * database.STATISTICS_ROWS)


def rows_of_an_hour(kind: str, tariff: Mapping[str, Any] | None) -> database.Written:
    """Return the rows of an hour, written in this process."""
    with TemporaryDirectory() as folder:
        return run(hour(kind, tariff, Path(folder)))


def percent(with_it: float, without: float) -> str:
    """Return the added part in bold."""
    return f"**{(with_it / without - 1) * 100:+.1f} %**"


def report(effort: Effort) -> str:
    """Measure, and return the section of the document."""
    seconds = measure(f"{__package__}.tariff", effort, loops=500, rounds=6)
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
    for kind in effort.choose(tuple(READERS), ("currentlyone",)):
        found = {way: alone(rows_of_an_hour, kind, tariff) for way, tariff in WAYS.items()}
        rows, statistics = (
            [getattr(found[way], name) for way in ("with", "without")] for name in ("rows", "statistics")
        )
        numbers = (f"{number:,}" for number in (*rows, *statistics))
        written.append((kind, percent(*rows), *numbers))
    monthly_peaks = {title: alone(calculate_bills, interval) for title, interval in INTERVALS.items()}
    return (
        "A reading as above, but with a recorder:\n\n"
        + table(("reading", "added", "µs of CPU with it", "without it"), readings)
        + "\nRows in an hour with default entities and options, at one reading in ten seconds:\n\n"
        + table(
            ("reader", "added", "rows with it", "without it", "statistics", "without it"),
            written,
        )
        + "\nThe bills of two months, calculated outside of the event loop when an interval has ended:\n\n"
        + table(
            ("interval", "ms of CPU"),
            [(title, result.text(1e3, 1)) for title, result in monthly_peaks.items()],
        )
    )


if __name__ == "__main__":
    main()
