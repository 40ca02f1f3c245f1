"""Disconnected: what a reader costs while it is away."""

from dataclasses import dataclass
import selectors
from time import process_time
from typing import Final, override

from tests.time_machine import TimeMachine

from .home import add_reader, home_assistant, readers, run
from .measure import Effort, alone, table

HOUR: Final = 3600

READERS: Final = 20


class CountingTimeMachine(TimeMachine):
    """Counts how often the event loop wakes up."""

    wakes = 0

    @override
    def _select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        before = self.now()
        events = super()._select(timeout)
        # A selector that comes back with nothing, before time has passed, has not been waited for.
        self.wakes += bool(events) or self.now() != before
        return events


@dataclass(frozen=True)
class Hour:
    """What an hour costs."""

    cpu: float
    """Seconds."""

    wakes: int
    attempts: int


async def hours(count: int) -> tuple[Hour, Hour]:
    """Return what the first and the second hour cost after a number of readers have vanished."""
    async with home_assistant() as hass:
        machine = CountingTimeMachine(hass.loop)
        async with readers(count) as started:
            entries = [await add_reader(hass, host) for host in started.hosts]
        found = []
        for _ in range(2):
            attempts_before = sum(entry.runtime_data.coordinator.reader.stats.attempts for entry in entries)
            cpu_before, wakes_before = process_time(), machine.wakes
            await machine.advance(HOUR)
            attempts = (
                sum(entry.runtime_data.coordinator.reader.stats.attempts for entry in entries)
                - attempts_before
            )
            found.append(Hour(process_time() - cpu_before, machine.wakes - wakes_before, attempts))
        return found[0], found[1]


def measure(count: int) -> tuple[Hour, Hour]:
    """Run it in this process."""
    return run(hours(count))


def report(effort: Effort) -> str:
    """Measure and tell."""
    count = effort.choose(READERS, 4)
    rows = []
    for title, away, idle in zip(
        ("the first hour", "every later hour"), alone(measure, count), alone(measure, 0), strict=True
    ):
        rows.append(
            (
                title,
                f"**{(away.cpu - idle.cpu) / count * 1e3:.0f}**",
                f"{(away.wakes - idle.wakes) / count:.0f}",
                f"{away.attempts / count:.0f}",
            )
        )
    head = ("per reader", "ms of CPU", "wake-ups of the event loop", "attempts to connect")
    return table(head, rows)
