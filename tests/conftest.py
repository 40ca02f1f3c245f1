"""What the tests share: real sockets on loopback, and simulated readers that are gone afterwards."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

# Imported here because the test package brings a `custom_components` of its own, which must not come first.
from . import reliability_table as reliability_table_module
from .readers import CurrentlyOneSimulator, House, WhatwattSimulator
from .readers.server import Simulator
from .time_machine import TimeMachine

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


@pytest.fixture
async def time_machine() -> TimeMachine:
    """Return the power over the clock of the test's event loop."""
    return TimeMachine(asyncio.get_running_loop())


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    """Return a client session for tests without Home Assistant."""
    async with aiohttp.ClientSession() as client:
        yield client


_RELIABILITY_TABLE = pytest.StashKey[list[tuple[str, ...]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability-table", help="where to write the table of the fault matrix")


@pytest.fixture
def reliability_table(pytestconfig: pytest.Config) -> list[tuple[str, ...]]:
    """Return the rows of the fault matrix so far."""
    return pytestconfig.stash.setdefault(_RELIABILITY_TABLE, [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--reliability-table")
    if path:
        reliability_table_module.write(Path(path), session.config.stash.get(_RELIABILITY_TABLE, []))
