"""What the tests share: real sockets on loopback, and simulated readers that are gone afterwards."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from datetime import UTC, datetime
import logging
from logging.handlers import BufferingHandler
from pathlib import Path
import random
from typing import Any, Protocol
from uuid import uuid4

import aiohttp
from homeassistant.helpers.entity import Entity
from hypothesis import HealthCheck, settings
import pytest

from custom_components.energy_sse.reader import EXCEPTION_FILTER

# Imported here because the test package brings a `custom_components` of its own, which must not come first.
from . import databases, dialogs, measured_tables, selection
from .logs import OURS
from .simulators import SIMULATORS, CurrentlyOneSimulator, House, Simulator, WhatwattSimulator
from .simulators.server import Server
from .time_lapse import TimeLapse
from .time_machine import TimeMachine

# The test package lets them write down every statement, which takes longer than the statement.
for talkative in ("sqlalchemy.engine", "homeassistant.components.recorder"):
    logging.getLogger(talkative).setLevel(logging.WARNING)

# The same examples in every run. scripts/test --repeat and --weekly use --hypothesis-profile=random.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")

type Start = Callable[[Server], Awaitable[None]]


class MakeTimeLapse(Protocol):
    """Makes a time lapse."""

    def __call__(
        self, database: str | None, house: House | None = None
    ) -> AbstractAsyncContextManager[TimeLapse]: ...


@pytest.fixture(autouse=True)
def _dialogs_have_texts() -> Iterator[None]:
    """Look at every page of a dialog that a test comes by."""
    with dialogs.checked():
        yield


@pytest.fixture(autouse=True)
def _nothing_unexpected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a test fail in which the integration has logged an error, unless it is about one."""
    # Not `caplog`, which lets everything be logged, and so every event of a stream be recorded.
    errors = BufferingHandler(capacity=10_000)
    errors.setLevel(logging.ERROR)
    OURS.addHandler(errors)
    yield
    OURS.removeHandler(errors)
    if request.node.get_closest_marker("errors") is None:
        assert [record.getMessage() for record in errors.buffer if not _ended_a_set_up(record)] == []


def _ended_a_set_up(record: logging.LogRecord) -> bool:
    """Whether Home Assistant says that it has stopped while an entry was set up, as at the end of a test."""
    return record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)


@pytest.fixture(autouse=True)
def _errors_of_other_tests_are_forgotten() -> None:
    """Log an error again that an earlier test has logged."""
    EXCEPTION_FILTER.logged.clear()


@pytest.fixture(autouse=True)
def _seeded(request: pytest.FixtureRequest) -> None:
    """Seed the integration's random numbers, such as reconnect delays: the same in every run by default."""
    random.seed(f"{request.config.getoption('--hypothesis-seed')} {request.node.nodeid}")


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

    async def start_reader(reader: Server) -> None:
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


@pytest.fixture(params=SIMULATORS)
async def any_reader(request: pytest.FixtureRequest, house: House, start: Start) -> Simulator:
    """Return a reader of each kind in turn."""
    reader = SIMULATORS[request.param](house)
    await start(reader)
    return reader


@pytest.fixture
async def time_machine() -> TimeMachine:
    """Return the power over the clock of the test's event loop."""
    return TimeMachine(asyncio.get_running_loop())


@pytest.fixture
def make_time_lapse(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture, hass_storage: dict[str, Any]
) -> MakeTimeLapse:
    """Return a function that makes a time lapse of a house: a sunny one, early on a morning in November.

    Home Assistant is not there yet. The database is SQLite unless its URL is given.
    """
    for chatty in ("homeassistant", "sqlalchemy.engine", "pytest_homeassistant_custom_component"):
        caplog.set_level(logging.ERROR, chatty)
    caplog.set_level(logging.CRITICAL, "aiohttp.access")  # it does not understand the stopped clock
    # Not DEBUG, with which every event of the stream is logged.
    caplog.set_level(logging.INFO, "custom_components.energy_sse")

    @asynccontextmanager
    async def make(database: str | None, house: House | None = None) -> AsyncGenerator[TimeLapse]:
        if house is None:
            house = House(clock=datetime(2026, 11, 10, 5, 30, tzinfo=UTC), appliances=[])
        reader = CurrentlyOneSimulator(house)
        await start(reader)
        time_lapse = TimeLapse(reader, database or f"sqlite:///{tmp_path}/other.db", tmp_path, hass_storage)
        with time_lapse.stopped_clock():
            yield time_lapse
            if time_lapse.is_running:
                await time_lapse.stop()

    return make


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], databases.Server]]:
    """Return a function that returns a database server, started when it is first wanted."""
    running: dict[str, databases.Server] = {}
    with ExitStack() as stack:

        def get(name: str) -> databases.Server:
            if name not in running:
                folder = tmp_path_factory.mktemp(name)
                try:
                    running[name] = stack.enter_context(databases.SERVERS[name](folder))
                except databases.NotInstalledError:
                    pytest.skip(f"NOT TESTED: {name} is not installed here, and cannot be unpacked")
            return running[name]

        yield get


@pytest.fixture
def database(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Callable[[str], databases.Server]
) -> str:
    """Return the URL of an empty database: SQLite, if a test does not ask for others."""
    name = getattr(request, "param", databases.SQLITE)
    if name == databases.SQLITE:
        return f"sqlite:///{tmp_path}/home-assistant.db"
    return servers(name).create_database(f"test_{uuid4().hex}")


@pytest.fixture
def every_entity_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every entity have a state."""
    monkeypatch.setattr(Entity, "entity_registry_enabled_default", True)


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    """Return a client session for tests without Home Assistant."""
    async with aiohttp.ClientSession() as client:
        yield client


_TABLES = pytest.StashKey[dict[str, list[tuple[str, ...]]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    selection.add_option(parser)
    for name in measured_tables.HEADS:
        parser.addoption(f"--{name}-table", help="the document to write what was measured to")
    parser.addoption("--tariff-picture", help="the file to draw a day with a power tariff to")
    parser.addoption("--messages", type=int, default=200, help="how many each random device sends")
    parser.addoption("--keep-days", help="a folder for the databases that `scripts/measure pictures` shows")


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


@pytest.fixture
def tariff_table(pytestconfig: pytest.Config) -> Path | None:
    """Return the document whose table gets the months, or None when nobody asks for them."""
    path = pytestconfig.getoption("--tariff-table")
    return None if path is None else Path(path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selection.select(config, items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    for name, rows in session.config.stash.get(_TABLES, {}).items():
        path = session.config.getoption(f"--{name}-table")
        if path:
            measured_tables.write(name, rows, Path(path))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reason for reason in reasons if "NOT TESTED" in reason):
        terminalreporter.write_line(reason, red=True, bold=True)
