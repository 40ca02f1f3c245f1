"""What the tests share: real sockets on loopback, and simulated readers that are gone afterwards."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

# Imported here because the test package brings a `custom_components` of its own, which must not come first.
from . import measured_tables
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


_TABLES = pytest.StashKey[dict[str, list[tuple[str, ...]]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    for name in measured_tables.HEADS:
        parser.addoption(f"--{name}-table", help="the document to write what was measured to")
    parser.addoption("--keep-days", help="a folder for the databases that scripts/pictures shows")


@pytest.fixture
def reliability_table(pytestconfig: pytest.Config) -> list[tuple[str, ...]]:
    """Return the rows of the fault matrix so far."""
    return pytestconfig.stash.setdefault(_TABLES, {}).setdefault("reliability", [])


@pytest.fixture
def statistics_table(pytestconfig: pytest.Config) -> list[tuple[str, ...]] | None:
    """Return the rows of the outages so far, or None when nobody asks for them."""
    if pytestconfig.getoption("--statistics-table") is None:
        return None
    return pytestconfig.stash.setdefault(_TABLES, {}).setdefault("statistics", [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    for name, rows in session.config.stash.get(_TABLES, {}).items():
        path = session.config.getoption(f"--{name}-table")
        if path:
            measured_tables.write(name, rows, Path(path))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reason for reason in reasons if "NOT TESTED" in reason):
        terminalreporter.write_line(reason, red=True, bold=True)
