"""Connection to a reader: attempts, waits, contention and errors."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
import json
import random
from typing import Any

import aiohttp
import pytest

from custom_components.energy_sse.reader import (
    ConnectionState,
    Measurement as M,
    Message,
    Property as P,
    ReaderAuthenticationError,
    ReaderConnection,
    ReaderConnectionError,
    ReaderError,
    ReaderInfo,
    ReaderStatus,
    Reading,
    clock,
    connection as connection_module,
    currentlyone as currentlyone_module,
    freshness,
    make_reader,
    whatwatt as whatwatt_module,
)
from custom_components.energy_sse.reader.connection import Backoff
from custom_components.energy_sse.reader.identify import diagnose_mismatch
from custom_components.energy_sse.reader.whatwatt import WhatwattReader
from tests.conftest import Start
from tests.error_injection import ERRORS, ErrorInjector, functions_of
from tests.simulators import SIMULATORS, CurrentlyOneSimulator, House, WhatwattSimulator
from tests.simulators.digest import DigestLogin
from tests.simulators.network import FaultyNetwork
from tests.simulators.server import Simulator
from tests.time_machine import TimeMachine
from tests.wait import wait_until


class StillClock:
    """Clock that only tests move."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    """Return a clock in place of the event loop's."""
    still = StillClock()
    monkeypatch.setattr(clock, "now", still.now)
    return still


def attempts_of(backoff: Backoff, still_clock: StillClock, count: int, *, takes: float = 0.0) -> list[float]:
    """Return the times of attempts that all fail."""
    times = []
    for _ in range(count):
        times.append(still_clock.time)
        backoff.record_attempt()
        still_clock.time += takes
        still_clock.time += backoff.next_wait()
    return times


@pytest.mark.parametrize("takes", [0.0, 0.5, 12.0])
def test_failures_lead_to_at_most_six_attempts_per_minute(still_clock: StillClock, takes: float) -> None:
    for _ in range(50):
        times = attempts_of(Backoff(), still_clock, 100, takes=takes)
        assert all(sum(start <= time < start + 60 for time in times) <= 6 for start in times)


