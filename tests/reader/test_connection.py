"""Connection to a reader: attempts, contention, unexpected errors."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
import random

import aiohttp
import pytest

from custom_components.energy_sse.reader import (
    READERS,
    ConnectionState,
    Measurement as M,
    Message,
    Property as P,
    ReaderConnection,
    ReaderConnectionError,
    ReaderError,
    ReaderInfo,
    ReaderStatus,
    Reading,
    clock,
    make_reader,
    whatwatt as whatwatt_module,
)
from custom_components.energy_sse.reader.base import diagnose_mismatch
from custom_components.energy_sse.reader.connection import Backoff
from custom_components.energy_sse.reader.whatwatt import WhatwattReader
from tests.conftest import Start
from tests.error_injection import ERRORS, ErrorInjector, functions_of
from tests.simulators import SIMULATORS, CurrentlyOneSimulator, House, WhatwattSimulator
from tests.simulators.network import FaultyNetwork
from tests.simulators.server import Simulator
from tests.time_machine import TimeMachine
from tests.wait import wait_until


@pytest.fixture
def advance(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], float]:
    """Return a function that advances the clock, and returns its time. No event loop is running."""
    time = 1000.0

    def advance_clock(seconds: float) -> float:
        nonlocal time
        time += seconds
        return time

    monkeypatch.setattr(clock, "now", lambda: time)
    return advance_clock


def attempts_of(
    backoff: Backoff, advance: Callable[[float], float], count: int, *, duration: float = 0.0
) -> list[float]:
    """Return the times of attempts that all fail after `duration` seconds."""
    times = []
    for _ in range(count):
        times.append(advance(0))
        backoff.record_attempt()
        advance(duration)
        advance(backoff.next_wait())
    return times


@pytest.mark.parametrize("duration", [0.0, 0.5, 12.0])
def test_backoff_allows_at_most_six_attempts_a_minute(
    advance: Callable[[float], float], duration: float
) -> None:
    for _ in range(50):
        times = attempts_of(Backoff(), advance, 100, duration=duration)
        assert all(sum(start <= time < start + 60 for time in times) <= 6 for start in times)


def test_backoff_grows_to_five_minutes(
    advance: Callable[[float], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    times = attempts_of(Backoff(), advance, 40)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert set(waits[8:]) == {300}


def test_backoff_is_random_in_its_whole_range(advance: Callable[[float], float]) -> None:
    backoff = Backoff()
    attempts_of(backoff, advance, 12)
    waits = [backoff.next_wait() for _ in range(500)]
    assert min(waits) < 30
    assert max(waits) > 270


def test_backoff_reserves_one_attempt_a_minute_for_announcements(
    advance: Callable[[float], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, _high: low)
    backoff = Backoff()
    for _ in range(5):
        assert backoff.next_wait() == 0
        backoff.record_attempt()
    assert backoff.next_wait() == 60
    assert backoff.min_wait() == 0
    backoff.record_attempt()
    assert backoff.min_wait() == 60


def test_backoff_keeps_its_limit_when_it_is_reset(advance: Callable[[float], float]) -> None:
    backoff = Backoff()
    attempts_of(backoff, advance, 20)
    backoff.reset()
    advance(600)
    assert backoff.next_wait() <= 2
    for _ in range(6):
        backoff.record_attempt()
        backoff.reset()
    assert backoff.next_wait() == pytest.approx(60)


class Follower:
    """A listener that stores its calls, and its connection to a reader."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        reader: Simulator,
        *,
        host: str | None = None,
        entered_host: str | None = None,
    ) -> None:
        self.messages: list[Message] = []
        self.losses: list[ReaderError] = []
        self.contentions: list[bool] = []
        self.moves: list[str] = []
        self.reader = make_reader(reader.kind, session, host or reader.host, "secret")
        self.connection = ReaderConnection(self.reader, reader.device_id, self, entered_host=entered_host)

    def handle_message(self, message: Message) -> None:
        self.messages.append(message)

    def handle_disconnect(self, error: ReaderError) -> None:
        self.losses.append(error)

    def handle_contention(self, *, is_contended: bool) -> None:
        self.contentions.append(is_contended)

    def handle_move(self, host: str) -> None:
        self.moves.append(host)

    def handle_basic_auth_request(self, host: str) -> None:
        raise NotImplementedError

    async def has(self, *, readings: int = 0, losses: int = 0) -> None:
        await wait_until(lambda: len(self.readings) >= readings and len(self.losses) >= losses)

    @property
    def readings(self) -> list[Reading]:
        return [message for message in self.messages if isinstance(message, Reading)]

    @property
    def meter_statuses(self) -> list[object]:
        return [m.values.get(P.METER_STATUS) for m in self.messages if isinstance(m, ReaderStatus)]


