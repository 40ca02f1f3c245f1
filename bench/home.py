"""Home Assistant in this process, with registries and real sockets, but without a frontend."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
import json
import logging
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, thread_time
from types import MappingProxyType
from typing import Any, Final
from unittest.mock import patch

import aiohttp
from homeassistant import bootstrap, loader
from homeassistant.components.recorder import CONF_COMMIT_INTERVAL, DOMAIN as RECORDER
from homeassistant.config_entries import (
    RELOAD_AFTER_UPDATE_DELAY,
    SOURCE_USER,
    ConfigEntries,
    ConfigEntry,
    ConfigEntryState,
    ConfigSubentry,
)
from homeassistant.const import CONF_HOST, EVENT_STATE_CHANGED, EVENT_STATE_REPORTED
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import async_initialize_recorder
from homeassistant.runner import create_event_loop
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util

from custom_components.energy_sse.const import CONF_WRITE_INTERVAL, DOMAIN, SUBENTRY_POWER_TARIFF
from custom_components.energy_sse.data import EnergySseConfigEntry
from custom_components.energy_sse.reader import whatwatt
from custom_components.energy_sse.reader.whatwatt import FIELDS
from tests.simulators import WhatwattSimulator
from tests.simulators.household import Household
from tests.wait import wait_until

from .baseline import replace_by_baseline


def run[T](main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop of Home Assistant's kind. Return its result."""
    # Home Assistant warns about the custom integration and the missing frontend.
    logging.disable(logging.WARNING)
    with asyncio.Runner(loop_factory=create_event_loop) as runner:
        return runner.run(main)


@asynccontextmanager
async def home_assistant(
    folder: Path | None = None, *, recorder: bool = False
) -> AsyncGenerator[HomeAssistant]:
    """Run Home Assistant in a block, with a configuration folder or with an empty one."""
    with TemporaryDirectory() as empty:
        hass = HomeAssistant(str(folder or empty))
        loader.async_setup(hass)
        hass.config.skip_pip = True
        hass.config_entries = ConfigEntries(hass, {})
        await loader.async_get_custom_components(hass)
        await bootstrap.async_load_base_functionality(hass)
        for domain in ("homeassistant", "network"):
            await async_setup_component(hass, domain, {})
        if recorder:
            async_initialize_recorder(hass)
            # The recorder's default.
            await async_setup_component(hass, RECORDER, {RECORDER: {CONF_COMMIT_INTERVAL: 5}})
        await hass.async_start()
        await hass.async_block_till_done()
        try:
            yield hass
        finally:
            await hass.async_stop(force=True)


async def add_reader(hass: HomeAssistant, host: str) -> EnergySseConfigEntry:
    """Add a reader by its address, as a user does."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}, data={CONF_HOST: host}
    )
    entry: ConfigEntry = result["result"]
    await wait_until(lambda: entry.state is ConfigEntryState.LOADED)
    return entry


def enable_everything(hass: HomeAssistant, entry: EnergySseConfigEntry) -> None:
    """Enable the entities that are disabled by default. Home Assistant reloads the entry 30 s later."""
    registry = er.async_get(hass)
    for each in er.async_entries_for_config_entry(registry, entry.entry_id):
        if each.disabled_by is not None:
            registry.async_update_entity(each.entity_id, disabled_by=None)


# Keys that change in a typical reading: values of one phase, and the total power.
TYPICAL: Final = ("P_In", "P_P1_In", "I_P1", "V_P1", "PF")

# Beginning of a key → smallest step of its values.
STEPS: Final = {"V": 0.1, "I": 0.01, "PF": 0.01, "T": 1}


class Meter:
    """Three-phase meter with a whatwatt that sends all keys."""

    def __init__(self) -> None:
        """Start with a value for each key."""
        now = datetime.now()  # noqa: DTZ005 (the reader sends local time)
        self._payload: dict[str, Any] = {
            **{key: 100 + number for number, key in enumerate(FIELDS)},
            "T": 1,
            "Date": f"{now:%Y-%m-%d}",
            "Time": f"{now:%H:%M:%S}",
        }
        self._goes_up = False

    def readings(self, kind: str, count: int) -> list[bytes]:
        """Return events. In each, the `TYPICAL` keys or all keys differ from the previous event.

        Registers grow. The other values rise and fall in turn.
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


async def add_tariff(hass: HomeAssistant, entry: EnergySseConfigEntry, rules: Mapping[str, Any]) -> None:
    """Add a power tariff, and wait until the entry is reloaded."""
    subentry = ConfigSubentry(
        data=MappingProxyType(dict(rules)),
        subentry_type=SUBENTRY_POWER_TARIFF,
        title="Tariff",
        unique_id=None,
    )
    before = entry.runtime_data
    hass.config_entries.async_add_subentry(entry, subentry)
    await wait_until(lambda: entry.state is ConfigEntryState.LOADED and entry.runtime_data is not before)


