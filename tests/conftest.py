"""Fixtures: sockets on loopback, simulated readers, clocks and databases."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
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

# Imported first, because the test package contains another `custom_components`.
from . import databases, dialogs, measured_tables, selection
from .logs import OURS
from .simulators import SIMULATORS, CurrentlyOneSimulator, House, Simulator, WhatwattSimulator
from .simulators.server import Server
from .time_lapse import TimeLapse
from .time_machine import TimeMachine

# The test package enables their log of all statements, which takes longer than the statements.
for logger in ("sqlalchemy.engine", "homeassistant.components.recorder"):
    logging.getLogger(logger).setLevel(logging.WARNING)

# The same examples in every run. scripts/test --repeat and --weekly use --hypothesis-profile=random.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")


class Start(Protocol):
    """Function that starts a simulated reader, which stops at the end of the test."""

    async def __call__[S: Server](self, reader: S, *, live: bool = False) -> S: ...


class MakeTimeLapse(Protocol):
    """Function that makes a time lapse."""

    def __call__(
        self, database: str | None, house: House | None = None
    ) -> AbstractAsyncContextManager[TimeLapse]: ...


@pytest.fixture(autouse=True)
def _dialogs_have_texts() -> Iterator[None]:
    """Check the texts of all forms that a test opens."""
    with dialogs.checked():
        yield


@pytest.fixture(autouse=True)
def _no_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which the integration has logged an error, unless it has the marker `errors`."""
    # Not `caplog`, because it enables the log of all events.
    errors = BufferingHandler(capacity=10_000)
    errors.setLevel(logging.ERROR)
    OURS.addHandler(errors)
    yield
    OURS.removeHandler(errors)
    if request.node.get_closest_marker("errors") is None:
        assert [record.getMessage() for record in errors.buffer if not _is_canceled_setup(record)] == []


def _is_canceled_setup(record: logging.LogRecord) -> bool:
    """Return whether Home Assistant has stopped during a setup, as at the end of a test."""
    return record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)


@pytest.fixture(autouse=True)
def _clear_logged_errors() -> None:
    """Clear the list of logged errors, so that errors of earlier tests are logged again."""
    EXCEPTION_FILTER.logged.clear()


@pytest.fixture(autouse=True)
def _seeded(request: pytest.FixtureRequest) -> None:
    """Seed the integration's random numbers, such as reconnect delays: the same in every run by default."""
    random.seed(f"{request.config.getoption('--hypothesis-seed')} {request.node.nodeid}")


@pytest.fixture(autouse=True)
def _real_sockets(socket_enabled: None, enable_custom_integrations: None) -> None:
    """Allow connections to loopback, and load the integration."""


@pytest.fixture
def hass_config_dir(request: pytest.FixtureRequest, hass_config_dir: str) -> str:
    """Return the configuration folder: one of the test if it has the marker `stored_files`."""
    if request.node.get_closest_marker("stored_files") is None:
        return hass_config_dir
    return str(request.getfixturevalue("hass_tmp_config_dir"))


