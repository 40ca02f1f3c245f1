"""Peaks of the power tariff with wrong meters, readers and clocks."""

from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import logging
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF, DOMAIN, PowerTariffKey as K
from custom_components.energy_sse.reader import Measurement as M
from custom_components.energy_sse.registers import Replacement

from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .state_writes import watch_states
from .test_update_interval import Home

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow(
        "power_tariff/*",
        "registers.py",
        "histories.py",
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

READERS: Final = ("whatwatt", "currentlyone", "currentlyone without storage")


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

    def _hourly_register(self) -> str:
        second = self._now // 3600 * 3600 + 1
        passed = self.clock_error.total_seconds() % 3600
        register = int(sum(self.house.active_import.values()) - self.house.net_power * passed / 3600)
        return f'{{"sec":{second},"Wh":{register},"Ph":{self._registers["Ph"]}}}'


type Reader = WhatwattSimulator | StoringCurrentlyOne

# Keys of the registers in telegrams.
REGISTER_KEYS: Final = {
    "whatwatt": {"E_In", "E_In_T1", "E_In_T2", "E_Out", "E_Out_T1", "E_Out_T2", "rE_In", "rE_Out"},
    "currentlyone": {"Wh", "Ph", "Rh", "Qh"},
}


class FaultyHome(Home):
    """A home whose meter, reader and clocks can be wrong. Times of the day are UTC."""

    reader: Reader

    def __init__(
        self, hass: HomeAssistant, freezer: FrozenDateTimeFactory, reader: Reader, begin: datetime
    ) -> None:
        """Begin at a time, before the reader is set up."""
        super().__init__(hass, freezer, reader, begin.isoformat())
        assert isinstance(reader.house, Loads)
        self.house = reader.house
        self.interval = 10.0
        """Seconds between telegrams."""

        self.phase = -1.0
        """Seconds after a multiple of the interval, when telegrams are sent."""

        self.register: Callable[[float], float | None] = lambda register: register
        """Function from the right register to the register in a telegram, in Wh; None sends no registers."""

        self.clock_error = timedelta()
        """Home Assistant's clock minus the right time."""

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
        """Draw a power until a time, and send telegrams."""
        self.house.draw(watts)
        until = self.at(end)
        assert until > self.now
        while (telegram := self._next_telegram()) <= until:
            await self.move_to(telegram)
            await self.send()
        await self.move_to(until)
        await self._machine.idle()

    def at(self, time: str) -> datetime:
        """Return a time of this day, or of another day of this month."""
        if "T" not in time:
            time = f"{self.now:%d}T{time}"
        return datetime.fromisoformat(f"{self.now:%Y-%m}-{time}+00:00")

    async def send(self) -> None:
        """Send a telegram."""
        reader = self.reader
        right = self.house.register
        register = self.register(right)
        reader.missing_keys -= REGISTER_KEYS[reader.kind]
        if register is None:
            reader.missing_keys |= REGISTER_KEYS[reader.kind]
        else:
            reader.set_register(register)
        await reader.send_reading()

    async def skip(self, end: str) -> None:
        """Let time pass without telegrams."""
        await self.move_to(self.at(end))

    async def sleep(self, end: str) -> None:
        """Let the computer sleep until a time. The event loop's clock stands still."""
        until = self.at(end)
        self.freezer.move_to(until)
        self.reader.end_streams()
        await self.reader.advance((until - self.now).total_seconds())
        await self.reconnect()

    async def pause(self, end: str) -> None:
        """Pause the virtual machine until a time. All its clocks stand still."""
        lasted = self.at(end) - self.now
        self.clock_error -= lasted
        self.reader.end_streams()
        await self.reader.advance(lasted.total_seconds())
        await self.reconnect()

    def set_clock(self, error: timedelta) -> None:
        """Set the clock of Home Assistant."""
        self.clock_error = error
        self.freezer.move_to(self.now + error)

    async def reconnect(self) -> None:
        """End the stream, and wait until Home Assistant has opened another one."""
        self.reader.end_streams()
        while not self.reader.streams:
            await self.move_to(self.now + timedelta(seconds=1))
        await self._machine.idle()

    async def move_to(self, time: datetime) -> None:
        """Let time pass, without telegrams."""
        await self._machine.advance((time + self.clock_error - datetime.now(UTC)).total_seconds())
        await self.reader.advance((time - self.now).total_seconds())

    def _next_telegram(self) -> datetime:
        interval = timedelta(seconds=self.interval)
        since = self.now - BEGIN.replace(hour=0, minute=0) - timedelta(seconds=self.phase)
        return self.now + interval - since % interval

    @property
    def intervals(self) -> dict[str, float]:
        """The billed intervals, by their local day and time, in kW."""
        shown = self.state(K.PEAK_DEMAND).attributes["intervals"]
        return {each["start"][8:16]: each["power"] for each in sorted(shown, key=lambda each: each["start"])}

    @property
    def missed(self) -> int:
        """The number of missed intervals."""
        return int(self.state(K.PEAK_DEMAND).attributes["missed"])

    @property
    def rejected(self) -> dict[str, int]:
        """The number of rejected values, by the reason."""
        return dict(self.entry.runtime_data.coordinator.readings.validator.rejected)

    @property
    def replacements(self) -> list[Replacement]:
        """The meter replacements."""
        return list(
            self.entry.runtime_data.coordinator.histories.by_register[M.ACTIVE_ENERGY_IMPORT].replacements
        )

    @property
    def issues(self) -> set[str]:
        """Translation keys of the active issues."""
        found = ir.async_get(self.hass).issues.values()
        return {str(issue.translation_key) for issue in found if issue.domain == DOMAIN and issue.active}


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
) -> AsyncGenerator[FaultyHome]:
    """Return a home with a reader."""
    for chatty in ("homeassistant", "custom_components.energy_sse", "aiohttp.access"):
        caplog.set_level(logging.WARNING, chatty)
    house = Loads(clock=begin, appliances=[], solar_peak=0.0)
    reader: Reader
    if kind == "whatwatt":
        reader = WhatwattSimulator(house, interval=10)
        # They are zero, which is rejected and counted until it is confirmed.
        reader.missing_keys = {"rEii", "rEei"}
    else:
        reader = StoringCurrentlyOne(house)
        reader.stores_readings = kind == "currentlyone"
    await reader.start()
    home = FaultyHome(hass, freezer, reader, begin)
    yield home
    await hass.config_entries.async_unload(home.entry.entry_id)
    await reader.stop()


