"""CPU time and rows in the database that a power tariff adds, and CPU time of its monthly peaks."""

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

from custom_components.energy_sse.power_tariff.demand import PowerTariff
from custom_components.energy_sse.power_tariff.tracker import _calculate_peaks
from custom_components.energy_sse.reader import READERS, Measurement
from custom_components.energy_sse.registers import HOUR, QUARTER
from tests.simulators import SIMULATORS
from tests.simulators.household import Household
from tests.time_machine import TimeMachine
from tests.wait import wait_until

from . import database
from .harness import measure
from .home import Home, add_reader, add_tariff, home_assistant, run
from .measure import Effort, Result, in_new_process, table
from .reading import KINDS, bench_readings

TARIFF: Final[Mapping[str, Any]] = {"interval": "60"}

VARIANTS: Final[Mapping[str, Mapping[str, Any] | None]] = {"without": None, "with": TARIFF}

INTERVALS: Final = {"an hour": HOUR, "a quarter-hour": QUARTER}

# Interval of most meters.
INTERVAL: Final = timedelta(seconds=10)

# Time for which the register history is stored: two months and a margin.
MONTHS: Final = timedelta(days=66)

# Wh in a quarter-hour: about twice as much as the simulated house draws in the evening.
ENERGY: Final = 1000.0


def start_home(variant: str) -> Home:
    """Return a started Home Assistant with a recorder, with or without a power tariff."""
    home = Home(recorder=True, tariff=VARIANTS[variant])
    home.run(home.start())
    return home


def main() -> None:
    """Measure a reading with a power tariff and without one."""
    bench_readings(f"{__package__}.tariff", VARIANTS, start_home)


def measure_monthly_peaks(interval: timedelta) -> Result:
    """Return the CPU seconds of the calculation of the monthly peaks of two months."""
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    boundaries = {now - index * QUARTER: -ENERGY * index for index in range(MONTHS // QUARTER)}
    tariff = PowerTariff(interval=interval, peaks=3, one_per_day=True)
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


async def run_hour(kind: str, tariff: Mapping[str, Any] | None, folder: Path) -> database.DatabaseGrowth:
    """Return the growth of the database in an hour of an evening, in a month that has a peak."""
    async with AsyncExitStack() as stack:
        hass = await stack.enter_async_context(home_assistant(folder, recorder=True))
        machine = TimeMachine(hass.loop)
        began, moved = hass.loop.time(), dt_util.utcnow()
        # A power tariff uses the wall clock, which has to advance with the event loop's clock.
        now = lambda: moved + timedelta(seconds=hass.loop.time() - began)  # noqa: E731 (a clock)
        stack.enter_context(patch.object(dt_util, "utcnow", now))
        simulator = SIMULATORS[kind](Household(clock=moved.replace(hour=20), solar_peak=0.0))
        await simulator.start()
        stack.push_async_callback(simulator.stop)
        entry = await add_reader(hass, simulator.host)
        await wait_until(lambda: simulator.streams)
        await database.add_all_entities(simulator, machine)
        # The previous hour is a peak of the month, so that the demand limit is known.
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
        return database.DatabaseGrowth(after - before, 0, len(sensors) * database.STATISTICS_ROWS)


def measure_hour(kind: str, tariff: Mapping[str, Any] | None) -> database.DatabaseGrowth:
    """Return the growth of the database in an hour, measured in this process."""
    with TemporaryDirectory() as folder:
        return run(run_hour(kind, tariff, Path(folder)))


def percent(with_it: float, without: float) -> str:
    """Return the increase in percent, as bold Markdown."""
    return f"**{(with_it / without - 1) * 100:+.1f} %**"


def report(effort: Effort) -> str:
    """Measure, and return the section of docs/results/performance.md in Markdown."""
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
        found = {variant: in_new_process(measure_hour, kind, tariff) for variant, tariff in VARIANTS.items()}
        rows, statistics = (
            [getattr(found[variant], name) for variant in ("with", "without")]
            for name in ("rows", "statistics")
        )
        numbers = (f"{number:,}" for number in (*rows, *statistics))
        written.append((kind, percent(*rows), *numbers))
    monthly_peaks = {
        title: in_new_process(measure_monthly_peaks, interval) for title, interval in INTERVALS.items()
    }
    return (
        "A reading as above, but with a recorder:\n\n"
        + table(("reading", "added", "µs of CPU with it", "without it"), readings)
        + "\nRows in an hour with default entities and options, at one reading in ten seconds:\n\n"
        + table(
            ("reader", "added", "rows with it", "without it", "statistics", "without it"),
            written,
        )
        + "\nThe peaks of two months, calculated outside of the event loop when an interval has ended:\n\n"
        + table(
            ("interval", "ms of CPU"),
            [(title, result.text(1e3, 1)) for title, result in monthly_peaks.items()],
        )
    )


if __name__ == "__main__":
    main()
