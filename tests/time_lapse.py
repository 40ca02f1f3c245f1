"""Days of a CurrentlyOne and of the Home Assistants that listen to it, in seconds.

Everything is real, only the clock is not: sockets live in real time, but what Home Assistant plans for later
happens when the house's clock gets there.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
import copy
from datetime import UTC, datetime, timedelta
import math
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from freezegun import api as freezegun_api, freeze_time
from homeassistant import loader
from homeassistant.components.recorder import Recorder
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.helpers import entity_registry as er, frame
from homeassistant.helpers.recorder import async_initialize_recorder, get_instance
from homeassistant.helpers.storage import Store
from homeassistant.setup import async_setup_component
from homeassistant.util.ulid import ulid_now
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_test_home_assistant

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import Measurement as M, clock
from custom_components.energy_sse.reader.currentlyone import CurrentlyOneReader

from .home_assistant import entity_id, entry_for, receive
from .simulators import CurrentlyOneSimulator
from .wait import wait_until

HOUR = timedelta(hours=1)

REGISTERS = (M.ACTIVE_ENERGY_IMPORT, M.ACTIVE_ENERGY_EXPORT)


_TIMER_MODULES = ("homeassistant.helpers.event", "homeassistant.helpers.debounce")


def _is_timer_of_home_assistant(callback: Any) -> bool:
    return getattr(callback, "__module__", "") in _TIMER_MODULES


def _is_memory(callback: Any) -> bool:
    """Return whether a timer saves what the integration remembers."""
    store = getattr(callback, "__self__", None)
    return isinstance(store, Store) and store.key.startswith(DOMAIN)


class Hour(NamedTuple):
    """What the Energy dashboard gets of an hour, in Wh."""

    state: float
    sum: float
    change: float


class TimeLapse:
    """A house with its meter and reader, and one Home Assistant after the other."""

    def __init__(
        self, reader: CurrentlyOneSimulator, database: str, config_dir: Path, storage: dict[str, Any]
    ) -> None:
        self.reader = reader
        self.time_zone = "Europe/Stockholm"
        self.unit = "kWh"
        """What the user has chosen for the sensors."""

        self.measurements = set(REGISTERS)
        """Those that have a sensor."""

        self.options: dict[str, Any] = {}
        self.has_recorder = True
        self.recorder_options: dict[str, Any] = {}
        self.recorder_is_locked = False
        self.clock_error = timedelta()
        """By how much the clock of Home Assistant is ahead of the house's."""

        self.interval = timedelta(minutes=2)
        """Between two telegrams. It has to divide an hour."""

        self.before_the_end = timedelta(seconds=1)
        """When the last telegram of an hour comes, so that an hour that was heard is right to a Wh or two."""

        self.looks_every = HOUR
        """How often the meter's registers are noted."""

        self.truth: dict[M, dict[datetime, int]] = {register: {} for register in REGISTERS}
        """The registers at every full hour, as the meter has them."""

        self.telegrams: dict[datetime, int] = {}
        """The import in every telegram that Home Assistant got."""

        self.sent: dict[datetime, int] = {}
        """The import in every telegram that the reader got, whether or not Home Assistant was there."""

        self.heard: dict[M, dict[datetime, int]] = {register: {} for register in REGISTERS}
        """The registers in the last telegram before a full hour, where Home Assistant got it."""

        self._database = database
        self._config_dir = str(config_dir)
        self._storage = storage
        self._entry_id = ulid_now()
        self._hass: HomeAssistant | None = None
        self._entry: MockConfigEntry | None = None
        self._running = AsyncExitStack()
        self._timers: dict[asyncio.TimerHandle, datetime] = {}
        self._frozen: Any = None

    @property
    def hass(self) -> HomeAssistant:
        """The Home Assistant that is running."""
        assert self._hass is not None
        return self._hass

    @property
    def is_running(self) -> bool:
        """Whether there is a Home Assistant running."""
        return self._hass is not None

    @property
    def entry(self) -> MockConfigEntry:
        """Its config entry of the reader."""
        assert self._entry is not None
        return self._entry

    # ------------------------------------------------------------------------------------------- time

    @contextmanager
    def stopped_clock(self) -> Iterator[None]:
        """Take control of the clock."""
        loop = asyncio.get_running_loop()
        # The test package's debug mode looks at the stack of every timer.
        loop.set_debug(False)
        with (
            # No two states of one burst are of the same microsecond: their order would be anybody's guess.
            freeze_time(self.now + self.clock_error, auto_tick_seconds=1e-6) as self._frozen,
            # Sockets live in real time.
            patch.object(loop, "time", freezegun_api.real_monotonic),
            patch.object(loop, "call_at", self._call_at(loop)),
            patch.object(clock, "now", self._timestamp),
        ):
            yield

    @property
    def now(self) -> datetime:
        """What the clock says."""
        return self.reader.house.clock

    def set_clock(self, error: timedelta) -> None:
        """Set the clock of Home Assistant, as a time server or a start without a battery does."""
        self.clock_error = error
        self._frozen.move_to(self.now + error)

    def _timestamp(self) -> float:
        return self.now.timestamp()

    async def run_until(self, end: datetime) -> None:
        """Let time pass, for the meter and for what Home Assistant has planned."""
        while self.now < end:
            telegram = self._next(self.interval, self.before_the_end)
            timers = [due for handle, due in self._timers.items() if not handle.cancelled()]
            await self._move_to(max(self.now, min(telegram, end, *timers)))
            await self._run_timers()
            if self.now == telegram:
                await self._speak()

    async def live(self, **duration: float) -> None:
        """Let time pass."""
        await self.run_until(self.now + timedelta(**duration))

    async def settle(self) -> None:
        """Wait until Home Assistant and its recorder have nothing more to do."""
        await self.hass.async_block_till_done()
        if self.has_recorder and self.hass.is_running and not self.recorder_is_locked:
            instance = get_instance(self.hass)
            await instance.async_recorder_ready.wait()
            committed = self.hass.loop.create_future()
            instance.queue_task(SynchronizeTask(committed))
            await committed
            await self.hass.async_block_till_done()

    def _next(self, every: timedelta, before: timedelta = timedelta()) -> datetime:
        """Return when it is next some time before a multiple of a duration."""
        since_year_one = self.now + before - datetime.min.replace(tzinfo=UTC)
        return self.now + every - since_year_one % every

    async def _move_to(self, time: datetime) -> None:
        while self.now < time:
            look = self._next(self.looks_every)
            await self.reader.advance((min(time, look) - self.now).total_seconds())
            self._frozen.move_to(self.now + self.clock_error)
            if self.now == look:
                for register, value in zip(REGISTERS, self.meter_registers, strict=True):
                    self.truth[register][look] = value

    async def _run_timers(self) -> None:
        due = [handle for handle, time in self._timers.items() if time <= self.now]
        for handle in due:
            del self._timers[handle]
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 (as the test package does)
        if due and self._hass is not None:
            await self.settle()

    def _call_at(self, loop: asyncio.AbstractEventLoop) -> Callable[..., asyncio.TimerHandle]:
        """Return a `call_at` that leaves the timers of Home Assistant to this clock, and only these."""
        call_at = loop.call_at

        def schedule(when: float, callback: Any, *args: Any, **context: Any) -> asyncio.TimerHandle:
            if not (_is_timer_of_home_assistant(callback) or _is_memory(callback)):
                return call_at(when, callback, *args, **context)
            handle = asyncio.TimerHandle(when, callback, args, loop, context.get("context"))
            # Rounded up, because some real time has passed: Home Assistant sends early timers back.
            seconds = math.ceil((when - loop.time()) * 100) / 100
            self._timers[handle] = self.now + timedelta(seconds=seconds)
            return handle

        return schedule

    # ------------------------------------------------------------------------------------------ meter

    @property
    def meter_registers(self) -> tuple[int, int]:
        """The registers that the meter shows now."""
        house = self.reader.house
        return int(sum(house.active_import.values())), int(sum(house.active_export.values()))

    async def _speak(self) -> None:
        is_heard = self._hass is not None and bool(self.reader.streams)
        if is_heard:
            # Home Assistant may be at setting it up this very moment.
            await wait_until(lambda: self.entry.state is ConfigEntryState.LOADED)
        is_received = is_heard and self.reader.meter_is_connected
        if is_received:
            await receive(self.entry, self.reader, self.reader.send_reading())
        else:
            await self.reader.send_reading()
        self.sent[self.now], _ = self.meter_registers
        if not is_received:
            return
        await self.settle()
        self.telegrams[self.now], _ = self.meter_registers
        hour = self.now + self.before_the_end
        if not hour.minute and not self.reader.sends_registers_hourly and not self.reader.lacks:
            for register, value in zip(REGISTERS, self.meter_registers, strict=True):
                self.heard[register][hour] = value

    async def disconnect_reader(self) -> None:
        """Take the reader off the network; Home Assistant goes on."""
        await self.reader.stop()

    async def reconnect_reader(self) -> None:
        """Put the reader back on the network, and let Home Assistant know, as an announcement does."""
        events = self._received_events
        await self.reader.start(self.reader.port)
        if self.entry.state is ConfigEntryState.LOADED:
            self.entry.runtime_data.coordinator.async_handle_announcement(self.reader.host)
            await wait_until(lambda: self.reader.streams)
            await self._receive_greeting(events)
        while self.entry.state is not ConfigEntryState.LOADED:
            # Home Assistant tries again by itself.
            await self.live(seconds=10)

    # --------------------------------------------------------------------------------- Home Assistant

    async def start(self) -> None:
        """Start a Home Assistant on the database that the last one left."""
        self._hass = await self._running.enter_async_context(
            async_test_home_assistant(config_dir=self._config_dir, initial_state=CoreState.not_running)
        )
        frame.async_setup(self.hass)
        self.hass.data.pop(loader.DATA_CUSTOM_COMPONENTS)
        await self.hass.config.async_set_time_zone(self.time_zone)
        if self.has_recorder:
            async_initialize_recorder(self.hass)
            recorder = {"db_url": self._database, "commit_interval": 300, **self.recorder_options}
            assert await async_setup_component(self.hass, "recorder", {"recorder": recorder})
        self._entry = entry_for(self.reader, entry_id=self._entry_id)
        self.entry.add_to_hass(self.hass)
        self.hass.config_entries.async_update_entry(self.entry, options=self.options)
        self._register_sensors()
        await self.hass.config_entries.async_setup(self.entry.entry_id)
        await self.hass.async_start()
        await self._receive_greeting()

    async def _receive_greeting(self, earlier_events: int = 0) -> None:
        """Wait until what the reader repeats has arrived. Meanwhile, no time passes."""
        if self.entry.state is ConfigEntryState.LOADED:
            await wait_until(lambda: self._received_events >= earlier_events + self.reader.greeting_size)
        await self.settle()

    @property
    def _received_events(self) -> int:
        if self.entry.state is not ConfigEntryState.LOADED:
            return 0
        events: Counter[str] = self.entry.runtime_data.coordinator.reader.stats.events
        return events.total()

    def _register_sensors(self) -> None:
        """Let the registers be known as of the last run, and leave out all other sensors."""
        registry = er.async_get(self.hass)
        for measurement in CurrentlyOneReader.units:
            unique_id = f"{self.reader.device_id}_{measurement}"
            is_wanted = measurement in self.measurements
            sensor = registry.async_get_or_create(
                "sensor",
                DOMAIN,
                unique_id,
                config_entry=self.entry,
                disabled_by=None if is_wanted else er.RegistryEntryDisabler.USER,
            )
            if is_wanted and measurement in REGISTERS:
                registry.async_update_entity_options(
                    sensor.entity_id, "sensor", {"unit_of_measurement": self.unit}
                )

    async def stop(self) -> None:
        """Stop Home Assistant, as a restart does."""
        await self.hass.async_stop(force=True)
        self._hass = None
        await self._running.aclose()
        self._timers.clear()
        await wait_until(lambda: not self.reader.streams)

    async def crash(self) -> None:
        """End Home Assistant as a power cut does: nothing gets to say goodbye or to save what it knows."""
        remembered = copy.deepcopy(self._files)
        with patch.object(Recorder, "_end_session"):
            await self.stop()
        for key in self._files:
            del self._storage[key]
        self._storage.update(remembered)

    @property
    def memory(self) -> dict[str, Any] | None:
        """What the integration has stored, as of now."""
        return copy.deepcopy(self._storage.get(self._memory_key))

    def remember(self, memory: dict[str, Any] | None) -> None:
        """Replace what the integration has stored."""
        self._storage.pop(self._memory_key, None)
        if memory is not None:
            self._storage[self._memory_key] = memory

    def stored(self, section: str) -> Any:
        """Return a section of the stored data."""
        return copy.deepcopy(self._storage[self._memory_key]["data"][section])

    def store(self, section: str, data: Any) -> None:
        """Replace a section of the stored data."""
        self._storage[self._memory_key]["data"][section] = data

    @property
    def _files(self) -> dict[str, Any]:
        """All that the integration has stored, of the power tariff too."""
        return {key: file for key, file in self._storage.items() if key.startswith(self._memory_key)}

    @property
    def _memory_key(self) -> str:
        return f"{DOMAIN}.{self._entry_id}"

    # ------------------------------------------------------------------------------------ what is shown

    async def hours(self, register: M) -> dict[datetime, Hour]:
        """Return the hours of a register as the Energy dashboard asks for them, in Wh."""
        sensor = self.sensor(register)
        rows = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period,
            self.hass,
            self.now - timedelta(days=30),
            None,
            {sensor},
            "hour",
            {"energy": "Wh"},
            {"change", "state", "sum"},
        )
        return {
            datetime.fromtimestamp(row["start"], UTC): Hour(
                row["state"] or 0.0, row["sum"] or 0.0, row["change"] or 0.0
            )
            for row in rows.get(sensor, [])
        }

    def sensor(self, register: M) -> str:
        """Return the id of a register's sensor."""
        found = entity_id(self.hass, "sensor", f"{self.reader.device_id}_{register}")
        assert found is not None
        return found
