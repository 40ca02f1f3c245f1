"""Scale: many readers in one Home Assistant, half of each kind, each once a second."""

import asyncio
from dataclasses import dataclass
import gc
from time import monotonic, process_time

import psutil

from .home import add_reader, home_assistant, readers, run
from .measure import Effort, alone, percentile, table

COUNTS = (1, 10, 50, 100)

# Seconds between two looks at how late the event loop is.
LOOK_EVERY = 0.01


@dataclass(frozen=True)
class Load:
    """What a number of readers costs."""

    cpu: float
    """Share of one core."""

    lags: list[float]
    """By how many seconds the event loop was late."""

    memory: int
    """Bytes of the process."""

    tasks: int


async def load(count: int, seconds: float, *, recorder: bool) -> Load:
    """Return what a number of readers costs."""
    async with home_assistant(recorder=recorder) as hass, readers(count) as started:
        for host in started.hosts:
            await add_reader(hass, host)
        # Until all entities have been found and the loop has come to rest.
        await asyncio.sleep(5)
        lags: list[float] = []
        began, cpu_before = monotonic(), process_time()
        while (before := monotonic()) < began + seconds:
            await asyncio.sleep(LOOK_EVERY)
            lags.append(monotonic() - before - LOOK_EVERY)
        cpu = (process_time() - cpu_before) / (monotonic() - began)
        gc.collect()
        return Load(cpu, lags, psutil.Process().memory_info().rss, len(asyncio.all_tasks()))


def measure(count: int, seconds: float, *, recorder: bool) -> Load:
    """Run it in this process."""
    return run(load(count, seconds, recorder=recorder))


def report(effort: Effort) -> str:
    """Measure and tell."""
    sections = []
    for recorder in (False, True):
        # The recorder's own work is not the question, only what it does to the lines.
        seconds = effort.choose(60.0 if recorder else 120.0, 5.0)
        empty = alone(measure, 0, effort.choose(30.0, 5.0), recorder=recorder)
        rows = []
        for count in effort.choose(COUNTS, (1, 10)):
            found = alone(measure, count, seconds, recorder=recorder)
            rows.append(
                (
                    f"{count}",
                    f"**{(found.cpu - empty.cpu) / count:.3%}**",
                    f"{(found.memory - empty.memory) / count / 1024:,.0f}",
                    f"{(found.tasks - empty.tasks) / count:.1f}",
                    f"{found.cpu:.2%}",
                    f"{percentile(found.lags, 50) * 1e3:.2f}",
                    f"{percentile(found.lags, 99) * 1e3:.2f}",
                )
            )
        title = "With the recorder writing" if recorder else "Without a recorder"
        idle = (
            f"no readers: {empty.cpu:.2%} of a core, late by {percentile(empty.lags, 50) * 1e3:.2f} ms "
            f"(median) and {percentile(empty.lags, 99) * 1e3:.2f} ms (99th percentile)"
        )
        head = ["readers", "CPU per reader", "KiB per reader", "tasks per reader", "CPU in all"]
        head += ["loop late, median ms", "99th percentile ms"]
        sections.append(f"{title}, {seconds:.0f} s each ({idle}):\n\n{table(head, rows)}")
    return "\n".join(sections)
