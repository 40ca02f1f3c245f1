"""Latency: from the moment a reader writes an event to the changed state on Home Assistant's bus."""

import asyncio
from contextlib import AsyncExitStack
from time import monotonic

from homeassistant.core import Event, EventStateChangedData, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import Measurement
from tests.wait import wait_until

from .home import add_reader, home_assistant, readers, run
from .measure import Effort, alone, percentile, table

# Seconds. Often enough for a percentile in half a minute, rare enough that every reading comes alone.
INTERVAL = 0.05

OTHERS = 50


async def latencies(others: int, seconds: float) -> list[float]:
    """Return the seconds that each reading of a whatwatt takes, while others stream once a second."""
    arrived: dict[float, float] = {}

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        now = monotonic()
        state = event.data["new_state"]
        if state is not None and state.state.replace(".", "").isdigit():
            arrived[float(state.state)] = now

    async with AsyncExitStack() as stack:
        hass = await stack.enter_async_context(home_assistant())
        if others:
            for host in (await stack.enter_async_context(readers(others, first=1))).hosts:
                await add_reader(hass, host)
        observed = await stack.enter_async_context(readers(1, interval=INTERVAL))
        entry = await add_reader(hass, observed.hosts[0])
        unique_id = entry.runtime_data.coordinator.devices.unique_id(Measurement.VOLTAGE_L1)
        registry = er.async_get(hass)
        await wait_until(lambda: registry.async_get_entity_id("sensor", DOMAIN, unique_id))
        voltage = registry.async_get_entity_id("sensor", DOMAIN, unique_id)
        assert voltage is not None
        async_track_state_change_event(hass, voltage, note)
        await asyncio.sleep(seconds)
        sent = await observed.stop()
    return [at - sent[value] for value, at in arrived.items()]


def measure(others: int, seconds: float) -> list[float]:
    """Run it in this process."""
    return run(latencies(others, seconds))


def report(effort: Effort) -> str:
    """Measure and tell."""
    seconds = effort.choose(60.0, 5.0)
    rows = []
    for others in (0, OTHERS):
        found = alone(measure, others, seconds)
        middle, slow = (percentile(found, percent) * 1e3 for percent in (50, 99))
        title = f"with {others} other readers, each once a second" if others else "idle"
        rows.append(
            (title, f"**{middle:.2f}**", f"**{slow:.2f}**", f"{max(found) * 1e3:.2f}", f"{len(found):,}")
        )
    return table(("Home Assistant", "median ms", "99th percentile ms", "longest ms", "readings"), rows)