@asynccontextmanager
async def following(
    session: aiohttp.ClientSession,
    reader: Simulator,
    *,
    host: str | None = None,
    entered_host: str | None = None,
) -> AsyncGenerator[Follower]:
    """Run a connection to a reader."""
    follower = Follower(session, reader, host=host, entered_host=entered_host)
    task = asyncio.create_task(follower.connection.run())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def licensed_whatwatt(house: House, start: Start) -> WhatwattSimulator:
    """Return a whatwatt with a license, so that its values are polled during contention."""
    reader = WhatwattSimulator(house, password="secret", license_type="PLUS")
    await start(reader)
    return reader


async def test_values_before_the_identity_are_ignored(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = currentlyone.config()
    state = 'event: state\r\ndata: {"W":1}'
    monkeypatch.setattr(
        currentlyone, "config", lambda: f"{{}}\r\n\r\n{state}\r\n\r\nevent: config\r\ndata: {config}"
    )
    async with following(session, currentlyone) as follower:
        await wait_until(lambda: currentlyone.streams)
        await currentlyone.tick()
        await follower.has(readings=1)
        assert isinstance(follower.messages[0], ReaderInfo)
        assert len(follower.readings) == 1


@pytest.mark.errors
async def test_error_in_a_listener_loses_one_message(
    session: aiohttp.ClientSession,
    protected_whatwatt: WhatwattSimulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with following(session, protected_whatwatt) as follower:
        await wait_until(lambda: protected_whatwatt.streams)
        received: list[Message] = []

        def fail(message: Message) -> None:
            received.append(message)
            raise KeyError(len(received))

        with monkeypatch.context() as patch:
            patch.setattr(follower, "handle_message", fail)
            for _ in range(3):
                await protected_whatwatt.tick()
            await wait_until(lambda: sum(isinstance(message, Reading) for message in received) == 3)
        await protected_whatwatt.tick()
        await follower.has(readings=1)
    assert follower.losses == []
    assert caplog.text.count("Unexpected error") == 1


async def test_closed_connections_are_not_contention(
    session: aiohttp.ClientSession, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    async def close(_client: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pass

    network = await FaultyNetwork(whatwatt).start()
    network.respond, network.only_the_stream = close, True
    async with following(session, whatwatt, host=network.host) as follower:
        while len(follower.losses) < 5:
            await time_machine.advance(5)
    await network.stop()
    assert True not in follower.contentions


@pytest.mark.errors
async def test_values_are_polled_again_after_an_unexpected_error(
    session: aiohttp.ClientSession,
    licensed_whatwatt: WhatwattSimulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = licensed_whatwatt
    async with following(session, reader) as follower:
        with ErrorInjector(WhatwattReader.poll, chance=1).raises():
            while follower.connection.state is not ConnectionState.CONTENDED:
                reader.end_streams()
                await time_machine.advance(5)
            await time_machine.advance(60)
        assert follower.connection.state is ConnectionState.CONTENDED
        assert not follower.readings
        await time_machine.advance(35)
        assert follower.connection.state is ConnectionState.CONTENDED
        assert follower.readings
    assert 0 < caplog.text.count("Unexpected error while polling the values") <= len(ERRORS)


async def test_stream_for_many_clients_is_never_contended(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    async with following(session, currentlyone) as follower:
        while len(follower.losses) < 6:
            currentlyone.end_streams()
            await time_machine.advance(1)
        assert not follower.contentions


@pytest.mark.parametrize(("interval", "polls"), [(0, 12), (1, 12), (5, 12), (12, 5), (20, 3), (300, 2)])
async def test_values_are_polled_at_the_interval_within_limits(
    session: aiohttp.ClientSession,
    licensed_whatwatt: WhatwattSimulator,
    time_machine: TimeMachine,
    interval: int,
    polls: int,
) -> None:
    reader = licensed_whatwatt
    reader.interval = interval
    async with following(session, reader) as follower:
        while follower.connection.state is not ConnectionState.CONTENDED:
            reader.end_streams()
            await time_machine.advance(1)
        before = reader.requests.count("GET /api/v1/report")
        await time_machine.advance(60)
        assert reader.requests.count("GET /api/v1/report") - before == polls


@pytest.mark.errors
@pytest.mark.parametrize("kind", SIMULATORS)
async def test_connection_continues_after_any_unexpected_error(
    session: aiohttp.ClientSession,
    licensed_whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
    *,
    kind: str,
) -> None:
    reader = licensed_whatwatt if kind == "whatwatt" else currentlyone
    injector = ErrorInjector(
        *functions_of(ReaderConnection, but=("__init__", "run")),
        *functions_of(Backoff, but=("__init__",)),
        *functions_of(Follower, but=("__init__", "has", "readings", "meter_statuses")),
        *functions_of(READERS[reader.kind], but=("__init__",)),
        chance=0.03,
    )
    async with following(session, reader) as follower:
        with injector.raises():
            for _ in range(100):
                await reader.tick()
                reader.end_streams()
                await time_machine.advance(15)
        seen = len(follower.readings)
        for _ in range(60):
            await time_machine.advance(10)
            await reader.tick()
        assert len(follower.readings) > seen
        assert follower.connection.state is ConnectionState.STREAMING
    assert len(injector.places) > 10
    errors = [record.message for record in caplog.records if "Unexpected error" in record.message]
    faults = [error.partition(": ")[2].partition(", because of")[0].split() for error in errors]
    kinds = [(fault[0], fault[-1]) for fault in faults]
    assert len(kinds) == len(set(kinds)) > 0


@pytest.mark.errors
async def test_entered_address_is_checked_again_after_an_error(
    session: aiohttp.ClientSession, house: House, time_machine: TimeMachine, caplog: pytest.LogCaptureFixture
) -> None:
    reader = await WhatwattSimulator(house).start(live=True)
    network = await FaultyNetwork(reader).start()
    async with following(session, reader, entered_host=network.host) as follower:
        with ErrorInjector(WhatwattReader.identify, chance=1).raises():
            await time_machine.advance(310)
        assert caplog.text.count("Unexpected error while checking the entered address") == 1
        assert follower.moves == []
        await time_machine.advance(310)
        assert follower.moves == [network.host]
    await network.stop()
    await reader.stop()


@pytest.mark.errors
async def test_error_is_kept_when_its_diagnosis_fails(
    session: aiohttp.ClientSession,
    whatwatt: WhatwattSimulator,
    monkeypatch: pytest.MonkeyPatch,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(whatwatt, "system", list)
    async with following(session, whatwatt) as follower:
        with ErrorInjector(diagnose_mismatch, chance=1).raises():
            await time_machine.advance(1)
            await follower.has(losses=1)
    assert str(follower.losses[0]) == "invalid response: not a JSON object"
    assert "Unexpected error while identifying the device" in caplog.text


async def test_announcement_is_not_delayed_by_diagnoses(
    session: aiohttp.ClientSession,
    whatwatt: WhatwattSimulator,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    time_machine: TimeMachine,
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, _high: low)
    monkeypatch.setattr(whatwatt, "system", list)
    moved = WhatwattSimulator(whatwatt.house, device_id=whatwatt.device_id, password="secret")
    await start(moved)
    async with following(session, whatwatt) as follower:
        await follower.has(losses=1)
        await time_machine.idle()
        # Three attempts and two diagnoses.
        assert len(follower.losses) == 3
        follower.connection.handle_announcement(moved.host)
        await time_machine.advance(1)
        await wait_until(lambda: moved.streams)
    assert follower.moves == [moved.host]


async def test_second_identity_is_not_a_second_connect(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator
) -> None:
    async with following(session, currentlyone) as follower:
        await wait_until(lambda: currentlyone.streams)
        config = f"event: config\r\ndata: {currentlyone.config()}\r\n\r\n"
        await currentlyone.broadcast(config.encode())
        await currentlyone.tick()
        await follower.has(readings=1)
        infos = [message for message in follower.messages if isinstance(message, ReaderInfo)]
        assert (len(infos), follower.reader.stats.connects) == (2, 1)


async def test_unknown_event_of_a_whatwatt_is_ignored(
    session: aiohttp.ClientSession, protected_whatwatt: WhatwattSimulator
) -> None:
    async with following(session, protected_whatwatt) as follower:
        await wait_until(lambda: protected_whatwatt.streams)
        await protected_whatwatt.broadcast(
            b'event: other\ndata: {"P_In":1}\n\nevent: live\ndata: nonsense\n\n'
        )
        await protected_whatwatt.tick()
        await follower.has(readings=1)
        assert follower.readings[0].values[M.ACTIVE_POWER_IMPORT] != 1


@pytest.mark.parametrize(
    ("kind", "meter_status", "reason"),
    [
        ("whatwatt", "KEY REQUIRED", None),
        ("whatwatt", "OK", "stream idle"),
        ("currentlyone", "", "stream idle"),
    ],
)
async def test_stream_without_events_is_closed(
    session: aiohttp.ClientSession,
    house: House,
    start: Start,
    time_machine: TimeMachine,
    *,
    kind: str,
    meter_status: str,
    reason: str | None,
) -> None:
    reader = SIMULATORS[kind](house)
    if isinstance(reader, WhatwattSimulator):
        reader.meter_status = meter_status
    await start(reader)
    async with following(session, reader) as follower:
        await time_machine.advance(600)
        assert {str(loss) for loss in follower.losses} == ({reason} if reason else set())
        assert (reader.stream_count == 1) == (reason is None)
        assert len(follower.meter_statuses) >= 3 or kind == "currentlyone"


async def test_stream_without_an_identity_is_closed(
    session: aiohttp.ClientSession,
    house: House,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = CurrentlyOneSimulator(house, interval=10)
    config = reader.config
    await reader.start(live=True)
    async with following(session, reader) as follower:
        await time_machine.advance(60)
        assert follower.readings
        monkeypatch.setattr(reader, "config", lambda: "{}")
        reader.end_streams()
        await time_machine.advance(3600)
        reasons = {str(loss) for loss in follower.losses}
        assert reasons == {"stream ended", "not identified"}
        assert len(follower.losses) > 10
        (ended,) = follower.losses[-1:]
        assert isinstance(ended, ReaderConnectionError)
        monkeypatch.setattr(reader, "config", config)
        await time_machine.advance(330)
        assert follower.connection.state is ConnectionState.STREAMING
    await reader.stop()


async def test_status_of_a_whatwatt_is_requested_repeatedly(
    session: aiohttp.ClientSession, protected_whatwatt: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whatwatt_module, "_STATUS_INTERVAL", 0)
    reader = protected_whatwatt
    async with following(session, reader) as follower:
        await wait_until(lambda: reader.streams)
        for n in range(1, 4):
            await reader.tick()
            await follower.has(readings=n)
        await wait_until(lambda: len(follower.meter_statuses) == 4)
        # An invalid status must not end the stream.
        system = reader.system
        monkeypatch.setattr(reader, "system", lambda: "garbage")
        await reader.tick()
        await follower.has(readings=4)
        monkeypatch.setattr(reader, "system", system)
        await reader.tick()
        await wait_until(lambda: len(follower.meter_statuses) == 5)
        assert reader.stream_count == 1