def test_waits_grow_to_five_minutes_and_never_beyond(
    still_clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    times = attempts_of(Backoff(), still_clock, 40)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert set(waits[8:]) == {300}


def test_waits_are_jittered_over_their_whole_range(still_clock: StillClock) -> None:
    backoff = Backoff()
    attempts_of(backoff, still_clock, 12)
    waits = [backoff.next_wait() for _ in range(500)]
    assert min(waits) < 30
    assert max(waits) > 270


def test_one_attempt_per_minute_is_reserved_for_announcements(
    still_clock: StillClock, monkeypatch: pytest.MonkeyPatch
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


def test_reset_makes_the_next_wait_short_within_the_limit(still_clock: StillClock) -> None:
    backoff = Backoff()
    attempts_of(backoff, still_clock, 20)
    backoff.reset()
    still_clock.time += 600
    assert backoff.next_wait() <= 2
    for _ in range(6):
        backoff.record_attempt()
        backoff.reset()
    assert backoff.next_wait() == pytest.approx(60)


class Follower:
    """Listener that stores what a connection passes to it."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        reader: Simulator | FaultyNetwork,
        *,
        kind: str,
        expected_id: str,
        entered_host: str | None = None,
    ) -> None:
        self.messages: list[Message] = []
        self.losses: list[ReaderError] = []
        self.contentions: list[bool] = []
        self.moves: list[str] = []
        self.reader = make_reader(kind, session, reader.host, "secret")
        self.connection = ReaderConnection(self.reader, expected_id, self, entered_host=entered_host)

    def handle_message(self, message: Message) -> None:
        self.messages.append(message)

    def handle_disconnect(self, error: ReaderError) -> None:
        self.losses.append(error)

    def handle_contention(self, *, is_contended: bool) -> None:
        self.contentions.append(is_contended)

    def handle_move(self, host: str) -> None:
        self.moves.append(host)

    def handle_basic_request(self, host: str) -> None:
        raise NotImplementedError

    async def has(self, *, readings: int = 0, losses: int = 0) -> None:
        await wait_until(lambda: len(self.readings) >= readings and len(self.losses) >= losses)

    @property
    def readings(self) -> list[Reading]:
        return [message for message in self.messages if isinstance(message, Reading)]


@asynccontextmanager
async def following(
    session: aiohttp.ClientSession,
    reader: Simulator | FaultyNetwork,
    *,
    kind: str,
    expected_id: str,
) -> AsyncGenerator[Follower]:
    follower = Follower(session, reader, kind=kind, expected_id=expected_id)
    task = asyncio.create_task(follower.connection.run())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for almost no time before a reconnect."""
    monkeypatch.setattr(connection_module, "_MIN_WAIT", 0.01)
    monkeypatch.setattr(connection_module, "_MAX_SHORT_STREAMS", 100)


@pytest.mark.usefixtures("_quick")
async def test_stream_that_ends_is_opened_again(
    session: aiohttp.ClientSession, protected_whatwatt: WhatwattSimulator
) -> None:
    async with following(
        session, protected_whatwatt, kind="whatwatt", expected_id=protected_whatwatt.device_id
    ) as follower:
        for n in range(1, 4):
            await wait_until(lambda: protected_whatwatt.streams)
            await protected_whatwatt.tick()
            await follower.has(readings=n)
            protected_whatwatt.end_streams()
            await follower.has(losses=n)
        kinds = [type(m) for m in follower.messages if not isinstance(m, ReaderStatus)]
        assert kinds[:6] == [ReaderInfo, Reading] * 3
        assert {str(loss) for loss in follower.losses} == {"the device ended the stream"}


async def test_announcement_of_offline_reader_starts_an_attempt(
    session: aiohttp.ClientSession, protected_whatwatt: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, _high: 300)
    async with following(
        session, protected_whatwatt, kind="whatwatt", expected_id=protected_whatwatt.device_id
    ) as follower:
        await wait_until(lambda: protected_whatwatt.streams)
        protected_whatwatt.end_streams()
        await wait_until(lambda: follower.losses)
        follower.connection.handle_announcement(protected_whatwatt.host)
        await wait_until(lambda: protected_whatwatt.streams)
        await protected_whatwatt.tick()
        await wait_until(lambda: follower.readings)


@pytest.mark.usefixtures("_quick")
async def test_another_device_at_the_address_is_rejected(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = CurrentlyOneSimulator(house)
    await start(reader)
    await reader.tick()
    async with following(session, reader, kind="currentlyone", expected_id="3c690779cf58") as follower:
        await wait_until(lambda: follower.losses)
        assert follower.messages == []
        assert str(follower.losses[0]) == "another device responds at this address"
        reader.device_id = "3c690779cf58"
        await wait_until(lambda: follower.readings)


async def test_messages_before_the_identity_are_ignored(
    session: aiohttp.ClientSession, house: House, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = CurrentlyOneSimulator(house)
    config = reader.config()
    monkeypatch.setattr(
        reader,
        "config",
        lambda: f'{{}}\r\n\r\nevent: state\r\ndata: {{"W":1}}\r\n\r\nevent: config\r\ndata: {config}',
    )
    await start(reader)
    async with following(session, reader, kind="currentlyone", expected_id=reader.device_id) as follower:
        await wait_until(lambda: reader.streams)
        await reader.tick()
        await follower.has(readings=1)
        assert isinstance(follower.messages[0], ReaderInfo)
        assert len(follower.readings) == 1


async def test_rejected_password_ends_the_connection(
    session: aiohttp.ClientSession, house: House, start: Start
) -> None:
    reader = WhatwattSimulator(house, password="another")
    await start(reader)
    follower = Follower(session, reader, kind="whatwatt", expected_id=reader.device_id)
    with pytest.raises(ReaderAuthenticationError):
        await follower.connection.run()
    assert follower.losses == []
    assert reader.stream_count == 0


@pytest.mark.errors
@pytest.mark.usefixtures("_quick")
async def test_error_of_the_listener_does_not_end_the_connection(
    session: aiohttp.ClientSession,
    protected_whatwatt: WhatwattSimulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty = Follower(session, protected_whatwatt, kind="whatwatt", expected_id=protected_whatwatt.device_id)
    monkeypatch.setattr(faulty, "handle_message", lambda _message: 1 / 0)
    task = asyncio.create_task(faulty.connection.run())
    await faulty.has(losses=2)
    task.cancel()
    await asyncio.wait([task])
    assert caplog.text.count("Unexpected error while reading the stream") == 1


@pytest.mark.errors
async def test_message_that_raises_in_the_listener_is_skipped(
    session: aiohttp.ClientSession,
    protected_whatwatt: WhatwattSimulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with following(
        session, protected_whatwatt, kind="whatwatt", expected_id=protected_whatwatt.device_id
    ) as follower:
        await wait_until(lambda: protected_whatwatt.streams)
        take = follower.handle_message
        heard: list[Message] = []

        def fail(message: Message) -> None:
            heard.append(message)
            raise KeyError(len(heard))

        monkeypatch.setattr(follower, "handle_message", fail)
        for _ in range(3):
            await protected_whatwatt.tick()
        await wait_until(lambda: sum(isinstance(message, Reading) for message in heard) == 3)
        monkeypatch.setattr(follower, "handle_message", take)
        await protected_whatwatt.tick()
        await follower.has(readings=1)
    assert follower.losses == []
    assert caplog.text.count("Unexpected error") == 1


async def test_failed_stream_requests_are_not_contention(
    session: aiohttp.ClientSession, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    async def hang_up(_client: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pass

    network = await FaultyNetwork(whatwatt).start()
    network.answer, network.only_the_stream = hang_up, True
    async with following(session, network, kind="whatwatt", expected_id=whatwatt.device_id) as follower:
        while len(follower.losses) < 5:
            await time_machine.advance(5)
    await network.stop()
    assert True not in follower.contentions


@pytest.mark.errors
async def test_values_are_polled_again_after_an_unexpected_error(
    session: aiohttp.ClientSession,
    house: House,
    start: Start,
    *,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = WhatwattSimulator(house, password="secret", licence="PLUS")
    await start(reader)
    thrower = ErrorInjector(WhatwattReader.poll, chance=1)
    async with following(session, reader, kind="whatwatt", expected_id=reader.device_id) as follower:
        with thrower.throws():
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


async def test_reader_with_several_streams_is_never_contended(
    session: aiohttp.ClientSession, house: House, start: Start, time_machine: TimeMachine
) -> None:
    reader = CurrentlyOneSimulator(house)
    await start(reader)
    async with following(session, reader, kind="currentlyone", expected_id=reader.device_id) as follower:
        while len(follower.losses) < 6:
            reader.end_streams()
            await time_machine.advance(1)
        assert not follower.contentions


@pytest.mark.parametrize(("interval", "polls"), [(0, 12), (1, 12), (5, 12), (12, 5), (20, 3), (300, 2)])
async def test_values_are_polled_at_the_interval_of_the_meter(
    session: aiohttp.ClientSession,
    house: House,
    start: Start,
    *,
    time_machine: TimeMachine,
    interval: int,
    polls: int,
) -> None:
    reader = WhatwattSimulator(house, licence="PLUS", interval=interval)
    await start(reader)
    async with following(session, reader, kind="whatwatt", expected_id=reader.device_id) as follower:
        while follower.connection.state is not ConnectionState.CONTENDED:
            reader.end_streams()
            await time_machine.advance(1)
        before = reader.requests.count("GET /api/v1/report")
        await time_machine.advance(60)
        assert reader.requests.count("GET /api/v1/report") - before == polls


@pytest.mark.errors
@pytest.mark.parametrize("kind", SIMULATORS)
async def test_connection_survives_any_error_anywhere(
    session: aiohttp.ClientSession,
    house: House,
    start: Start,
    *,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    # With a license, the values are polled while another client has the stream.
    options: dict[str, Any] = {"whatwatt": {"password": "secret", "licence": "PLUS"}}.get(kind, {})
    reader = SIMULATORS[kind](house, **options)
    await start(reader)
    thrower = ErrorInjector(
        *functions_of(ReaderConnection, but=("__init__", "run")),
        *functions_of(Backoff, but=("__init__",)),
        *functions_of(Follower, but=("__init__", "has", "readings")),
        *functions_of(type(make_reader(kind, session, reader.host, None)), but=("__init__",)),
        chance=0.03,
    )
    async with following(session, reader, kind=kind, expected_id=reader.device_id) as follower:
        with thrower.throws():
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
    assert len(thrower.places) > 10
    said = [record.message for record in caplog.records if "Unexpected error" in record.message]
    faults = [message.partition(": ")[2].partition(", because of")[0].split() for message in said]
    kinds = [(fault[0], fault[-1]) for fault in faults]
    assert len(kinds) == len(set(kinds)) > 0


@pytest.mark.errors
async def test_entered_address_is_checked_again_after_an_error(
    session: aiohttp.ClientSession, house: House, time_machine: TimeMachine, caplog: pytest.LogCaptureFixture
) -> None:
    reader = await WhatwattSimulator(house).start(live=True)
    network = await FaultyNetwork(reader).start()
    follower = Follower(
        session, reader, kind="whatwatt", expected_id=reader.device_id, entered_host=network.host
    )
    task = asyncio.create_task(follower.connection.run())
    with ErrorInjector(WhatwattReader.identify, chance=1).throws():
        await time_machine.advance(310)
    assert caplog.text.count("Unexpected error while checking the entered address") == 1
    assert follower.moves == []
    await time_machine.advance(310)
    assert follower.moves == [network.host]
    task.cancel()
    await asyncio.wait([task])
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
    async with following(session, whatwatt, kind="whatwatt", expected_id=whatwatt.device_id) as follower:
        with ErrorInjector(diagnose_mismatch, chance=1).throws():
            await time_machine.advance(1)
            await follower.has(losses=1)
    assert str(follower.losses[0]) == "the response is not a JSON object"
    assert "Unexpected error while identifying the device" in caplog.text


async def test_device_that_identifies_itself_twice_connects_once(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator
) -> None:
    async with following(
        session, currentlyone, kind="currentlyone", expected_id=currentlyone.device_id
    ) as follower:
        await wait_until(lambda: currentlyone.streams)
        config = f"event: config\r\ndata: {currentlyone.config()}\r\n\r\n"
        await currentlyone.broadcast(config.encode())
        await currentlyone.tick()
        await follower.has(readings=1)
        infos = [message for message in follower.messages if isinstance(message, ReaderInfo)]
        assert (len(infos), follower.reader.stats.connects) == (2, 1)


async def test_backoff_is_reset_once_after_20_seconds_of_readings(
    session: aiohttp.ClientSession,
    protected_whatwatt: WhatwattSimulator,
    monkeypatch: pytest.MonkeyPatch,
    time_machine: TimeMachine,
) -> None:
    async with following(
        session, protected_whatwatt, kind="whatwatt", expected_id=protected_whatwatt.device_id
    ) as follower:
        resets: list[int] = []
        monkeypatch.setattr(Backoff, "reset", lambda _self: resets.append(len(follower.readings)))
        await wait_until(lambda: protected_whatwatt.streams)
        for n in range(1, 9):
            await protected_whatwatt.tick()
            await follower.has(readings=n)
            await time_machine.advance(10)
    assert resets == [2]


async def test_unknown_event_of_a_whatwatt_is_skipped(
    session: aiohttp.ClientSession, protected_whatwatt: WhatwattSimulator
) -> None:
    async with following(
        session, protected_whatwatt, kind="whatwatt", expected_id=protected_whatwatt.device_id
    ) as follower:
        await wait_until(lambda: protected_whatwatt.streams)
        await protected_whatwatt.broadcast(
            b'event: news\ndata: {"P_In":1}\n\nevent: live\ndata: nonsense\n\n'
        )
        await protected_whatwatt.tick()
        await follower.has(readings=1)
        assert follower.readings[0].values[M.ACTIVE_POWER_IMPORT] != 1


async def test_reading_has_the_meters_values(
    session: aiohttp.ClientSession, protected_whatwatt: WhatwattSimulator
) -> None:
    async with following(
        session, protected_whatwatt, kind="whatwatt", expected_id=protected_whatwatt.device_id
    ) as follower:
        await wait_until(lambda: protected_whatwatt.streams)
        await protected_whatwatt.tick()
        await wait_until(lambda: follower.readings)
        assert follower.readings[0].values[M.ACTIVE_ENERGY_IMPORT] == protected_whatwatt.live()["E_In"]


# --------------------------------------------------------------------------------- a stream that is silent


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use idle timeouts of a moment."""
    monkeypatch.setattr(freshness, "_MIN_LIMIT", 0.05)
    monkeypatch.setattr(freshness, "_MAX_LIMIT", 0.05)
    monkeypatch.setattr(currentlyone_module, "_IDLE_TIMEOUT", 0.05)


def statuses(follower: Follower) -> list[object]:
    return [m.values[P.METER_STATUS] for m in follower.messages if isinstance(m, ReaderStatus)]


@pytest.mark.usefixtures("_impatient")
async def test_stream_stays_open_while_the_meter_status_is_bad(
    session: aiohttp.ClientSession, protected_whatwatt: WhatwattSimulator
) -> None:
    protected_whatwatt.meter_status = "KEY REQUIRED"
    async with following(
        session, protected_whatwatt, kind="whatwatt", expected_id=protected_whatwatt.device_id
    ) as follower:
        await wait_until(lambda: len(statuses(follower)) >= 3)
        assert set(statuses(follower)) == {"KEY REQUIRED"}
        # Before its status says that it speaks again: a stream that is silent then would be taken up anew.
        live = json.dumps(protected_whatwatt.live())
        await protected_whatwatt.broadcast(f"event: live\ndata: {live}\n\n".encode())
        await follower.has(readings=1)
        assert protected_whatwatt.stream_count == 1


@pytest.mark.usefixtures("_impatient", "_quick")
async def test_idle_stream_is_reopened_when_the_meter_sends(
    session: aiohttp.ClientSession, protected_whatwatt: WhatwattSimulator
) -> None:
    async with following(
        session, protected_whatwatt, kind="whatwatt", expected_id=protected_whatwatt.device_id
    ) as follower:
        await wait_until(lambda: protected_whatwatt.stream_count >= 2)
        assert str(follower.losses[0]) == "the stream is silent though the meter is not"


@pytest.mark.usefixtures("_impatient", "_quick")
async def test_idle_currentlyone_stream_is_reopened(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator
) -> None:
    async with following(
        session, currentlyone, kind="currentlyone", expected_id=currentlyone.device_id
    ) as follower:
        await wait_until(lambda: currentlyone.stream_count >= 2)
        assert str(follower.losses[0]) == "no sign of life"


async def test_stream_without_identity_is_closed_after_15_seconds(
    session: aiohttp.ClientSession,
    house: House,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = CurrentlyOneSimulator(house, interval=10)
    config = reader.config
    await reader.start(live=True)
    async with following(session, reader, kind="currentlyone", expected_id=reader.device_id) as follower:
        await time_machine.advance(60)
        assert follower.readings
        monkeypatch.setattr(reader, "config", lambda: "{}")
        reader.end_streams()
        await time_machine.advance(3600)
        reasons = {str(loss) for loss in follower.losses}
        assert reasons == {"the device ended the stream", "the device does not identify itself"}
        assert len(follower.losses) > 10
        (ended,) = follower.losses[-1:]
        assert isinstance(ended, ReaderConnectionError)
        monkeypatch.setattr(reader, "config", config)
        await time_machine.advance(330)
        assert follower.connection.state is ConnectionState.STREAMING
    await reader.stop()


async def test_whatwatt_status_is_requested_regularly(
    session: aiohttp.ClientSession, protected_whatwatt: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whatwatt_module, "_STATUS_INTERVAL", 0)
    reader = protected_whatwatt
    async with following(session, reader, kind="whatwatt", expected_id=reader.device_id) as follower:
        await wait_until(lambda: reader.streams)
        for n in range(1, 4):
            await reader.tick()
            await follower.has(readings=n)
        await wait_until(lambda: len(statuses(follower)) == 4)
        # What it answers beside the stream is not worth the stream.
        system = reader.system
        monkeypatch.setattr(reader, "system", lambda: "garbage")
        await reader.tick()
        await follower.has(readings=4)
        monkeypatch.setattr(reader, "system", system)
        await reader.tick()
        await wait_until(lambda: len(statuses(follower)) == 5)
        assert reader.stream_count == 1


async def test_password_set_during_a_stream_ends_the_connection(
    session: aiohttp.ClientSession, whatwatt: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whatwatt_module, "_STATUS_INTERVAL", 0)
    reader = whatwatt
    follower = Follower(session, reader, kind="whatwatt", expected_id=reader.device_id)
    task = asyncio.create_task(follower.connection.run())
    await wait_until(lambda: reader.streams)
    reader.login = DigestLogin("another")
    await reader.tick()
    with pytest.raises(ReaderAuthenticationError):
        await task
