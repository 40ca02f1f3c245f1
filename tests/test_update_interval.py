"""Writes of the last received values: after the update interval, and before an outage or a stop."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import closing
from itertools import cycle, groupby
import sqlite3
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HassJob, HomeAssistant, State as HomeAssistantState
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF, CONF_WRITE_INTERVAL, PowerTariffKey as K
from custom_components.energy_sse.options_flow import WRITE_INTERVALS
from custom_components.energy_sse.reader import READERS, Measurement as M

from .home_assistant import entry_for, marker_of, state_of
from .simulators import House, Simulator
from .simulators.house import Appliance, State
from .state_writes import Write, watch_states
from .time_machine import TimeMachine
from .wait import wait_until

INTERVALS = [int(each) for each in WRITE_INTERVALS if each != "0"]


class Home:
    """A reader in Home Assistant, in simulated time."""

    def __init__(
        self,
        hass: HomeAssistant,
        freezer: FrozenDateTimeFactory,
        reader: Simulator,
        begin: str = "2026-11-10 11:29:05",
    ) -> None:
        self.hass = hass
        self.freezer = freezer
        self.reader = reader
        self.entry = entry_for(reader)
        freezer.move_to(begin)
        self._machine = TimeMachine(asyncio.get_running_loop(), freezer.tick)
        self.marker = marker_of(reader)
        self._values = cycle(range(231, 240))
        self.changes_marker = True
        self.value = ""
        """Marker in the last reading."""

        self.energy = 0.0
        """Energy export in the last reading, in kWh."""

    async def set_up(self, interval: float, **options: Any) -> None:
        """Set the reader up shortly before the end of a quarter-hour, with which each interval ends."""
        self.entry.add_to_hass(self.hass)
        self.hass.config_entries.async_update_entry(
            self.entry, options={CONF_WRITE_INTERVAL: interval, **options}
        )
        assert await self.hass.config_entries.async_setup(self.entry.entry_id)
        await wait_until(lambda: self.reader.streams)
        for _ in range(6):
            await self.send()
            await self.advance(10)

    async def advance(self, seconds: float) -> None:
        """Let time pass without a reading."""
        await self.reader.advance(seconds)
        await self._machine.advance(seconds)

    async def send(self) -> None:
        """Send a reading, with another marker unless the test needs the house's own."""
        if self.changes_marker:
            value = self.reader.overrides[self.reader.marker_key] = next(self._values)
            self.value = str(value)
        self.energy = int(sum(self.reader.house.active_export.values())) / 1000
        await self.reader.send_reading()
        await self._machine.idle()

    async def send_burst(self) -> None:
        """Send five readings, half a second apart."""
        for _ in range(4):
            await self.send()
            await self.advance(0.5)
        await self.send()

    def state(self, key: M | K | None = None) -> HomeAssistantState:
        """Return the state of an entity, by default of the marker."""
        platform = "binary_sensor" if key is K.PEAK_EXPECTED else "sensor"
        return state_of(self.hass, platform, f"{self.reader.device_id}_{key or self.marker}")

    def sensor(self, key: M | K) -> str:
        """Return the entity id of a measurement or of the power tariff."""
        return self.state(key).entity_id

    def shown(self, key: M | K | None = None) -> str:
        """Return the value of an entity, by default of the marker."""
        return self.state(key).state

    def writes(self, key: M | K | None = None) -> list[Write]:
        """Return a list that gets each later write of an entity, by default of the marker."""
        return watch_states(self.hass, self.state(key).entity_id)


@pytest.fixture
async def home(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, any_reader: Simulator
) -> AsyncGenerator[Home]:
    home = Home(hass, freezer, any_reader)
    yield home
    if home.entry in hass.config_entries.async_entries():
        await hass.config_entries.async_unload(home.entry.entry_id)


# -------------------------------------------------------------------------------------------- bursts


@pytest.mark.parametrize("interval", INTERVALS)
async def test_last_of_a_burst_is_written_after_the_interval(home: Home, interval: int) -> None:
    await home.set_up(interval)
    writes = home.writes()
    await home.send_burst()
    first = writes[0].time
    assert len(writes) == 1
    await home.advance(interval - 1)
    assert [write.state for write in writes][1:] == [home.value]
    assert interval - 0.5 <= (writes[1].time - first).total_seconds() <= interval + 0.6
    await home.advance(20)
    assert sum(write.state == home.value for write in writes) == 1


async def test_every_value_of_a_burst_is_written_without_interval(home: Home) -> None:
    await home.set_up(0)
    writes = home.writes()
    await home.send_burst()
    assert len(writes) == 5
    await home.advance(20)
    assert len(writes) == 5


