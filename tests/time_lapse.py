"""Days of a CurrentlyOne and of Home Assistant in simulated time.

Sockets use real time. Timers of Home Assistant and of the stored data use the clock of the simulated house.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
import copy
from datetime import UTC, datetime, timedelta
import math
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast
from unittest.mock import Mock, patch

from freezegun import api as freezegun_api, freeze_time
from homeassistant import loader
from homeassistant.components.recorder import Recorder
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.helpers import entity_registry as er, frame
from homeassistant.helpers.recorder import async_initialize_recorder, get_instance
from homeassistant.helpers.storage import Store
from homeassistant.setup import async_setup_component
from homeassistant.util.ulid import ulid_now
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_test_home_assistant

from custom_components.energy_sse.const import DOMAIN, SUBENTRY_POWER_TARIFF
from custom_components.energy_sse.reader import Measurement as M, clock
from custom_components.energy_sse.reader.currentlyone import CurrentlyOneReader
from custom_components.energy_sse.store import storage_key

from .home_assistant import entity_id, entry_for, receive
from .simulators import CurrentlyOneSimulator
from .wait import wait_until

HOUR = timedelta(hours=1)

REGISTERS = (M.ACTIVE_ENERGY_IMPORT, M.ACTIVE_ENERGY_EXPORT)

_TIMER_MODULES = ("homeassistant.helpers.event", "homeassistant.helpers.debounce")


def _is_timer_of_home_assistant(callback: Any) -> bool:
    return getattr(callback, "__module__", "") in _TIMER_MODULES


def _is_timer_of_a_store(callback: Any) -> bool:
    """Return True for a timer that saves data of the integration."""
    store = getattr(callback, "__self__", None)
    return isinstance(store, Store) and store.key.startswith(DOMAIN)


class Hour(NamedTuple):
    """Hour in the Energy dashboard, in Wh."""

    state: float
    sum: float
    change: float


class TimeLapse:
    """A house with its meter and reader, and several runs of Home Assistant."""

    def __init__(
        self, reader: CurrentlyOneSimulator, database: str, config_dir: Path, storage: dict[str, Any]
    ) -> None:
        self.reader = reader
        self.time_zone = "Europe/Stockholm"
        self.unit = "kWh"
        """Unit that the user has chosen for the sensors."""

        self.measurements = set(REGISTERS)
        """Measurements with an enabled sensor."""

        self.options: dict[str, Any] = {}
        self.tariff: Mapping[str, Any] | None = None
        """Rules of a power tariff, which every run of Home Assistant has."""

        self.has_recorder = True
        self.recorder_options: dict[str, Any] = {}
        self.recorder_is_locked = False
        self.clock_error = timedelta()
        """Home Assistant's clock minus the right time."""

        self.interval = timedelta(minutes=2)
        """Time between two telegrams. It has to divide an hour."""

        self.before_the_end = timedelta(seconds=1)
        """Time from the last telegram of an hour to its end. By default, such an hour is right to 2 Wh."""

        self.truth_interval = HOUR
        """Time between two registers in `truth`."""

        self.truth: dict[M, dict[datetime, int]] = {register: {} for register in REGISTERS}
        """Registers of the meter at each hour."""

        self.telegrams: dict[datetime, int] = {}
        """Import register in each telegram that Home Assistant has received."""

        self.sent: dict[datetime, int] = {}
        """Import register in each telegram that the meter has sent."""

        self.received: dict[M, dict[datetime, int]] = {register: {} for register in REGISTERS}
        """Registers in the last telegram before an hour's end, if Home Assistant has received it."""

        self._database = database
        self._config_dir = str(config_dir)
        self._storage = storage
        self._entry_id = ulid_now()
        self._hass: HomeAssistant | None = None
        self._entry: MockConfigEntry | None = None
        self._running = AsyncExitStack()
        self._reconnections = 0
        """Reconnections of the reader since the start of Home Assistant."""

        self._timers: dict[asyncio.TimerHandle, datetime] = {}
        self._frozen: Any = None

    @property
    def hass(self) -> HomeAssistant:
        """The running Home Assistant."""
        assert self._hass is not None
        return self._hass

    @property
    def is_running(self) -> bool:
        """True while Home Assistant is running."""
        return self._hass is not None

    @property
    def entry(self) -> MockConfigEntry:
        """Config entry of the reader."""
        assert self._entry is not None
        return self._entry

    # ------------------------------------------------------------------------------------------- time

    @contextmanager
    def stopped_clock(self) -> Iterator[None]:
        """Take control of the clock."""
        loop = asyncio.get_running_loop()
        # The debug mode of the test package inspects the stack of each timer.
        loop.set_debug(False)
        with (
            # States of one burst need different times, because the recorder sorts them by time.
            freeze_time(self.now + self.clock_error, auto_tick_seconds=1e-6) as self._frozen,
            # Sockets use real time.
            patch.object(loop, "time", freezegun_api.real_monotonic),
            patch.object(loop, "call_at", self._call_at(loop)),
            patch.object(clock, "now", self._timestamp),
        ):
            yield

    @property
    def now(self) -> datetime:
        """The right time."""
        return self.reader.house.clock

    def set_clock(self, error: timedelta) -> None:
        """Set the clock of Home Assistant: a time server, or a start without a battery."""
        self.clock_error = error
        self._frozen.move_to(self.now + error)

    def _timestamp(self) -> float:
        return self.now.timestamp()

    async def run_until(self, end: datetime) -> None:
        """Advance to a time. Run the timers and send the telegrams until then."""
        while self.now < end:
            telegram = self._next(self.interval, self.before_the_end)
            timers = [due for handle, due in self._timers.items() if not handle.cancelled()]
            await self._move_to(max(self.now, min(telegram, end, *timers)))
            await self._run_timers()
            if self.now == telegram:
                await self._send_telegram()

    async def run_for(self, **duration: float) -> None:
        """Advance by a duration."""
        await self.run_until(self.now + timedelta(**duration))

    async def settle(self) -> None:
        """Wait until Home Assistant and its recorder are idle."""
        await self.hass.async_block_till_done()
        if self.has_recorder and self.hass.is_running and not self.recorder_is_locked:
            instance = get_instance(self.hass)
            await instance.async_recorder_ready.wait()
            committed = self.hass.loop.create_future()
            instance.queue_task(SynchronizeTask(committed))
            await committed
            await self.hass.async_block_till_done()

    def _next(self, every: timedelta, before: timedelta = timedelta()) -> datetime:
        """Return the next time that is some time before a multiple of a duration."""
        since_year_one = self.now + before - datetime.min.replace(tzinfo=UTC)
        return self.now + every - since_year_one % every

    async def _move_to(self, time: datetime) -> None:
        while self.now < time:
            boundary = self._next(self.truth_interval)
            await self.reader.advance((min(time, boundary) - self.now).total_seconds())
            self._frozen.move_to(self.now + self.clock_error)
            if self.now == boundary:
                # The mock of the storage keeps the data of all calls: 3 GB in a simulated month.
                cast("Mock", Store._async_write_data).reset_mock()  # noqa: SLF001 (the method that is mocked)
                for register, value in zip(REGISTERS, self.meter_registers, strict=True):
                    self.truth[register][boundary] = value

    async def _run_timers(self) -> None:
        due = [handle for handle, time in self._timers.items() if time <= self.now]
        for handle in due:
            del self._timers[handle]
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 (as the test package does)
        if due and self._hass is not None:
            await self.settle()

    def _call_at(self, loop: asyncio.AbstractEventLoop) -> Callable[..., asyncio.TimerHandle]:
        """Return a `call_at` that schedules timers of Home Assistant and of stores by this clock."""
        call_at = loop.call_at

        def schedule(when: float, callback: Any, *args: Any, **context: Any) -> asyncio.TimerHandle:
            if not (_is_timer_of_home_assistant(callback) or _is_timer_of_a_store(callback)):
                return call_at(when, callback, *args, **context)
            handle = asyncio.TimerHandle(when, callback, args, loop, context.get("context"))
            # Rounded up, because some real time has passed and Home Assistant sets early timers again.
            seconds = math.ceil((when - loop.time()) * 100) / 100
            self._timers[handle] = self.now + timedelta(seconds=seconds)
            return handle

        return schedule

    # ------------------------------------------------------------------------------------------ meter

    @property
    def meter_registers(self) -> tuple[int, int]:
        """Registers of the meter now, in Wh."""
        house = self.reader.house
        return int(sum(house.active_import.values())), int(sum(house.active_export.values()))

    async def _send_telegram(self) -> None:
        self.sent[self.now], _ = self.meter_registers
        is_connected = (
            self._hass is not None
            and self.reader.is_running
            and self.entry.state is not ConfigEntryState.SETUP_RETRY
        )
        if is_connected:
            # A connection needs real time.
            await wait_until(lambda: self.entry.state is ConfigEntryState.LOADED and self.reader.streams)
            # Waiting must not hide a lost stream.
            stats = self.entry.runtime_data.coordinator.reader.stats
            assert stats.connects <= 1 + self._reconnections
        if not (is_connected and self.reader.meter_is_connected):
            await self.reader.send_reading()
            return
        await receive(self.entry, self.reader, self.reader.send_reading())
        await self.settle()
        self.telegrams[self.now], _ = self.meter_registers
        hour = self.now + self.before_the_end
        if not hour.minute and not self.reader.sends_registers_hourly and not self.reader.missing_keys:
            for register, value in zip(REGISTERS, self.meter_registers, strict=True):
                self.received[register][hour] = value

    async def disconnect_reader(self) -> None:
        """Disconnect the reader from the network while Home Assistant is running."""
        await self.reader.stop()

    async def reconnect_reader(self) -> None:
        """Connect the reader to the network. It announces itself."""
        events = self._received_events
        self._reconnections += 1
        await self.reader.start(self.reader.port)
        if self.entry.state is ConfigEntryState.LOADED:
            self.entry.runtime_data.coordinator.async_handle_announcement(self.reader.host)
        while self.entry.state is not ConfigEntryState.LOADED:
            # Home Assistant retries the setup.
            await self.run_for(seconds=10)
        await self._receive_greeting(events)

    # --------------------------------------------------------------------------------- Home Assistant

    async def start(self) -> None:
        """Start Home Assistant with the database and the stored data of the last run."""
        self._reconnections = 0
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
        if self.tariff is not None:
            subentry = ConfigSubentry(
                data=MappingProxyType(dict(self.tariff)),
                subentry_id="tariff",
                subentry_type=SUBENTRY_POWER_TARIFF,
                title="Power tariff",
                unique_id=None,
            )
            self.hass.config_entries.async_add_subentry(self.entry, subentry)
        self._register_sensors()
        await self.hass.config_entries.async_setup(self.entry.entry_id)
        await self.hass.async_start()
        await self._receive_greeting()

    async def _receive_greeting(self, earlier_events: int = 0) -> None:
        """Wait until the replayed messages have been received. Time does not pass."""
        if self.reader.is_running:
            await wait_until(lambda: self.reader.streams)
            await wait_until(lambda: self._received_events >= earlier_events + self.reader.greeting_size)
        await self.settle()

    @property
    def _received_events(self) -> int:
        if self.entry.state is not ConfigEntryState.LOADED:
            return 0
        events: Counter[str] = self.entry.runtime_data.coordinator.reader.stats.events
        return events.total()

    def _register_sensors(self) -> None:
        """Register the wanted sensors with their unit, and disable the other ones."""
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
        """Stop Home Assistant."""
        await self.hass.async_stop(force=True)
        self._hass = None
        await self._running.aclose()
        self._timers.clear()
        await wait_until(lambda: not self.reader.streams)

    async def crash(self) -> None:
        """Stop Home Assistant as a power failure does: data is neither committed nor saved."""
        files = copy.deepcopy(self._files)
        with patch.object(Recorder, "_end_session"):
            await self.stop()
        for key in self._files:
            del self._storage[key]
        self._storage.update(files)

    def stored(self, section: str) -> Any:
        """Return a section of the stored data."""
        return copy.deepcopy(self._storage[self._storage_key]["data"][section])

    def store(self, section: str, data: Any) -> None:
        """Replace a section of the stored data."""
        self._storage[self._storage_key]["data"][section] = data

    @property
    def _files(self) -> dict[str, Any]:
        """Stored data of the entry, by the name of the file."""
        return {key: file for key, file in self._storage.items() if key.startswith(self._storage_key)}

    @property
    def _storage_key(self) -> str:
        return storage_key(self._entry_id)

    # ---------------------------------------------------------------------------------------- results

    async def hours(self, register: M) -> dict[datetime, Hour]:
        """Return the hours of a register in Wh, with the query of the Energy dashboard."""
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
        """Return the entity id of a register."""
        found = entity_id(self.hass, "sensor", f"{self.reader.device_id}_{register}")
        assert found is not None
        return found
