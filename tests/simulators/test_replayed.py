"""How a recording is played."""

from argparse import Namespace
import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
import json
import re
from typing import Any

import aiohttp
import pytest

from custom_components.energy_sse.reader.sse import EventStreamDecoder, ServerSentEvent
from tests.conftest import Start
from tests.time_machine import TimeMachine

from .__main__ import replay
from .recordings import Kind, RecordedAnswer, RecordedEvent, RecordedStream, Recording
from .replay import ReplayedReader

# Twelve minutes past a full hour, in April 2025.
BEGAN = 1744355520


def event(seconds: float, event_type: str, data: str) -> RecordedEvent:
    return RecordedEvent(BEGAN + seconds, event_type, data)


def currentlyone() -> Recording:
    """Return a recording that begins long after its stream, ends it once, and goes on."""
    config = '{"id":"abcd1879cf58","t":"2025-04-11T%s+0200"}'
    first = [
        event(-3600, "config", config % "08:12:00"),
        event(0, "hourly", f'{{"sec":{BEGAN - 719},"Wh":5}}'),
        event(10, "transition", f'{{"id":"a","sec":{BEGAN + 8}}}'),
        event(10, "state", f'{{"detected":[{{"id":"a"}}],"sec":{BEGAN + 8}}}'),
        event(20, "state", f'{{"W":1,"sec":{BEGAN + 19}}}'),
    ]
    second = [event(40, "config", config % "09:12:40"), event(50, "ping", f'{{"sec":{BEGAN + 49}}}')]
    return Recording(
        Kind.CURRENTLYONE,
        [RecordedStream(BEGAN - 3600, BEGAN + 30, first), RecordedStream(BEGAN + 40, None, second)],
        {"/api/v1/device": [RecordedAnswer(BEGAN + at, 200, f'{{"n":{at}}}') for at in (0, 45)]},
    )


class Listener:
    """Connects again and again, and notes what it hears and when."""

    def __init__(self, session: aiohttp.ClientSession, reader: ReplayedReader) -> None:
        self.heard: list[tuple[float, ServerSentEvent]] = []
        self.refusals = 0
        self._session = session
        self._reader = reader

    async def listen(self) -> None:
        while True:
            url = f"http://{self._reader.host}{self._reader.stream_path}"
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as response:
                if response.status == 503:
                    self.refusals += 1
                    await asyncio.sleep(1)
                decoder = EventStreamDecoder()
                while chunk := await response.content.readany():
                    now = asyncio.get_running_loop().time()
                    self.heard += [(now, event) for event in decoder.feed(chunk)]

    def payloads(self, event_type: str) -> list[Any]:
        return [json.loads(event.data) for _, event in self.heard if event.type == event_type]


@asynccontextmanager
async def listening(
    session: aiohttp.ClientSession, start: Start, reader: ReplayedReader
) -> AsyncGenerator[Listener]:
    await start(reader)
    listener = Listener(session, reader)
    tasks = [asyncio.create_task(listener.listen()), asyncio.create_task(reader.speak())]
    try:
        yield listener
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_recording_is_played_in_its_own_time_with_the_stamps_of_now(
    session: aiohttp.ClientSession, start: Start, time_machine: TimeMachine
) -> None:
    reader = ReplayedReader(currentlyone())
    before = datetime.now(UTC).timestamp()
    async with listening(session, start, reader) as listener:
        await time_machine.advance(100)
    assert reader.has_ended.is_set()
    assert [event.type for _, event in listener.heard] == [
        *("config", "hourly", "transition", "state", "state"),
        *("config", "ping"),
    ]
    times = [at for at, _ in listener.heard]
    assert [round(at - times[1]) for at in times[1:5]] == [0, 10, 10, 20]
    assert round(times[6] - times[1]) == 50
    assert listener.refusals > 0, "it is away for as long as it was"

    (transition,), (detected, state) = listener.payloads("transition"), listener.payloads("state")
    assert transition["sec"] == detected["sec"], "what was at one moment stays at one"
    assert transition["sec"] == pytest.approx(before + 9, abs=5)
    assert state["sec"] - transition["sec"] == 11
    config = datetime.fromisoformat(listener.payloads("config")[0]["t"])
    assert config.timestamp() == pytest.approx(before, abs=5), "the device's clock is that of now"
    assert config.utcoffset() == datetime.fromisoformat("2025-04-11T08:12:00+0200").utcoffset()
    (hourly,) = listener.payloads("hourly")
    assert hourly["sec"] % 3600 == 1
    assert before - 7200 < hourly["sec"] <= before


