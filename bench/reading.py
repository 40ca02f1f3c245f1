"""CPU time of a reading, from bytes to written states, against the baseline."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
import json
import logging
import math
from time import monotonic, thread_time
from typing import Any, Final
from unittest.mock import patch

import aiohttp
from homeassistant.config_entries import RELOAD_AFTER_UPDATE_DELAY, ConfigEntryState
from homeassistant.const import EVENT_STATE_CHANGED, EVENT_STATE_REPORTED
from homeassistant.core import Event, callback
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.runner import create_event_loop
from homeassistant.util import dt as dt_util
from yarl import URL

from custom_components.energy_sse.const import CONF_WRITE_INTERVAL
from custom_components.energy_sse.reader import Reader, ReaderConnection, ReaderKind, make_reader, whatwatt
from custom_components.energy_sse.reader.whatwatt import FIELDS
from tests.simulators import House, WhatwattSimulator
from tests.wait import wait_until

from .baseline import add_baseline_sensors
from .harness import measure, runner
from .home import add_reader, enable_everything, home_assistant
from .measure import Effort, alone, table, times

KINDS: Final = {"typical": "typical: six values changed", "worst": "worst: all values changed"}

WAYS: Final = {"ours": "energy_sse", "baseline": "baseline"}

# What a quiet second changes: one phase, and with it the total and the net power.
TYPICAL: Final = ("P_In", "P_P1_In", "I_P1", "V_P1", "PF")

# The smallest step of the meter, by how its keys begin.
STEPS: Final = {"V": 0.1, "I": 0.01, "PF": 0.01, "T": 1}


class Meter:
    """A three-phase meter behind a whatwatt that sends all the keys that there are."""

    def __init__(self) -> None:
        """Start with a value for everything."""
        now = datetime.now()  # noqa: DTZ005 (the reader sends local time)
        self._payload: dict[str, Any] = {
            **{key: 100 + number for number, key in enumerate(FIELDS)},
            "T": 1,
            "Date": f"{now:%Y-%m-%d}",
            "Time": f"{now:%H:%M:%S}",
        }
        self._goes_up = False

    def readings(self, kind: str, count: int) -> list[bytes]:
        """Return events, in each of which a few values or all differ from the one before.

        Registers grow; the rest goes up and down.
        """
        payload = self._payload
        events = []
        for _ in range(count):
            self._goes_up = not self._goes_up
            for key in TYPICAL if kind == "typical" else FIELDS:
                step = next((step for begin, step in STEPS.items() if key.startswith(begin)), 0.001)
                is_up = self._goes_up or key.startswith(("E", "rE"))
                payload[key] = round(payload[key] + (step if is_up else -step), 3)
            events.append(f"event: live\ndata: {json.dumps(payload, separators=(',', ':'))}\n\n".encode())
        return events


class Tap:
    """Stands before a session, to get hold of the body of the stream: bytes fed to it are the network's."""

    def __init__(self, reader: Reader) -> None:
        """Put itself before the session of a reader."""
        self._session = reader._http._session
        self.content: aiohttp.StreamReader | None = None
        reader._http._session = self  # type: ignore[assignment] # it is asked for requests, and for nothing else

    async def request(self, method: str, url: URL, **options: object) -> aiohttp.ClientResponse:
        """Pass a request on."""
        response = await self._session.request(method, url, **options)  # type: ignore[arg-type] # as they are
        if response.content_type == "text/event-stream":
            self.content = response.content
        return response