# ----------------------------------------------------------------------- Expected demand, Peak expected


@pytest.mark.parametrize("kind", ["whatwatt"])
@pytest.mark.parametrize(("low", "high"), [(500, 3000), (200, 4000)])
async def test_alternating_load_changes_peak_expected_rarely(
    home: FaultyHome, low: float, high: float
) -> None:
    home.interval = 20
    await home.start(HOURS)
    await home.draw(500, "07:00:00")
    await home.draw(3400, "07:30:00")
    await home.draw(600, "07:58:00")
    home.interval = 10
    await home.draw(600, "08:00:10")
    assert float(home.shown(K.DEMAND_LIMIT)) == pytest.approx(2, abs=0.002)
    assert home.shown(K.PEAK_EXPECTED) == "off"
    peaks = home.writes(K.PEAK_EXPECTED)
    for minute in range(60):
        await home.draw(high if minute % 2 else low, f"08:{minute:02}:59.5")
    states = [(0, "off"), *((write.time.minute // 30, write.state) for write in peaks)]
    begins = [half for (_, before), (half, after) in pairwise(states) if before != after == "on"]
    assert len(begins) <= 1


# ---------------------------------------------------------------------------- missing and stale registers


@pytest.mark.parametrize("fault", ["missing", "repeated"])
async def test_quarters_without_registers_are_missed(home: FaultyHome, fault: str) -> None:
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
    assert float(home.shown(K.PEAK_DEMAND)) == pytest.approx(3.5, abs=0.006)
    assert home.missed == 7


def sent_every(home: FaultyHome, minutes: int) -> Callable[[float], float | None]:
    """Return a function for a meter that sends registers rarely: 10 s after a multiple of minutes."""
    return lambda register: (
        register if home.now.minute % minutes == 0 and 10 <= home.now.second < 20 else None
    )


@pytest.mark.parametrize(
    ("zone", "begin", "times"),
    [
        (ZONE, datetime(2026, 11, 30, 22, 20, tzinfo=UTC), ("22:45:00", "23:00:00", "23:31:00")),
        ("Asia/Kathmandu", datetime(2026, 11, 30, 17, 35, tzinfo=UTC), ("18:00:00", "18:15:00", "18:46:00")),
    ],
)
async def test_month_ends_at_local_midnight(home: FaultyHome, zone: str, times: tuple[str, str, str]) -> None:
    """Count the last quarter-hour in its month, when the register of midnight is received in the next one."""
    home.interval, home.phase = 10, 0
    home.register = sent_every(home, 15)
    await home.start({**QUARTERS, "peaks": 3})
    await home.hass.config.async_set_time_zone(zone)
    for watts, end in zip((1000, 10_000, 1000), times, strict=True):
        await home.draw(watts, end)
    assert home.intervals == pytest.approx({"01T00:00": 1, "01T00:15": 1}, abs=0.1)
    (last, *_) = home.state(K.PREVIOUS_PEAK_DEMAND).attributes["intervals"]
    assert last["start"].startswith("2026-11-30T23:45:00+")
    assert last["power"] == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("begin", [datetime(2026, 11, 30, 22, 20, tzinfo=UTC)], ids=["end of month"])
async def test_month_has_a_cost_and_a_highest_peak(home: FaultyHome) -> None:
    home.interval, home.phase = 10, 0
    await home.start({**QUARTERS, "peaks": 1, "price": 10})
    await home.draw(6000, "22:45:05")
    previous = float(home.shown(K.PEAK_DEMAND))
    # The times of the states are UTC.
    assert home.shown(K.PEAK_TIME) == "2026-11-30T22:30:00+00:00"
    await home.draw(500, "22:59:55")
    await home.draw(2000, "23:05:00")
    assert {home.shown(key) for key in (K.PEAK_COST, K.PEAK_TIME, K.MISSED_INTERVALS)} == {"unknown"}
    await home.draw(2000, "23:15:05")
    assert float(home.shown(K.PREVIOUS_PEAK_COST)) == pytest.approx(10 * previous, abs=0.01)
    assert float(home.shown(K.PEAK_COST)) == pytest.approx(20, abs=0.5)
    assert home.shown(K.PEAK_TIME) == "2026-11-30T23:00:00+00:00"
    assert home.shown(K.MISSED_INTERVALS) == "0"
    await home.skip("23:35:00")
    await home.draw(500, "23:45:05")
    assert home.shown(K.MISSED_INTERVALS) == "2"


@pytest.mark.parametrize("begin", [datetime(2026, 11, 30, 22, 20, tzinfo=UTC)], ids=["end of month"])
async def test_lowest_limit_applies_when_a_month_begins(home: FaultyHome) -> None:
    home.interval, home.phase = 10, 0
    await home.start({**QUARTERS, "peaks": 1, "min_limit_share": 50})
    await home.draw(6000, "22:45:05")
    await home.draw(500, "23:05:00")
    # This month has no peak yet.
    assert float(home.shown(K.DEMAND_LIMIT)) == pytest.approx(3, abs=0.1)
    await home.draw(500, "23:20:00")
    assert float(home.shown(K.PEAK_DEMAND)) == pytest.approx(0.5, abs=0.1)
    assert float(home.shown(K.DEMAND_LIMIT)) == pytest.approx(3, abs=0.1)
    await home.draw(2500, "23:28:00")
    assert home.shown(K.PEAK_EXPECTED) == "off"
    assert float(home.shown(K.AVAILABLE_POWER)) > 3
    await home.draw(9000, "23:42:00")
    assert home.shown(K.PEAK_EXPECTED) == "on"
    await home.draw(9000, "23:50:00")
    # The peaks that are billed do not depend on the lowest limit.
    assert float(home.shown(K.PEAK_DEMAND)) == pytest.approx(9, abs=0.2)


# ------------------------------------------------------------------------------------------------ clocks


@pytest.mark.parametrize("begin", [datetime(2026, 11, 10, 4, 40, tzinfo=UTC)], ids=["night"])
@pytest.mark.parametrize("kind", ["currentlyone", "currentlyone without storage"])
@pytest.mark.parametrize("corrected", ["07:01:30", "07:30:10"])
@pytest.mark.parametrize("ahead", [15, 60, 170, 3600])
async def test_peak_is_right_after_a_wrong_reader_clock(
    home: FaultyHome, ahead: float, corrected: str
) -> None:
    """Begin with hours that the reader has stored by its wrong clock."""
    assert isinstance(home.reader, StoringCurrentlyOne)
    home.reader.clock_error = timedelta(seconds=ahead)
    await home.skip("06:52:00")
    await home.start(QUARTERS)
    await home.draw(2500, "07:00:00")
    await home.draw(6500, "07:01:30")
    assert home.issues == set()
    if corrected == "07:01:30":
        home.reader.clock_error = timedelta()
    else:
        await home.draw(6500, "07:04:00")
        assert home.issues == {"reader_clock_wrong"}
    await home.reconnect()
    await home.draw(6500, "07:15:00")
    await home.draw(2500, "07:30:10")
    shown = {start: power for start, power in home.intervals.items() if start >= "10T08:00"}
    assert shown == pytest.approx({"10T08:00": 6.5, "10T08:15": 2.5}, abs=0.006)
    # The quarters before the first reading are known by the stored hours as soon as the clock is right.
    assert home.missed == 0 or corrected == "07:01:30"
    home.reader.clock_error = timedelta()
    await home.reconnect()
    await home.draw(2500, "07:31:00")
    assert home.issues == set()


@pytest.mark.parametrize("minutes", [None, 1, 20], ids=["sleep", "pause, 1 min", "pause, 20 min"])
async def test_sleep_or_pause_loses_no_energy(
    home: FaultyHome, kind: str, minutes: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Bill the mean of eight hours without readings. After a pause, the clock is wrong for some minutes."""
    home.interval = 20
    await home.start(HOURS)
    await home.draw(2000, "07:30:00")
    home.house.draw(3000)
    if minutes is None:
        await home.sleep("15:30:00")
    else:
        await home.pause("15:30:00")
        await home.draw(2000, f"15:{30 + minutes}:00")
        home.set_clock(timedelta())
    await home.draw(2000, "17:00:20")
    assert home.rejected == {}
    assert home.replacements == []
    assert "A meter was replaced" not in caplog.text
    starts = [f"10T{hour:02}:00" for hour in range(8, 18)]
    powers = [2.5, *[3] * 7, 2.5, 2] if kind == "currentlyone" else [*[26 / 9] * 9, 2]
    assert home.intervals == pytest.approx(dict(zip(starts, powers, strict=True)), abs=0.02)
    assert home.missed == (0 if kind == "currentlyone" else 9)


# ------------------------------------------------------------------------------------- meter replacement

FAULTS: Final[Mapping[str, tuple[Callable[[float], float], int]]] = {
    # Function from the right register to the wrong one, and its duration in seconds.
    "old register": (lambda register: register - 100_000, 5),
    "too high register": (lambda register: register + 5_000_000, 20),
    "too low register": (lambda register: register % 1000, 20),
    "zero": (lambda _: 0, 20),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_wrong_register_for_seconds_is_not_a_replacement(
    home: FaultyHome, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    home.interval = 20
    await home.start(QUARTERS)
    await home.draw(3000, "07:14:00")
    home.interval, home.phase = 1, -0.5
    await home.draw(3000, "07:14:57")
    written = home.writes(M.ACTIVE_ENERGY_IMPORT)
    register, seconds = FAULTS[fault]
    before = home.house.register
    home.register = register
    await home.draw(3000, f"07:15:{seconds - 3:02}")
    home.register = lambda right: right
    await home.draw(3000, "07:15:30")
    home.interval = 20
    await home.draw(3000, "07:30:20")
    assert home.rejected.keys() <= {"lower", "higher than possible", "zero"}
    assert sum(home.rejected.values()) == seconds
    assert home.replacements == []
    assert "A meter was replaced" not in caplog.text
    values = [before / 1000 - 0.001, *(float(write.state) for write in written), home.house.register / 1000]
    assert values == sorted(values)
    shown = {start: power for start, power in home.intervals.items() if start >= "10T08:00"}
    assert shown == pytest.approx({"10T08:00": 3, "10T08:15": 3}, abs=0.01)
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
        ("power", 4_294_967_295, True),
        ("current", 65_536, False),
        ("voltage", 65_536, False),
    ],
)
async def test_impossible_value_changes_no_demand(
    home: FaultyHome, quantity: str, absurd: int, *, has_rare_registers: bool
) -> None:
    if has_rare_registers:
        home.register = sent_every(home, 60)
        home.phase = 0
    await home.start({**HOURS, "main_fuse": 25})
    await home.draw(3000, "07:05:05")
    written = watch_states(home.hass)
    key = KEYS[home.reader.kind][quantity]
    home.reader.overrides[key] = absurd // 1000 if key == "P_In" else absurd
    await home.draw(3000, "07:05:15")
    del home.reader.overrides[key]
    await home.draw(3000, "07:10:00")
    assert home.rejected == {"beyond a household supply": 1}
    # Headroom is up to the main fuse.
    bounds = {"kW": 17.25, "W": 17_250, "A": 25, "V": 231}
    values = [write for write in written if write.unit in bounds]
    assert {write.state for write in values if write.entity_id == home.state(K.DEMAND).entity_id} == {"3.0"}
    for write in values:
        if write.state != "unknown":
            assert float(write.state) <= bounds[str(write.unit)], write
