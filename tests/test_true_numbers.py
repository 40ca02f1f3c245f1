"""Numbers of the power tariff, with meters, readers and clocks that are wrong. No recorder is needed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import logging
import random
from typing import Any, Final
from zoneinfo import ZoneInfo

from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import EVENT_STATE_CHANGED, EVENT_STATE_REPORTED
from homeassistant.core import Event, HomeAssistant, State, callback
from homeassistant.helpers import issue_registry as ir
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF, DOMAIN, TariffKey as K
from custom_components.energy_sse.reader import Measurement as M
from custom_components.energy_sse.registers import HOUR, Replacement, start_of

from .home_assistant import entry_for, state_of
from .readers import CurrentlyOneSimulator, House, WhatwattSimulator
from .time_machine import TimeMachine

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "power_tariff/*",
        "registers.py",
        "wall_clock.py",
        "readings.py",
        "reader/validation.py",
        "tests/time_machine.py",
    ),
]

HOURS: Final[Mapping[str, Any]] = {"enabled": True, "interval": "60", "peaks": 10, "one_per_day": False}
QUARTERS: Final[Mapping[str, Any]] = {**HOURS, "interval": "15"}

# Local time is an hour ahead of UTC in November.
ZONE: Final = "Europe/Zurich"
BEGIN: Final = datetime(2026, 11, 10, 6, 40, tzinfo=UTC)

READERS: Final = ("whatwatt", "currentlyone", "currentlyone without memory")


class Loads(House):
    """A house that draws a constant power, in three equal phases."""

    load = 1000.0
    """W."""

    def draw(self, watts: float) -> None:
        """Draw another power from now on."""
        self.load = watts
        self._measure()

    def _measure(self) -> None:
        self.power = [self.load / 3] * 3
        self.reactive_power = [-50.0] * 3
        self.voltage = [230.0] * 3

    @property
    def register(self) -> float:
        """Import register in Wh."""
        return sum(self.active_import.values())


class StoringCurrentlyOne(CurrentlyOneSimulator):
    """A CurrentlyOne that stores the register of each hour when its own clock is on the hour."""

    def __init__(self, house: House, **settings: Any) -> None:
        """Store the right registers."""
        super().__init__(house, **settings)
        self.wrong_records: dict[int, int] = {}
        """Stored registers, by the hour of the day in UTC."""

    def _hourly_register(self) -> str:
        second = self._now // 3600 * 3600 + 1
        passed = self.clock_error.total_seconds() % 3600
        register = sum(self.house.active_import.values()) - self.house.net_power * passed / 3600
        register = self.wrong_records.get(self.house.clock.hour, int(register))
        return f'{{"sec":{second},"Wh":{register},"Ph":{self._registers["Ph"]}}}'


type Reader = WhatwattSimulator | StoringCurrentlyOne

# Keys of the registers in telegrams.
REGISTER_KEYS: Final = {
    "whatwatt": {"E_In", "E_In_T1", "E_In_T2", "E_Out", "E_Out_T1", "E_Out_T2", "rE_In", "rE_Out"},
    "currentlyone": {"Wh", "Ph", "Rh", "Qh"},
}


class Home:
    """A meter, a reader and a Home Assistant, in simulated time."""

    def __init__(self, hass: HomeAssistant, freezer: FrozenDateTimeFactory, reader: Reader) -> None:
        """Prepare. Home Assistant does not know the reader yet."""
        self.hass = hass
        self.reader = reader
        assert isinstance(reader.house, Loads)
        self.house = reader.house
        self.entry = entry_for(reader)
        self.interval = 10.0
        """Seconds between telegrams."""

        self.phase = -1.0
        """Seconds after a multiple of the interval, when telegrams are sent."""

        self.register: Callable[[float], float | None] = lambda register: register
        """Returns the register in a telegram from the right one, in Wh. None leaves all registers out."""

        self.clock_error = timedelta()
        """Time by which the clock of Home Assistant is ahead."""

        self.sent: list[tuple[datetime, float]] = []
        """Times of telegrams, and powers in kW."""

        self._freezer = freezer
        self._machine = TimeMachine(asyncio.get_running_loop(), freezer.tick)

    @property
    def now(self) -> datetime:
        """The right time."""
        return self.house.clock

    async def start(self, tariff: Mapping[str, Any]) -> None:
        """Set the reader up in Home Assistant."""
        await self.hass.config.async_set_time_zone(ZONE)
        self.entry.add_to_hass(self.hass)
        self.hass.config_entries.async_update_entry(self.entry, options={CONF_POWER_TARIFF: dict(tariff)})
        assert await self.hass.config_entries.async_setup(self.entry.entry_id)
        await self._machine.idle()
        assert self.reader.streams

    async def draw(self, watts: float, end: str) -> None:
        """Let the house draw a power until a time of the day in UTC, and the meter send telegrams."""
        self.house.draw(watts)
        until = self.at(end)
        assert until > self.now
        while (telegram := self._next_telegram()) <= until:
            await self.move_to(telegram)
            await self.send()
        await self.move_to(until)
        await self._machine.idle()

    def at(self, time: str) -> datetime:
        """Return a time in UTC, of this day or of another day of November."""
        if "T" not in time:
            time = f"{self.now:%d}T{time}"
        return datetime.fromisoformat(f"{self.now:%Y-%m}-{time}+00:00")

    async def send(self) -> None:
        """Send a telegram."""
        reader = self.reader
        right = self.house.register
        register = self.register(right)
        reader.lacks -= REGISTER_KEYS[reader.kind]
        if register is None:
            reader.lacks |= REGISTER_KEYS[reader.kind]
        elif isinstance(reader, WhatwattSimulator):
            reader.lies["E_In"] = round(register / 1000, 3)
        else:
            reader.lies["Wh"] = int(register)
        self.sent.append((self.now, self.house.load / 1000))
        await reader.send_reading()

    async def skip(self, end: str) -> None:
        """Let time pass until a time of the day in UTC, and lose all telegrams."""
        await self.move_to(self.at(end))

    async def sleep(self, end: str) -> None:
        """Let the computer sleep until a time of the day in UTC: the event loop's clock stands still."""
        until = self.at(end)
        self._freezer.move_to(until)
        self.reader.end_streams()
        await self.reader.advance((until - self.now).total_seconds())
        await self.reconnect()

    async def pause(self, end: str) -> None:
        """Let the virtual machine pause until a time of the day in UTC: all its clocks stand still."""
        lasted = self.at(end) - self.now
        self.clock_error -= lasted
        self.reader.end_streams()
        await self.reader.advance(lasted.total_seconds())
        await self.reconnect()

    def set_clock(self, error: timedelta) -> None:
        """Set the clock of Home Assistant."""
        self.clock_error = error
        self._freezer.move_to(self.now + error)

    async def reconnect(self) -> None:
        """End the stream, and wait until Home Assistant has opened another one."""
        self.reader.end_streams()
        while not self.reader.streams:
            await self.move_to(self.now + timedelta(seconds=1))
        await self._machine.idle()

    async def move_to(self, time: datetime) -> None:
        """Let time pass, without telegrams."""
        await self._machine.let_pass((time + self.clock_error - datetime.now(UTC)).total_seconds())
        await self.reader.advance((time - self.now).total_seconds())

    def _next_telegram(self) -> datetime:
        interval = timedelta(seconds=self.interval)
        since = self.now - BEGIN.replace(hour=0, minute=0) - timedelta(seconds=self.phase)
        return self.now + interval - since % interval

    def shown(self, key: K | M) -> State:
        """Return the state of an entity."""
        platform = "binary_sensor" if key is K.PEAK_EXPECTED else "sensor"
        return state_of(self.hass, platform, f"{self.reader.device_id}_{key}")

    @property
    def intervals(self) -> dict[str, float]:
        """The billed intervals, by their local day and time, in kW."""
        shown = self.shown(K.PEAK_DEMAND).attributes["intervals"]
        return {each["start"][8:16]: each["power"] for each in sorted(shown, key=lambda each: each["start"])}

    @property
    def missed(self) -> int:
        """The number of missed intervals."""
        return int(self.shown(K.PEAK_DEMAND).attributes["missed"])

    @property
    def dropped(self) -> dict[str, int]:
        """The number of dropped values, by the reason."""
        return dict(self.entry.runtime_data.readings.guard.dropped)

    @property
    def replacements(self) -> list[Replacement]:
        """The meter replacements."""
        return list(self.entry.runtime_data.registers[M.ACTIVE_ENERGY_IMPORT].replacements)

    @property
    def issues(self) -> set[str]:
        """The repairs that are shown, by their keys."""
        found = ir.async_get(self.hass).issues.values()
        return {str(issue.translation_key) for issue in found if issue.domain == DOMAIN and issue.active}

    def watch(self, key: K | M) -> list[tuple[datetime, str]]:
        """Return a list that gets the time and the state of each write of an entity."""
        entity_id = self.shown(key).entity_id
        written: list[tuple[datetime, str]] = []

        @callback
        def note(event: Event[Any]) -> None:
            written.append((self.now, event.data["new_state"].state))

        @callback
        def is_it(data: Mapping[str, Any]) -> bool:
            return bool(data["entity_id"] == entity_id)

        for event in (EVENT_STATE_CHANGED, EVENT_STATE_REPORTED):
            self.hass.bus.async_listen(event, note, is_it)
        return written


