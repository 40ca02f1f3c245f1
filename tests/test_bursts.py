"""Bursts of events and slow responses: limits of rate, connections and memory."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
import json
from unittest.mock import patch

from homeassistant.core import HomeAssistant
import pytest

from custom_components.energy_sse.reader import SubMeterReading
from custom_components.energy_sse.reader.payload import parse_object
from custom_components.energy_sse.reader.sse import EventStreamDecoder, ServerSentEvent
from custom_components.energy_sse.sub_meters import SubMeters

from .home_assistant import set_up, tick
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .simulators.network import FaultyNetwork
from .time_machine import TimeMachine
from .wait import wait_until


def reading(number: int) -> bytes:
    """Return an event with a reading. Consecutive numbers give different readings."""
    return f'event: live\ndata: {{"P_In":{number % 90},"P_Out":0}}\n\n'.encode()


@contextmanager
def turns() -> Iterator[Callable[[], int]]:
    """Count the turns of another task. Yield a function that returns the turns since the last call."""
    count = 0

    async def take_turns() -> None:
        nonlocal count
        while True:
            count += 1
            await asyncio.sleep(0)

    def since_last_call() -> int:
        nonlocal count
        result, count = count, 0
        return result

    task = asyncio.create_task(take_turns())
    yield since_last_call
    task.cancel()


async def test_other_tasks_run_between_two_readings(hass: HomeAssistant, whatwatt: WhatwattSimulator) -> None:
    entry = await set_up(hass, whatwatt)
    turns_before: list[int] = []
    with turns() as turns_since_last_call:
        entry.runtime_data.coordinator.async_add_reading_listener(
            lambda _update: turns_before.append(turns_since_last_call())
        )
        await whatwatt.broadcast(b"".join(map(reading, range(100))))
        await tick(hass, whatwatt)
    assert len(turns_before) > 100
    assert min(turns_before) >= 1


@pytest.mark.parametrize("line", [b"\n", b":\n", b"data\n", b"\r", b"x" * 100])
async def test_bytes_are_decoded_in_small_pieces(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, line: bytes
) -> None:
    pieces: list[int] = []
    feed = EventStreamDecoder.feed

    def record_and_feed(decoder: EventStreamDecoder, chunk: bytes) -> list[ServerSentEvent]:
        pieces.append(len(chunk))
        return feed(decoder, chunk)

    await set_up(hass, whatwatt)
    with patch.object(EventStreamDecoder, "feed", record_and_feed), turns() as turns_since_last_call:
        await whatwatt.broadcast(line * (500_000 // len(line)) + b"\n\n")
        await tick(hass, whatwatt)
        assert turns_since_last_call() >= len(pieces)
    assert max(pieces) <= 4096


async def test_other_tasks_run_after_8_messages_of_an_event(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up(hass, whatwatt)
    turns_before: list[int] = []
    event = {"Vol": [{"M_ID": str(number % 20), "Cum": number} for number in range(200)]}
    with turns() as turns_since_last_call:
        monkeypatch.setattr(
            entry.runtime_data.coordinator,
            "handle_message",
            lambda _message: turns_before.append(turns_since_last_call()),
        )
        await whatwatt.broadcast(f"event: live\ndata: {json.dumps(event)}\n\n".encode())
        await wait_until(lambda: len(turns_before) >= 200)
    assert sum(turns > 0 for turns in turns_before) >= 25


async def test_500_readings_are_processed_at_once_and_20_a_second(
    hass: HomeAssistant, whatwatt: WhatwattSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, whatwatt)
    events = entry.runtime_data.coordinator.reader.stats.events
    await whatwatt.broadcast(b"".join(map(reading, range(1000))))
    await time_machine.advance(1)
    assert 500 <= events["live"] <= 530
    await time_machine.advance(10)
    assert 700 <= events["live"] <= 730
    await time_machine.advance(20)
    assert events["live"] == 1000
    assert entry.runtime_data.coordinator.reader.stats.connects == 1


async def test_1200_sub_meters_in_one_event_are_slowed_down(
    hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    time_machine: TimeMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = await set_up(hass, whatwatt)
    messages: list[object] = []
    monkeypatch.setattr(entry.runtime_data.coordinator, "handle_message", messages.append)
    event = {"Vol": [{"M_ID": str(number % 20), "Cum": number} for number in range(1200)]}
    await whatwatt.broadcast(f"event: live\ndata: {json.dumps(event)}\n\n".encode())
    await time_machine.advance(1)
    assert 1000 <= len(messages) <= 1060
    await time_machine.advance(10)
    assert len(messages) == 1200


async def test_replay_of_a_currentlyone_is_not_slowed_down(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, time_machine: TimeMachine
) -> None:
    entry = await set_up(hass, currentlyone)
    replay = b'event: state\r\ndata: {"m":"HAN","W":1}\r\n\r\n' * 200
    await currentlyone.broadcast(replay)
    await time_machine.idle()
    assert entry.runtime_data.coordinator.reader.stats.events["state"] == 200


class Dripping:
    """Sends the body of a response one byte a second."""

    def __init__(self, content_type: str) -> None:
        self._head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 60000\r\n\r\n"
        self.open = 0
        self.maximum = 0
        self.total = 0

    async def respond(self, client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send until the client closes the connection."""
        self.open += 1
        self.total += 1
        self.maximum = max(self.maximum, self.open)
        writer.write(self._head.encode())
        while not client.at_eof() and not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(1)
        self.open -= 1


@pytest.mark.parametrize("only_the_stream", [False, True])
async def test_slow_responses_use_one_connection_at_a_time(
    hass: HomeAssistant, house: House, time_machine: TimeMachine, *, only_the_stream: bool
) -> None:
    network = await FaultyNetwork(await WhatwattSimulator(house).start(live=True)).start()
    entry = await set_up(hass, network.reader, host=network.host)
    dripping = Dripping("text/event-stream" if only_the_stream else "application/json")
    network.respond = dripping.respond
    network.only_the_stream = only_the_stream
    await network.cut()
    await time_machine.advance(1800)
    assert not entry.runtime_data.coordinator.availability.has_fresh_readings
    assert dripping.total >= 5
    assert entry.runtime_data.coordinator.reader.stats.attempts < 60
    # The device notices an aborted connection within a second.
    assert dripping.maximum <= 2
    network.respond = None
    await network.cut()
    await time_machine.advance(400)
    assert entry.runtime_data.coordinator.availability.has_fresh_readings
    await network.stop()
    await network.reader.stop()


def test_broken_json_is_repaired_up_to_16_kib() -> None:
    assert parse_object('{"a":nan,"b":"' + "x" * 16_000 + '"}') is not None
    assert parse_object('{"a":nan,"b":"' + "x" * 17_000 + '"}') is None
    assert parse_object('{"a":1,"b":"' + "x" * 60_000 + '"}') is not None


def test_sub_meters_with_impossible_values_are_limited() -> None:
    sub_meters = SubMeters([], {})
    for number in range(1000):
        assert not sub_meters.update(SubMeterReading(meter_id=str(number), value=-1), number)
    assert len(sub_meters.values) == 0
    assert len(sub_meters.validator._registers) <= 32  # noqa: SLF001 (limits the memory)
    assert sub_meters.update(SubMeterReading(meter_id="1", value=1), 1000)
    assert not sub_meters.update(SubMeterReading(meter_id="1", value=-1), 1001)
    assert sub_meters.validator.rejected == {"negative": 1}
