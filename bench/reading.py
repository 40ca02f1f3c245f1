"""One reading into Home Assistant: bytes to written states, against the floor and the usual pattern."""

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
from aiohttp.base_protocol import BaseProtocol
from homeassistant.config_entries import RELOAD_AFTER_UPDATE_DELAY, ConfigEntryState
from homeassistant.const import EVENT_STATE_CHANGED, EVENT_STATE_REPORTED
from homeassistant.core import Event, callback
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.entity_platform import async_get_platforms
from homeassistant.runner import create_event_loop
from homeassistant.util import dt as dt_util
import orjson
from yarl import URL

from custom_components.energy_sse.const import CONF_WRITE_INTERVAL, DOMAIN
from custom_components.energy_sse.reader import Reader, ReaderConnection, make_reader, whatwatt
from custom_components.energy_sse.reader.models import Measurement, Reading
from custom_components.energy_sse.reader.whatwatt import FIELDS, parse_live
from custom_components.energy_sse.sensor import MeasurementSensor
from tests.simulators import House, WhatwattSimulator
from tests.wait import wait_until

from .baseline import add_usual_sensors
from .harness import measure, runner
from .home import add_reader, enable_everything, home_assistant
from .measure import Effort, alone, table, times

KINDS: Final = {"typical": "typical: six values changed", "worst": "worst: all values changed"}

WAYS: Final = {
    "ours": "ours",
    "usual": "the usual pattern",
    "stream": "floor, with the body read and its JSON parsed",
    "floor": "floor: `async_write_ha_state` on what has changed",
}

# What a quiet second changes: one phase, and with it the total and the net power.
TYPICAL: Final = ("P_In", "P_P1_In", "I_P1", "V_P1", "PF")

# The smallest step of the meter, by how its keys begin.
STEPS: Final = {"V": 0.1, "I": 0.01, "PF": 0.01, "T": 1}


type Work = tuple[Mapping[Measurement, float], list[MeasurementSensor]]
"""What has changed with a reading, and the sensors that show it."""


class Meter:
    """A three-phase meter behind a whatwatt that sends all the keys that there are."""

    def __init__(self) -> None:
        """Start with a value for everything."""
        now = datetime.now()  # noqa: DTZ005 (the reader tells the time of the place)
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
        await wait_until(lambda: len(self.entry.runtime_data.coordinator.data.values) >= len(FIELDS))
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
        tap = Tap(self.entry.runtime_data.coordinator.reader)
        self.simulator.end_streams()
        self.entry.runtime_data.coordinator.async_handle_announcement(self.simulator.host)
        await wait_until(lambda: tap.content)
        assert tap.content is not None
        self.content = tap.content

    async def tap_usual(self) -> None:
        """Replace ours by the usual pattern, and take the place of the network."""
        measurements = list(self.entry.runtime_data.coordinator.data.measurements)
        assert self.entry.unique_id is not None
        await self.hass.config_entries.async_unload(self.entry.entry_id)
        reader = make_reader("whatwatt", async_get_clientsession(self.hass), self.simulator.host, None)
        tap = Tap(reader)
        usual = await add_usual_sensors(self.hass, self.entry, reader, measurements)
        connection = ReaderConnection(reader, self.entry.unique_id, usual)
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
            await asyncio.sleep(0)
            # Minutes that pass in a moment bring files to write. Their thread hardly gets a turn while this
            # one is never idle, and slows it down: not so where a second passes between two readings.
            while (  # noqa: ASYNC110 (Home Assistant tells nobody that it has written a file)
                self.hass._tasks or len(self.hass._background_tasks) > tasks_at_rest
            ):
                await asyncio.sleep(0.001)
        took = thread_time() - began
        assert not self.content.is_eof()
        assert self.content._waiter is not None, "all has been dealt with"
        return took

    async def work_in(self, events: list[bytes]) -> list[Work]:
        """Return what each event gives to write, and to whom; the sensors are available then."""
        sensors = {
            entity.entity_description.key: entity
            for platform in async_get_platforms(self.hass, DOMAIN)
            for entity in platform.entities.values()
            if isinstance(entity, MeasurementSensor)
        }
        # One that arrives as usual makes the sensors available.
        await self.feed(events[-1:])
        before = dict(self.entry.runtime_data.coordinator.data.values)
        work: list[Work] = []
        for event in events:
            (reading,) = [
                m for m in parse_live(event.partition(b"data: ")[2].decode()) if isinstance(m, Reading)
            ]
            changed = {key: value for key, value in reading.values.items() if before.get(key) != value}
            before |= changed
            work.append((changed, [sensors[key] for key in changed]))
        return work

    async def write(self, events: list[bytes]) -> float:
        """Only write what has changed, which nobody can do without. Returns the seconds of CPU."""
        values = self.entry.runtime_data.coordinator.data.values
        work = await self.work_in(events)
        began = thread_time()
        for changed, entities in work:
            values.update(changed)
            for entity in entities:
                entity.async_write_ha_state()
        return thread_time() - began

    async def write_from_stream(self, events: list[bytes]) -> float:
        """Write what has changed whenever an event has been read from a body, and its JSON parsed.

        Nobody who reads a stream can do with less. Returns the seconds of CPU.
        """
        values = self.entry.runtime_data.coordinator.data.values
        work = await self.work_in(events)
        protocol = BaseProtocol(self.loop)
        protocol.connection_made(asyncio.Transport())
        content = aiohttp.StreamReader(protocol, 2**16, loop=self.loop)

        async def read() -> None:
            for changed, entities in work:
                event = await content.readany()
                orjson.loads(event.partition(b"data: ")[2])
                values.update(changed)
                for entity in entities:
                    entity.async_write_ha_state()

        reading = self.loop.create_task(read())
        await asyncio.sleep(0)
        began = thread_time()
        for event in events:
            content.feed_data(event)
            await asyncio.sleep(0)
        took = thread_time() - began
        assert reading.done(), "all has been dealt with"
        await reading
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

        # With a filter, as the recorder has one, it is told of a state that is only reported again.
        self.hass.bus.async_listen(EVENT_STATE_CHANGED, count, everything)
        self.hass.bus.async_listen(EVENT_STATE_REPORTED, count, everything)
        self.run(self.feed(events))
        return writes / len(events)