@pytest.fixture(params=READERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of each reader in turn."""
    return str(request.param)


@pytest.fixture
def begin() -> datetime:
    """Return the time when a test begins."""
    return BEGIN


@pytest.fixture
async def home(
    kind: str,
    begin: datetime,
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> AsyncGenerator[Home]:
    """Return a home with a reader."""
    for chatty in ("homeassistant", "custom_components.energy_sse", "aiohttp.access"):
        caplog.set_level(logging.WARNING, chatty)
    freezer.move_to(begin)
    house = Loads(clock=begin, appliances=[], solar_peak=0.0)
    reader: Reader
    if kind == "whatwatt":
        reader = WhatwattSimulator(house, interval=10)
        # They are zero, which is dropped and counted until it is confirmed.
        reader.lacks = {"rEii", "rEei"}
    else:
        reader = StoringCurrentlyOne(house)
        reader.stores_readings = kind == "currentlyone"
    await reader.start()
    home = Home(hass, freezer, reader)
    yield home
    await hass.config_entries.async_unload(home.entry.entry_id)
    await reader.stop()


# ------------------------------------------------------------------------------------------------ Demand


async def test_demand_is_the_power_at_the_start_of_an_interval(home: Home) -> None:
    home.phase = 0.6
    await home.start(HOURS)
    await home.draw(2460, "06:59:59")
    demand = home.watch(K.DEMAND)
    await home.draw(2460, "07:00:10.600000")
    assert home.shown(K.DEMAND).state == "2.46"
    await home.draw(2460, "07:02:10.600000")
    assert {state for _, state in demand} == {"2.46"}


async def test_demand_is_between_the_powers_of_its_interval(home: Home) -> None:
    home.phase = 0.6
    await home.start(QUARTERS)
    await home.draw(1000, "06:59:59")
    demand = home.watch(K.DEMAND)
    loads = random.Random(1)
    for minute in range(60):
        await home.draw(loads.choice([250, 700, 3800, 12_000]), f"07:{minute:02}:59")
    for time, state in demand:
        begin = time.replace(minute=time.minute // 15 * 15, second=0, microsecond=0)
        powers = [power for sent, power in home.sent if begin <= sent <= time]
        assert min(powers) <= float(state) <= max(powers), (time, state, powers)
    assert len(demand) > 60


# --------------------------------------------------------------------------------------- Available power


@pytest.mark.parametrize(
    ("fuse", "most"), [({"main_fuse": 25, "phases": "3"}, 17.25), ({}, 200.0)], ids=["25 A", "no main fuse"]
)
async def test_available_power_is_bounded_by_the_supply(
    home: Home, fuse: dict[str, Any], most: float
) -> None:
    await home.start({**QUARTERS, "peaks": 1, **fuse})
    await home.draw(12_000, "07:15:05")
    available = home.watch(K.AVAILABLE_POWER)
    await home.draw(300, "07:29:28")
    assert float(home.shown(K.DEMAND_LIMIT).state) == pytest.approx(12, abs=0.02)
    assert float(home.shown(K.AVAILABLE_POWER).state) == most
    await home.draw(300, "07:29:50")
    assert home.shown(K.AVAILABLE_POWER).state == "unknown"
    await home.draw(300, "07:30:30")
    assert 12 < float(home.shown(K.AVAILABLE_POWER).state) < 13
    await home.draw(25_000, "07:42:00")
    assert home.shown(K.AVAILABLE_POWER).state == "0.0"
    values = [(time, state) for time, state in available if state != "unknown"]
    assert all(0 <= float(state) <= most for _, state in values)
    left = [900 - time.timestamp() % 900 for time, _ in values]
    assert min(left) >= 30


# ----------------------------------------------------------------------- Expected demand, Peak expected


async def test_kettle_at_the_start_of_an_hour_is_not_a_peak(home: Home) -> None:
    home.interval = 20
    await home.start(HOURS)
    await home.draw(500, "07:00:00")
    await home.draw(1900, "07:40:00")
    await home.draw(700, "07:58:00")
    home.interval = 10
    await home.draw(700, "08:00:00")
    peaks = home.watch(K.PEAK_EXPECTED)
    await home.draw(2900, "08:03:00")
    assert float(home.shown(K.DEMAND_LIMIT).state) == pytest.approx(1.5, abs=0.002)
    await home.draw(700, "08:20:00")
    assert {state for _, state in peaks} == {"off"}


@pytest.mark.parametrize("kind", ["whatwatt", "currentlyone"])
@pytest.mark.parametrize(
    ("low", "high"),
    [
        (500, 3000),
        (200, 3700),
        (200, 4000),
    ],
)
async def test_flipping_load_does_not_flip_peak_expected(home: Home, low: float, high: float) -> None:
    home.interval = 20
    await home.start(HOURS)
    await home.draw(500, "07:00:00")
    await home.draw(3400, "07:30:00")
    await home.draw(600, "07:58:00")
    home.interval = 10
    await home.draw(600, "08:00:10")
    assert float(home.shown(K.DEMAND_LIMIT).state) == pytest.approx(2, abs=0.002)
    assert home.shown(K.PEAK_EXPECTED).state == "off"
    peaks = home.watch(K.PEAK_EXPECTED)
    for minute in range(60):
        await home.draw(high if minute % 2 else low, f"08:{minute:02}:59.5")
    states = [(0, "off"), *((time.minute // 30, state) for time, state in peaks)]
    begins = [half for (_, before), (half, after) in pairwise(states) if before != after == "on"]
    assert len(begins) <= 1


# ---------------------------------------------------------------------------- missing and stale registers


@pytest.mark.parametrize("fault", ["missing", "repeated"])
async def test_quarters_without_registers_are_missed(home: Home, fault: str) -> None:
    await home.start(QUARTERS)
    home.interval = 20
    await home.draw(3500, "07:09:59")
    last = int(home.house.register)
    home.register = lambda _: None if fault == "missing" else last
    await home.draw(3500, "08:34:59")
    home.register = lambda register: register
    await home.draw(3500, "09:00:20")
    # Registers are missing from 8:10 to 9:35 by local time.
    starts = (f"10T{7 + n // 4:02}:{n % 4 * 15:02}" for n in range(3, 12))
    assert home.intervals == pytest.approx(dict.fromkeys(starts, 3.5), abs=0.006)
    assert float(home.shown(K.PEAK_DEMAND).state) == pytest.approx(3.5, abs=0.006)
    assert home.missed == 7


def sent_every(home: Home, minutes: int) -> Callable[[float], float | None]:
    """Return a function for a meter that sends registers rarely: 10 s after a multiple of minutes."""
    return lambda register: (
        register if home.now.minute % minutes == 0 and 10 <= home.now.second < 20 else None
    )


@pytest.mark.parametrize("fault", ["lost", "repeated"])
async def test_hour_without_its_register_is_not_a_peak(home: Home, kind: str, fault: str) -> None:
    home.interval, home.phase = 30, 10
    rare = sent_every(home, 60)
    sent: list[float] = []

    def register(right: float) -> float | None:
        if rare(right) is None:
            return None
        sent.append(right)
        return sent[-2] if fault == "repeated" and home.now.hour == 9 else right

    home.register = register
    await home.start(HOURS)
    await home.draw(3500, "09:00:00")
    if fault == "lost":
        await home.skip("09:00:15")
    await home.draw(3500, "11:00:15")
    expected = dict.fromkeys(["10T09:00", "10T10:00", "10T11:00"], 3.5)
    if kind == "currentlyone":
        # It has stored the register of 7:00 by UTC, before the meter sent the first one.
        expected["10T08:00"] = 3.5
    assert home.intervals == pytest.approx(expected, abs=0.006)
    assert home.missed == (0 if kind == "currentlyone" else 2)


@pytest.mark.parametrize("kind", ["whatwatt"])
@pytest.mark.parametrize("interval", [290, 310, 600])
async def test_quarters_are_right_when_readings_are_rare(home: Home, interval: float) -> None:
    home.interval = home.reader.interval = interval
    await home.start(QUARTERS)
    await home.draw(3500, "06:50:00")
    written = home.watch(M.ACTIVE_POWER_NET)
    await home.draw(3500, "09:29:59")
    assert {state for _, state in written} == {"3500.0"}
    assert max(home.intervals.values()) == pytest.approx(3.5, abs=0.01)
    assert home.missed == 0


@pytest.mark.parametrize("interval", [1, 10])
async def test_quarter_is_right_when_registers_are_rare(home: Home, interval: float) -> None:
    home.interval, home.phase = 20, 10
    home.register = sent_every(home, 15)
    await home.start(QUARTERS)
    await home.draw(1000, "06:59:50")
    home.interval, home.phase = interval, 0
    await home.draw(1000, "07:00:00")
    await home.draw(10_000, "07:01:00")
    home.interval, home.phase = 20, 10
    await home.draw(10_000, "07:14:50")
    home.interval, home.phase = interval, 0
    await home.draw(10_000, "07:15:00")
    await home.draw(1000, "07:16:00")
    home.interval, home.phase = 20, 10
    await home.draw(1000, "07:45:30")
    # The first register came at 7:00:10 by UTC.
    assert home.intervals == pytest.approx({"10T08:00": 10, "10T08:15": 1, "10T08:30": 1}, abs=0.1)
    assert home.missed == 0


async def test_hour_is_right_when_registers_are_rare(home: Home) -> None:
    home.register = sent_every(home, 60)
    await home.start(HOURS)
    for hour, watts in ((7, 1000), (8, 1000), (9, 6510), (10, 0), (11, 2000)):
        home.interval, home.phase = 20, 10
        await home.draw(watts, f"{hour - 1:02}:59:50")
        home.interval, home.phase = 10, 0
        await home.draw(watts, f"{hour:02}:00:00")
    await home.draw(1000, "11:00:15")
    shown = {start: power for start, power in home.intervals.items() if start >= "10T09:00"}
    assert shown == pytest.approx({"10T09:00": 6.51, "10T10:00": 0, "10T11:00": 2}, abs=0.1)
    assert home.missed == 0


@pytest.mark.parametrize("begin", [datetime(2026, 11, 30, 22, 20, tzinfo=UTC)])
async def test_last_quarter_of_a_month_is_not_counted_in_the_next(home: Home) -> None:
    home.interval, home.phase = 10, 0
    home.register = sent_every(home, 15)
    await home.start({**QUARTERS, "peaks": 3})
    await home.draw(1000, "22:45:00")
    await home.draw(10_000, "23:00:00")
    await home.draw(1000, "23:31:00")
    assert home.intervals == pytest.approx({"01T00:00": 1, "01T00:15": 1}, abs=0.1)
    previous = home.shown(K.PREVIOUS_PEAK_DEMAND).attributes["intervals"]
    assert previous[0]["start"] == "2026-11-30T23:45:00+01:00"
    assert previous[0]["power"] == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("kind", ["whatwatt"])
@pytest.mark.parametrize("interval", ["15", "60"])
@pytest.mark.parametrize(
    ("zone", "begin"),
    [
        ("Pacific/Kiritimati", datetime(2026, 11, 30, 8, 20, tzinfo=UTC)),
        ("Pacific/Apia", datetime(2026, 11, 30, 9, 20, tzinfo=UTC)),
        ("America/St_Johns", datetime(2026, 12, 1, 1, 50, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 11, 30, 11, 20, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2026, 11, 30, 16, 35, tzinfo=UTC)),
    ],
)
async def test_month_ends_at_local_midnight(home: Home, zone: str, interval: str) -> None:
    """Begin at 22:20 local time, and draw most before midnight."""
    await home.start({**QUARTERS, "interval": interval})
    await home.hass.config.async_set_time_zone(zone)
    home.interval = 60
    for watts, minutes in ((1000, 60), (8000, 40), (500, 141)):
        end = home.now + timedelta(minutes=minutes)
        await home.draw(watts, f"{end:%dT%H:%M}:05" if end.month == home.now.month else f"{end:%H:%M}:05")
    known = home.entry.runtime_data.registers[M.ACTIVE_ENERGY_IMPORT].boundaries
    length = timedelta(minutes=int(interval))
    ends = [time for time in sorted(known) if time == start_of(time, length)]
    for key, month in ((K.PREVIOUS_PEAK_DEMAND, 11), (K.PEAK_DEMAND, 12)):
        begins = [time for time in ends[:-1] if time.astimezone(ZoneInfo(zone)).month == month]
        powers = [(known[time + length] - known[time]) / (length / HOUR) / 1000 for time in begins]
        shown = home.shown(key)
        assert float(shown.state) == pytest.approx(sum(powers) / len(powers), abs=0.001)
        starts = {datetime.fromisoformat(each["start"]) for each in shown.attributes["intervals"]}
        assert starts == set(begins)
        assert shown.attributes["missed"] == 0


# ------------------------------------------------------------------------------------------------ clocks


CURRENTLYONES: Final = ("currentlyone", "currentlyone without memory")

at_night = pytest.mark.parametrize("begin", [datetime(2026, 11, 10, 4, 40, tzinfo=UTC)], ids=["night"])


@at_night
@pytest.mark.parametrize("kind", CURRENTLYONES)
@pytest.mark.parametrize("ahead", [15, 60, 170, 3600])
async def test_peak_is_right_while_the_reader_clock_is_ahead(home: Home, ahead: float) -> None:
    await start_with_clock_ahead(home, ahead)
    assert home.issues == set()
    await home.draw(6500, "07:04:00")
    assert home.issues == {"reader_clock_wrong"}
    await home.reconnect()
    await home.draw(6500, "07:15:00")
    await home.draw(2500, "07:30:10")
    assert home.intervals == pytest.approx({"10T08:00": 6.5, "10T08:15": 2.5}, abs=0.006)
    assert home.missed == 0
    assert isinstance(home.reader, StoringCurrentlyOne)
    home.reader.clock_error = timedelta()
    await home.reconnect()
    await home.draw(2500, "07:31:00")
    assert home.issues == set()


async def start_with_clock_ahead(home: Home, ahead: float) -> None:
    """Start with a reader that has stored hours by its wrong clock, and live until 7:01:30 by UTC."""
    assert isinstance(home.reader, StoringCurrentlyOne)
    home.reader.clock_error = timedelta(seconds=ahead)
    await home.skip("06:52:00")
    await home.start(QUARTERS)
    await home.draw(2500, "07:00:00")
    await home.draw(6500, "07:01:30")


@at_night
@pytest.mark.parametrize("kind", ["currentlyone"])
@pytest.mark.parametrize("ahead", [15, 60, 170, 3600])
async def test_record_of_a_wrong_clock_changes_no_known_interval(home: Home, ahead: float) -> None:
    await start_with_clock_ahead(home, ahead)
    assert isinstance(home.reader, StoringCurrentlyOne)
    home.reader.clock_error = timedelta()
    await home.reconnect()
    await home.draw(6500, "07:15:00")
    await home.draw(2500, "07:30:10")
    shown = {start: power for start, power in home.intervals.items() if start >= "10T08:00"}
    assert shown == pytest.approx({"10T08:00": 6.5, "10T08:15": 2.5}, abs=0.006)


@at_night
@pytest.mark.parametrize("kind", CURRENTLYONES)
async def test_readings_are_received_when_the_reader_clock_is_set_back(home: Home) -> None:
    await start_with_clock_ahead(home, 3600)
    assert isinstance(home.reader, StoringCurrentlyOne)
    home.reader.clock_error = timedelta()
    await home.draw(6500, "07:04:00")
    assert home.shown(K.DEMAND).state != "unavailable"


@pytest.mark.parametrize("kind", ["currentlyone"])
@pytest.mark.parametrize("wrong", [0, -7, 99_999_999_999])
@pytest.mark.parametrize("hour", [8, 14, 17])
async def test_one_wrong_record_of_ten_is_dropped(home: Home, hour: int, wrong: int) -> None:
    assert isinstance(home.reader, StoringCurrentlyOne)
    home.interval = 20
    await home.start(HOURS)
    await home.draw(2500, "07:30:00")
    await home.reader.stop()
    home.reader.wrong_records[hour] = wrong
    for watts, end in ((2500, "11:00:00"), (6500, "12:00:00"), (2500, "17:30:00")):
        home.house.draw(watts)
        await home.skip(end)
    await home.reader.start(home.reader.port)
    home.entry.runtime_data.async_seen_at(home.reader.host)
    await home.reconnect()
    await home.draw(2500, "18:00:20")
    powers = sorted(home.intervals.values())
    assert powers == pytest.approx([2.5] * 9 + [6.5], abs=0.006)
    assert home.intervals["10T12:00"] == powers[-1]
    assert home.missed == 2


@pytest.mark.parametrize("kind", ["currentlyone"])
async def test_record_that_is_repeated_is_no_peak(home: Home) -> None:
    assert isinstance(home.reader, StoringCurrentlyOne)
    home.interval = 20
    await home.start(HOURS)
    await home.draw(2500, "07:30:00")
    await home.reader.stop()
    await home.skip("11:00:00")
    home.reader.wrong_records[12] = int(home.house.register)
    await home.skip("15:30:00")
    await home.reader.start(home.reader.port)
    home.entry.runtime_data.async_seen_at(home.reader.host)
    await home.reconnect()
    await home.draw(2500, "17:00:20")
    assert sorted(home.intervals.values()) == pytest.approx([2.5] * 10, abs=0.006)
    assert home.missed == 2


def check_after_eight_hours(home: Home, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Check the hours around a gap from 7:30 to 15:30. A CurrentlyOne stores them."""
    assert home.dropped == {}
    assert home.replacements == []
    assert "Another meter" not in caplog.text
    starts = [f"10T{hour:02}:00" for hour in range(8, 18)]
    powers = [2.5, *[3] * 7, 2.5, 2] if kind == "currentlyone" else [*[26 / 9] * 9, 2]
    assert home.intervals == pytest.approx(dict(zip(starts, powers, strict=True)), abs=0.02)
    assert home.missed == (0 if kind == "currentlyone" else 9)


async def test_sleep_of_the_computer_loses_no_energy(
    home: Home, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    home.interval = 20
    await home.start(HOURS)
    await home.draw(2000, "07:30:00")
    home.house.draw(3000)
    await home.sleep("15:30:00")
    await home.draw(2000, "17:00:20")
    check_after_eight_hours(home, kind, caplog)


@pytest.mark.parametrize("minutes", [1, 20])
async def test_pause_of_a_virtual_machine_loses_no_energy(
    home: Home, kind: str, minutes: int, caplog: pytest.LogCaptureFixture
) -> None:
    home.interval = 20
    await home.start(HOURS)
    await home.draw(2000, "07:30:00")
    home.house.draw(3000)
    await home.pause("15:30:00")
    await home.draw(2000, f"15:{30 + minutes}:00")
    home.set_clock(timedelta())
    await home.draw(2000, "17:00:20")
    check_after_eight_hours(home, kind, caplog)


async def test_two_sleeps_in_one_hour_lose_no_energy(home: Home) -> None:
    home.interval = 20
    await home.start(HOURS)
    await home.draw(2000, "07:10:00")
    home.house.draw(5000)
    await home.sleep("07:25:00")
    await home.draw(2000, "07:35:00")
    home.house.draw(8000)
    await home.sleep("07:55:00")
    await home.draw(2000, "09:00:20")
    assert home.dropped == {}
    assert home.replacements == []
    assert home.intervals["10T08:00"] == pytest.approx((25 * 2 + 15 * 5 + 20 * 8) / 60, abs=0.02)
    assert home.intervals["10T09:00"] == pytest.approx(2, abs=0.02)
    assert home.missed == 0


# ------------------------------------------------------------------------------------- meter replacement

FAULTS: Final[Mapping[str, tuple[Callable[[float], float], int]]] = {
    # Returns the register from the right one, and for how many seconds.
    "old register": (lambda register: register - 100_000, 5),
    "high garbage": (lambda register: register + 5_000_000, 20),
    "low garbage": (lambda register: register % 1000, 20),
    "zero": (lambda _: 0, 20),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_wrong_register_for_seconds_is_not_a_replacement(
    home: Home, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    home.interval = 20
    await home.start(QUARTERS)
    await home.draw(3000, "07:14:00")
    home.interval, home.phase = 1, -0.5
    await home.draw(3000, "07:14:57")
    written = home.watch(M.ACTIVE_ENERGY_IMPORT)
    register, seconds = FAULTS[fault]
    before = home.house.register
    home.register = register
    await home.draw(3000, f"07:15:{seconds - 3:02}")
    home.register = lambda right: right
    await home.draw(3000, "07:15:30")
    home.interval = 20
    await home.draw(3000, "07:30:20")
    assert home.dropped.keys() <= {"lower", "higher than possible", "zero"}
    assert sum(home.dropped.values()) == seconds
    assert home.replacements == []
    assert "Another meter" not in caplog.text
    values = [before / 1000 - 0.001, *(float(state) for _, state in written), home.house.register / 1000]
    assert values == sorted(values)
    shown = {start: power for start, power in home.intervals.items() if start >= "10T08:00"}
    assert shown == pytest.approx({"10T08:00": 3, "10T08:15": 3}, abs=0.01)
    assert home.missed == 0


@pytest.mark.parametrize("first", [12, 90_000_000], ids=["lower", "higher"])
async def test_replacement_is_not_a_peak(home: Home, first: int, caplog: pytest.LogCaptureFixture) -> None:
    await replace_meter(home, first)
    assert home.replacements == []
    await home.draw(4000, "08:04:00")
    assert len(home.replacements) == 1
    assert "Another meter" in caplog.text
    home.interval = 20
    await home.draw(4000, "09:00:20")
    powers = [home.intervals[start] for start in ("10T08:00", "10T09:00")]
    assert sum(powers) == pytest.approx((2 * 58 + 4 * 62) / 60, abs=0.01)
    assert max(home.intervals.values()) <= 4.01
    assert home.missed <= 2


async def replace_meter(home: Home, first: float) -> None:
    """Replace the meter at 7:58, and live until 8:00:30 by UTC."""
    home.interval = 20
    await home.start(HOURS)
    await home.draw(2000, "07:57:00")
    home.interval, home.phase = 1, -0.5
    await home.draw(2000, "07:58:00")
    home.house.active_import = {1: first, 2: 0.0}
    await home.draw(4000, "08:00:30")


@pytest.mark.parametrize("kind", ["currentlyone"])
@pytest.mark.parametrize("first", [12, 90_000_000], ids=["lower", "higher"])
async def test_hour_of_a_replacement_is_right_by_its_record(home: Home, first: int) -> None:
    await replace_meter(home, first)
    await home.draw(4000, "08:06:00")
    home.interval = 20
    await home.draw(4000, "09:00:20")
    assert home.intervals["10T08:00"] == pytest.approx((2 * 58 + 4 * 2) / 60, abs=0.01)
    assert home.intervals["10T09:00"] == pytest.approx(4, abs=0.01)
    assert home.missed == 0


async def test_first_register_of_zero_is_not_accepted(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    home.register = lambda _: 0
    await home.start(QUARTERS)
    await home.draw(3000, "06:41:00")
    home.register = lambda right: right
    await home.draw(3000, "06:41:30")
    written = home.watch(M.ACTIVE_ENERGY_IMPORT)
    shown = float(home.shown(M.ACTIVE_ENERGY_IMPORT).state)
    assert shown == pytest.approx(home.house.register / 1000, abs=0.02)
    home.interval = 20
    await home.draw(3000, "07:15:20")
    assert min(float(state) for _, state in written) > 10_000
    assert home.replacements == []
    assert "Another meter" not in caplog.text
    assert home.intervals == pytest.approx({"10T07:45": 3, "10T08:00": 3}, abs=0.01)
    assert home.missed == 0


async def test_coarser_resolution_is_not_a_replacement(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    await home.start(QUARTERS)
    await home.draw(3000, "07:07:30")
    written = home.watch(M.ACTIVE_ENERGY_IMPORT)
    home.register = lambda right: right // 10 * 10
    await home.draw(3000, "07:30:20")
    assert home.dropped == {}
    assert home.replacements == []
    assert "Another meter" not in caplog.text
    values = [float(state) for _, state in written]
    assert values == sorted(values)
    shown = {start: power for start, power in home.intervals.items() if start >= "10T08:00"}
    assert shown == pytest.approx({"10T08:00": 3, "10T08:15": 3}, abs=0.05)
    assert home.missed == 0


# ---------------------------------------------------------------------------------------- absurd values

KEYS: Final = {
    "whatwatt": {"power": "P_In", "current": "I_P1", "voltage": "V_P1"},
    "currentlyone": {"power": "W", "current": "I1", "voltage": "U1"},
}


@pytest.mark.parametrize(
    ("quantity", "absurd", "has_rare_registers"),
    [
        ("power", 65_536_000, False),
        ("power", 65_536_000, True),
        ("power", 4_294_967_295, False),
        ("power", 4_294_967_295, True),
        ("current", 65_536, False),
        ("voltage", 65_536, False),
    ],
)
async def test_absurd_value_is_dropped(
    home: Home, quantity: str, absurd: int, *, has_rare_registers: bool
) -> None:
    if has_rare_registers:
        home.register = sent_every(home, 60)
        home.phase = 0
    await home.start({**HOURS, "main_fuse": 25})
    await home.draw(3000, "07:05:05")
    written: list[State] = []

    @callback
    def note(event: Event[Any]) -> None:
        written.append(event.data["new_state"])

    @callback
    def is_any(_: Mapping[str, Any]) -> bool:
        return True

    for event in (EVENT_STATE_CHANGED, EVENT_STATE_REPORTED):
        home.hass.bus.async_listen(event, note, is_any)
    key = KEYS[home.reader.kind][quantity]
    home.reader.lies[key] = absurd // 1000 if key == "P_In" else absurd
    await home.draw(3000, "07:05:15")
    del home.reader.lies[key]
    await home.draw(3000, "07:10:00")
    assert home.dropped == {"beyond a household supply": 1}
    bounds = {"kW": 17.25, "W": 17_250, "A": 5, "V": 231}
    values = [state for state in written if state.attributes.get("unit_of_measurement") in bounds]
    assert {state.state for state in values if state.entity_id == home.shown(K.DEMAND).entity_id} == {"3.0"}
    for state in values:
        if state.state != "unknown":
            assert float(state.state) <= bounds[state.attributes["unit_of_measurement"]], state