async def test_recording_is_played_faster_and_again(
    session: aiohttp.ClientSession, start: Start, time_machine: TimeMachine
) -> None:
    reader = ReplayedReader(currentlyone(), speed=10, loop=True)
    async with listening(session, start, reader) as listener:
        await time_machine.advance(60)
    assert not reader.has_ended.is_set()
    times = [at for at, event in listener.heard if event.type == "transition"]
    assert len(times) > 3
    first, last = listener.heard[1][0], listener.heard[4][0]
    assert round(last - first) == 2


async def test_recordings_play_side_by_side_until_the_last_one_has_ended(
    session: aiohttp.ClientSession, time_machine: TimeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    live = [event(seconds, "live", '{"P_In":1}') for seconds in (0, 300)]
    whatwatt = Recording(Kind.WHATWATT, [RecordedStream(BEGAN, None, live)], missing=["It has no sun."])
    arguments = Namespace(speed=2.0, loop=False, port=0, quiet=True)
    playing = asyncio.create_task(replay([currentlyone(), whatwatt], arguments))
    await time_machine.advance(1)
    said = capsys.readouterr().out
    ports = dict(re.findall(r"A (\w+) listens on port (\d+)", said))
    assert "It plays 7 events in 50 s, and answers /api/v1/device." in said
    assert "It has no sun." in said
    async with (
        session.get(f"http://127.0.0.1:{ports['currentlyone']}/events"),
        session.get(f"http://127.0.0.1:{ports['whatwatt']}/api/v1/live"),
    ):
        await time_machine.advance(140)
        assert not playing.done()
        # The one that goes away for a while is listened to no longer, and waits.
        async with session.get(f"http://127.0.0.1:{ports['currentlyone']}/events"):
            await time_machine.advance(60)
    assert playing.done()
    assert capsys.readouterr().out == "The recording has ended.\n"
    await playing


async def test_recording_waits_for_somebody_who_stays(
    session: aiohttp.ClientSession, start: Start, time_machine: TimeMachine
) -> None:
    reader = ReplayedReader(currentlyone())
    await start(reader)
    playing = asyncio.create_task(reader.speak())
    async with session.get(f"http://{reader.host}/events") as response:
        assert b"abcd1879cf58" in await response.content.readany()
    await time_machine.advance(300)
    async with session.get(f"http://{reader.host}/events") as response:
        heard = await response.content.readany()
        await time_machine.advance(2)
        heard += await response.content.readany()
    assert b"hourly" in heard
    playing.cancel()


async def test_answers_are_those_of_the_moment(
    session: aiohttp.ClientSession, start: Start, time_machine: TimeMachine
) -> None:
    reader = ReplayedReader(currentlyone())

    async def ask() -> Any:
        async with session.get(f"http://{reader.host}/api/v1/device") as response:
            return (await response.json())["n"]

    async with listening(session, start, reader):
        assert await ask() == 0
        await time_machine.advance(30)
        assert await ask() == 0
        await time_machine.advance(70)
        assert await ask() == 45


async def test_dates_of_a_whatwatt_are_those_of_now(
    session: aiohttp.ClientSession, start: Start, time_machine: TimeMachine
) -> None:
    live = '{"P_In":1,"Vol":[{"DT":"2025-04-11T07:00:00"}],"Date":"2025-04-11","Time":"09:12:00"}'
    system = (
        '{"device":{"id":"ECC9FF5C7F14","date":"2025-04-11","time":"09:12:00"},"x":"2025-13-99T00:00:00"}'
    )
    reader = ReplayedReader(
        Recording(
            Kind.WHATWATT,
            [RecordedStream(BEGAN, None, [event(0, "live", live)])],
            {
                "/api/v1/system": [RecordedAnswer(BEGAN, 200, system)],
                "/api/v1/report": [RecordedAnswer(0, 404, "")],
            },
        )
    )
    # As far from the recorded clock as now is from the recording.
    by = datetime.now(UTC).timestamp() - BEGAN
    async with listening(session, start, reader) as listener:
        await time_machine.advance(5)
        async with session.get(f"http://{reader.host}/api/v1/system") as response:
            answer = await response.json()
        async with session.get(f"http://{reader.host}/api/v1/report") as response:
            assert response.status == 404
        async with session.post(f"http://{reader.host}/api/v1/reboot") as response:
            assert response.status == 204
    (heard,) = listener.payloads("live")
    recorded = datetime.fromisoformat("2025-04-11T09:12:00")
    for moment in (
        f"{heard['Date']}T{heard['Time']}",
        f"{answer['device']['date']}T{answer['device']['time']}",
    ):
        moved = datetime.fromisoformat(moment) - recorded
        assert moved.total_seconds() == pytest.approx(by, abs=10)
    assert datetime.fromisoformat(heard["Vol"][0]["DT"]) > recorded
    assert answer["x"] == "2025-13-99T00:00:00"
