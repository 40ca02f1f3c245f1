"""What the tests share: real sockets on loopback, and simulated readers that are gone afterwards."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic

import aiohttp
from homeassistant.core import HassJob, HomeAssistant
from homeassistant.util.async_ import get_scheduled_timer_handles
import pytest

# Imported here because the test package brings a `custom_components` of its own, which must not come first.
from custom_components.energy_sse import coordinator

from .readers import CurrentlyOneSimulator, House, WhatwattSimulator
from .readers.server import Simulator

type Start = Callable[[Simulator], Awaitable[None]]


@pytest.fixture(autouse=True)
def _real_sockets(socket_enabled: None, enable_custom_integrations: None) -> None:
    """Let every test talk to this machine, and load the integration."""


@pytest.fixture
def house() -> House:
    """Return a house by day, whatever the hour of the test run."""
    return House(clock=datetime.now(UTC).replace(hour=11, minute=20, second=0, microsecond=0))


@pytest.fixture
async def start() -> AsyncGenerator[Start]:
    """Return a function that starts a simulated reader, whose meter speaks only when asked."""
    started = []

    async def start_reader(reader: Simulator) -> None:
        started.append(reader)
        await reader.start()

    yield start_reader
    for reader in started:
        await reader.stop()


@pytest.fixture
async def whatwatt(house: House, start: Start) -> WhatwattSimulator:
    """Return a whatwatt that is open to everybody."""
    reader = WhatwattSimulator(house)
    await start(reader)
    return reader


@pytest.fixture
async def protected_whatwatt(house: House, start: Start) -> WhatwattSimulator:
    """Return a whatwatt with the password "secret"."""
    reader = WhatwattSimulator(house, password="secret")
    await start(reader)
    return reader


@pytest.fixture
async def currentlyone(house: House, start: Start) -> CurrentlyOneSimulator:
    """Return a CurrentlyOne."""
    reader = CurrentlyOneSimulator(house)
    await start(reader)
    return reader


@pytest.fixture(params=["whatwatt", "currentlyone"])
async def either(
    request: pytest.FixtureRequest, house: House, start: Start
) -> WhatwattSimulator | CurrentlyOneSimulator:
    """Return a reader of each kind in turn."""
    reader = (WhatwattSimulator if request.param == "whatwatt" else CurrentlyOneSimulator)(house)
    await start(reader)
    return reader


class TimeMachine:
    """Lets time pass for the integration, while sockets go on in real time."""

    def __init__(self, hass: HomeAssistant) -> None:
        self._hass = hass
        self._passed = 0.0

    def monotonic(self) -> float:
        """Return the time of a monotonic clock that was moved on."""
        return monotonic() + self._passed

    async def let_pass(self, seconds: float) -> None:
        """Move on, and let Home Assistant's timers fire that are due, but not those of sockets."""
        self._passed += seconds
        loop = self._hass.loop
        for handle in list(get_scheduled_timer_handles(loop)):
            is_home_assistants = handle._args and isinstance(handle._args[-1], HassJob)  # noqa: SLF001
            if is_home_assistants and not handle.cancelled() and handle.when() <= loop.time() + self._passed:
                handle._run()  # noqa: SLF001 (as the test package does)
                handle.cancel()
        await self._hass.async_block_till_done()


@pytest.fixture
def time_machine(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> TimeMachine:
    """Return the power over the integration's clock."""
    machine = TimeMachine(hass)
    monkeypatch.setattr(coordinator, "monotonic", machine.monotonic)
    return machine


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    """Return a client session for tests without Home Assistant."""
    async with aiohttp.ClientSession() as client:
        yield client