class Home:
    """A Home Assistant with one whatwatt whose entities are all enabled. Readings are a second apart."""

    def __init__(self, *, recorder: bool = False, options: Mapping[str, Any] | None = None) -> None:
        """Prepare an event loop whose clock can be moved on."""
        self._recorder = recorder
        self._options = options or {}
        self.loop = create_event_loop()
        self._skipped = 0.0
        self.loop.time = lambda: monotonic() + self._skipped  # type: ignore[method-assign] # for this loop only
        self._stack = AsyncExitStack()
        self.meter = Meter()

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in it."""
        return self.loop.run_until_complete(coroutine)

    async def start(self) -> None:
        """Start it, and wait until every entity is there."""
        # Asking every five minutes is no part of a reading, and would be answered by this very process.
        whatwatt._STATUS_INTERVAL = math.inf  # type: ignore[misc, assignment] # for this process only
        if self._recorder:
            # A power tariff goes by the time of day, too. One that stands still looks like one that is set.
            began, moved = self.loop.time(), dt_util.utcnow()
            now = lambda: moved + timedelta(seconds=self.loop.time() - began)  # noqa: E731 (a clock)
            self._stack.enter_context(patch.object(dt_util, "utcnow", now))
        self.hass = await self._stack.enter_async_context(home_assistant(recorder=self._recorder))
        self.simulator = WhatwattSimulator(House(clock=datetime.now(UTC)))
        await self.simulator.start()
        self._stack.push_async_callback(self.simulator.stop)
        self.entry = await add_reader(self.hass, self.simulator.host)
        await wait_until(lambda: self.simulator.streams)
        await self.simulator.broadcast(self.meter.readings("worst", 1)[0])
        await wait_until(lambda: len(self.entry.runtime_data.readings.values) >= len(FIELDS))
        await self.hass.async_block_till_done()
        self.hass.config_entries.async_update_entry(
            self.entry, options={**self.entry.options, **self._options}
        )
        before = self.entry.runtime_data
        enable_everything(self.hass, self.entry)
        # Home Assistant reloads it by itself a while later.
        self._skipped += RELOAD_AFTER_UPDATE_DELAY + 1
        await wait_until(
            lambda: self.entry.state is ConfigEntryState.LOADED and self.entry.runtime_data is not before
        )
        await wait_until(lambda: self.simulator.streams)

    async def stop(self) -> None:
        """Stop it: the recorder's thread does not end by itself."""
        await self._stack.aclose()

    async def tap(self) -> None:
        """Take the place of the network."""
        tap = Tap(self.entry.runtime_data.reader)
        self.simulator.end_streams()
        self.entry.runtime_data.async_handle_announcement(self.simulator.host)
        await wait_until(lambda: tap.content)
        assert tap.content is not None
        self.content = tap.content

    async def tap_baseline(self) -> None:
        """Replace the sensors by those of the baseline, and replace the network."""
        measurements = list(self.entry.runtime_data.found_measurements)
        assert self.entry.unique_id is not None
        await self.hass.config_entries.async_unload(self.entry.entry_id)
        reader = make_reader(
            ReaderKind.WHATWATT, async_get_clientsession(self.hass), self.simulator.host, None
        )
        tap = Tap(reader)
        baseline = await add_baseline_sensors(self.hass, self.entry, reader, measurements)
        connection = ReaderConnection(reader, self.entry.unique_id, baseline)
        self._connection = self.loop.create_task(connection.run())
        await wait_until(lambda: tap.content)
        assert tap.content is not None
        self.content = tap.content

    async def feed(self, events: list[bytes]) -> float:
        """Let events arrive, a second apart. Returns the seconds of CPU until their states are written."""
        tasks_at_rest = len(self.hass._background_tasks)
        began = thread_time()
        for event in events:
            self._skipped += 1
            self.content.feed_data(event)
            # The reader lets other tasks run before it waits for more.
            while self.content._waiter is None and not self.content.is_eof():  # noqa: ASYNC110 (as below)
                await asyncio.sleep(0)
            # Minutes that pass in a moment bring files to write. Their thread hardly gets a turn while this
            # one is never idle, and slows it down: not so where a second passes between two readings.
            while (  # noqa: ASYNC110 (Home Assistant does not notify of a written file)
                self.hass._tasks or len(self.hass._background_tasks) > tasks_at_rest
            ):
                await asyncio.sleep(0.001)
        took = thread_time() - began
        assert not self.content.is_eof()
        return took

    def count_writes(self, events: list[bytes]) -> float:
        """Return how many states are written per event."""
        writes = 0

        @callback
        def count(_event: Event[Any]) -> None:
            nonlocal writes
            writes += 1

        @callback
        def everything(_data: Mapping[str, Any]) -> bool:
            return True

        # With a filter, as the recorder has one, the listener gets reported states as well.
        self.hass.bus.async_listen(EVENT_STATE_CHANGED, count, everything)
        self.hass.bus.async_listen(EVENT_STATE_REPORTED, count, everything)
        self.run(self.feed(events))
        return writes / len(events)


def started(way: str) -> Home:
    """Return a Home Assistant that is ready for a way of getting a reading into it."""
    # As the others do it, and as a reader was measured before there was a default.
    home = Home(options={CONF_WRITE_INTERVAL: 0})
    home.run(home.start())
    home.run(home.tap_baseline() if way == "baseline" else home.tap())
    return home


def count_writes(kind: str, way: str) -> float:
    """Return how many states a way writes per reading."""
    home = started(way)
    return home.count_writes(home.meter.readings(kind, 600))


def bench_readings(
    module: str,
    ways: Iterable[str],
    started: Callable[[str], Home],
) -> None:
    """Measure ways of getting readings of each kind into a home, as pyperf asks for it: CPU seconds each."""
    pyperf = runner(module)
    logging.disable(logging.WARNING)

    def bench(kind: str, way: str) -> None:
        home: Home | None = None

        def run(loops: int) -> float:
            nonlocal home
            home = home or started(way)
            return home.run(home.feed(home.meter.readings(kind, loops)))

        pyperf.bench_time_func(f"{kind} {way}", run)
        # Only one of the processes that pyperf starts measures this one.
        if home is not None:
            home.run(home.stop())

    for kind in KINDS:
        for way in ways:
            bench(kind, way)


def main() -> None:
    """Measure all ways."""
    bench_readings(f"{__package__}.reading", WAYS, started)


def report(effort: Effort) -> str:
    """Measure, and return the section of the document."""
    # Many rounds, because other work of the machine changes what the caches hold.
    seconds = measure(f"{__package__}.reading", effort, loops=500, rounds=15)
    rows = []
    for kind, title in KINDS.items():
        baseline = seconds[f"{kind} baseline"].median
        for way, name in WAYS.items():
            result = seconds[f"{kind} {way}"]
            rows.append(
                (
                    title if way == "ours" else "",
                    name,
                    times(result.median / baseline),
                    result.text(1e6, 1),
                    f"{alone(count_writes, kind, way):.1f}",
                )
            )
    return table(("reading", "", "of the baseline", "µs of CPU", "states written"), rows)


if __name__ == "__main__":
    main()