@pytest.fixture
def hass_storage(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the stored data, which is in memory unless the test has the marker `stored_files`."""
    if request.node.get_closest_marker("stored_files") is None:
        in_memory: dict[str, Any] = request.getfixturevalue("hass_storage")
        return in_memory
    return {}


@pytest.fixture
def mock_recorder_before_hass(request: pytest.FixtureRequest) -> None:
    """Set up the recorder first in tests that use it, because the test package requires it."""
    if "recorder_mock" in request.fixturenames:
        request.getfixturevalue("async_test_recorder")


@pytest.fixture
def house() -> House:
    """Return a house by day."""
    return House(clock=datetime.now(UTC).replace(hour=11, minute=20, second=0, microsecond=0))


@pytest.fixture
async def start() -> AsyncGenerator[Start]:
    """Return a function that starts a reader. Its meter sends on request, or by itself if `live`."""
    started: list[Server] = []

    async def start_reader[S: Server](reader: S, *, live: bool = False) -> S:
        started.append(reader)
        return await reader.start(live=live)

    yield start_reader
    for reader in started:
        await reader.stop()


@pytest.fixture
async def whatwatt(house: House, start: Start) -> WhatwattSimulator:
    """Return a whatwatt without a password."""
    return await start(WhatwattSimulator(house))


@pytest.fixture
async def protected_whatwatt(house: House, start: Start) -> WhatwattSimulator:
    """Return a whatwatt with the password "secret"."""
    return await start(WhatwattSimulator(house, password="secret"))


@pytest.fixture
async def currentlyone(house: House, start: Start) -> CurrentlyOneSimulator:
    """Return a CurrentlyOne."""
    return await start(CurrentlyOneSimulator(house))


@pytest.fixture(params=SIMULATORS)
async def any_reader(request: pytest.FixtureRequest, house: House, start: Start) -> Simulator:
    """Return a reader of each kind in turn."""
    return await start(SIMULATORS[request.param](house))


@pytest.fixture
async def time_machine() -> TimeMachine:
    """Return the control of the event loop's clock."""
    return TimeMachine(asyncio.get_running_loop())


@pytest.fixture
def make_time_lapse(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture, hass_storage: dict[str, Any]
) -> MakeTimeLapse:
    """Return a function that makes a time lapse of a house, which begins on a sunny November morning.

    Home Assistant has not started. The database is SQLite unless its URL is given.
    """
    for logger in ("homeassistant", "sqlalchemy.engine", "pytest_homeassistant_custom_component"):
        caplog.set_level(logging.ERROR, logger)
    caplog.set_level(logging.CRITICAL, "aiohttp.access")  # It does not support a stopped wall clock.
    # Not DEBUG, because it logs all events of the stream.
    caplog.set_level(logging.INFO, "custom_components.energy_sse")

    @asynccontextmanager
    async def make(database: str | None, house: House | None = None) -> AsyncGenerator[TimeLapse]:
        if house is None:
            house = House(clock=datetime(2026, 11, 10, 5, 30, tzinfo=UTC), appliances=[])
        reader = await start(CurrentlyOneSimulator(house))
        time_lapse = TimeLapse(reader, database or f"sqlite:///{tmp_path}/other.db", tmp_path, hass_storage)
        with time_lapse.stopped_clock():
            yield time_lapse
            if time_lapse.is_running:
                await time_lapse.stop()

    return make


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], databases.Server]]:
    """Return a function that returns a database server, and starts it the first time."""
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
    """Return the URL of an empty database: SQLite unless the test has a parameter."""
    name = getattr(request, "param", databases.SQLITE)
    if name == databases.SQLITE:
        return f"sqlite:///{tmp_path}/home-assistant.db"
    return servers(name).create_database(f"test_{uuid4().hex}")


@pytest.fixture
def every_entity_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable all entities."""
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
        parser.addoption(f"--{name}-table", help="document for the measured values")
    parser.addoption("--tariff-picture", help="file for the picture of a day with a power tariff")
    parser.addoption("--messages", type=int, default=200, help="number of messages from each random device")
    parser.addoption("--keep-days", help="folder for the databases that `scripts/measure pictures` shows")


@pytest.fixture
def reliability_table(pytestconfig: pytest.Config) -> list[tuple[str, ...]]:
    """Return the rows of the fault matrix so far."""
    return pytestconfig.stash.setdefault(_TABLES, {}).setdefault("reliability", [])


@pytest.fixture
def statistics_table(pytestconfig: pytest.Config) -> list[tuple[str, ...]] | None:
    """Return the rows of the outages so far; None without --statistics-table."""
    if pytestconfig.getoption("--statistics-table") is None:
        return None
    return pytestconfig.stash.setdefault(_TABLES, {}).setdefault("statistics", [])


@pytest.fixture
def tariff_table(pytestconfig: pytest.Config) -> Path | None:
    """Return the document for the months; None without --tariff-table."""
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
