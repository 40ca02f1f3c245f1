"""A clock of a reader that is wrong, or corrected, while it streams."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import DOMAIN
from custom_components.energy_sse.reader import connection

from .home_assistant import set_up
from .simulators import CurrentlyOneSimulator, House
from .simulators.house import Appliance, State
from .time_machine import TimeMachine

pytestmark = pytest.mark.slow(
    "reader/currentlyone.py", "appliances.py", "readings.py", "wall_clock.py", "tests/simulators/*"
)

HOUR = timedelta(hours=1)
MINUTES = timedelta(minutes=5)
YEARS = timedelta(days=20_000)

# Seconds. As long as the faults of the fault matrix.
LASTS = 900

# Seconds. The longest that readings after a connection can be mistaken for repeated ones.
REPLAY = 45


@dataclass
class Home:
    """Home Assistant and a reader with a coffee machine."""

    hass: HomeAssistant
    reader: CurrentlyOneSimulator
    machine: TimeMachine
    entry: MockConfigEntry | None = None
    fired: list[str] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)

    async def connect(self, *, live: bool = True) -> None:
        """Start the reader, and set it up."""
        await self.reader.start(live=live)
        self.entry = await set_up(self.hass, self.reader)
        await self.machine.idle()

    def watch(self) -> None:
        """Record events and unavailable entities from now on."""
        self.hass.bus.async_listen(EVENT_STATE_CHANGED, self._record)

    @callback
    def _record(self, event: Event[EventStateChangedData]) -> None:
        state = event.data["new_state"]
        assert state is not None
        if state.state == "unavailable":
            self.unavailable.append(state.entity_id)
        elif state.entity_id == "event.mocca_master_state_change":
            self.fired.append(state.attributes["event_type"])

    async def run_for(self, seconds: int) -> list[str]:
        """Let time pass while the coffee machine is switched every 50 seconds. Return the expected events."""
        expected = []
        for n in range(seconds // 50):
            is_on = n % 2 == 0
            await self.reader.switch("mocca_mast", "on" if is_on else "off")
            expected.append("turned_on" if is_on else "turned_off")
            await self.machine.advance(50)
        return expected

    @property
    def issues(self) -> list[str | None]:
        """Issues that are shown to the user."""
        return [i.translation_key for i in ir.async_get(self.hass).issues.values() if i.domain == DOMAIN]


@pytest.fixture
async def home(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> AsyncGenerator[Home]:
    """Return a home before the reader is set up."""
    now = datetime(2026, 11, 24, 11, 20, tzinfo=UTC)
    freezer.move_to(now)
    off, on = State("off", 0, is_on=False), State("on", 1450, is_on=True)
    coffee_machine = Appliance("mocca_mast", "Mocca Master", "coffee-makers", 0, (off, on), (10**9, 10**9))
    reader = CurrentlyOneSimulator(House(clock=now, appliances=[coffee_machine]))
    home = Home(hass, reader, TimeMachine(asyncio.get_running_loop(), freezer.tick))
    yield home
    if home.entry is not None:
        await hass.config_entries.async_unload(home.entry.entry_id)
    await reader.stop()


async def store_readings(reader: CurrentlyOneSimulator) -> None:
    """Let a reader store as many readings as it can, up to now."""
    reader.house.clock -= timedelta(seconds=400)
    for _ in range(40):
        await reader.tick()


@pytest.mark.parametrize("after", [3, 60])
@pytest.mark.parametrize("error", [HOUR, -HOUR, MINUTES, -MINUTES, YEARS, -YEARS], ids=str)
@pytest.mark.parametrize("has_stored", [True, False], ids=["stored readings", "no stored readings"])
async def test_corrected_clock_causes_no_gap(
    home: Home, error: timedelta, after: int, *, has_stored: bool
) -> None:
    home.reader.clock_error = error
    if has_stored:
        await store_readings(home.reader)
    await home.connect()
    if has_stored:
        home.watch()
    await home.machine.advance(after)
    home.reader.clock_error = timedelta()
    await home.machine.advance(REPLAY)
    if not has_stored:
        # Readings of the first seconds can be mistaken for repeated ones.
        home.watch()
    expected = await home.run_for(LASTS)
    assert home.unavailable == []
    assert home.fired == expected
    assert home.issues == []


@pytest.mark.parametrize("error", [HOUR, -HOUR, MINUTES, -MINUTES], ids=str)
@pytest.mark.parametrize("is_config_only", [False, True])
async def test_clock_that_changes_often_causes_no_gap(
    home: Home, error: timedelta, *, is_config_only: bool
) -> None:
    """Change the clock for 200 seconds twice, or only in one message with the configuration."""
    await store_readings(home.reader)
    await home.connect()
    home.watch()
    await home.machine.advance(REPLAY)
    expected = []
    for clock_error in (error, timedelta(), error, timedelta()):
        home.reader.clock_error = clock_error
        if is_config_only:
            config = home.reader.config()
            home.reader.clock_error = timedelta()
            await home.reader.broadcast(f"event: config\r\ndata: {config}\r\n\r\n".encode())
        expected += await home.run_for(200)
    assert home.unavailable == []
    assert home.fired == expected


async def test_slow_replay_fires_no_event_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)
    reader, machine = home.reader, home.machine
    await store_readings(reader)
    await home.connect(live=False)
    home.watch()
    sent: list[bytes] = []
    send = reader.broadcast

    async def record(data: bytes) -> None:
        sent.append(data)
        await send(data)

    with monkeypatch.context() as patch:
        patch.setattr(reader, "broadcast", record)
        for state in ("on", "off") * 4:
            await reader.tick()
            await reader.switch("mocca_mast", state)
            await machine.advance(10)
    assert home.fired == ["turned_on", "turned_off"] * 4
    # With a weak network, the replay lasts for more than a minute. It contains transitions, too.
    online, config, *_ = reader._greeting().split(b"\r\n\r\n")  # noqa: SLF001
    reader.recording = b"\r\n\r\n".join((online, config, b""))
    reader.end_streams()
    await machine.advance(1)
    for event in sent:
        await reader.broadcast(event)
        await machine.advance(3)
    assert len(sent) * 3 > 70
    reader.house.clock += timedelta(seconds=len(sent) * 3)
    await reader.tick(10)
    await machine.advance(10)
    await reader.switch("mocca_mast", "on")
    await machine.idle()
    assert home.fired == ["turned_on", "turned_off"] * 4 + ["turned_on"]
