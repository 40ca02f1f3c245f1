"""Traffic log: its lines, and when they are written."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
import json
import logging
import re
from time import thread_time

import aiohttp
import pytest

from custom_components.energy_sse.reader import ReaderProtocolError, clock, make_reader
from custom_components.energy_sse.reader.models import Heartbeat, Message
from custom_components.energy_sse.reader.redaction import REDACTOR
from custom_components.energy_sse.reader.sse import ServerSentEvent
from custom_components.energy_sse.reader.traffic import LOGGER, ConnectionStats, TrafficLog
from tests.simulators import CurrentlyOneSimulator, WhatwattSimulator

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (anon-[0-9a-f]{8}) (answer|event|stream) (.*)")
PING = b'event: ping\ndata: {"sec":1744357696}\n\n'
CONFIG = b'event: config\ndata: {"id":"b8b41879cf58","name":"Casa Mia"}\n\n'


def lines_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines without times, the device and the numbers of streams."""
    lines = []
    for record in caplog.records:
        if record.name == LOGGER.name:
            match = LINE.fullmatch(record.getMessage())
            assert match is not None, record.getMessage()
            lines.append(re.sub(r"^((?:event|stream)) \d+ ", r"\1 ", f"{match[3]} {match[4]}"))
    return lines


def enable_log(caplog: pytest.LogCaptureFixture, *, on: bool = True) -> None:
    caplog.set_level(logging.DEBUG if on else logging.INFO, LOGGER.name)


def connect(session: aiohttp.ClientSession, reader: CurrentlyOneSimulator) -> AsyncGenerator[Message]:
    return make_reader("currentlyone", session, reader.host).stream()


async def receive_pings(messages: AsyncGenerator[Message], count: int) -> None:
    while count > 0:
        count -= isinstance(await anext(messages), Heartbeat)


async def test_events_and_responses_are_logged_in_order(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    enable_log(caplog)
    currentlyone.recording = CONFIG + b'event: state\ndata: {"W":606.50, "U1":230.000}\n\n' + PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await receive_pings(messages, 1)
    device_id, name = REDACTOR.pseudonym("b8b41879cf58"), REDACTOR.pseudonym("Casa Mia")
    inventory = json.dumps(REDACTOR.values(currentlyone.inventory()), separators=(",", ":"))
    assert lines_in(caplog) == [
        "stream opened /events",
        f'event config {{"id":"{device_id}","name":"{name}"}}',
        f"answer /api/v1/device 200 {inventory}",
        'event state {"W":606.5,"U1":230.0}',
        'event ping {"sec":1744357696}',
        "stream ended",
    ]


async def test_earlier_traffic_is_logged_when_logging_is_enabled(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    enable_log(caplog, on=False)
    currentlyone.recording = CONFIG + 3 * PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await receive_pings(messages, 2)
        assert lines_in(caplog) == []
        enable_log(caplog)
        await receive_pings(messages, 1)
        words = [line.split()[:2] for line in lines_in(caplog)]
        beginning = [["answer", "/api/v1/device"], ["stream", "opened"], ["event", "config"]]
        assert words == [*beginning, ["event", "ping"]]
        times = [record.getMessage().split()[0] for record in caplog.records if record.name == LOGGER.name]
        by_time = [times[1], times[2], times[3], times[0]]
        assert by_time == sorted(by_time)

        enable_log(caplog, on=False)
        await currentlyone.broadcast(PING)
        await receive_pings(messages, 1)
        enable_log(caplog)
        await currentlyone.broadcast(2 * PING)
        await receive_pings(messages, 2)
        words = [line.split()[:2] for line in lines_in(caplog)][len(words) :]
        assert words == [*beginning, ["event", "ping"], ["event", "ping"]]


async def test_each_event_is_one_line(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    enable_log(caplog)
    odd = [
        '{"W":1}\ndata: {"W":2}',
        '{"W":\t1,"U1":nan}',
        '"Casa"',
        '{"W":1}\x1b[31m\u2028',
        f'{{"W":{"1" * 20_000}}}',
    ]
    currentlyone.recording = CONFIG + "".join(f"event: new\ndata: {data}\n\n" for data in odd).encode() + PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await receive_pings(messages, len(odd) + 1)
    assert [line for line in lines_in(caplog) if line.startswith("event new")] == [
        "event new **REDACTED** (15 characters)",
        'event new {"W":1,"U1":null}',
        "event new **REDACTED** (6 characters)",
        "event new **REDACTED** (13 characters)",
        "event new **REDACTED** (20006 characters)",
    ]


async def test_lines_stay_in_order_when_some_events_are_large(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    enable_log(caplog)
    sizes = [1, 5000, 1, 8000, 2000, 1] * 5
    events = [
        f'event: new\ndata: {{"n":{n},"x":[{",".join(["1"] * size)}]}}\n\n' for n, size in enumerate(sizes)
    ]
    currentlyone.recording = CONFIG + "".join(events).encode() + PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await receive_pings(messages, len(events) + 1)
    numbers = [match[1] for line in lines_in(caplog) if (match := re.match(r'event new {"n":(\d+),', line))]
    assert numbers == [str(n) for n in range(len(sizes))]


async def test_large_and_deep_events_do_not_block(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """100,000 values, and 16 KB of brackets that took 7 seconds."""
    flat = f'{{"a":[{",".join(["1"] * 8000)}]}}'
    nested = f'{{"a":{"[" * 4000}{"1," * 4000}1'
    deep = f'{{"a":{"[" * 900}{"1," * 7000}1{"]" * 900}}}'
    stats = ConnectionStats()
    log = TrafficLog(stats, "192.168.1.2")
    enable_log(caplog)
    used = 0.0
    with log.stream("/events") as stream:
        for data in [flat] * 13 + [nested, deep]:
            event, began = ServerSentEvent("state", data, ""), thread_time()
            await log.add_event(stream, event, clock.now())
            used += thread_time() - began
    assert used < 0.05
    assert len(lines_in(caplog)) == 17


async def test_event_type_is_a_word_or_a_pseudonym(
    session: aiohttp.ClientSession, currentlyone: CurrentlyOneSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    enable_log(caplog)
    currentlyone.recording = CONFIG + b"event: Casa Mia\ndata: {}\n\nevent: progress\ndata: {}\n\n" + PING
    async with aclosing(connect(session, currentlyone)) as messages:
        await receive_pings(messages, 3)
    lines = lines_in(caplog)
    assert f"event {REDACTOR.pseudonym('Casa Mia')} {{}}" in lines
    assert "event progress {}" in lines


async def test_failed_requests_are_logged(
    session: aiohttp.ClientSession,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    enable_log(caplog)
    reader = make_reader("whatwatt", session, whatwatt.host)
    await reader.poll()
    with pytest.raises(ReaderProtocolError):
        await make_reader("whatwatt", session, currentlyone.host).identify()
    report, _, system = lines_in(caplog)
    assert (report, system) == ("answer /api/v1/report 404", "answer /api/v1/system 404")
    assert reader.stats.responses["/api/v1/report"].status == 404