def started(way: str) -> Home:
    """Return a Home Assistant that is ready for a way of getting a reading into it."""
    # As the others do it, and as a reader was measured before there was a default.
    home = Home(options={CONF_WRITE_INTERVAL: 0})
    home.run(home.start())
    home.run(home.tap_usual() if way == "usual" else home.tap())
    return home


def count_writes(kind: str, way: str) -> float:
    """Return how many states a way writes per reading."""
    home = started(way)
    return home.count_writes(home.meter.readings(kind, 600))


def bench_readings(
    module: str,
    ways: Iterable[str],
    started: Callable[[str], Home],
    work: Callable[[Home, str, list[bytes]], Coroutine[Any, Any, float]],
) -> None:
    """Measure ways of getting readings of each kind into a home, as pyperf asks for it: CPU seconds each."""
    pyperf = runner(module)
    logging.disable(logging.WARNING)

    def bench(kind: str, way: str) -> None:
        home: Home | None = None

        def run(loops: int) -> float:
            nonlocal home
            home = home or started(way)
            return home.run(work(home, way, home.meter.readings(kind, loops)))

        pyperf.bench_time_func(f"{kind} {way}", run)
        # Only one of the processes that pyperf starts measures this one.
        if home is not None:
            home.run(home.stop())

    for kind in KINDS:
        for way in ways:
            bench(kind, way)


async def do_work(home: Home, way: str, events: list[bytes]) -> float:
    """Do what a way does with events. Returns the seconds of CPU."""
    match way:
        case "floor":
            return await home.write(events)
        case "stream":
            return await home.write_from_stream(events)
        case _:
            return await home.feed(events)


def main() -> None:
    """Measure all ways."""
    bench_readings(f"{__package__}.reading", WAYS, started, do_work)


def report(effort: Effort) -> str:
    """Measure and tell."""
    # Many rounds: what the caches hold depends on what else the machine does, and that changes by the minute.
    seconds = measure(f"{__package__}.reading", effort, loops=500, rounds=15)
    rows = []
    for kind, title in KINDS.items():
        floor, usual = seconds[f"{kind} floor"].median, seconds[f"{kind} usual"].median
        for way, name in WAYS.items():
            result = seconds[f"{kind} {way}"]
            rows.append(
                (
                    title if way == "ours" else "",
                    name,
                    times(result.median / floor),
                    times(result.median / usual),
                    result.text(1e6, 1),
                    "" if way in ("floor", "stream") else f"{alone(count_writes, kind, way):.1f}",
                )
            )
    return table(("reading", "", "of the floor", "of the usual", "µs of CPU", "states written"), rows)


if __name__ == "__main__":
    main()
