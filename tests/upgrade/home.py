"""A home with both readers, and one Home Assistant after the other on the same files, in simulated time."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self, override

from freezegun import freeze_time
from homeassistant import loader
from homeassistant.bootstrap import async_load_base_functionality
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntry
from homeassistant.core import CoreState, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import async_initialize_recorder, get_instance
from homeassistant.setup import async_setup_component
from homeassistant.util.async_ import get_scheduled_timer_handles
from pytest_homeassistant_custom_component.common import async_test_home_assistant
import voluptuous as vol

from custom_components.energy_sse.const import DOMAIN

from ..simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from ..simulators.house import Appliance, State as ApplianceState
from ..simulators.port import ReservedPort
from ..time_machine import TimeMachine
from ..wait import wait_until

TIME_ZONE: Final = "Europe/Stockholm"

# Interval of the telegrams. The last telegram of an hour is sent a second before the hour ends.
INTERVAL: Final = timedelta(seconds=30)
BEFORE_THE_END: Final = timedelta(seconds=1)

_YEAR_ONE: Final = datetime.min.replace(tzinfo=UTC)

# Hour in UTC → load in W in that hour.
_LOADS: Final = {7: 1800, 13: 2300, 16: 4200, 17: 3100, 18: 1200, 23: 2700}
_USUAL_LOAD: Final = 600
_SUN: Final = {9: 1500, 10: 3200, 11: 4000, 12: 1900}

_FOREVER: Final = (10**9,) * 3


class SteadyHouse(House):
    """A house whose power depends only on its clock and its appliances."""

    @override
    def _measure(self) -> None:
        load = _LOADS.get(self.clock.hour, _USUAL_LOAD) - _SUN.get(self.clock.hour, 0)
        # The minutes, so that the power shows in which hours readings were received.
        load += self.clock.minute
        self.power = [load / 3] * 3
        for appliance in self.appliances:
            self.power[appliance.phase] += appliance.state.power
        self.reactive_power = [-100.0] * 3
        self.voltage = [230 + self.clock.minute / 60 + phase for phase in range(3)]


def appliances() -> list[Appliance]:
    """Return appliances that stay in their state until they are switched."""
    off, active = ApplianceState("off", 0, is_on=False), ApplianceState("Active", 1900, is_on=True)
    washing, heating = (
        ApplianceState("washing", 120, is_on=True),
        ApplianceState("heating", 2100, is_on=True),
    )
    on = ApplianceState("on", 1450, is_on=True)
    return [
        Appliance("mocca_mast", "Mocca Master", "coffee-makers", 0, (off, on), _FOREVER),
        Appliance("dishwasher", "Dishwasher", "dishwashers", 1, (off, washing, heating), _FOREVER),
        Appliance("heat_pump", "Heat pump", "heat-pumps", 2, (active, off), _FOREVER),
    ]


def make_currentlyone(clock: datetime) -> CurrentlyOneSimulator:
    """Return the CurrentlyOne of the home."""
    reader = CurrentlyOneSimulator(SteadyHouse(clock=clock, appliances=appliances()))
    # Fewer entities, so that the stored files are small.
    reader.missing_keys = {f"{key}{phase}" for key in "LRQPI" for phase in (1, 2, 3)} | {"R", "Q", "Rh", "Qh"}
    return reader


def make_whatwatt(clock: datetime) -> WhatwattSimulator:
    """Return the whatwatt of the home, whose meter has an import register for each tariff only."""
    house = SteadyHouse(clock=clock, appliances=[])
    house.active_import = {1: 2_000_000.0, 2: 1_000_000.0}
    reader = WhatwattSimulator(house, password="secret", interval=INTERVAL.total_seconds())
    phases = ("P_P{}_In", "P_P{}_Out", "rP_P{}_In", "rP_P{}_Out", "I_P{}", "V_P{}")
    reactive = ("rP_In", "rP_Out", "rE_In", "rE_Out", "rEii", "rEic", "rEei", "rEec", "PF")
    reader.missing_keys = {"E_In", *reactive, *(key.format(phase) for key in phases for phase in (1, 2, 3))}
    reader.clouds["whatwatt"] = True
    reader.sub_meters = {"20000741": 1234.5, "20000742": 87.25, "20000743": 5.0}
    return reader


@contextmanager
def simulated_time(start: datetime) -> Iterator[TimeMachine]:
    """Control all clocks."""
    # No two states have the same microsecond, so that their order is known.
    with freeze_time(start, auto_tick_seconds=1e-6) as wall_clock:
        yield TimeMachine(asyncio.get_running_loop(), wall_clock.tick)


def _is_of_home_assistant(timer: asyncio.TimerHandle) -> bool:
    callback = timer._callback  # type: ignore[attr-defined] # noqa: SLF001 (there is no public way)
    return getattr(callback, "__module__", "") == "homeassistant.helpers.event"


class Home:
    """Both readers, and the Home Assistant that is running."""

    def __init__(
        self,
        folder: Path,
        whatwatt: WhatwattSimulator,
        currentlyone: CurrentlyOneSimulator,
        entered: ReservedPort,
        time_machine: TimeMachine,
    ) -> None:
        """Use the files in a folder. Home Assistant is not running yet.

        `entered` is the port that was entered for the CurrentlyOne, which has another one since.
        """
        self.folder = folder
        self.whatwatt = whatwatt
        self.currentlyone = currentlyone
        self.entered = entered
        self.origin = folder
        """Folder with the installation from which the files are copied."""

        self.fired: list[list[Any]] = []
        """Event entities that have fired since the last start, and the type of each event."""

        self._time_machine = time_machine
        self._started_at = datetime.max.replace(tzinfo=UTC)
        self._hass: HomeAssistant | None = None
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Return the home."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop Home Assistant and the readers."""
        if self._hass is not None:
            await self.stop()
        for reader in (self.whatwatt, self.currentlyone):
            await reader.stop()

    @property
    def hass(self) -> HomeAssistant:
        """The Home Assistant that is running."""
        assert self._hass is not None
        return self._hass

    @property
    def now(self) -> datetime:
        """The time of both houses, which is that of the last telegram or later."""
        return self.currentlyone.house.clock

    @property
    def entries(self) -> Mapping[str, ConfigEntry]:
        """The config entries by their unique id."""
        return {str(entry.unique_id): entry for entry in self.hass.config_entries.async_entries(DOMAIN)}

    @property
    def entities(self) -> list[er.RegistryEntry]:
        """The entities of both readers in the registry."""
        registry = er.async_get(self.hass)
        return [
            entity
            for entry in self.entries.values()
            for entity in er.async_entries_for_config_entry(registry, entry.entry_id)
        ]

    def entity_id(self, unique_id: str) -> str:
        """Return the entity of a unique id, which only one platform has."""
        (found,) = (each.entity_id for each in self.entities if each.unique_id == unique_id)
        return found

    async def start(self, *, has_recorder: bool = True) -> None:
        """Start Home Assistant as its bootstrap does."""
        self._hass = await self._running.enter_async_context(
            async_test_home_assistant(
                config_dir=str(self.folder), initial_state=CoreState.not_running, load_registries=False
            )
        )
        self.hass.data.pop(loader.DATA_CUSTOM_COMPONENTS)
        assert await async_load_base_functionality(self.hass)
        await self.hass.config.async_set_time_zone(TIME_ZONE)
        # An event's time has milliseconds.
        self.fired, self._started_at = [], datetime.now(UTC) - timedelta(milliseconds=1)
        self.hass.bus.async_listen("state_changed", self._record_event)
        if has_recorder:
            async_initialize_recorder(self.hass)
            # Longer than usual, which is faster. The recorder commits before it compiles statistics.
            recorder = {"db_url": f"sqlite:///{self.folder}/home-assistant.db", "commit_interval": 300}
            assert await async_setup_component(self.hass, "recorder", {"recorder": recorder})
        await async_setup_component(self.hass, DOMAIN, {})
        await self.hass.async_start()
        await self.settle()

    @callback
    def _record_event(self, event: Event[EventStateChangedData]) -> None:
        new, old = event.data["new_state"], event.data["old_state"]
        if new is None or new.domain != "event" or new.state in ("unknown", "unavailable"):
            return
        is_changed = old is None or old.state != new.state
        # A restored state is older.
        if is_changed and datetime.fromisoformat(new.state) >= self._started_at:
            self.fired.append([new.entity_id, new.attributes["event_type"]])

    async def stop(self) -> None:
        """Stop Home Assistant, which writes all of its files."""
        await self.hass.async_stop(force=True)
        self._hass = None
        await self._running.aclose()
        # Timers of Home Assistant end with its process.
        for timer in get_scheduled_timer_handles(asyncio.get_running_loop()):
            if _is_of_home_assistant(timer):
                timer.cancel()
        await wait_until(lambda: not (self.whatwatt.streams or self.currentlyone.streams))

    async def settle(self) -> None:
        """Wait until Home Assistant and its recorder are idle."""
        await self._time_machine.idle()
        await self.hass.async_block_till_done()
        if "recorder" in self.hass.config.components:
            instance = get_instance(self.hass)
            await instance.async_recorder_ready.wait()
            committed = self.hass.loop.create_future()
            instance.queue_task(SynchronizeTask(committed))
            await committed
            await self._time_machine.idle()

    async def run_until(self, end: datetime) -> None:
        """Let time pass for the readers, and for Home Assistant if it is running."""
        while self.now < end:
            telegram = self.now + INTERVAL - (self.now + BEFORE_THE_END - _YEAR_ONE) % INTERVAL
            time = min(telegram, end)
            await self._time_machine.advance((time - datetime.now(UTC)).total_seconds())
            for reader in (self.whatwatt, self.currentlyone):
                await reader.advance((time - reader.house.clock).total_seconds())
            if time == telegram:
                await self._send_readings()
            if self._hass is not None:
                await self.settle()

    async def _send_readings(self) -> None:
        self.whatwatt.sub_meters = {
            number: None if count is None else round(count + 0.01, 3)
            for number, count in self.whatwatt.sub_meters.items()
        }
        await self.whatwatt.send_reading()
        await self.currentlyone.send_reading()

    def shown(self) -> dict[str, list[Any]]:
        """Return the state and the attributes of each entity of the readers that has a state."""
        states = (self.hass.states.get(entity.entity_id) for entity in self.entities)
        return {
            state.entity_id: [state.state, dict(state.attributes)] for state in states if state is not None
        }

    async def statistics(self, begin: datetime) -> dict[str, list[tuple[float, float, float]]]:
        """Return start, state and sum of each hour since a time, for each entity with sums. Energy is kWh."""
        rows = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period,
            self.hass,
            begin,
            None,
            {entity.entity_id for entity in self.entities},
            "hour",
            {"energy": "kWh"},
            {"state", "sum"},
        )
        return {
            entity_id: [(row["start"], row["state"] or 0, row["sum"] or 0) for row in hours]
            for entity_id, hours in rows.items()
            if hours and hours[0].get("sum") is not None
        }

    async def options(self, unique_id: str) -> dict[str, Any]:
        """Return the values that the dialogs of the options and of the power tariffs show."""
        entry, flows = self.entries[unique_id], self.hass.config_entries
        menu = await flows.options.async_init(entry.entry_id)
        flows.options.async_abort(menu["flow_id"])
        shown: dict[str, Any] = {}
        assert isinstance(menu["menu_options"], list)
        for step in menu["menu_options"]:
            menu = await flows.options.async_init(entry.entry_id)
            form = await flows.options.async_configure(menu["flow_id"], {"next_step_id": step})
            flows.options.async_abort(form["flow_id"])
            shown |= _shown_values(form["data_schema"])
        for subentry in entry.subentries.values():
            rules = await flows.subentries.async_init(
                (entry.entry_id, subentry.subentry_type),
                context={"source": SOURCE_RECONFIGURE, "subentry_id": subentry.subentry_id},
            )
            shown |= _shown_values(rules["data_schema"])
            while not rules["last_step"]:
                rules = await flows.subentries.async_configure(rules["flow_id"], {})
                shown |= _shown_values(rules["data_schema"])
            flows.subentries.async_abort(rules["flow_id"])
        return shown


def _shown_values(schema: vol.Schema | None) -> dict[str, Any]:
    assert schema is not None
    return {
        str(marker): marker.default()
        if callable(marker.default)
        else (marker.description or {}).get("suggested_value")
        for marker in schema.schema
    }