class Home:
    """Home Assistant with one whatwatt whose entities are all enabled, and a reading every second."""

    def __init__(
        self,
        *,
        recorder: bool = False,
        options: Mapping[str, Any] | None = None,
        tariff: Mapping[str, Any] | None = None,
    ) -> None:
        """Create an event loop whose clock can be advanced. `tariff` contains the rules of a power tariff."""
        self._recorder = recorder
        self._options = options or {}
        self._tariff = tariff
        self.loop = create_event_loop()
        self._skipped = 0.0
        self.loop.time = lambda: monotonic() + self._skipped  # type: ignore[method-assign] # for this loop only
        self._stack = AsyncExitStack()
        self._content: aiohttp.StreamReader | None = None
        """Body of the last opened stream."""

        self.meter = Meter()

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the event loop of this home. Return its result."""
        return self.loop.run_until_complete(coroutine)

    async def start(self) -> None:
        """Start Home Assistant, and wait until all entities exist and the stream is open."""
        request = aiohttp.ClientSession._request

        async def record_stream(*args: Any, **options: Any) -> aiohttp.ClientResponse:  # noqa: ANN401 (passed on)
            response = await request(*args, **options)
            if response.content_type == "text/event-stream":
                self._content = response.content
            return response

        self._stack.enter_context(patch.object(aiohttp.ClientSession, "_request", record_stream))
        # The status is not part of a reading, and this process would have to respond to its requests.
        whatwatt._STATUS_INTERVAL = math.inf  # type: ignore[misc, assignment] # for this process only
        if self._recorder:
            # A power tariff also uses the wall clock, which has to advance with the event loop's clock.
            began, moved = self.loop.time(), dt_util.utcnow()
            now = lambda: moved + timedelta(seconds=self.loop.time() - began)  # noqa: E731 (a clock)
            self._stack.enter_context(patch.object(dt_util, "utcnow", now))
        self.hass = await self._stack.enter_async_context(home_assistant(recorder=self._recorder))
        self.simulator = WhatwattSimulator(Household(clock=datetime.now(UTC)))
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
        if self._tariff is not None:
            await add_tariff(self.hass, self.entry, self._tariff)
        before = self.entry.runtime_data
        self._content = None
        enable_everything(self.hass, self.entry)
        # Home Assistant reloads the entry after this delay.
        self._skipped += RELOAD_AFTER_UPDATE_DELAY + 1
        await wait_until(
            lambda: self.entry.state is ConfigEntryState.LOADED and self.entry.runtime_data is not before
        )
        await wait_until(lambda: self._content)

    async def stop(self) -> None:
        """Stop Home Assistant, and the thread of its recorder."""
        await self._stack.aclose()

    async def start_baseline(self) -> None:
        """Replace the sensors by baseline sensors."""
        self._content = None
        connection = await replace_by_baseline(self.hass, self.entry)
        self._connection = self.loop.create_task(connection.run())
        await wait_until(lambda: self._content)

    async def feed(self, events: list[bytes]) -> float:
        """Deliver events, a simulated second apart. Return the CPU seconds until their states are written."""
        content = self._content
        assert content is not None
        tasks_at_rest = len(self.hass._background_tasks)
        began = thread_time()
        for event in events:
            self._skipped += 1
            content.feed_data(event)
            # The reader lets other tasks run before it waits for more data.
            while content._waiter is None and not content.is_eof():  # noqa: ASYNC110 (as below)
                await asyncio.sleep(0)
            # In simulated minutes, another thread writes files, and would slow down this one. In real use, it
            # does not.
            while (  # noqa: ASYNC110 (Home Assistant does not notify of a written file)
                self.hass._tasks or len(self.hass._background_tasks) > tasks_at_rest
            ):
                await asyncio.sleep(0.001)
        took = thread_time() - began
        assert not content.is_eof()
        return took

    def count_writes(self, events: list[bytes]) -> float:
        """Return the number of states that are written per event."""
        writes = 0

        @callback
        def count(_event: Event[Any]) -> None:
            nonlocal writes
            writes += 1

        @callback
        def everything(_data: Mapping[str, Any]) -> bool:
            return True

        # Reports of unchanged states are sent only to listeners with a filter, such as the recorder.
        self.hass.bus.async_listen(EVENT_STATE_CHANGED, count, everything)
        self.hass.bus.async_listen(EVENT_STATE_REPORTED, count, everything)
        self.run(self.feed(events))
        return writes / len(events)


def start_home(variant: str) -> Home:
    """Return a started Home Assistant with the integration, or with the baseline."""
    # Every reading is written, as by the baseline.
    home = Home(options={CONF_WRITE_INTERVAL: 0})
    home.run(home.start())
    if variant == "baseline":
        home.run(home.start_baseline())
    return home


def count_writes(kind: str, variant: str, readings: int = 600) -> float:
    """Return the number of states that a variant writes per reading."""
    logging.disable(logging.WARNING)
    home = start_home(variant)
    return home.count_writes(home.meter.readings(kind, readings))