@pytest.mark.parametrize(("interval", "pause"), [*((interval, 0.5) for interval in INTERVALS), (60, 0.2)])
async def test_last_of_a_burst_is_written_before_an_outage(home: Home, interval: int, pause: float) -> None:
    await home.set_up(interval)
    writes = home.writes()
    for _ in range(5):
        await home.advance(pause)
        await home.send()
    last = home.value
    await home.reader.stop()
    await home.advance(130)
    # States are written again when the reader is offline, before its last reading is too old.
    assert [state for state, _ in groupby(write.state for write in writes[1:])] == [last, "unavailable"]


async def test_entity_can_be_removed_while_a_value_is_held_back(home: Home) -> None:
    await home.set_up(5)
    await home.send_burst()
    er.async_get(home.hass).async_remove(home.sensor(home.marker))
    await home.advance(6)
    assert home.shown(M.ACTIVE_ENERGY_EXPORT) not in ("unavailable", "unknown")


# ----------------------------------------------------------------------------------- regular telegrams


@pytest.mark.parametrize(
    ("between", "interval", "every"), [(1, 5, 5), (5, 5, 5), (10, 5, 10), (10, 10, 10), (10, 30, 30)]
)
async def test_regular_telegrams_are_written_once_in_an_interval(
    home: Home, between: float, interval: int, every: int
) -> None:
    await home.set_up(interval)
    writes = home.writes()
    for index in range(round(120 / between)):
        # Telegrams are early or late.
        lateness = 0.05 + (0.04 if index % 3 else -0.04)
        await home.advance(lateness)
        await home.send()
        await home.advance(0.1)
        if between >= interval:
            assert writes[-1].state == home.value
        await home.advance(between - lateness - 0.1)
    assert len(writes) in (120 // every, 120 // every + 1)


@pytest.mark.parametrize("interval", [0, 5, 10])
async def test_both_parts_of_a_telegram_are_written(home: Home, interval: int) -> None:
    await home.set_up(interval)
    keys = set(home.reader.payload())
    fields = READERS[home.reader.kind].fields
    power = {key for key, (each, _) in fields.items() if each.startswith("active_power")}
    energies, powers = home.writes(M.ACTIVE_ENERGY_EXPORT), home.writes(M.ACTIVE_POWER_NET)
    for number in range(1, 7):
        home.reader.missing_keys = keys - power
        await home.send()
        await home.advance(0.3)
        home.reader.missing_keys = power
        await home.send()
        await home.advance(interval)
        assert float(energies[-1].state) == pytest.approx(home.energy, abs=0.0011)
        await home.advance(9.7)
        assert len(powers) == len(energies) == number


# ------------------------------------------------------------------------------ stop, reload, removal


@pytest.mark.parametrize("is_offline", [False, True])
@pytest.mark.parametrize("how", ["reload", "remove", "unload"])
async def test_last_of_a_burst_is_written_when_an_entry_ends(
    home: Home, how: str, *, is_offline: bool
) -> None:
    await home.set_up(60)
    await home.send_burst()
    last, writes = home.value, home.writes()
    if is_offline:
        await home.reader.stop()
        await home.advance(5)
    await getattr(home.hass.config_entries, f"async_{how}")(home.entry.entry_id)
    assert [write.state for write in writes][:2] == [last, "unavailable"]
    # The test package fails if a timer is left.


@pytest.mark.usefixtures("recorder_mock")
@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("persistent_database", [True])
async def test_recorder_has_the_last_of_a_burst_after_a_stop(
    recorder_db_url: str,
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    any_reader: Simulator,
    interval: int,
) -> None:
    home = Home(hass, freezer, any_reader)
    await home.set_up(interval)
    await home.send_burst()
    await home.advance(1)
    assert home.shown() != home.value
    sensor = home.sensor(home.marker)
    await hass.async_stop(force=True)
    with closing(sqlite3.connect(recorder_db_url.removeprefix("sqlite:///"))) as database:
        rows = database.execute(
            "SELECT state FROM states JOIN states_meta USING (metadata_id) WHERE states_meta.entity_id = ? "
            "ORDER BY state_id DESC LIMIT 1",
            (sensor,),
        )
        assert rows.fetchall() == [(home.value,)]


async def test_reading_during_the_last_jobs_is_written_at_once(home: Home) -> None:
    await home.set_up(60)

    async def send() -> None:
        await home.send()
        await home.send()
        assert home.shown() == home.value

    await home.send_burst()
    home.hass.async_add_shutdown_job(HassJob(send))
    await home.hass.async_stop(force=True)
    assert home.shown() == home.value


# ------------------------------------------------------------------------- slow meters, utility meter


async def wait_for_reading(home: Home, interval: int, *, shows_value: bool) -> None:
    """Let an interval pass, and send a reading. Check that the value stays available if `shows_value`."""
    for _ in range(interval // 30):
        await home.advance(30)
        await home.reader.send_heartbeat()
        if shows_value:
            assert home.shown() == home.value
    await home.advance(interval % 30)
    await wait_until(lambda: home.reader.streams)
    await home.send()


@pytest.mark.parametrize("interval", [310, 900, 3600])
async def test_value_of_a_slow_meter_stays_available(home: Home, interval: int) -> None:
    # A whatwatt sends its interval.
    home.reader.interval = interval
    home.entry.add_to_hass(home.hass)
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await wait_until(lambda: home.reader.streams)
    await home.send()
    for n in range(5):
        # The first gap can be an outage.
        await wait_for_reading(home, interval, shows_value=n >= 2)


@pytest.mark.parametrize(("is_resetting", "counted"), [(True, 3.0), (False, 6.0)])
async def test_utility_meter_counts_an_outage(home: Home, *, is_resetting: bool, counted: float) -> None:
    hass, reader = home.hass, home.reader
    await home.set_up(5)
    meter = {"source": home.sensor(M.ACTIVE_ENERGY_IMPORT), "periodically_resetting": is_resetting}
    assert await async_setup_component(hass, "utility_meter", {"utility_meter": {"used": meter}})
    await hass.async_block_till_done()
    registers = reader.house.active_import
    await home.send()
    for _ in range(3):
        registers[1] += 1000
        await home.advance(10)
        await home.send()
    await reader.stop()
    registers[1] += 3000
    await home.advance(200)
    assert home.shown(M.ACTIVE_ENERGY_IMPORT) == "unavailable"
    await reader.start(reader.port)
    while not reader.streams:
        await home.advance(10)
    await home.send()
    await wait_until(lambda: home.shown(M.ACTIVE_ENERGY_IMPORT) != "unavailable")
    state = hass.states.get("sensor.used")
    assert state is not None
    assert float(state.state) == pytest.approx(counted, abs=0.01)


# -------------------------------------------------------------------------------------- power tariff


# W of a stove, by its state.
LOADS = {"low": 2000, "off": 0, "high": 150_000}


@pytest.fixture
async def tariff(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, house: House, any_reader: Simulator
) -> AsyncGenerator[Home]:
    """Return a home with a power tariff, after an hour with more power than now."""
    home = Home(hass, freezer, any_reader, begin="2026-11-10 10:40:00")
    home.changes_marker = False
    states = tuple(State(name, watts, is_on=True) for name, watts in LOADS.items())
    house.appliances[:] = [Appliance("stove", "Stove", "stoves", 0, states, (10_000,) * len(states))]
    house.solar_peak = 0.0
    await home.set_up(5, **{CONF_POWER_TARIFF: {"enabled": True, "interval": "15"}})
    for _ in range(20):
        await home.advance(59)
        await home.send()
        await home.advance(1)
    house.switch("stove", "off")
    for _ in range(50):
        await home.advance(10)
        await home.send()
    assert float(home.shown(K.EXPECTED_DEMAND)) < 1.5 < float(home.shown(K.DEMAND_LIMIT)) < 3
    yield home
    await hass.config_entries.async_unload(home.entry.entry_id)


async def draw(home: Home) -> None:
    """Send readings with a high power, soon after a reading with little."""
    home.reader.house.switch("stove", "high")
    for _ in range(3):
        await home.advance(2)
        await home.send()


async def test_peak_is_expected_without_another_reading(tariff: Home) -> None:
    await draw(tariff)
    assert tariff.shown(K.PEAK_EXPECTED) == "off"
    await tariff.advance(5)
    assert tariff.shown(K.PEAK_EXPECTED) == "on"
    assert float(tariff.shown(K.EXPECTED_DEMAND)) > 3
    writes = tariff.writes(K.EXPECTED_DEMAND)
    await tariff.advance(30)
    assert writes == []


@pytest.mark.parametrize("how", ["stop", "unload"])
async def test_expected_demand_is_written_before_the_end(tariff: Home, how: str) -> None:
    await draw(tariff)
    writes = tariff.writes(K.EXPECTED_DEMAND)
    if how == "stop":
        await tariff.hass.async_stop(force=True)
    else:
        await tariff.hass.config_entries.async_unload(tariff.entry.entry_id)
    assert float(writes[0].state) > 3
