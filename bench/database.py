"""Rows and bytes that the recorder writes in an hour, for one reader with its default entities."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
import sqlite3
from tempfile import TemporaryDirectory
from typing import Final

from homeassistant.components.recorder import get_instance
from homeassistant.components.sensor import ATTR_STATE_CLASS
from homeassistant.core import HomeAssistant

from custom_components.energy_sse.config_flow import _DEFAULT_WRITE_INTERVAL
from custom_components.energy_sse.const import CONF_WRITE_INTERVAL
from custom_components.energy_sse.options_flow import WRITE_INTERVALS
from custom_components.energy_sse.reader import READERS
from tests.simulators import SIMULATORS, Simulator
from tests.simulators.household import Household
from tests.time_machine import TimeMachine
from tests.wait import wait_until

from .baseline import replace_by_baseline
from .home import add_reader, home_assistant, run
from .measure import Effort, format_ratio, in_new_process, table

HOUR: Final = 3600

# Seconds between two readings.
INTERVALS: Final = (1, 10)

BASELINE: Final = "baseline"

# Rows of statistics for one sensor: one every five minutes, and one for the hour.
STATISTICS_ROWS: Final = 13


@dataclass(frozen=True)
class DatabaseGrowth:
    """Growth of the database in an hour."""

    rows: int
    """Rows of states."""

    size: int
    """Bytes."""

    statistics: int
    """Rows of statistics, which do not depend on the number of states."""


async def run_hour(kind: str, interval: int, variant: str, folder: Path) -> DatabaseGrowth:
    """Return the growth of the database while a reader streams for an hour.

    The variant is a write interval in seconds, or the baseline.
    """
    async with AsyncExitStack() as stack:
        hass = await stack.enter_async_context(home_assistant(folder, recorder=True))
        machine = TimeMachine(hass.loop)
        simulator = SIMULATORS[kind](Household(clock=datetime.now(UTC).replace(hour=11)))
        await simulator.start()
        stack.push_async_callback(simulator.stop)
        entry = await add_reader(hass, simulator.host)
        await wait_until(lambda: simulator.streams)
        await add_all_entities(simulator, machine)
        if variant == BASELINE:
            connection = await replace_by_baseline(hass, entry)
            entry.async_create_background_task(hass, connection.run(), BASELINE)
        else:
            hass.config_entries.async_update_entry(entry, options={CONF_WRITE_INTERVAL: int(variant)})
            await hass.config_entries.async_reload(entry.entry_id)
        await wait_until(lambda: simulator.streams)
        await machine.advance(5)
        before = await count(hass, folder)
        for _ in range(HOUR // interval):
            await simulator.tick(interval)
            await machine.advance(interval)
        after = await count(hass, folder)
        sensors = [state for state in hass.states.async_all() if ATTR_STATE_CLASS in state.attributes]
        return DatabaseGrowth(after[0] - before[0], after[1] - before[1], len(sensors) * STATISTICS_ROWS)


async def add_all_entities(simulator: Simulator, machine: TimeMachine) -> None:
    """Turn each appliance on and off, so that all entities of the house exist."""
    for appliance in simulator.house.appliances:
        for state in (*appliance.states[1:], appliance.states[0]):
            await simulator.switch(appliance.id, state.name)
            await simulator.tick(10)
            await machine.advance(10)


async def count(hass: HomeAssistant, folder: Path) -> tuple[int, int]:
    """Wait until all states are written. Return the rows of states, and the bytes of the database."""
    await hass.async_block_till_done()
    await get_instance(hass).async_block_till_done()
    path = folder / "home-assistant_v2.db"

    def query() -> tuple[int, int]:
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (rows,) = database.execute("SELECT COUNT(*) FROM states").fetchone()
        return rows, path.stat().st_size

    return await hass.async_add_executor_job(query)


def measure(kind: str, interval: int, variant: str) -> DatabaseGrowth:
    """Return the growth of the database in an hour, measured in this process."""
    with TemporaryDirectory() as folder:
        return run(run_hour(kind, interval, variant, Path(folder)))


def report(effort: Effort) -> str:
    """Measure, and return the section of docs/results/performance.md in Markdown."""
    head = (
        "reader",
        "a reading every",
        "written",
        "rows",
        "of the baseline",
        "MB",
        "of the baseline",
        "MB a day",
    )
    rows = []
    statistics = {}
    for kind in effort.choose(tuple(READERS), ("whatwatt",)):
        for interval in effort.choose(INTERVALS, (10,)):
            baseline = in_new_process(measure, kind, interval, BASELINE)
            results = {"baseline": baseline}
            for variant in WRITE_INTERVALS:
                title = f"every {variant} s" if int(variant) else "every reading"
                if int(variant) == _DEFAULT_WRITE_INTERVAL:
                    title += " (default)"
                results[title] = in_new_process(measure, kind, interval, variant)
            statistics[kind] = baseline.statistics
            for title, found in results.items():
                is_first = found is baseline
                rows.append(
                    (
                        kind if is_first else "",
                        f"{interval} s" if is_first else "",
                        title,
                        f"{found.rows:,}",
                        format_ratio(found.rows / baseline.rows),
                        f"{found.size / 1e6:.2f}",
                        format_ratio(found.size / baseline.size),
                        f"{found.size * 24 / 1e6:.0f}",
                    )
                )
    numbers = ", ".join(f"{rows_} for a {kind}" for kind, rows_ in statistics.items())
    return (
        f"Rows of states and bytes in an hour:\n\n{table(head, rows)}\nBeside these, the recorder adds "
        f"{STATISTICS_ROWS} rows of statistics for every sensor, whatever is written: {numbers}.\n"
    )
